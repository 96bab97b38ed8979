"""Who may ask: this machine's programs, never a web page of another site.

A loopback port is open to every page the user visits. Three headers that scripts cannot forge keep pages out: `Host`
must name this machine (a foreign name that resolves to 127.0.0.1 is DNS rebinding), `Origin` must be this very server,
and `Sec-Fetch-Site` must not say cross-site (https://www.w3.org/TR/fetch-metadata/).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from exporters.clickhouse.connect import OWNER_USER

if TYPE_CHECKING:
    from collections.abc import Mapping

READER_USERS = frozenset({"", "default"})
OWN_SITES = frozenset({"none", "same-origin"})


class Identity(StrEnum):
    """What a request may do."""

    READER = "reader"
    """No credentials: read this database through the fence."""
    OWNER = "owner"
    """Holds the token of the lock file, so can read our files anyway: everything."""


def foreign(headers: Mapping[str, str], hosts: frozenset[str]) -> str | None:
    """Return why a request comes from elsewhere, or None."""
    host = headers.get("host", "")
    if host_name(host) not in hosts:
        return f"the Host header {host[:80]!r} is not a name of this endpoint; allowed: {', '.join(sorted(hosts))}"
    if headers.get("sec-fetch-site", "none") not in OWN_SITES:
        return "requests from web pages of other sites are not taken (Sec-Fetch-Site)"
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return "requests from web pages of other sites are not taken (Origin)"
    return None


def host_name(host: str) -> str:
    """Return the name in a Host header, without the port; '' when it has none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def identify(headers: Mapping[str, str], parameters: Mapping[str, str], token: str) -> Identity | None:
    """Return who asks, None for wrong credentials.

    ClickHouse takes them as basic authentication, as X-ClickHouse-User and -Key, or as `user` and `password` in the
    URL; a bearer token is ours.
    """
    user, password = _credentials(headers, parameters)
    if user == OWNER_USER:
        return Identity.OWNER if hmac.compare_digest(password.encode(), token.encode()) else None
    return Identity.READER if user in READER_USERS and not password else None


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
