"""Which traces and spans people disagree about, out of the labels that stand."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from evalgate.database import sql
from evalgate.review.decided import is_disputed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from evalgate.database import TenantDatabase
    from schema.case import Case

DECIDE = "evalgate label --adjudicate"
"""What settles a dispute."""


def said_by_item(
    database: TenantDatabase, trace_ids: Collection[str] | None = None
) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """Return the labels that stand by trace and span ("": the whole trace); with `trace_ids`, of these alone."""
    bound: dict[str, object] = {} if trace_ids is None else {"trace_ids": list(trace_ids)}
    which = "" if trace_ids is None else "AND trace_id IN {trace_ids:Array(String)}"
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in database.rows(sql(__package__, "said").replace("/* conditions */", which), bound):
        found.setdefault((row["trace_id"], row["span_id"]), []).append(row)
    return found


def disputes(database: TenantDatabase) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """Return the traces and spans about which reviewers differ, and nobody has decided, with what they said."""
    return {item: labels for item, labels in said_by_item(database).items() if is_disputed(labels)}


def disputed_items(database: TenantDatabase) -> frozenset[tuple[str, str]]:
    """Return these traces and spans alone."""
    return frozenset(disputes(database))


def disputed_modes(found: Mapping[tuple[str, str], Iterable[Mapping[str, Any]]]) -> Mapping[str, int]:
    """Return the number of disputes by failure mode that somebody names in them."""
    return Counter(mode for labels in found.values() for mode in {str(r["failure_mode"]) for r in labels} if mode)


def item_of(case: Case) -> tuple[str, str]:
    """Return the trace and the span that a case was made of."""
    return case.provenance.trace_id or "", case.provenance.span_id or ""
