"""Keeps pages of other sites out of what listens on this machine.

A loopback port is open to every page the user visits. Three headers that scripts cannot forge keep pages out: `Host`
must name this machine (a foreign name that resolves to 127.0.0.1 is DNS rebinding), `Origin` must be this very server,
and `Sec-Fetch-Site` must not say cross-site (https://www.w3.org/TR/fetch-metadata/).

Pages of our own may be linked to from anywhere, so a person may follow a link here from another site; nothing else of
another site is answered: no image, frame or fetch, which could tell by its time what is here
(https://web.dev/articles/fetch-metadata), nothing that changes something. A browser sends an Origin with every POST,
and Sec-Fetch-Site too where it trusts the address; what sends neither is no browser and carries no cookies that it was
not given (https://words.filippo.io/csrf/, the rule of Go's net/http.CrossOriginProtection).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from schema.serving import Application, AsgiMessage

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
OWN_SITES: Final = frozenset({"none", "same-origin"})
FOLLOWED_LINK: Final = ("navigate", "document")
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""They change nothing (RFC 9110, 9.2.1)."""


def foreign(headers: Mapping[str, str], hosts: frozenset[str]) -> str | None:
    """Return why a request comes from elsewhere, or None."""
    host = headers.get("host", "")
    if host_name(host) not in hosts:
        return f"the Host header {host[:80]!r} is not a name of this endpoint; allowed: {', '.join(sorted(hosts))}"
    if headers.get("sec-fetch-site", "none") not in OWN_SITES:
        return "requests from web pages of other sites are not taken (Sec-Fetch-Site)"
    origin = headers.get("origin")
    if origin is not None and _site(origin) != host.lower():
        return "requests from web pages of other sites are not taken (Origin)"
    return None


def host_name(host: str) -> str:
    """Return the name in a Host header, without the port; '' when it has none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _site(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def forged(method: str, headers: Mapping[str, str]) -> str | None:
    """Return why a request is one that another site's page made, or None."""
    is_own = headers.get("sec-fetch-site", "none") in OWN_SITES
    if method in SAFE_METHODS:
        if is_own or (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == FOLLOWED_LINK:
            return None
        return "pages of other sites may link here, and no more (Sec-Fetch-Site)"
    if not is_own:
        return "what changes something is not taken from pages of other sites (Sec-Fetch-Site)"
    origin = headers.get("origin")
    if origin is not None and _site(origin) != headers.get("host", "").lower():
        return "what changes something is not taken from pages of other sites (Origin)"
    return None


class Guard:
    """Lets only those requests through to an ASGI application that are meant for this listener."""

    def __init__(self, application: Application, hosts: frozenset[str]) -> None:
        self._application = application
        self._hosts = hosts

    async def __call__(
        self,
        scope: AsgiMessage,
        receive: Callable[[], Awaitable[AsgiMessage]],
        send: Callable[[AsgiMessage], Awaitable[None]],
    ) -> None:
        """Pass a request on, or answer 421 to another Host and 403 to another site."""
        if scope["type"] != "http":
            return
        headers = _joined(scope["headers"])
        host = headers.get("host", "")
        if host_name(host) not in self._hosts:
            told = (
                f"the Host header {host[:80]!r} is not a name of this server; allowed: {', '.join(sorted(self._hosts))}"
            )
            await _refuse(send, 421, f"{told}. Another name is let in by allowed_hosts")
        elif wrong := forged(scope["method"], headers):
            await _refuse(send, 403, wrong)
        else:
            await self._application(scope, receive, send)


def _joined(pairs: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers as HTTP joins them: one that is there twice is neither the one nor the other."""
    found: dict[str, str] = {}
    for name, value in pairs:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


async def _refuse(send: Callable[[AsgiMessage], Awaitable[None]], status: int, text: str) -> None:
    body = text.encode("ascii", "backslashreplace") + b"\n"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
