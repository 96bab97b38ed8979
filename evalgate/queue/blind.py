"""What a visitor may know of the labels of a trace. One owner of this question: whatever shows labels asks here.

Two labels say more than one only if the second was not given in the light of the first. So in a queue in which several
people label, nobody sees what others said of a trace before all are through:

    the item is            who sees what others said
    done                   everybody
    disputed               who decides: he holds it
    anything else          nobody; also while it is removed, for it can be put back
    in a closed queue      who has labelled it; everybody, where all labels are there

Every such queue that has the trace, or had it, has a say: one that is not through hides it everywhere. Pages, lists and
CSV ask `read_blind` with the name of who looks. Figures are the same for all, so they ask for nobody in particular
(None), and count what is hidden from nobody.

This keeps honest people blind. It is no access control: whoever may read the database reads labels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, TypeVar

from evalgate.database import sql
from evalgate.queue.items import Entry, Item, ItemState, Said, item_of, moment, read_holds, said_of, server_now
from evalgate.queue.store import list_queues
from schema.verdict import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evalgate.database import TenantDatabase
    from evalgate.queue.definition import Queue

Row = TypeVar("Row", bound="Mapping[str, Any]")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Standing:
    """A labelled trace in one of the queues in which several label it."""

    queue: Queue
    item: Item
    """As if nobody had removed it."""
    said: tuple[Said, ...]
    """All that stands: what was said before a requeue is not forgotten."""


@dataclass(frozen=True, slots=True)
class Blind:
    """What one visitor may not know yet."""

    viewer: str | None = None
    """None: nobody in particular."""
    traces: frozenset[str] = frozenset()
    """Of these others have labels that he may not see, nor anything that tells of them."""
    unfinished: frozenset[str] = frozenset()
    """Those of them that further people label; of the others all is said, and they differ."""

    def hides(self, trace_id: str | None) -> bool:
        """Tell whether others said something of a trace that he may not know."""
        return trace_id in self.traces

    def labels(self, trace_id: str, rows: Sequence[Row]) -> list[Row]:
        """Return the labels of a trace that he may see: of what is hidden his own."""
        return [r for r in rows if r["annotator"] == self.viewer] if self.hides(trace_id) else list(rows)

    def item(self, item: Item) -> Item:
        """Return an item without what he may not know of it."""
        return replace(item, verdict="", failure_mode="") if self.hides(item.trace_id) else item


def blind_of(standings: Iterable[Standing], viewer: str | None) -> Blind:
    """Return what somebody may not know. Pure."""
    hidden = [s for s in standings if not _sees(s, viewer)]
    return Blind(
        viewer,
        frozenset(s.item.trace_id for s in hidden),
        frozenset(s.item.trace_id for s in hidden if not s.item.is_disputed),
    )


def read_blind(database: TenantDatabase, viewer: str | None, trace_ids: Sequence[str] | None = None) -> Blind:
    """Return what somebody may not know of these traces, or of any."""
    return blind_of(read_standings(database, trace_ids), viewer)


def read_standings(database: TenantDatabase, trace_ids: Sequence[str] | None = None) -> list[Standing]:
    """Return where these traces, or all, stand in every queue in which several label them, closed ones too."""
    several = {q.name: q for q in list_queues(database) if q.reviewers > 1}
    if not several or (trace_ids is not None and not trace_ids):
        return []
    bound = {"queues": list(several), "trace_ids": list(trace_ids or ())}
    rows = database.rows(sql(__package__, "blind"), bound)
    found = []
    for (name, trace_id), own in groupby(rows, key=lambda r: (str(r["queue"]), str(r["trace_id"]))):
        said = list(own)
        requeued = moment(said[0]["requeued_unix_us"]) if said[0]["requeued_unix_us"] else None
        entry = Entry(trace_id, EPOCH, requeued_at=requeued)
        labels = tuple(map(said_of, said))
        found.append(Standing(several[name], item_of(several[name], entry, None, labels, EPOCH), labels))
    return _held(database, found)


def role_of(item: Item) -> Role:
    """Return what a label of this item is now: where reviewers differ, a decision."""
    return Role.ADJUDICATION if item.is_disputed else Role.LABEL


def _sees(standing: Standing, viewer: str | None) -> bool:
    item = standing.item
    if item.state is ItemState.DONE or all(s.annotator == viewer for s in standing.said):
        return True
    if not standing.queue.is_open:
        return item.is_disputed or viewer in item.labelled_by
    return item.is_disputed and viewer is not None and item.reserved_by == viewer


def _held(database: TenantDatabase, standings: Sequence[Standing]) -> list[Standing]:
    """Return the same with who holds those that are disputed: of nothing else it matters."""
    disputed: dict[str, list[str]] = {}
    for s in standings:
        if s.item.is_disputed and s.queue.is_open:
            disputed.setdefault(s.queue.name, []).append(s.item.trace_id)
    if not disputed:
        return list(standings)
    now = server_now(database)
    holds = {(name, h.trace_id): h for name, ids in disputed.items() for h in read_holds(database, name, ids)}
    return [
        replace(s, item=item_of(s.queue, s.item.entry, holds.get((s.queue.name, s.item.trace_id)), s.said, now))
        if s.item.entry is not None
        else s
        for s in standings
    ]
