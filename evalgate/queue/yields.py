"""What the looking found: true failures for each item that was reviewed, and what they say of all traffic.

    of the priority part    plain: bad / reviewed
    of all that is admitted weighted: of the items that any draw would have brought in, each by 1 / its probability
    by signal               plain, of the items to which it gave points

What is reviewed is chosen, so only the second says anything of the traces that nobody looked at. Its sample is every
item whose draw lies below the threshold of a fill that could have chosen it, however it came in: the draws know nothing
of what a trace is like. Items of it that nobody has reviewed yet are taken to be like those that somebody has, the ones
that priority brought in and the others apart, for the former come first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from evalgate.queue.blind import read_blind
from evalgate.queue.items import ItemState, list_items
from evalgate.queue.store import list_queues
from schema.statistics.proportion import weighted_share, wilson_interval
from schema.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evalgate.database import TenantDatabase
    from evalgate.queue.definition import Queue
    from evalgate.queue.items import Entry, Item

LEAST_POINTS: Final = 0.5
"""A signal that gave less is not why somebody looked."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A part of the reviewed items that is bad."""

    bad: int
    partial: int
    """Among the reviewed ones, and no failure."""
    reviewed: int
    rate: float | None
    """None: nothing was reviewed."""
    low: float
    """95 % interval, Wilson's."""
    high: float


@dataclass(frozen=True, slots=True)
class SignalYield:
    """What the items came to that a signal gave points to."""

    signal: str
    of: Rate
    lift: float | None
    """Its rate over that of all that is admitted."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A reviewed item as evidence for the points of signals."""

    strengths: Mapping[str, float]
    points: Mapping[str, float]
    is_bad: bool


@dataclass(frozen=True, slots=True)
class Yield:
    """What reviewing came to."""

    queues: tuple[str, ...]
    of_all: Rate
    of_priority: Rate
    of_random: Rate
    """Of all that the filters admit, by the random sample; `rate`, `low` and `high` are weighted."""
    signals: tuple[SignalYield, ...]
    """The best first."""
    lift: float | None
    lift_low: float
    lift_high: float | None
    """None: no failure was seen at random, so there is no upper limit."""
    candidates: float | None
    """How many traces could have been chosen; None: no sample, or several queues. Where fills chose from different
    windows, or by different filters, it is what the sample says."""
    failures: float | None
    """How many of them fail in truth: never fewer than were found."""
    failures_low: float | None
    failures_high: float | None
    recall: float | None
    """Part of these that was found."""
    recall_low: float | None
    recall_high: float | None
    looked: tuple[Looked, ...]
    own_points: frozenset[str] = frozenset()
    """Signals that one of the queues has points of its own for."""


def measure_yield(database: TenantDatabase, queue: Queue | None = None) -> Yield:
    """Return what reviewing a queue came to; without one, all of them, each trace once."""
    chosen = [queue] if queue else list_queues(database)
    blind = read_blind(database, None)
    found = yield_of({q.name: [blind.item(i) for i in list_items(database, q)] for q in chosen})
    return replace(found, own_points=frozenset(name for q in chosen for name in q.weights))


def yield_of(items: Mapping[str, Sequence[Item]]) -> Yield:
    """Return the same of the items of each queue. Pure."""
    every = [i for own in items.values() for i in own]
    reviewed = list({i.trace_id: i for i in every if i.verdict and i.state is ItemState.DONE}.values())
    priority = _rate([i for i in reviewed if i.entry and i.entry.is_priority])
    sampled = [pair for own in items.values() for pair in sample(own)]
    random = _weighted(sampled)
    candidates = _candidates(every, sampled) if len(items) == 1 and sampled else None
    found = sum(i.verdict == Verdict.BAD for i in reviewed)
    failures = [
        None if candidates is None or random.rate is None else max(float(found), candidates * rate)
        for rate in (random.rate or 0.0, random.low, random.high)
    ]
    recalls = [None if f is None else found / f if f else None for f in failures]
    return Yield(
        queues=tuple(items),
        of_all=_rate(reviewed),
        of_priority=priority,
        of_random=random,
        signals=_signals(reviewed, random),
        lift=priority.rate / random.rate if priority.rate is not None and random.rate else None,
        lift_low=priority.low / random.high if random.high else 0.0,
        lift_high=priority.high / random.low if random.low else None,
        candidates=candidates,
        failures=failures[0],
        failures_low=failures[1],
        failures_high=failures[2],
        recall=recalls[0],
        recall_low=recalls[2],
        recall_high=recalls[1],
        looked=tuple(
            Looked({p.signal: p.strength for p in i.entry.parts}, dict(i.parts), i.verdict == Verdict.BAD)
            for i in reviewed
            if i.entry
        ),
    )


