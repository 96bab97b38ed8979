"""What the queue runner shows: one item, where it is in the walk of this reviewer, and what may be done with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from evalgate.queue.blind import read_blind, role_of
from evalgate.queue.items import HoldEvent, ItemState, count_states, list_items, refusal, server_now
from evalgate.review.decided import label_of, latest_each
from evalgate.review.labels import failure_modes, latest_labels
from evalgate.select.reading import conversation, final_output
from evalgate.select.traces import load_trace
from evalgate.web.content import content_of
from evalgate.web.errors import NotFound
from evalgate.web.label_form import LabelForm, form_of, new_token
from schema.verdict import Role

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence
    from datetime import datetime

    from evalgate.database import TenantDatabase
    from evalgate.queue.definition import Queue
    from evalgate.queue.items import Item
    from evalgate.web.content import Content
    from evalgate.web.label_form import Chip
    from schema.verdict import Annotation

SITTING: Final = timedelta(hours=4)
"""For so long what a reviewer skipped comes after everything else."""
BACK: Final = 50
"""How many of his own labels a reviewer can walk back over."""
MAX_MODES: Final = 200
NUMBERED: Final = 9
"""Failure modes with a key of their own."""
STATE_WORDS: Final = {
    ItemState.DONE: "done",
    ItemState.IN_REVIEW: "need another label",
    ItemState.DISPUTED: "differ",
    ItemState.RESERVED: "being looked at",
    ItemState.WAITING: "waiting",
}
"""In the order of the bar."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the score of an item."""

    name: str
    points: float
    words: str


@dataclass(frozen=True, slots=True)
class Walk:
    """The way of one reviewer through a queue: what he has passed, then what he may take, in the order of review."""

    order: tuple[str, ...]
    """Trace ids; first those that he labelled or gave back, in the order of time."""
    labelled: frozenset[str]
    """By him, in this queue."""
    skipped: frozenset[str]
    """Given back by him in this sitting: they come again when there is nothing else."""

    def beside(self, trace_id: str, step: int) -> str | None:
        """Return the trace so many places further; None at an end."""
        if trace_id not in self.order:
            return self.order[0] if self.order and step > 0 else None
        at = self.order.index(trace_id) + step
        return self.order[at] if 0 <= at < len(self.order) else None

    def next_open(self, trace_id: str | None) -> str | None:
        """Return what comes after an item that he has not labelled: new ones first, then what he skipped."""
        at = self.order.index(trace_id) + 1 if trace_id in self.order else 0
        ahead = [t for t in (*self.order[at:], *self.order[:at]) if t not in self.labelled and t != trace_id]
        return next((t for t in ahead if t not in self.skipped), None) or next(iter(ahead), None)


@dataclass(frozen=True, slots=True)
class Desk:
    """A queue as one reviewer finds it."""

    queue: Queue
    reviewer: str
    now: datetime
    walk: Walk
    counts: Counter[ItemState]
    mine: Item | None
    """What he has reserved."""
    items: tuple[Item, ...]

    def find(self, trace_id: str) -> Item:
        """Return an item.

        Raises:
            NotFound: the trace is not in the queue.

        """
        for item in self.items:
            if item.trace_id == trace_id:
                return item
        raise NotFound(f"trace {trace_id[:32]} is not in the queue {self.queue.name}")

    @property
    def open_count(self) -> int:
        """How many items he may still take."""
        return sum(t not in self.walk.labelled for t in self.walk.order)

    @property
    def decide_count(self) -> int:
        """How many of these reviewers differ on: his label is the decision."""
        disputed = {i.trace_id for i in self.items if i.is_disputed}
        return sum(t in disputed and t not in self.walk.labelled for t in self.walk.order)

    @property
    def segments(self) -> list[tuple[str, str, int]]:
        """Return (state, words, items) of what is not removed."""
        return [(str(state), words, self.counts[state]) for state, words in STATE_WORDS.items()]


