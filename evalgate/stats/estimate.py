"""Estimates from weighted sums. Pure: columns of sums in, columns of estimates out, one element a figure.

Each trace that is left stands for w = 1 / (the probability that it was kept). A rate is the Hájek estimate
Σwy / Σw: J. Hájek, in Godambe and Sprott (eds), Foundations of Statistical Inference (1971).

**What is true.** The rate of the process that made the traffic: what the next thousand traces will show if nothing
changes. So an interval has two causes: what was not kept, and that traffic is finite; where everything is kept, the
second is left. Totals are of the window itself: where everything is kept they are counts, and exact.

**The interval of a rate.** Which traces are kept depends on the outcome (failing ones have weight 1), so Kish's n says
too little of a rate of failures. Events (y = 1) and the rest are two sums of weighted counts with A = Σwy, B = Σw(1-y),
each worth

    x = A² / Σw²y        z = B² / Σw²(1-y)        counts of equal weight A/x, B/z

Given x + z, x is binomial with odds (λ_A / λ_B) · (weight of B / weight of A): the mid-P limits of its share, put back
through these odds, are the interval. With one sampling rate that is no approximation. Its variance is the linearised
one: 1/x + 1/z of the log odds is Σw²(y-p)² / (Σw · p(1-p))².

**Sessions.** Traces of one conversation fail together, so x and z are divided by the design effect: the variance of the
log odds from sums per session over the one above, at least 1; and by the square of what Student's t says of so few
sessions, as Korn and Graubard (Survey Methodology 24, 1998) do.

**Nothing seen** is not 0: the limits are those of 0 events of the weight that one would have had. A figure whose
effective n is below 30 (National Center for Health Statistics, Vital and Health Statistics 2:175, 2017), that rests on
fewer than five sessions with events, or five with others, or in which one trace could stand for a twentieth of all, is
*insufficient*: it has its interval, and no point is given. docs/adr/0025.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

import numpy as np

from evalgate.stats.intervals import LEVEL, gamma_limits, share_limits, student
from evalgate.stats.measures import MIN_EVENTS, MIN_GREATEST
from schema.statistics import MIN_EFFECTIVE_N

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evalgate.stats.intervals import Floats

UNSEEN_95: Final = 3.7
"""Of so many expected, none is seen in one of forty cases: -ln 0.025."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over the traces of a figure; all fields have the same shape. w: weight, y: 1 for an event, else 0.

    Of a session, a is its Σwy and c its Σw(1-y).
    """

    traces: Floats
    """Rows that are there, of weight above 0."""
    weight: Floats
    """Σw."""
    weight2: Floats
    """Σw²."""
    events: Floats
    """Rows with y = 1."""
    event_weight: Floats
    """Σwy."""
    event_weight2: Floats
    """Σw²y."""
    session_aa: Floats
    """Σa² over sessions."""
    session_ac: Floats
    """Σac over sessions."""
    session_cc: Floats
    """Σc² over sessions."""
    unseen_event: Floats
    """The greatest weight that an event could have had; asked for where none was seen."""
    unseen_other: Floats
    """The same of what is no event."""

    def __add__(self, other: Sums) -> Sums:
        """Return the sums over both, whose sessions are apart."""
        total = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        most = {n: np.maximum(getattr(self, n), getattr(other, n)) for n in ("unseen_event", "unseen_other")}
        return Sums(**{**total, **most})


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates with their intervals; columns like those of the sums."""

    rate: Floats
    """The Hájek estimate, also where it is not to be told; NaN where nothing was kept."""
    low: Floats
    high: Floats
    effective_n: Floats
    """Kish's (Σw)² / Σw², over the design effect of sessions: as many independent traces of equal weight."""
    design_effect: Floats
    """How many times larger the variance is since traces of a session fail together."""
    sessions: Floats
    """Of those with events and those with others, the fewer, as so many of equal weight."""
    sufficient: NDArray[np.bool_]
    """Whether the rate may be told."""


def rates(
    sums: Sums, *, level: float = LEVEL, min_effective_n: float = MIN_EFFECTIVE_N, min_events: float = MIN_EVENTS
) -> Rates:
    """Estimate the share of events."""
    a, b = sums.event_weight, np.maximum(sums.weight - sums.event_weight, 0.0)
    bb2 = np.maximum(sums.weight2 - sums.event_weight2, 0.0)
    x, z = _worth(a, sums.event_weight2), _worth(b, bb2)
    both = (x > 0) & (z > 0)
    effect, sessions = _of_sessions(sums, (a, x), (b, z), min_events)
    few = student(np.maximum(np.minimum(x, z), 1.0), level) / student(np.maximum(sessions, 1.0), level)
    shrink = np.where(both, np.minimum(few * few, 1.0), 1.0) / effect
    low, high = share_limits(x * shrink, z * shrink, level)
    with np.errstate(divide="ignore", invalid="ignore"):  # nothing was sampled, so nothing can be unseen: 0 / 0
        odds = np.where(x > 0, _over(a, x), sums.unseen_event) / np.where(z > 0, _over(b, z), sums.unseen_other)
    coarse = sums.weight < MIN_GREATEST * sums.unseen_other
    unseen = np.where(coarse & (b > 0), 1 + _over(UNSEEN_95 * sums.unseen_other, b), 1.0)
    effective_n = _over(sums.weight * sums.weight, sums.weight2) / effect
    return Rates(
        rate=np.where(sums.weight > 0, _over(a, sums.weight), np.nan),
        low=_through_odds(low, odds / unseen),
        high=_through_odds(high, odds),
        effective_n=effective_n,
        design_effect=effect,
        sessions=sessions,
        sufficient=both & (effective_n >= min_effective_n) & (sessions >= min_events) & ~coarse,
    )


