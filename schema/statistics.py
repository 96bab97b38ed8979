"""The few statistics that a gate prints. Pure Python: a gate must not need a numeric library."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Z_95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""

MIN_DISCORDANT = 5
"""With fewer discordant pairs no exact one-sided McNemar test can reach p < 0.05 (4 give 0.0625, 5 give 0.031)."""

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


def mcnemar_p(broken: int, repaired: int) -> float:
    """Return the exact one-sided p of McNemar's test: how likely so many broken pairs are if nothing changed.

    `broken` pairs passed before and fail now, `repaired` the reverse. Source: Q. McNemar, Psychometrika 12 (1947),
    with the binomial in place of the chi-square approximation.
    """
    pairs = broken + repaired
    if pairs == 0:
        return 1.0
    return sum(math.comb(pairs, k) for k in range(broken, pairs + 1)) / (1 << pairs)
