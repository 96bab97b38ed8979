"""Some traces as lines of a table: of a cluster, of an issue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from evalgate.database import sql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalgate.database import TenantDatabase

MOST_LINES: Final = 100


@dataclass(frozen=True, slots=True)
class TraceLine:
    """One trace. Of one that is no longer stored, the id is all there is."""

    trace_id: str
    is_stored: bool = False
    start_unix_ns: int | None = None
    duration_ms: float | None = None
    name: str = ""
    feature: str = ""
    is_failing: bool = False
    reasons: tuple[str, ...] = ()
    weight: float = 0.0
    user: str = ""
    session: str = ""
    asked: str = ""


def read_lines(database: TenantDatabase, trace_ids: Sequence[str]) -> list[TraceLine]:
    """Return a line for each id, in their order; at most `MOST_LINES`."""
    wanted = list(dict.fromkeys(trace_ids))[:MOST_LINES]
    if not wanted:
        return []
    rows = {str(r["trace_id"]): r for r in database.rows(sql(__package__, "trace_lines"), {"trace_ids": wanted})}
    return [_line(rows[i]) if i in rows else TraceLine(i) for i in wanted]


def _line(r: Mapping[str, Any]) -> TraceLine:
    return TraceLine(
        trace_id=str(r["trace_id"]),
        is_stored=True,
        start_unix_ns=int(r["start_unix_ns"]),
        duration_ms=float(r["duration_ms"]),
        name=str(r["root_name"]),
        feature=str(r["feature_name"]),
        is_failing=bool(r["is_failing"]),
        reasons=tuple(map(str, r["reasons"])),
        weight=float(r["weight"]),
        user=str(r["user_name"]),
        session=str(r["session_name"]),
        asked=str(r["asked"]),
    )
