"""Who may ask, and what: this machine's programs or those with a key, never a web page of another site.

    the token of the lock file, as password of user evalgate or as bearer   everything: it opens our files anyway
    a key with the scope admin                                              what only reads, of all tenants
    a key with the scope read                                               what only reads, of its tenant
    nobody in particular, where auth.mode is none                           what only reads, of one tenant

A loopback port is open to every page the user visits. Three headers that scripts cannot forge keep pages out: `Host`
must name this machine (a foreign name that resolves to 127.0.0.1 is DNS rebinding), `Origin` must be this very server,
and `Sec-Fetch-Site` must not say cross-site (https://www.w3.org/TR/fetch-metadata/).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from collector.auth.gate import TENANT_HEADER
from collector.auth.key import TOKEN
from exporters.clickhouse.connect import OWNER_USER
from schema.errors import Reason, Refused
from schema.identity import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.auth.gate import Gate
    from collector.auth.routes import Route

READER_USERS = frozenset({"", "default"})
OWN_SITES = frozenset({"none", "same-origin"})


AUTHORISE = (
    "give the user default without a password, a key (evalgate keys create) as the password of any user, or the token "
    "of the lock file as the password of user evalgate"
)


@dataclass(frozen=True, slots=True)
class Caller:
    """What a request may do."""

    is_owner: bool = False
    """Holds the token of the lock file, so can read our files anyway: everything."""
    tenant: str | None = None
    """Whose rows it may read; None: those of all."""
    is_named: bool = True
    """It has shown a key or the token."""


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


def identify(headers: Mapping[str, str], parameters: Mapping[str, str], token: str, gate: Gate, route: Route) -> Caller:
    """Return who asks.

    ClickHouse takes credentials as basic authentication, as X-ClickHouse-User and -Key, or as `user` and `password` in
    the URL; a bearer token is ours. A key is not taken from the URL, which proxies write into their logs.

    Raises:
        Refused: UNAUTHENTICATED or FORBIDDEN, or UNAVAILABLE while keys cannot be read.

    """
    user, password = _credentials(headers, parameters)
    tenant = headers.get(TENANT_HEADER)
    if TOKEN.fullmatch(password):
        if parameters.get("password") == password:
            raise Refused(Reason.UNAUTHENTICATED, "a key is not taken from the URL: send it as a header")
        identity = gate.admit(f"Bearer {password}", tenant, *route.scopes)
        if gate.asks_for_keys:
            return Caller(tenant=None if Scope.ADMIN in identity.scopes else identity.tenant)
    if user == OWNER_USER:
        if hmac.compare_digest(password.encode(), token.encode()):
            return Caller(is_owner=True)
    elif user in READER_USERS and not password:
        return Caller(tenant=gate.admit(None, tenant, *route.scopes).tenant, is_named=False)
    raise Refused(Reason.UNAUTHENTICATED, f"these credentials are not known here: {AUTHORISE}")


def _credentials(headers: Mapping[str, str], parameters: Mapping[str, str]) -> tuple[str, str]:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return OWNER_USER, value.strip()
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "?", ""
        return user, password
    if scheme:
        return "?", ""
    return (
        headers.get("x-clickhouse-user", parameters.get("user", "")),
        headers.get("x-clickhouse-key", parameters.get("password", "")),
    )
