"""Which traces and spans people disagree about, out of the labels that stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evalgate.database import sql
from evalgate.review.decided import is_disputed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

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


def disputed_items(database: TenantDatabase) -> frozenset[tuple[str, str]]:
    """Return the traces and spans about which reviewers differ, and nobody has decided."""
    return frozenset(item for item, labels in said_by_item(database).items() if is_disputed(labels))


def item_of(case: Case) -> tuple[str, str]:
    """Return the trace and the span that a case was made of."""
    return case.provenance.trace_id or "", case.provenance.span_id or ""
