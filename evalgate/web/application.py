"""The pages as one ASGI application: routes, errors in words, headers that keep a browser from doing more.

The listener before it has checked Host, Origin and Sec-Fetch-Site (`schema.serving.Listener`).
"""

from __future__ import annotations

import logging
import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from evalgate.errors import BadInput
from evalgate.web.assets import Assets
from evalgate.web.databases import Databases
from evalgate.web.errors import NotFound, page_words
from evalgate.web.filters import filters, shown
from evalgate.web.logins import Logins
from evalgate.web.pages import all_pages
from evalgate.web.site import Page, Rendering, Site, is_htmx, with_query
from schema.errors import EvalgateError, Permanent, Reason, Refused, Retryable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path

    from schema.serving import Application, AsgiMessage, Gate

log = logging.getLogger(__name__)

HEADERS: Final = (
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
            b"base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    # Not no-referrer: with it browsers send "Origin: null" with every form, which the listener refuses.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"x-frame-options", b"DENY"),
)
"""On every answer. Pages load scripts, styles and parts of themselves from here and from nowhere else."""
MAX_QUERY_BYTES: Final = 16 << 10
NAV: Final = (
    ("dashboard", "Dashboard"),
    ("traces", "Traces"),
    ("sessions", "Sessions"),
    ("queues", "Queues"),
    ("issues", "Issues"),
    ("clusters", "Clusters"),
    ("datasets", "Datasets"),
    ("waiting", "Intake"),
)
"""Names of pages, in the order of the head; those that are not there are left out."""
STATUSES: Final[Mapping[Reason, int]] = {
    Reason.BAD_DATA: 400,
    Reason.UNAUTHENTICATED: 401,
    Reason.FORBIDDEN: 403,
    Reason.TOO_LARGE: 413,
    Reason.UNSUPPORTED_MEDIA_TYPE: 415,
    Reason.RATE_LIMITED: 429,
    Reason.UNAVAILABLE: 503,
}
TITLES: Final[Mapping[int, str]] = {
    400: "That does not work",
    401: "A key is needed",
    403: "Not allowed",
    404: "Not found",
    405: "Not like that",
    409: "Somebody was faster",
    413: "Too much",
    414: "Too long an address",
    429: "Too often",
    500: "A mistake of ours",
    503: "Not at the moment",
}
TOO_SLOW: Final = frozenset({159, 160})
TOO_LARGE: Final = frozenset({158, 241, 307, 396})
"""TIMEOUT_EXCEEDED, TOO_SLOW; TOO_MANY_ROWS, MEMORY_LIMIT_EXCEEDED, TOO_MANY_BYTES, TOO_MANY_ROWS_OR_BYTES of
ClickHouse `src/Common/ErrorCodes.cpp`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the pages may cost, and whose they are."""

    folder: Path
    folder_tenant: str
    tenant: str | None
    concurrency: int
    max_body_bytes: int
    max_execution_time_s: float
    max_memory_bytes: int
    login_s: float


