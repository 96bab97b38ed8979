"""Counts per day: what to expect of the next from those before. Pure Python.

The band is a prediction interval of a quasi-Poisson mean: with n days of mean m and Pearson dispersion f (at least 1;
McCullagh & Nelder, Generalized Linear Models, 1989, section 6.2.3), the next count has the mean m and the variance
f m (1 + 1/n): its own, and that of m, which n days have told only roughly. Its limits are quantiles of the negative
binomial distribution with that mean and variance. With f = 1 it is the predictive distribution of a Poisson rate under
the prior of Jeffreys (Gelman et al., Bayesian Data Analysis, 3rd ed., section 2.6). Outbreaks of disease are watched
for in this way (Farrington et al., J. R. Stat. Soc. A 159, 1996), where the same weekday stands for the season.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

WEEK_DAYS: Final = 7
MIN_DAYS: Final = 7
"""Of history; with fewer no band is told."""
MIN_WEEKS: Final = 3
"""From which on a day is compared with its weekday alone."""
LEVEL: Final = 0.95
EXACT_UP_TO: Final = 2000.0
"""Of a mean; above it the distribution is as good as normal, and summing it would take long."""


@dataclass(frozen=True, slots=True)
class Band:
    """Where a count is expected to lie."""

    low: float
    high: float
    mean: float
    days: int
    """Of the history it rests on."""


def expected_count(history: Sequence[float], *, level: float = LEVEL) -> Band | None:
    """Return the band of the next day's count, from those of the days before it, the latest last.

    With three weeks and more, of the same weekday alone; else of all days. None: there are fewer than a week.
    Counts may be weighted, and need not be whole.
    """
    if len(history) < MIN_DAYS:
        return None
    weekly = len(history) >= MIN_WEEKS * WEEK_DAYS
    period = WEEK_DAYS if weekly else 1
    alike = list(history[-period::-period])
    dispersion = _dispersion(history, period)
    # Half a count more than was seen (Jeffreys): of days without any, nobody knows that there never is one.
    mean = (sum(alike) + 0.5) / len(alike)
    variance = dispersion * mean * (1 + 1 / len(alike))
    low, high = (_quantile(q, mean, variance) for q in ((1 - level) / 2, (1 + level) / 2))
    return Band(low, high, sum(alike) / len(alike), len(alike))


def binomial_tail(k: int, n: int, p: float) -> float:
    """Return the probability of k or more of n where each has probability p."""
    if k <= 0:
        return 1.0
    if p <= 0.0 or k > n:
        return 0.0
    if p >= 1.0:
        return 1.0
    log_p, log_q = math.log(p), math.log1p(-p)
    terms = (
        math.exp(math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * log_p + (n - i) * log_q)
        for i in range(k)
    )
    return max(0.0, 1.0 - math.fsum(terms))


def none_of(n: float, *, level: float = LEVEL) -> float:
    """Return the highest share that n independent trials without one event leave possible, one-sided.

    The exact limit of Clopper and Pearson (Biometrika 26, 1934) at 0 events: 1 - (1 - level)^(1/n), about 3/n at 95 %.
    `n` may be an effective one. 1 for no trials.
    """
    return 1.0 if n <= 0 else -math.expm1(math.log1p(-level) / n)


def trials_to_rule_out(rate: float, *, level: float = LEVEL) -> int | None:
    """Return how many trials without one event say that the share is below `rate`; None where no number does."""
    if not 0.0 < rate < 1.0:
        return None
    return math.ceil(math.log1p(-level) / math.log1p(-rate))


def _dispersion(history: Sequence[float], period: int) -> float:
    """Return Pearson's dispersion of the counts around their means, by weekday where `period` is a week; at least 1."""
    squares, freedom = 0.0, 0
    for first in range(period):
        alike = history[first::period]
        mean = sum(alike) / len(alike)
        if mean > 0:
            squares += sum((x - mean) ** 2 for x in alike) / mean
            freedom += len(alike) - 1
    return max(1.0, squares / freedom) if freedom else 1.0


def _quantile(q: float, mean: float, variance: float) -> float:
    """Return the least count that at least the share q of a negative binomial distribution does not exceed."""
    if mean > EXACT_UP_TO:
        # Normal after a square root, which evens the variance out.
        z = _normal_quantile(q)
        return max(0.0, round((math.sqrt(mean) + z * math.sqrt(variance / mean) / 2) ** 2))
    shape, share = mean * mean / (variance - mean), mean / variance
    log_mass, total, count = shape * math.log(share), 0.0, 0
    while True:
        total += math.exp(log_mass)
        if total >= q - 1e-12:
            return float(count)
        log_mass += math.log((count + shape) / (count + 1)) + math.log1p(-share)
        count += 1


def _normal_quantile(q: float) -> float:
    from statistics import NormalDist  # noqa: PLC0415 - fractions and decimal: 10 ms that --help need not take

    return NormalDist().inv_cdf(q)
