"""What a flagger said, in the database: append-only; of each trace and version the first row counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from evalgate.database import sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.database import TenantDatabase


@dataclass(frozen=True, slots=True)
class Flag:
    """What a model said of a trace: machine evidence, no label."""

    trace_id: str
    version: str
    """Of prompt and model."""
    category: str
    """A `Category`, or `UNREADABLE`."""
    confidence: float
    reason: str
    model: str
    chosen: str
    """Why it was asked: `Why`."""
    rate: float
    """Share of the traces that signals passed which this run asked about."""
    cost_usd: float | None
    """What the answer cost; None: no price is known."""


def save(database: TenantDatabase, flags: Sequence[Flag]) -> None:
    """Append them."""
    if flags:
        database.insert_rows("model_flags", [asdict(f) for f in flags])


def asked(database: TenantDatabase, version: str) -> set[str]:
    """Return the traces about which this version was asked."""
    return {str(r["trace_id"]) for r in database.rows(sql(__package__, "asked"), {"version": version})}


def labelled(database: TenantDatabase) -> set[str]:
    """Return the traces that people have judged."""
    return {str(r["trace_id"]) for r in database.rows(sql(__package__, "labelled"))}
