"""Where each trace of a queue stands, and the order of review.

    waiting ── take ──▶ reserved ── label ──▶ in_review (further labels are needed) ── … ──▶ done
       ▲                   │                                   reviewers differ ──▶ disputed ── adjudication ──▶ done
       └─ release, expiry ─┘                 remove ──▶ removed, from anywhere; restore ──▶ where it stood

A trace is in one of these states, and which is read out of what happened to it: nobody sets it. Labels count whenever
they were given, for a trace that somebody judged need not be judged again; after `requeue`, those since then. Of
several labels of one person the last one counts, and one of the whole trace before those of a span. Where all needed
labels are there and differ in the verdict, or in the failure modes that are named, the item is disputed until an
adjudication stands, whatever those who differ say afterwards; a queue of one reviewer has nothing to dispute.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, Any

from evalgate.database import sql
from evalgate.errors import BadInput
from schema.verdict import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evalgate.database import TenantDatabase
    from evalgate.queue.definition import Queue


class ItemState(StrEnum):
    """Where a trace of a queue stands."""

    WAITING = "waiting"
    RESERVED = "reserved"
    IN_REVIEW = "in_review"
    DISPUTED = "disputed"
    DONE = "done"
    REMOVED = "removed"


OPEN = frozenset({ItemState.WAITING, ItemState.RESERVED, ItemState.IN_REVIEW, ItemState.DISPUTED})
"""What somebody has to look at yet."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a score."""

    signal: str
    points: float
    strength: float
    words: str
    """What was found; holds words of spans, so whoever prints it cleans it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A trace of a queue, as what happened to it in the queue says."""

    trace_id: str
    added_at: datetime
    score: float = 0.0
    parts: tuple[Part, ...] = ()
    is_priority: bool = True
    is_random: bool = False
    draw: float = 1.0
    inclusion_probability: float = 0.0
    population: int = 0
    """Traces that the fill drew from, with those that were in the queue already."""
    version: int = 1
    window_start: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    start_time: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    assigned_to: str = ""
    is_removed: bool = False
    requeued_at: datetime | None = None


class HoldEvent(StrEnum):
    """What happens to a reservation."""

    TAKEN = "taken"
    EXTENDED = "extended"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Hold:
    """Something that happened to the reservation of an item; the latest of them counts."""

    trace_id: str
    number: int
    """From 1 on."""
    event: HoldEvent
    reviewer: str
    since: datetime
    """When it was taken."""
    until: datetime


@dataclass(frozen=True, slots=True)
class Said:
    """A label that stands."""

    trace_id: str
    annotator: str
    verdict: str
    failure_mode: str
    at: datetime
    is_adjudication: bool = False
    is_whole: bool = True
    """Of the trace, and not of a span."""


@dataclass(frozen=True, slots=True)
class Item:
    """A trace of a queue, and where it stands."""

    queue: str
    trace_id: str
    state: ItemState
    score: float
    parts: Mapping[str, float]
    """Points by signal, the most first; they add up to the score as it was when the trace was added."""
    is_random: bool
    """Drawn at random out of all that the filters admit."""
    assigned_to: str
    reserved_by: str
    """Empty where nobody holds it now."""
    reserved_until: datetime | None
    labelled_by: tuple[str, ...]
    """Whose labels count, in order of time."""
    added_at: datetime
    is_disputed: bool = False
    """Reviewers differ, and nobody has decided: also while who decides holds it."""
    verdict: str = ""
    """Of an item that is done."""
    failure_mode: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    """What each part found."""
    entry: Entry | None = None
    hold: Hold | None = None
    """The last that happened to its reservation, whether it holds or not."""

    @property
    def is_open(self) -> bool:
        """Return whether somebody has to look at it yet."""
        return self.state in OPEN


