"""What so many cases can show, and how many it takes to show something.

Verdicts change by chance: a share `noise` of the cases, half of them each way. A drop comes on top of that, so of n
cases (noise / 2 + drop) n break and (noise / 2) n are repaired. Power is counted out, not approximated: exact tests of
few pairs have much less of it than the usual formula says, which is 2.486 √(noise / n).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PRECISION = 1e-4
MOST_COUNTED = 3_000
"""Cases; beyond, the normal approximation is as good and takes no time."""
MOST_CASES = 1_000_000
"""Nobody is told to collect more."""


def mcnemar_power(n: int, noise: float, drop: float, *, alpha: float, least_drop: float = 0.0) -> float:
    """Return the chance that the exact one-sided test of n independent cases shows this drop.

    It shows it where p < alpha and the drop that is seen is larger than `least_drop`.
    """
    broken, repaired = noise / 2 + drop, noise / 2
    if n <= 0 or broken + repaired > 1 + 1e-12:
        return 0.0
    if n > MOST_COUNTED:
        return _normal_power(n, noise, drop, alpha, least_drop)
    import numpy as np  # noqa: PLC0415 - see the package

    logs = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, n + 1)))))
    pairs_chance = _binomial(n, min(1.0, broken + repaired), logs)
    total = 0.0
    for pairs in np.flatnonzero(pairs_chance > 1e-9):
        m = int(pairs)
        if m == 0:
            continue
        tail = np.cumsum(_binomial(m, 0.5, logs)[::-1])[::-1]
        shows = (tail < alpha) & (2 * np.arange(m + 1) - m > least_drop * n + 1e-9)
        if shows.any():
            total += pairs_chance[m] * float(_binomial(m, broken / (broken + repaired), logs)[shows].sum())
    return min(1.0, float(total))


def _binomial(n: int, share: float, logs: Floats) -> Floats:
    """Return the chance of 0 to n successes."""
    import numpy as np  # noqa: PLC0415 - see the package

    k = np.arange(n + 1)
    if share <= 0 or share >= 1:
        return np.asarray(k == (n if share >= 1 else 0), np.float64)
    return np.asarray(
        np.exp(logs[n] - logs[k] - logs[n - k] + k * math.log(share) + (n - k) * math.log1p(-share)), np.float64
    )


def _normal_power(n: int, noise: float, drop: float, alpha: float, least_drop: float) -> float:
    moved = noise + drop
    under, over = math.sqrt(moved / n), math.sqrt(max(1e-12, moved - drop * drop) / n)
    needed = max(NormalDist().inv_cdf(1 - alpha) * under, least_drop)
    return 1 - NormalDist().cdf((needed - drop) / over)


def minimum_detectable_drop(
    n: int, noise: float, *, alpha: float, power: float, least_drop: float = 0.0
) -> float | None:
    """Return the least drop of the share that passes which n cases show with this power; None: not even the largest."""
    low, high = 0.0, 1 - noise
    if mcnemar_power(n, noise, high, alpha=alpha, least_drop=least_drop) < power:
        return None
    while high - low > PRECISION:
        middle = (low + high) / 2
        enough = mcnemar_power(n, noise, middle, alpha=alpha, least_drop=least_drop) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def cases_for_drop(drop: float, noise: float, *, alpha: float, power: float, least_drop: float = 0.0) -> int | None:
    """Return how many independent cases show this drop with this power; None: it is too small, or no number does."""
    if drop <= least_drop or noise + drop > 1 + 1e-12:
        return None

    def is_enough(n: int) -> bool:
        return mcnemar_power(n, noise, drop, alpha=alpha, least_drop=least_drop) >= power

    low, high = 0, 8
    while not is_enough(high):
        low, high = high, high * 2
        if high > MOST_CASES:
            return None
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def minimum_detectable_score_drop(standard_error: float, *, alpha: float, power: float) -> float:
    """Return the least mean drop of scores that this standard error shows with this power, by the normal law."""
    return (NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(power)) * standard_error


def cases_for_score_drop(drop: float, standard_error: float, n: int, *, alpha: float, power: float) -> int | None:
    """Return how many cases like these n show this mean drop of scores; None: no number does."""
    if drop <= 0 or standard_error <= 0:
        return None
    needed = math.ceil(n * (minimum_detectable_score_drop(standard_error, alpha=alpha, power=power) / drop) ** 2)
    return needed if needed <= MOST_CASES else None
