"""Who may ask, and what: this machine's programs or those with a key, never a web page of another site.

    the token of the lock file, as password of user evalgate or as bearer   everything: it opens our files anyway
    a key with the scope admin                                              what only reads, of all tenants
    a key with the scope read or review                                     what only reads, of its tenant
    nobody in particular, where auth.mode is none                           what only reads, of one tenant

Pages of other sites are kept out, those that only read included (`collector.web.sites`).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.auth.gate import TENANT_HEADER
from collector.auth.key import TOKEN
from exporters.clickhouse.connect import OWNER_USER
from schema.errors import Reason, Refused
from schema.identity import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.auth.routes import Route
    from schema.serving import Gate

READER_USERS = frozenset({"", "default"})


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
