"""The few statistics that a gate prints. Pure Python: a gate must not need a numeric library."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""

MIN_DISCORDANT = 5
"""With fewer discordant pairs no exact one-sided McNemar test can reach p < 0.05 (4 give 0.0625, 5 give 0.031)."""


def wilson_interval(passed: int, total: int, z: float = Z_95) -> tuple[float, float] | None:
    """Return Wilson's score interval of a proportion, None for no trials.

    Sane at 0 %, at 100 % and at one trial. Source: E. B. Wilson, JASA 22 (1927).
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


def mcnemar_p(broken: int, repaired: int) -> float:
    """Return the exact one-sided p of McNemar's test: how likely so many broken pairs are if nothing changed.

    `broken` pairs passed before and fail now, `repaired` the reverse. Source: Q. McNemar, Psychometrika 12 (1947),
    with the binomial in place of the chi-square approximation.
    """
    pairs = broken + repaired
    if pairs == 0:
        return 1.0
    return sum(math.comb(pairs, k) for k in range(broken, pairs + 1)) / (1 << pairs)
