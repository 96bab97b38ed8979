"""Who sends or asks: tenants, scopes, and what a caller may do.

A tenant is the owner of rows. Its name reaches the journal, a column, file names of exports and metric labels, so it
is a short plain word: no slash, blank, newline or NUL (CVE-2025-12972 and -12977 are what such names did elsewhere).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schema.errors import Reason, Refused

DEFAULT_TENANT: Final = "default"
"""The tenant of those who need no key."""
MAX_TENANT_CHARS: Final = 64
MAX_TENANTS: Final = 10_000
"""Distinct tenants of one collector: what is counted and limited by tenant is bounded by this."""
TENANT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Scope(StrEnum):
    """What a key may be used for. No scope includes another."""

    INGEST = "ingest"
    """Send spans, log records and feedback."""
    READ = "read"
    """Read the rows of its own tenant."""
    REVIEW = "review"
    """Read the rows of its own tenant, and say what they are: labels, queues, issues, cases."""
    ADMIN = "admin"
    """Read the rows of all tenants, and what the collector says of itself."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller whose credentials were good."""

    tenant: str
    scopes: frozenset[Scope]
    key_id: str = ""
    """Of the key that was shown; "" where none is asked for."""
    key_name: str = ""
    """What the owner of the keys calls it: whose word a label is. Never used to decide anything."""

    def require(self, *scopes: Scope) -> None:
        """Check that the caller has one of these scopes.

        Raises:
            Refused: FORBIDDEN, naming them.

        """
        if self.scopes.isdisjoint(scopes):
            has = ", ".join(sorted(self.scopes)) or "none"
            needed = " or ".join(scopes)
            raise Refused(Reason.FORBIDDEN, f"this needs a key with the scope {needed}; this one has: {has}")

    def narrow(self, tenant: str | None) -> None:
        """Check the tenant that a header names: it may be left out or be the caller's own, never another.

        Raises:
            Refused: FORBIDDEN. It does not say whose the credentials are.

        """
        if tenant is not None and tenant != self.tenant:
            raise Refused(Reason.FORBIDDEN, "the tenant in the header is not that of the credentials; leave it out")


def check_tenant(name: str) -> str:
    """Return the name of a tenant.

    Raises:
        ValueError: it is no such name; the message can be shown.

    """
    if not TENANT_NAME.fullmatch(name):
        raise ValueError(
            f"{name[:80]!r} is not the name of a tenant: letters, digits, '.', '_' and '-', beginning with a letter or "
            f"digit, at most {MAX_TENANT_CHARS}"
        )
    return name