def sample(items: Iterable[Item]) -> list[tuple[Item, float]]:
    """Return the random sample of what a queue could choose from, each item with what it stands for: 1 / probability.

    The probability of an item is the highest threshold of the fills that could have chosen it: of the same version of
    the queue, after the trace began, within their window.
    """
    every = [(i, i.entry) for i in items if i.entry]
    # An INSERT has one time, so an entry of each fill tells of it.
    fills = {(e.version, e.added_at): e for _, e in every}.values()
    found = []
    for item, entry in every:
        chance = max(f.inclusion_probability for f in fills if _could_choose(f, entry))
        if entry.draw < chance:
            found.append((item, 1 / chance))
    return found


def _candidates(items: Iterable[Item], sampled: Sequence[tuple[Item, float]]) -> float:
    entries = [i.entry for i in items if i.entry]
    largest = float(max((e.population for e in entries), default=0))
    if len({(e.version, e.window_start) for e in entries}) == 1 and largest:
        return largest
    return max(largest, sum(w for _, w in sampled))


def _could_choose(fill: Entry, entry: Entry) -> bool:
    """Tell whether the fill that added one item could have chosen another."""
    if (fill.version, fill.added_at) == (entry.version, entry.added_at):
        return True
    return fill.version == entry.version and fill.window_start <= entry.start_time <= fill.added_at


def _rate(reviewed: Sequence[Item]) -> Rate:
    bad = sum(i.verdict == Verdict.BAD for i in reviewed)
    partial = sum(i.verdict == Verdict.PARTIAL for i in reviewed)
    n = len(reviewed)
    low, high = wilson_interval(bad, n) or (0.0, 1.0)
    return Rate(bad, partial, n, bad / n if n else None, low, high)


def _weighted(sampled: Sequence[tuple[Item, float]]) -> Rate:
    """Return the rate of what the sample stands for; each group of it by how much of it was reviewed."""
    weighted: list[tuple[bool, float | None]] = []
    seen: list[Item] = []
    for is_priority in (False, True):
        group = [(i, w) for i, w in sampled if i.entry and i.entry.is_priority is is_priority]
        done = [(i, w) for i, w in group if i.verdict and i.state is ItemState.DONE]
        stands = sum(w for _, w in group) / sum(w for _, w in done) if done else 0.0
        weighted += [(i.verdict == Verdict.BAD, w * stands) for i, w in done]
        seen += [i for i, _ in done]
    share = weighted_share(weighted)
    plain = _rate(seen)
    if share is None:
        return plain
    total = sum(w for _, w in weighted if w)
    rate = sum(w for is_bad, w in weighted if is_bad and w) / total
    return Rate(plain.bad, plain.partial, plain.reviewed, rate, share.low, share.high)


def _signals(reviewed: Sequence[Item], random: Rate) -> tuple[SignalYield, ...]:
    names = sorted({name for i in reviewed for name, points in i.parts.items() if points >= LEAST_POINTS})
    found = []
    for name in names:
        of = _rate([i for i in reviewed if i.parts.get(name, 0.0) >= LEAST_POINTS])
        lift = of.rate / random.rate if of.rate is not None and random.rate else None
        found.append(SignalYield(name, of, lift))
    return tuple(sorted(found, key=lambda s: (-(s.of.rate or 0.0), -s.of.reviewed, s.signal)))