def item_of(queue: Queue, entry: Entry, hold: Hold | None, said: Iterable[Said], now: datetime) -> Item:
    """Return where a trace stands. Pure."""
    every = list(said)
    counted = _counted(every, entry.requeued_at, queue.reviewers)
    adjudication = next((s for s in reversed(counted) if s.is_adjudication), None)
    labels = [s for s in counted if not s.is_adjudication]
    is_enough = len(labels) >= queue.reviewers
    is_disputed = adjudication is None and _is_dispute(labels, queue.reviewers)
    is_done = adjudication is not None or (is_enough and not is_disputed)
    holder = hold if hold is not None and _holds(hold, entry, every, now) else None
    if entry.is_removed:
        state, holder = ItemState.REMOVED, None
    elif is_done:
        state, holder = ItemState.DONE, None
    elif holder is not None:
        state = ItemState.RESERVED
    elif is_disputed:
        state = ItemState.DISPUTED
    else:
        state = ItemState.IN_REVIEW if labels else ItemState.WAITING
    last = adjudication or (labels[-1] if is_done else None)
    mode = adjudication.failure_mode if adjudication else next((s.failure_mode for s in labels if s.failure_mode), "")
    return Item(
        queue=queue.name,
        trace_id=entry.trace_id,
        state=state,
        score=entry.score,
        parts={p.signal: p.points for p in entry.parts},
        is_random=entry.is_random,
        assigned_to=entry.assigned_to,
        reserved_by=holder.reviewer if holder else "",
        reserved_until=holder.until if holder else None,
        labelled_by=tuple(dict.fromkeys(s.annotator for s in counted)),
        added_at=entry.added_at,
        is_disputed=is_disputed and not entry.is_removed,
        verdict=last.verdict if last else "",
        failure_mode=mode if last else "",
        words={p.signal: p.words for p in entry.parts},
        entry=entry,
        hold=hold,
    )


def differ(labels: Sequence[Said]) -> bool:
    """Tell whether people disagree: in the verdict, or in the failure modes that they name."""
    return len({s.verdict for s in labels}) > 1 or len({s.failure_mode for s in labels if s.failure_mode}) > 1


def refusal(queue: Queue, item: Item, reviewer: str) -> str:
    """Return why a reviewer may not take an item, in words; empty where he may. Pure."""
    match item.state:
        case ItemState.REMOVED:
            return f"was removed from the queue; put it back: evalgate queue restore {queue.name} {item.trace_id[:16]}"
        case ItemState.DONE:
            return f"is done: labelled by {', '.join(item.labelled_by)}"
        case ItemState.RESERVED if item.reserved_by != reviewer:
            until = f"{item.reserved_until:%H:%M} UTC" if item.reserved_until else ""
            return f"is with {item.reserved_by} until {until}"
        case _:
            pass
    if item.is_disputed:
        if queue.adjudicators:
            who = ", ".join(queue.adjudicators)
            return "" if reviewer in queue.adjudicators else f"waits for who decides where reviewers differ: {who}"
        return "has your label, and another one that differs: somebody else decides" * (reviewer in item.labelled_by)
    if reviewer in item.labelled_by:
        return "has your label already, and waits for somebody else's"
    if item.assigned_to not in ("", reviewer, *item.labelled_by):
        return f"is assigned to {item.assigned_to}"
    return ""


def review_order(queue: Queue, items: Iterable[Item], reviewer: str = "") -> list[Item]:
    """Return items in the order in which this reviewer gets them; what he may not take comes last. Pure.

    First what is assigned to him, what waits for a decision and what others have begun. Of the rest, the highest score
    first, and between them the random ones, so that at any moment they are their share of what was looked at. These
    come in the order of their draw, so that those looked at are a random part of them, too.
    """
    every = list(items)
    mine = [i for i in every if i.is_open and not (reviewer and refusal(queue, i, reviewer))]
    taken = {i.trace_id for i in mine}
    first = [i for i in mine if _rank(i, reviewer) < _REST]
    rest = [i for i in mine if _rank(i, reviewer) == _REST]
    random = sorted((i for i in rest if i.is_random), key=lambda i: (_draw(i), i.trace_id))
    scored = sorted((i for i in rest if not i.is_random), key=lambda i: (-i.score, i.trace_id))
    handled = [i for i in every if i.labelled_by]
    ordered = sorted(first, key=lambda i: (_rank(i, reviewer), -i.score, i.trace_id))
    ordered += _mixed(random, scored, queue.random_share, sum(i.is_random for i in handled), len(handled))
    others = [i for i in every if i.trace_id not in taken]
    return ordered + sorted(others, key=lambda i: (not i.is_open, -i.score, i.trace_id))


