"""Traces that are held are not erased, unless that is said: a hold may be a duty to others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evalgate.database import sql
from evalgate.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from evalgate.database import Database
    from schema.erasure import Erasure

SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Held:
    """A trace that somebody holds."""

    tenant: str
    trace_id: str
    since: str
    reason: str
    actor: str

    def __str__(self) -> str:
        return f"{self.trace_id} of {self.tenant}, held since {self.since} by {self.actor}: {self.reason}"


def held_among(database: Database, erasure: Erasure, trace_ids: Collection[str]) -> list[Held]:
    """Return which of these traces are held."""
    wanted = frozenset(trace_ids)
    found = database.rows(sql(__package__, "held"), {"tenant": erasure.tenant or ""})
    return [Held(**row) for row in found if erasure.is_whole_tenant or row["trace_id"] in wanted]


def require_none(held: Sequence[Held]) -> None:
    """Check that nothing is held.

    Raises:
        BadInput: something is; it is named.

    """
    if held:
        told = "; ".join(map(str, held[:SHOWN]))
        more = f"; and {len(held) - SHOWN} more" if len(held) > SHOWN else ""
        raise BadInput(
            f"nothing was erased: {told}{more}. Let go of it first (evalgate hold release ID --reason WHY), or erase "
            "it all the same: --despite-hold"
        )
