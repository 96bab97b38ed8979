"""How far a queue is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from evalgate.queue.blind import read_blind
from evalgate.queue.items import ItemState, count_states, list_items, read_said, server_now

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from evalgate.database import TenantDatabase
    from evalgate.queue.definition import Queue
    from evalgate.queue.items import Item, Said

WEEK: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of items, and of labels of their traces."""

    waiting: int
    reserved: int
    in_review: int
    disputed: int
    done: int
    removed: int
    random: int
    """Of those not removed, drawn at random."""
    by_reviewer: Mapping[str, int]
    """Items that each has labelled, the most first."""
    labels_per_mode: Mapping[str, int]
    """Labels of items that are done that name each failure mode, the most first."""
    verdicts: Mapping[str, int]
    """Of items that are done."""
    labels: int
    this_week: int
    """Labels of the last seven days."""

    @property
    def open(self) -> int:
        """Return how many items somebody has to look at yet."""
        return self.waiting + self.reserved + self.in_review + self.disputed


def progress(database: TenantDatabase, queue: Queue, *, now: datetime | None = None) -> Progress:
    """Return how far a queue is."""
    at = now or server_now(database)
    hidden = read_blind(database, None).traces
    return progress_of(list_items(database, queue, now=at), read_said(database, queue), at, hidden)


def progress_of(items: Iterable[Item], said: Iterable[Said], now: datetime, hidden: Collection[str] = ()) -> Progress:
    """Return the same of its items and the labels of their traces; of hidden ones nobody's word counts. Pure."""
    every = list(items)
    states = count_states(every)
    labels = list(said)
    done = {i.trace_id for i in every if i.state is ItemState.DONE and i.trace_id not in hidden}
    return Progress(
        waiting=states[ItemState.WAITING],
        reserved=states[ItemState.RESERVED],
        in_review=states[ItemState.IN_REVIEW],
        disputed=states[ItemState.DISPUTED],
        done=states[ItemState.DONE],
        removed=states[ItemState.REMOVED],
        random=sum(i.is_random for i in every if i.state is not ItemState.REMOVED),
        by_reviewer=_most_first(who for i in every for who in i.labelled_by),
        labels_per_mode=_most_first(s.failure_mode for s in labels if s.failure_mode and s.trace_id in done),
        verdicts=_most_first(i.verdict for i in every if i.verdict and i.trace_id in done),
        labels=len(labels),
        this_week=sum(s.at > now - WEEK for s in labels),
    )


def _most_first(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))