def list_items(
    database: TenantDatabase,
    queue: Queue,
    *,
    state: ItemState | None = None,
    reviewer: str | None = None,
    now: datetime | None = None,
) -> list[Item]:
    """Return the items of a queue in the order of review for this reviewer; `now` is the database's, unless said."""
    found = _read(database, queue, [], now)
    return [i for i in review_order(queue, found, reviewer or "") if state is None or i.state is state]


def find_item(database: TenantDatabase, queue: Queue, trace_id: str, *, now: datetime | None = None) -> Item:
    """Return one item, by the whole id of its trace.

    Raises:
        BadInput: the trace is not in the queue.

    """
    return find_items(database, queue, [trace_id], now=now)[0]


def find_items(
    database: TenantDatabase, queue: Queue, trace_ids: Sequence[str], *, now: datetime | None = None
) -> list[Item]:
    """Return some items in this order, by the whole ids of their traces.

    Raises:
        BadInput: one of them is not in the queue.

    """
    if not trace_ids:
        return []
    found = {i.trace_id: i for i in _read(database, queue, trace_ids, now)}
    for trace_id in trace_ids:
        if trace_id not in found:
            raise BadInput(
                f"trace {trace_id[:32]} is not in the queue {queue.name}. "
                f"List it: evalgate queue show {queue.name} --items"
            )
    return [found[t] for t in trace_ids]


def server_now(database: TenantDatabase) -> datetime:
    """Return the database's clock: the one that all who review share."""
    (row,) = database.rows(sql("evalgate", "now"))
    return moment(row["now_unix_us"])


