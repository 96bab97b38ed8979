"""What a page has: who visits, the database of his tenant, and the templates.

A group of pages is a module with `PAGES`; each page is a function of the site and the request:

    async def traces(site: Site, request: Request) -> Response:
        found = await site.read(request, lambda database: list_traces(database, where, 50))
        return site.page(request, "traces/list.html", {"traces": found})

    PAGES = (Page("/traces", traces, "traces"),)

It may raise `NotFound`, `BadInput` and any other error of ours: the visitor gets a page that says so, a request of htmx
the fragment. What changes something is a page of its own with method POST and the scope REVIEW.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode

from starlette.datastructures import FormData
from starlette.responses import Response

from evalgate.database import TenantDatabase, choose_tenant
from evalgate.errors import BadInput
from evalgate.review.actor import user_name
from evalgate.run_files import RUNS, RunShelf
from schema.errors import Reason, Refused
from schema.identity import DEFAULT_TENANT, Scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from jinja2 import Environment
    from starlette.requests import Request

    from evalgate.web.databases import Databases
    from evalgate.web.logins import Logins
    from exporters.clickhouse.connect import Database
    from schema.identity import Identity
    from schema.serving import Gate

T = TypeVar("T")

NAME_COOKIE: Final = "evalgate-name"
MAX_NAME_CHARS: Final = 80
MAX_FIELDS: Final = 1000
KEEP_TENANT_S: Final = 30.0
NOWHERE: Final = Path(os.devnull, "no-project")
"""The project folder of a tenant that has none: below a file nothing is found, and nothing can be made."""
SCOPES: Final[Mapping[Scope, tuple[Scope, ...]]] = {
    Scope.READ: (Scope.READ, Scope.REVIEW, Scope.ADMIN),
    Scope.REVIEW: (Scope.REVIEW,),
}
"""Which keys open a page of a scope."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page."""

    name: str
    """Whose word a label of his is."""
    tenant: str
    may_review: bool
    is_admin: bool


@dataclass(frozen=True, slots=True)
class Page:
    """One thing that can be asked for."""

    path: str
    """As starlette writes it: /traces/{trace_id}."""
    endpoint: Callable[[Site, Request], Awaitable[Response]]
    name: str
    """What templates make addresses of: `url("trace", trace_id=…)`. One name may have a GET and a POST."""
    methods: tuple[str, ...] = ("GET",)
    scope: Scope | None = Scope.READ
    """None: nobody is asked who he is; `public` says why."""
    public: str = ""


class Rendering(Response):
    """A page that is not written yet: a thread does it, so that what is received need not wait."""

    def __init__(self, write: Callable[[], str], status: int) -> None:
        super().__init__(status_code=status, media_type="text/html")
        self.write = write

    def written(self) -> Response:
        """Write the page; cookies and headers that were set stay."""
        done = Response(self.write(), self.status_code, media_type="text/html")
        own = [(n, v) for n, v in self.raw_headers if n not in (b"content-length", b"content-type")]
        done.raw_headers.extend(own)
        return done


