"""Whose labels a reviewer may see. Pure.

Two labels say more than one only if the second was not given in the light of the first. So until an item is done,
everybody sees his own labels of it alone, and who decides between labels that differ sees those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schema.verdict import Role

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalgate.queue.items import Item


def visible_labels(item: Item, labels: Sequence[Mapping[str, Any]], reviewer: str) -> list[Mapping[str, Any]]:
    """Return the labels of the item's trace that this reviewer may see, of those that `Trace.labels` has."""
    decides = item.is_disputed and item.reserved_by == reviewer
    if not item.is_open or decides:
        return list(labels)
    return [label for label in labels if label["annotator"] == reviewer]


def role_of(item: Item) -> Role:
    """Return what a label of this item is now: where reviewers differ, a decision."""
    return Role.ADJUDICATION if item.is_disputed else Role.LABEL
