"""Simulated traffic and what a sampling policy leaves of it: thousands of populations at once, as the sums of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np

from evalgate.stats.estimate import Sums

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """Traffic that one rule samples."""

    traces: int
    failing: float
    """The rate of the process."""
    rate: float
    """Of the baseline."""
    whole: bool = False
    """Nothing of it has been removed yet."""
    late: float = 0.0
    """Share of the failing that fail when the others of their time are gone: kept as the baseline is, weight 1/rate."""
    arrival: float = 1.0
    """What a sampler before us let through."""
    session_size: float = 1.0
    """Mean traces of a session, geometric; 1: every trace is one of its own."""
    correlation: float = 0.0
    """Of two traces of a session: failing probabilities are beta distributed between sessions."""

    @property
    def other_weight(self) -> float:
        """What a trace stands for that does not fail."""
        return 1 / (self.arrival if self.whole else min(self.arrival, self.rate))


def truth(parts: tuple[Part, ...]) -> float:
    """Return the failing rate of the process that makes the traffic."""
    return sum(p.traces * p.failing for p in parts) / sum(p.traces for p in parts)


@dataclass(frozen=True, slots=True)
class Drawn:
    """So many populations; columns, one element each."""

    sums: Sums
    """Of what is kept."""
    traces: NDArray[np.float64]
    """How many there were in truth."""

    def __add__(self, other: Drawn) -> Drawn:
        """Return both together."""
        return Drawn(self.sums + other.sums, self.traces + other.traces)


def draw(parts: tuple[Part, ...], populations: int, random: Generator) -> Drawn:
    """Return so many populations."""
    return reduce(add, (_draw(p, populations, random) for p in parts))


def _draw(part: Part, populations: int, random: Generator) -> Drawn:
    """Return the sums of one part. Sessions are drawn only where there are any: without, totals are enough."""
    if part.session_size <= 1:
        of_population = np.arange(populations)
        size: Counts = np.full(populations, part.traces, np.int64)
        chance = np.full(populations, part.failing)
    else:
        sessions = max(1, round(part.traces / part.session_size))
        of_population = np.repeat(np.arange(populations), sessions)
        size = random.geometric(1 / part.session_size, of_population.size)
        spread = (1 - part.correlation) / part.correlation
        chance = random.beta(part.failing * spread, (1 - part.failing) * spread, of_population.size)
    failing = random.binomial(size, chance)
    late = random.binomial(failing, part.late) if part.late and not part.whole else np.zeros_like(failing)
    soon = random.binomial(failing - late, part.arrival)
    # One number per trace decides at every sampler: who passes the smaller rate passes the other, too.
    kept_late = random.binomial(late, min(part.arrival, part.rate))
    others = random.binomial(size - failing, 1 / part.other_weight)
    there = np.bincount(of_population, size, populations).astype(np.float64)
    return Drawn(_sums(part, of_population, (soon, kept_late, others), populations), there)


def _sums(part: Part, of_population: Counts, kept: tuple[Counts, Counts, Counts], populations: int) -> Sums:
    soon, late, others = kept
    v, w = 1 / part.arrival, part.other_weight
    alone = part.session_size <= 1

    def total(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(of_population, values, populations).astype(np.float64)

    event2, other2 = total(soon * v * v + late * w * w), total(others * w * w)
    a, c = soon * v + late * w, others * w
    return Sums(
        traces=total(soon + late + others),
        weight=total(a + c),
        weight2=event2 + other2,
        events=total(soon + late),
        event_weight=total(a),
        event_weight2=event2,
        session_aa=event2 if alone else total(a * a),
        session_ac=np.zeros(populations) if alone else total(a * c),
        session_cc=other2 if alone else total(c * c),
        unseen_event=np.full(populations, v),
        unseen_other=np.full(populations, w),
    )


Policy = tuple[Part, ...]
"""What becomes of traffic: its parts."""


def plain(traces: int, failing: float, rate: float) -> Policy:
    """Return one rate for everything."""
    return (Part(traces, failing, rate),)


def sessions(traces: int, failing: float, rate: float) -> Policy:
    """Return four traces a session, which fail together."""
    return (Part(traces, failing, rate, session_size=4, correlation=0.3),)


def mixed(traces: int, failing: float, rate: float) -> Policy:
    """Return a window of half of which nothing has gone yet."""
    return (Part(traces // 2, failing, rate), Part(traces // 2, failing, rate, whole=True))


def rules(traces: int, failing: float, rate: float) -> Policy:
    """Return services that fail differently and are sampled differently."""
    often = Part(traces // 4, min(1, failing * 2), min(1, rate * 4))
    return (Part(traces // 2, failing, rate), often, Part(traces // 4, failing / 2, rate / 2))


def behind_a_sampler(traces: int, failing: float, rate: float) -> Policy:
    """Return traffic of which a sampler before us lets half through."""
    return (Part(traces, failing, rate, arrival=0.5),)


def late(traces: int, failing: float, rate: float) -> Policy:
    """Return one failure in twenty that comes when the others of its time are gone."""
    return (Part(traces, failing, rate, late=0.05),)


def often_late(traces: int, failing: float, rate: float) -> Policy:
    """Return one failure in ten that comes so."""
    return (Part(traces, failing, rate, late=0.1),)


@dataclass(frozen=True, slots=True)
class Reading:
    """How much people label, and how often a failure mode is in it."""

    failing: float
    """Share of the failing traces that is labelled."""
    others: float
    """Share of the sampled others."""
    mode_failing: float
    """Share of the mode among failing traces."""
    mode_others: float


def read(part: Part, reading: Reading, populations: int, random: Generator) -> tuple[Sums, Sums, Sums]:
    """Return the sums of failing traces among all, of a mode among labelled failing ones, and among labelled others."""
    failing = random.binomial(part.traces, part.failing, populations)
    others = random.binomial(part.traces - failing, 1 / part.other_weight)
    found = []
    for kept, share, mode, weight in (
        (failing, reading.failing, reading.mode_failing, 1.0),
        (others, reading.others, reading.mode_others, part.other_weight),
    ):
        labelled = random.binomial(kept, share)
        having = random.binomial(labelled, mode)
        found.append(_independent(having, labelled - having, (weight, weight)))
    return _independent(failing, others, (1.0, part.other_weight)), found[0], found[1]


def mode_truth(part: Part, reading: Reading) -> float:
    """Return the rate of the mode among all traces."""
    return part.failing * reading.mode_failing + (1 - part.failing) * reading.mode_others


def _independent(events: Counts, others: Counts, weights: tuple[float, float]) -> Sums:
    """Return the sums of traces that are each a session of their own."""
    v, w = weights
    x, z = events.astype(np.float64), others.astype(np.float64)
    return Sums(
        traces=x + z,
        weight=x * v + z * w,
        weight2=x * v * v + z * w * w,
        events=x,
        event_weight=x * v,
        event_weight2=x * v * v,
        session_aa=x * v * v,
        session_ac=np.zeros(x.shape),
        session_cc=z * w * w,
        unseen_event=np.full(x.shape, v),
        unseen_other=np.full(x.shape, w),
    )
