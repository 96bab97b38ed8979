"""Logging in with a key, and saying who one is where no key is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from starlette.responses import RedirectResponse

from evalgate.errors import BadInput
from evalgate.web.site import MAX_NAME_CHARS, NAME_COOKIE, SCOPES, Page, login_cookie, read_name
from schema.errors import Reason, Refused
from schema.identity import Scope

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from evalgate.web.site import Site

HOME: Final = "/"
YEAR_S: Final = 365 * 86_400
WRONG: Final = "this key is not valid here: unknown, expired, revoked, or only for sending"


async def show(site: Site, request: Request) -> Response:
    """Ask for a key."""
    if not site.gate.asks_for_keys:
        return RedirectResponse(HOME, 303)
    values = {"next": own_path(request.query_params.get("next", HOME)), "words": ""}
    return site.page(request, "login.html", values)


async def log_in(site: Site, request: Request) -> Response:
    """Take a key and begin a login with a fresh id."""
    form = await site.form(request)
    key, after = str(form.get("key", "")).strip(), own_path(str(form.get("next", HOME)))
    try:
        site.gate.admit(f"Bearer {key}", None, *SCOPES[Scope.READ])
    except Refused as e:
        if e.reason not in (Reason.UNAUTHENTICATED, Reason.FORBIDDEN):
            raise
        return site.page(request, "login.html", {"next": after, "words": WRONG}, status=401)
    site.logins.end(request.cookies.get(login_cookie(request), ""))
    response = RedirectResponse(after, 303)
    response.set_cookie(
        login_cookie(request), site.logins.add(key), httponly=True, samesite="lax", secure=_is_secure(request), path="/"
    )
    return response


async def log_out(site: Site, request: Request) -> Response:
    """End the login."""
    name = login_cookie(request)
    site.logins.end(request.cookies.get(name, ""))
    response = RedirectResponse("/login", 303)
    response.delete_cookie(name, path="/", httponly=True, samesite="lax", secure=_is_secure(request))
    return response


async def say_name(site: Site, request: Request) -> Response:
    """Keep the name that a visitor gives himself; with keys it is that of the key."""
    if site.gate.asks_for_keys:
        raise BadInput("the name is that of your key: evalgate keys create --name NAME")
    form = await site.form(request)
    name = read_name(str(form.get("name", "")))
    if not name:
        raise BadInput(f"a name has 1 to {MAX_NAME_CHARS} printable characters")
    response = RedirectResponse(own_path(str(form.get("next", HOME))), 303)
    response.set_cookie(NAME_COOKIE, quote(name), max_age=YEAR_S, httponly=True, samesite="lax", path="/")
    return response


def own_path(text: str) -> str:
    r"""Return a path on this server; anything that a browser might read as another address is the home page.

    A browser reads // and /\ as the beginning of another host, and drops tabs and line ends on the way.
    """
    if not text.startswith("/") or text[1:2] in ("/", "\\") or not text.isascii() or not text.isprintable():
        return HOME
    return text


def _is_secure(request: Request) -> bool:
    """Tell whether the browser came by TLS, which a proxy before this service may have ended."""
    return request.url.scheme == "https" or urlsplit(request.headers.get("origin", "")).scheme == "https"


PUBLIC: Final = "whoever has no login must be able to begin one, and end it"
PAGES: Final = (
    Page("/login", show, "login", scope=None, public=PUBLIC),
    Page("/login", log_in, "login", methods=("POST",), scope=None, public=PUBLIC),
    Page("/logout", log_out, "logout", methods=("POST",), scope=None, public=PUBLIC),
    Page("/name", say_name, "name", methods=("POST",), scope=Scope.REVIEW),
)