class Site:
    """Everything that pages share. One for a listener; its methods are for the event loop."""

    def __init__(
        self,
        *,
        folder: Path,
        folder_tenant: str,
        databases: Databases,
        gate: Gate,
        logins: Logins,
        templates: Environment,
        tenant: str | None,
        status: Callable[[], dict[str, Any]],
        max_body_bytes: int,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the project of whoever started the service, and whose it is where keys are asked for.

        `tenant` is that of all visitors where no keys are asked for; None: the one there is.
        """
        self._folder = folder
        self._folder_tenant = folder_tenant
        self._runs = RunShelf(folder / RUNS)
        self.gate = gate
        self.logins = logins
        self.status = status
        """The state of the service, in counts (`schema.component.Context.status`)."""
        self.databases = databases
        self._templates = templates
        self._tenant = tenant
        self._max_body_bytes = max_body_bytes
        self._clock_s = clock_s
        self._only_tenant: tuple[float, str] | None = None

    # who

    def admit(self, request: Request, page: Page) -> Visitor:
        """Return who visits, and remember it for `visitor`.

        Raises:
            Refused: UNAUTHENTICATED without a login or with one whose key is gone, FORBIDDEN without the scope.

        """
        authorization = request.headers.get("authorization")
        login = request.cookies.get(login_cookie(request), "")
        if authorization is None and (key := self.logins.key(login)) is not None:
            authorization = f"Bearer {key}"
        try:
            identity = self.gate.admit(authorization, None, *SCOPES[page.scope or Scope.READ])
        except Refused as e:
            if e.reason is Reason.UNAUTHENTICATED:
                self.logins.end(login)
            raise
        visitor = self._visitor(request, identity)
        request.state.visitor = visitor
        return visitor

    def visitor(self, request: Request) -> Visitor:
        """Return who visits."""
        found: Visitor = request.state.visitor
        return found

    def _visitor(self, request: Request, identity: Identity) -> Visitor:
        if self.gate.asks_for_keys:
            name = identity.key_name or identity.key_id
        else:
            name = read_name(request.cookies.get(NAME_COOKIE, "")) or user_name()
        return Visitor(
            name=name,
            tenant=identity.tenant,
            may_review=Scope.REVIEW in identity.scopes,
            is_admin=Scope.ADMIN in identity.scopes,
        )

    # the project

    def has_project(self, request: Request) -> bool:
        """Tell whether the project folder is that of the visitor's tenant."""
        return not self.gate.asks_for_keys or self.visitor(request).tenant == self._folder_tenant

    def folder(self, request: Request) -> Path:
        """Return the project folder, with evals/ and .evalgate/; of another tenant one in which nothing is."""
        return self._folder if self.has_project(request) else NOWHERE

    def runs(self, request: Request) -> RunShelf:
        """Return the runs of the project folder, of another tenant none."""
        return self._runs if self.has_project(request) else RunShelf(NOWHERE / RUNS)

    # the database

    async def read(self, request: Request, work: Callable[[TenantDatabase], T]) -> T:
        """Call `work` in a thread with the database of the visitor's tenant; each statement has a time limit."""
        visitor = self.visitor(request)
        began_s = time.perf_counter()
        try:
            return await self.databases.run(lambda opened: work(TenantDatabase(opened, self._whose(opened, visitor))))
        finally:
            taken = time.perf_counter() - began_s
            request.state.database_s = getattr(request.state, "database_s", 0.0) + taken

    async def write(self, request: Request, work: Callable[[TenantDatabase], T]) -> T:
        """Do the same for what changes something.

        Raises:
            Refused: FORBIDDEN, as the visitor may only read.

        """
        if not self.visitor(request).may_review:
            raise Refused(Reason.FORBIDDEN, "this needs a key with the scope review; yours may only read")
        return await self.read(request, work)

    def _whose(self, opened: Database, visitor: Visitor) -> str:
        """Return the tenant of a visitor. Without keys it is the one there is; of several, `default`."""
        if self.gate.asks_for_keys or self._tenant is not None:
            return visitor.tenant
        now_s, known = self._clock_s(), self._only_tenant
        if known is None or now_s >= known[0]:
            try:
                name = choose_tenant(opened, None)
            except BadInput:
                name = DEFAULT_TENANT
            known = self._only_tenant = (now_s + KEEP_TENANT_S, name)
        return known[1]

    # pages

    def page(
        self, request: Request, template: str, values: Mapping[str, object] | None = None, *, status: int = 200
    ) -> Response:
        """Return a page of a template, which is written when the function of the page has ended.

        Besides `values` a template has `visitor`, `request_path`, `url(name, query=…, **path)`, `here(**changes)` for
        the address of this page with other parameters, `asset(file)`, `nav`, `asks_for_keys` and `is_htmx`.
        """
        state = request.state
        common = {
            "visitor": getattr(state, "visitor", None),
            "request_path": request.scope["path"],
            "url": partial(address, request),
            "here": partial(with_query, request),
            "nav": request.app.state.nav,
            "asks_for_keys": self.gate.asks_for_keys,
            "is_htmx": is_htmx(request),
        }
        found = self._templates.get_template(template)
        return Rendering(lambda: found.render({**common, **(values or {})}), status)

    async def form(self, request: Request) -> FormData:
        """Return the fields of a form that was sent.

        Raises:
            Refused: TOO_LARGE or BAD_DATA.

        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise Refused(Reason.BAD_DATA, "a form is sent as application/x-www-form-urlencoded")
        body = await self.body(request)
        try:
            pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
        except ValueError:
            raise Refused(Reason.BAD_DATA, f"the form is not UTF-8, or has more than {MAX_FIELDS} fields") from None
        # Browsers send line ends of text areas as CR LF.
        return FormData([(name, value.replace("\r\n", "\n")) for name, value in pairs])

    async def body(self, request: Request) -> bytes:
        """Return what was sent, as it came.

        Raises:
            Refused: TOO_LARGE.

        """
        pieces, size = [], 0
        async for piece in request.stream():
            size += len(piece)
            if size > self._max_body_bytes:
                raise Refused(Reason.TOO_LARGE, f"a form has at most {self._max_body_bytes} bytes (max_body_bytes)")
            pieces.append(piece)
        return b"".join(pieces)


def is_htmx(request: Request) -> bool:
    """Tell whether a part of a page is asked for."""
    return request.headers.get("hx-request") == "true" and "hx-boosted" not in request.headers


def address(request: Request, name: str, /, query: Mapping[str, object] | None = None, **path: object) -> str:
    """Return the path of a page by its name; what stands in the path is percent-encoded.

    Raises:
        KeyError: there is no page of that name: a template is wrong.

    """
    template: str = request.app.state.paths[name]
    for key, value in path.items():
        template = template.replace("{" + key + "}", quote(str(value), safe="")).replace(
            "{" + key + ":path}", quote(str(value), safe="")
        )
    return f"{template}?{encoded(query)}" if query else template


def with_query(request: Request, /, **changes: object) -> str:
    """Return the address of this page with other parameters; None takes one out."""
    kept: list[tuple[str, object]] = [(k, v) for k, v in request.query_params.multi_items() if k not in changes]
    for key, value in changes.items():
        if isinstance(value, (list, tuple)):
            kept += [(key, each) for each in value]
        elif value is not None:
            kept.append((key, value))
    path = quote(request.scope["path"])
    return f"{path}?{urlencode(kept)}" if kept else path


def encoded(query: Mapping[str, object]) -> str:
    """Return parameters as they stand in an address; None is left out, a list stands several times."""
    return urlencode({k: v for k, v in query.items() if v is not None}, doseq=True)


def login_cookie(request: Request) -> str:
    """Return the name of the cookie of a login: cookies do not know ports, and two services may run on one machine."""
    return f"evalgate-login-{request.url.port or (443 if request.url.scheme == 'https' else 80)}"


def read_name(text: str) -> str:
    """Return the name in a cookie or a form, "" where it is none."""
    name = " ".join(unquote(text).split())
    return name if name.isprintable() and len(name) <= MAX_NAME_CHARS else ""