def _of_sessions(
    sums: Sums, events: tuple[Floats, Floats], others: tuple[Floats, Floats], min_events: float
) -> tuple[Floats, Floats]:
    """Return the design effect, and how many sessions have events, or have others: the fewer.

    Of events and of others: the sum of weights, and what it is worth. With too few sessions to see how they differ, as
    much as if all traces of a session were one: the mean size of a trace's session. What sums of sessions have beyond
    Σw² is pairs of traces, whatever was kept, so that size is known.
    """
    (a, x), (b, z) = events, others
    both = (x > 0) & (z > 0)
    alone = _over(1.0, x, both) + _over(1.0, z, both)
    apart = _over(sums.session_aa, a * a, both) + _over(sums.session_cc, b * b, both)
    effect = np.maximum(_over(apart - 2 * _over(sums.session_ac, a * b, both), alone, both), 1.0)
    pairs = sums.session_aa + sums.session_cc + 2 * sums.session_ac - sums.weight2
    size = 1 + _over(np.maximum(pairs, 0.0), sums.weight)
    sessions = np.minimum(_worth(a, sums.session_aa), _worth(b, sums.session_cc))
    return np.where(sessions < min_events, np.maximum(effect, size), effect), sessions


@dataclass(frozen=True, slots=True)
class Totals:
    """How many there were in the window itself; columns."""

    total: Floats
    low: Floats
    high: Floats
    exact: NDArray[np.bool_]
    """Whether every one of them is still there."""


def totals(count: Floats, weight: Floats, weight2: Floats, greatest: Floats, *, level: float = LEVEL) -> Totals:
    """Estimate how many traces there were, from the number, Σw and Σw² of those that were kept.

    What is missing, Σ(w-1), has the variance Σw(w-1) of independent draws (Horvitz and Thompson, JASA 47, 1952).
    `greatest` is the greatest weight that one of them could have: where it is 1, nothing is missing.
    """
    missing = np.maximum(weight - count, 0.0)
    variance = np.maximum(weight2 - weight, 0.0)
    scale = np.where(missing > 0, _over(variance, missing), greatest)
    low, high = gamma_limits(_over(missing, scale), scale, level)
    high = high + np.where(weight < MIN_GREATEST * greatest, UNSEEN_95 * greatest, 0.0)
    exact = greatest <= 1
    return Totals(weight, count + np.where(exact, 0.0, low), count + np.where(exact, 0.0, high), exact)


@dataclass(frozen=True, slots=True)
class Means:
    """Means of a number with their intervals; columns. NaN where nothing is known of it."""

    mean: Floats
    low: Floats
    high: Floats
    effective_n: Floats


def means(aa: Floats, ab: Floats, bb: Floats, a: Floats, b: Floats, *, level: float = LEVEL) -> Means:
    """Estimate a mean from sums over sessions of a = Σw·number and b = Σw of the traces whose number is known.

    The interval is that of a normal mean with the linearised variance, Student's t for the sessions' effective number.
    Long tails need many traces before it covers; there is no cure for that in sums.
    """
    known = b > 0
    mean = np.where(known, _over(a, b), np.nan)
    spread = np.where(known, mean, 0.0)
    variance = _over(np.maximum(aa - 2 * spread * ab + spread * spread * bb, 0.0), b * b)
    effective_n = _worth(b, bb)
    half = student(np.maximum(effective_n - 1, 1.0), level) * np.sqrt(variance)
    return Means(mean, mean - half, mean + half, effective_n)


def _worth(weight: Floats, weight2: Floats) -> Floats:
    """Return how many equal weights these are worth."""
    return _over(weight * weight, weight2, (weight > 0) & (weight2 > 0))


def _over(a: Floats | float, b: Floats, where: NDArray[np.bool_] | None = None) -> Floats:
    known = b > 0 if where is None else where & (b > 0)
    return np.where(known, a / np.where(known, b, 1.0), 0.0)


def _through_odds(share: Floats, odds: Floats) -> Floats:
    """Return a share whose odds are those of `share`, times `odds`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = odds * share / (odds * share + 1 - share)
    return np.where(share <= 0, 0.0, np.where(share >= 1, 1.0, found))