def moment(unix_us: int) -> datetime:
    """Return the time of microseconds since 1970."""
    return datetime.fromtimestamp(unix_us // 1_000_000, UTC).replace(microsecond=unix_us % 1_000_000)


def read_hold(database: TenantDatabase, queue: str, trace_id: str) -> Hold | None:
    """Return the latest that happened to the reservation of an item; None where nobody ever took it."""
    return next(iter(read_holds(database, queue, [trace_id])), None)


def read_holds(database: TenantDatabase, queue: str, trace_ids: Sequence[str]) -> list[Hold]:
    """Return the latest that happened to the reservation of each of these items, or of all where none is named."""
    return [_hold(r) for r in database.rows(sql(__package__, "holds"), {"queue": queue, "trace_ids": list(trace_ids)})]


def read_said(database: TenantDatabase, queue: Queue) -> list[Said]:
    """Return every label that stands of the traces of a queue."""
    return [said_of(r) for r in database.rows(sql(__package__, "said"), {"queue": queue.name, "trace_ids": []})]


def _read(database: TenantDatabase, queue: Queue, trace_ids: Sequence[str], now: datetime | None) -> list[Item]:
    which = {"queue": queue.name, "trace_ids": list(trace_ids)}
    entries = [_entry(r) for r in database.rows(sql(__package__, "items"), which)]
    holds = {h.trace_id: h for h in read_holds(database, queue.name, trace_ids)}
    said = {
        trace: [said_of(r) for r in rows]
        for trace, rows in groupby(database.rows(sql(__package__, "said"), which), key=lambda r: str(r["trace_id"]))
    }
    at = now or server_now(database)
    return [item_of(queue, e, holds.get(e.trace_id), said.get(e.trace_id, ()), at) for e in entries]


_ASSIGNED, _DISPUTED, _BEGUN, _REST = range(4)


def _rank(item: Item, reviewer: str) -> int:
    if reviewer and item.reserved_by == reviewer:
        return -1
    if reviewer and item.assigned_to == reviewer and not item.labelled_by:
        return _ASSIGNED
    if item.is_disputed:
        return _DISPUTED
    return _BEGUN if item.labelled_by else _REST


def _draw(item: Item) -> float:
    return item.entry.draw if item.entry else 1.0


def _mixed(random: list[Item], scored: list[Item], share: float, drawn: int, handled: int) -> list[Item]:
    """Return both in one order in which, counting what was handled, the part of random ones is the share."""
    mixed: list[Item] = []
    at_random = at_scored = 0
    while at_random < len(random) or at_scored < len(scored):
        is_due = drawn + at_random < int(share * (handled + len(mixed) + 1) + 0.5)
        if at_random < len(random) and (is_due or at_scored == len(scored)):
            mixed.append(random[at_random])
            at_random += 1
        else:
            mixed.append(scored[at_scored])
            at_scored += 1
    return mixed


def _counted(said: Iterable[Said], since: datetime | None, reviewers: int) -> list[Said]:
    """Return the one label of each person that counts, in order of time, and his adjudication."""
    labels: dict[str, Said] = {}
    decisions: dict[str, Said] = {}
    for label in sorted(said, key=lambda s: s.at):
        if since is not None and label.at <= since:
            continue
        own = decisions if label.is_adjudication else labels
        before = own.get(label.annotator)
        if before is not None and own is labels and _is_dispute(list(labels.values()), reviewers):
            continue
        if before is None or label.is_whole or not before.is_whole:
            own[label.annotator] = label
    return sorted([*labels.values(), *decisions.values()], key=lambda s: s.at)


def _is_dispute(labels: Sequence[Said], reviewers: int) -> bool:
    """Tell whether all needed labels are there and differ; of one reviewer there is nothing to dispute."""
    return 1 < reviewers <= len(labels) and differ(labels)


def _holds(hold: Hold, entry: Entry, labels: Sequence[Said], now: datetime) -> bool:
    """Tell whether a reservation stands: a label of who holds it ends it, too, and so does a requeue."""
    if hold.event is HoldEvent.RELEASED or hold.until <= now:
        return False
    if entry.requeued_at is not None and hold.since <= entry.requeued_at:
        return False
    return not any(s.annotator == hold.reviewer and s.at >= hold.since for s in labels)


def _entry(r: Mapping[str, Any]) -> Entry:
    return Entry(
        trace_id=str(r["trace_id"]),
        added_at=moment(r["added_unix_us"]),
        score=float(r["score"]),
        parts=tuple(Part(**p) for p in json.loads(r["parts"] or "[]")),
        is_priority=bool(r["is_priority"]),
        is_random=bool(r["is_random"]),
        draw=float(r["draw"]),
        inclusion_probability=float(r["inclusion_probability"]),
        population=int(r["population"]),
        version=int(r["version"]),
        window_start=moment(r["window_start_unix_us"]),
        start_time=moment(r["start_unix_us"]),
        assigned_to=str(r["assigned_to"]),
        is_removed=bool(r["is_removed"]),
        requeued_at=moment(r["requeued_unix_us"]) if r["requeued_unix_us"] else None,
    )


def _hold(r: Mapping[str, Any]) -> Hold:
    return Hold(
        trace_id=str(r["trace_id"]),
        number=int(r["number"]),
        event=HoldEvent(r["event"]),
        reviewer=str(r["reviewer"]),
        since=moment(r["since_unix_us"]),
        until=moment(r["until_unix_us"]),
    )


def said_of(r: Mapping[str, Any]) -> Said:
    """Return a label as a row of the database has it."""
    return Said(
        trace_id=str(r["trace_id"]),
        annotator=str(r["annotator"]),
        verdict=str(r["verdict"]),
        failure_mode=str(r["failure_mode"]),
        at=moment(r["at_unix_us"]),
        is_adjudication=r["role"] == Role.ADJUDICATION,
        is_whole=not r["span_id"],
    )


def count_states(items: Iterable[Item]) -> Counter[ItemState]:
    """Return how many items are in which state."""
    return Counter(i.state for i in items)
