"""Labels that a visitor may not see yet: while several people label a trace, none knows what the others said.

The rule is that of queues (`evalgate.queue.blind`); here it is applied to a trace that is looked at outside of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalgate.errors import BadInput
from evalgate.queue.blind import visible_labels
from evalgate.queue.items import find_item, list_items
from evalgate.queue.store import list_queues

if TYPE_CHECKING:
    from evalgate.database import TenantDatabase
    from evalgate.select.traces import Trace


def hidden_labels(database: TenantDatabase, trace: Trace, viewer: str) -> frozenset[str]:
    """Return the annotation ids of the labels that this visitor may not see.

    A queue of one reviewer hides nothing: where its trace has a label, it is done.
    """
    if not trace.labels:
        return frozenset()
    hidden: set[str] = set()
    for queue in list_queues(database):
        if not queue.is_open or queue.reviewers < 2:
            continue
        try:
            item = find_item(database, queue, trace.row.trace_id)
        except BadInput:
            continue  # it is not in this queue
        seen = {row["annotation_id"] for row in visible_labels(item, trace.labels, viewer)}
        hidden |= {row["annotation_id"] for row in trace.labels} - seen
    return frozenset(hidden)


def hidden_traces(database: TenantDatabase, viewer: str) -> frozenset[str]:
    """Return the traces of which others have labels that this visitor may not see; no list may tell of them either."""
    found: set[str] = set()
    for queue in list_queues(database):
        if not queue.is_open or queue.reviewers < 2:
            continue
        for item in list_items(database, queue):
            decides = item.is_disputed and item.reserved_by == viewer
            if item.is_open and not decides and any(who != viewer for who in item.labelled_by):
                found.add(item.trace_id)
    return frozenset(found)
