"""What a statement need not read: rows that were received before any it asks about.

Traces are summed up out of all their parts when they are read, so a condition on the time of a trace is looked at after
the sum, and prunes nothing. But nothing is received before it began (but for clocks that are wrong): what concerns
traces that began since T was received since T minus an hour. ClickHouse is told so for each table by its setting
`additional_table_filters`, which reaches through views and prunes by the primary key: the page of a list over 2 500 000
traces reads 4 granules of 360 (measured). Only whole numbers of ours enter the text.

On a cluster the tables of the statement have other names; there nothing is bounded, and nothing is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from evalgate.database import TenantDatabase

HOUR_S: Final = 3600
CLOCK_AHEAD_S: Final = HOUR_S
"""How far a sender's clock may be ahead of ours (as in evalgate.select.recent)."""
PLACE: Final = "/* bounds */"
LATEST_S: Final = 2**32 - 1


def bounded(database: TenantDatabase, text: str, since_ns: int, spans_until_ns: int | None = None) -> str:
    """Return a statement about traces that began since then, told to read no older rows.

    `spans_until_ns` also leaves out spans that came later, where a statement can do without them.
    """
    if database.opened.cluster:
        return text.replace(PLACE, "")
    since_s = min(max(since_ns // 1_000_000_000 - CLOCK_AHEAD_S, 0) // HOUR_S * HOUR_S, LATEST_S)
    parts = f"received_hour >= toDateTime({since_s}, ''UTC'')"
    spans = f"received_at >= toDateTime({since_s}, ''UTC'')"
    if spans_until_ns is not None:
        until_s = min(max(spans_until_ns // 1_000_000_000, 0), LATEST_S)
        spans += f" AND received_at < toDateTime({until_s}, ''UTC'')"
    filters = f"{{'trace_parts': '{parts}', 'spans': '{spans}', 'span_revisions': '{spans}'}}"
    return text.replace(PLACE, f"SETTINGS additional_table_filters = {filters}")
