"""Shares: their intervals, plain, of cases that come in clusters, and weighted. Pure Python."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Z_95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""

MIN_EFFECTIVE_N = 30.0
"""Below it no weighted rate is told. NCHS Data Presentation Standards, Vital Health Stat 2:175, 2017."""
MAX_WEIGHT = float(1 << 56)
"""Of the smallest probability that 56 bits can say."""


def wilson_interval(passed: float, total: float, z: float = Z_95) -> tuple[float, float] | None:
    """Return Wilson's score interval of a proportion, None for no trials.

    Sane at 0 %, at 100 % and at one trial; counts may be effective ones. Source: E. B. Wilson, JASA 22 (1927).
    """
    if total == 0:
        return None
    rate = passed / total
    z2 = z * z
    centre = rate + z2 / (2 * total)
    spread = z * math.sqrt(rate * (1 - rate) / total + z2 / (4 * total * total))
    scale = 1 + z2 / total
    low = 0.0 if passed == 0 else max(0.0, (centre - spread) / scale)
    high = 1.0 if passed == total else min(1.0, (centre + spread) / scale)
    return low, high


def effective_n(clusters: Iterable[tuple[int, int]]) -> float:
    """Return how many independent cases (passed, total) of clusters are worth; as many as there are, if each is one.

    n / the design effect: the variance of the share over clusters / that of as many independent cases, never below
    what clusters of copies would be worth (Kish, Survey Sampling, 1965: (Σm)² / Σm²). Where all passed or all failed,
    nothing is known of the variance, and it is that.
    """
    sizes = [(passed, total) for passed, total in clusters if total]
    n = sum(total for _, total in sizes)
    if all(total == 1 for _, total in sizes):
        return float(n)
    copies = n * n / sum(total * total for _, total in sizes)
    rate = sum(passed for passed, _ in sizes) / n
    if rate in (0.0, 1.0) or len(sizes) == 1:
        return copies
    between = sum((passed - rate * total) ** 2 for passed, total in sizes) * len(sizes) / (len(sizes) - 1)
    return max(copies, min(float(n), n * n * rate * (1 - rate) / between)) if between else float(n)


@dataclass(frozen=True, slots=True)
class WeightedShare:
    """A share of what cases stand for."""

    rate: float | None
    """Σw of what passed / Σw (Hájek); None: effective n is too small to tell it."""
    low: float
    high: float
    effective_n: float
    """Kish's (Σw)² / Σw²: as many cases of equal weight."""
    counted: int
    unweighted: int
    """Cases whose weight is not known: not counted."""
    equal: bool
    """Every weight is the same, so the plain share says as much."""


def weighted_share(judged: Iterable[tuple[bool, float | None]]) -> WeightedShare | None:
    """Return the share that passed, each case weighted; None where no weight is known. One that is none is not known.

    Passed and failed are two sums of weights, each worth x = (Σw)² / Σw² of equal weight: the limits are Wilson's of x
    of x + z, put back through the odds of the two mean weights. The statistics of traffic do the same
    (docs/adr/0025), with sessions, and limits that are better where next to nothing was seen.
    """
    weights: tuple[list[float], list[float]] = ([], [])
    unweighted = 0
    for passed, weight in judged:
        if weight is None or not 0 < weight <= MAX_WEIGHT:
            unweighted += 1
        else:
            weights[passed].append(weight)
    every = [*weights[True], *weights[False]]
    if not every:
        return None
    (a, x), (b, z) = ((sum(w), sum(w) ** 2 / sum(v * v for v in w)) if w else (0.0, 0.0) for w in reversed(weights))
    odds = (a / x if x else max(every)) / (b / z if z else max(every))
    low, high = (_through_odds(share, odds) for share in wilson_interval(x, x + z) or (0.0, 1.0))
    effective_n = sum(every) ** 2 / sum(w * w for w in every)
    rate = a / (a + b) if effective_n >= MIN_EFFECTIVE_N and a and b else None
    return WeightedShare(rate, low, high, effective_n, len(every), unweighted, equal=max(every) == min(every))


def _through_odds(share: float, odds: float) -> float:
    return odds * share / (odds * share + 1 - share) if share < 1 else 1.0