@dataclass(frozen=True, slots=True)
class Sheet:
    """One item on the desk, with its form."""

    item: Item
    content: Content
    parts: tuple[Part, ...]
    form: LabelForm
    chips: tuple[Chip, ...]
    modes: tuple[str, ...]
    role: Role
    is_mine: bool
    """Reserved by this reviewer, or labelled by him: he may save a label."""
    has_label: bool
    """His own label stands."""
    why_not: str
    """Why he may not have it; empty where he may."""
    answer: str
    """What the user was told in the end: what a corrected output begins as."""


def desk(database: TenantDatabase, queue: Queue, reviewer: str) -> Desk:
    """Read where a queue stands for a reviewer. Nothing is reserved."""
    now = server_now(database)
    items = list_items(database, queue, reviewer=reviewer, now=now)
    mine = next((i for i in items if i.reserved_by == reviewer), None)
    given = latest_labels(database, BACK, reviewer, queue=queue.name)
    return Desk(queue, reviewer, now, walk(queue, items, given, reviewer, now), count_states(items), mine, tuple(items))


def walk(queue: Queue, items: Sequence[Item], given: Sequence[Annotation], reviewer: str, now: datetime) -> Walk:
    """Return the way of a reviewer through items in the order of review; `given` are his labels in this queue. Pure."""
    here = {i.trace_id for i in items}
    labelled = {a.label.trace_id: a.created_at for a in reversed(given) if a.label.trace_id in here}
    free = [i for i in items if i.is_open and not refusal(queue, i, reviewer) and i.trace_id not in labelled]
    skipped = {
        i.trace_id: i.hold.until
        for i in free
        if i.hold
        and i.hold.event is HoldEvent.RELEASED
        and i.hold.reviewer == reviewer
        and now - i.hold.until < SITTING
    }
    passed = {**labelled, **skipped}
    back = sorted(passed, key=lambda t: passed[t])
    ahead = (i.trace_id for i in free if i.trace_id not in skipped)
    return Walk((*back, *ahead), frozenset(labelled), frozenset(skipped))


def sheet(
    database: TenantDatabase, at: Desk, trace_id: str, *, sent: LabelForm | None = None, is_whole: bool = False
) -> Sheet:
    """Read one item; `sent` is a form that could not be saved, and stands as it was typed.

    Raises:
        NotFound: the trace is not in the queue.
        BadInput: the trace itself is gone.

    """
    item = at.find(trace_id)
    trace = load_trace(database, trace_id)
    blind = read_blind(database, at.reviewer, [trace_id] if trace.labels else [])
    lines = conversation(trace)
    own = latest_each(trace.labels).get(at.reviewer)
    is_reserved = item.reserved_by == at.reviewer
    if sent is not None:
        form = sent
    elif own is not None and not (item.is_disputed and is_reserved):
        form = form_of(label_of(own, trace_id), lines, new_token())
    else:
        form = LabelForm(new_token())
    return Sheet(
        item=item,
        content=content_of(trace, blind, is_whole=is_whole),
        parts=tuple(Part(name, points, item.words.get(name, "")) for name, points in item.parts.items()),
        form=form,
        chips=tuple(form.chips(lines)),
        modes=tuple(failure_modes(database)[:MAX_MODES]),
        role=role_for(item, at.reviewer),
        is_mine=is_reserved or (own is not None and item.state is not ItemState.REMOVED),
        has_label=own is not None,
        why_not=refusal(at.queue, item, at.reviewer),
        answer=final_output(trace) or "",
    )


def role_for(item: Item, reviewer: str) -> Role:
    """Return what a label of this reviewer is: who labelled a disputed item may say it anew, and decides nothing."""
    return Role.LABEL if reviewer in item.labelled_by and item.reserved_by != reviewer else role_of(item)


def positions(at: Desk, trace_id: str) -> tuple[int, int]:
    """Return the place of an item in the walk, from 1 on, and how many there are."""
    order: Sequence[str] = at.walk.order
    return (order.index(trace_id) + 1 if trace_id in order else 0), len(order)