def build(
    dsn: str,
    settings: Settings,
    *,
    gate: Gate,
    status: Callable[[], dict[str, Any]] = dict,
    pages: Iterable[Page] | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> tuple[Application, Site]:
    """Return the application and its site, whose databases the caller closes. Nothing is opened yet."""
    limits = {
        "max_execution_time": settings.max_execution_time_s,
        "timeout_overflow_mode": "throw",
        "max_memory_usage": settings.max_memory_bytes,
        # What runs once does not earn what its compiling costs, which is more than all else of a page (measured).
        "compile_expressions": 0,
        "compile_aggregate_expressions": 0,
        "compile_sort_description": 0,
    }
    assets = Assets()
    site = Site(
        folder=settings.folder,
        folder_tenant=settings.folder_tenant,
        databases=Databases(
            dsn, concurrency=settings.concurrency, settings=limits, wait_s=settings.max_execution_time_s
        ),
        gate=gate,
        logins=Logins(lasts_s=settings.login_s),
        templates=templates(assets, clock),
        tenant=settings.tenant,
        status=status,
        max_body_bytes=settings.max_body_bytes,
    )
    every = tuple(all_pages() if pages is None else pages)
    app = Starlette(
        routes=[
            *(Route(p.path, _endpoint(site, p, settings), methods=list(p.methods), name=p.name) for p in every),
            Route("/static/{name}", assets.answer, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _unrouted(site)},
    )
    app.router.redirect_slashes = False  # it makes an absolute address of the Host header
    app.state.paths = {p.name: p.path for p in every}
    app.state.nav = tuple((name, label) for name, label in NAV if name in app.state.paths)
    if not any(p.path == "/" for p in every):
        app.router.routes.append(Route("/", lambda _: RedirectResponse("/traces", 303)))
    return _Headers(app), site


class _Headers:
    """Puts our headers on every answer, and says how long it took."""

    def __init__(self, application: Starlette) -> None:
        self._application = application

    async def __call__(
        self,
        scope: AsgiMessage,
        receive: Callable[[], Awaitable[AsgiMessage]],
        send: Callable[[AsgiMessage], Awaitable[None]],
    ) -> None:
        began_s = time.perf_counter()

        async def with_headers(message: AsgiMessage) -> None:
            if message["type"] == "http.response.start":
                own = [*message["headers"], *HEADERS]
                if not any(name == b"cache-control" for name, _ in own):
                    own.append((b"cache-control", b"no-store"))
                taken = f"app;dur={1000 * (time.perf_counter() - began_s):.1f}"
                database_s = scope.get("state", {}).get("database_s", 0.0)
                own.append((b"server-timing", f"{taken}, db;dur={1000 * database_s:.1f}".encode()))
                message = {**message, "headers": own}
            await send(message)

        await self._application(scope, receive, with_headers)


def templates(assets: Assets, clock: Callable[[], datetime]) -> Environment:
    """Return the templates: everything is escaped and clean, and what a page does not give is an error."""
    found = Environment(
        loader=PackageLoader("evalgate.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters.update(filters(clock))
    found.globals.update(asset=assets.address, version=version("otel-evalgate"), now=clock)
    return found


def _endpoint(site: Site, page: Page, settings: Settings) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            if page.scope is not None:
                site.admit(request, page)
            if len(request.scope["query_string"]) > MAX_QUERY_BYTES:
                return await _told(site, request, 414, f"what follows ? has at most {MAX_QUERY_BYTES} bytes")
            response = await page.endpoint(site, request)
            return await site.databases.compute(response.written) if isinstance(response, Rendering) else response
        except ClientDisconnect:
            return Response(status_code=400)
        except Refused as e:
            return await _refusal(site, request, e)
        except EvalgateError as e:
            status, words = _words(e, settings)
            return await _told(site, request, status, words)
        except Exception as e:  # noqa: BLE001 - a visitor must get an answer, whatever our bug is
            _log_bug(page.path, e)
            return await _told(site, request, 500, "the log of the service says where. Nothing was changed")

    return answer


def _words(error: EvalgateError, settings: Settings) -> tuple[int, str]:
    """Return the status and the words for an error; those of the database may quote rows, and stay out."""
    if isinstance(error, NotFound):
        return 404, str(error)
    if isinstance(error, BadInput):
        return 400, page_words(error)
    code = getattr(error, "code", None) or getattr(error.__cause__, "code", None)
    if code in TOO_SLOW:
        limit = f"{settings.max_execution_time_s:g} s"
        return 503, f"this took longer than {limit}, so it was stopped. Ask for less: a shorter time, another condition"
    if code in TOO_LARGE:
        return 503, "this needs more memory than a page may take. Ask for less: a shorter time, another condition"
    if isinstance(error, Retryable):
        return 503, "the database does not answer. Is it running? Try again"
    if isinstance(error, Permanent):
        log.error("the database refused a statement of a page (code %s)", code)
        return 500, f"the database refused this (code {code})"
    return 400, str(error)


async def _refusal(site: Site, request: Request, refused: Refused) -> Response:
    status = STATUSES.get(refused.reason, 400)
    if status == 401 and site.gate.asks_for_keys and "authorization" not in request.headers:
        if is_htmx(request):
            return Response(status_code=401, headers={"hx-redirect": "/login"})
        if request.method in ("GET", "HEAD"):
            return RedirectResponse(f"/login?{urlencode({'next': with_query(request)})}", 303)
    response = await _told(site, request, status, str(refused))
    if refused.retry_after_s is not None:
        response.headers["retry-after"] = str(max(1, round(refused.retry_after_s)))
    return response


async def _told(site: Site, request: Request, status: int, words: str) -> Response:
    template = "error_fragment.html" if is_htmx(request) else "error.html"
    values = {"status": status, "title": TITLES.get(status, "That does not work"), "words": words}
    response = site.page(request, template, values, status=status)
    assert isinstance(response, Rendering)  # noqa: S101 - what page returns
    try:
        return response.written()
    except Exception as e:  # noqa: BLE001 - then without the layout
        _log_bug(request.url.path, e)
        return Response(f"{status}: {words}\n", status, media_type="text/plain")


def _log_bug(path: str, error: Exception) -> None:
    """Log where an unforeseen error came from, without its text: that may quote what a span says."""
    where = "".join(traceback.format_tb(error.__traceback__))
    log.error("a bug: %s got no page: %s\n%s", path, type(error).__name__, where)


def _unrouted(site: Site) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        words = {404: "there is no such page", 405: "this address does not take that method"}
        response = await _told(site, request, status, words.get(status, "that does not work"))
        for name, value in (getattr(error, "headers", None) or {}).items():
            response.headers[name] = value
        return response

    return answer
