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
    Ints = NDArray[np.int64]

PRECISION = 5e-4
NEGLIGIBLE = 1e-7
"""Counts of changed verdicts that are less likely are left out."""
MOST_COUNTED = 2_000
"""Cases; beyond, the normal approximation is as good and takes no time."""
FIXED_POINT_STEPS = 40
MOST_CASES = 1_000_000
"""Nobody is told to collect more."""


def mcnemar_power(n: int, noise: float, drop: float, *, alpha: float, least_drop: float = 0.0) -> float:
    """Return the chance that the exact one-sided test of n independent cases shows this drop.

    It shows it where p < alpha and the drop that is seen is larger than `least_drop`.
    """
    return _Counted(n, alpha, least_drop).power(noise, drop) if n > 0 else 0.0


class _Counted:
    """The test of n cases: what it takes to show a drop, found once for each count of changed verdicts."""

    def __init__(self, n: int, alpha: float, least_drop: float) -> None:
        import numpy as np  # noqa: PLC0415 - see the package

        self.n, self.alpha, self.least_drop = n, alpha, least_drop
        self._logs = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, min(n, MOST_COUNTED) + 1)))))
        self._least = np.full(len(self._logs), -1)

    def power(self, noise: float, drop: float) -> float:
        import numpy as np  # noqa: PLC0415 - see the package

        broken, repaired = noise / 2 + drop, noise / 2
        if broken + repaired > 1 + 1e-12:
            return 0.0
        if self.n > MOST_COUNTED:
            return self._normal_power(noise, drop)
        chance = self._binomial(self.n, min(1.0, broken + repaired))
        m = (chance > NEGLIGIBLE).nonzero()[0]
        m = m[m > 0]
        least = self._least_broken(m)
        m, least = m[least <= m], least[least <= m]
        if not len(m):
            return 0.0
        if repaired <= 0:
            return min(1.0, float(chance[m].sum()))
        k = np.arange(int(least.min()), int(m.max()) + 1)
        shown = self._pairs(m, k, broken / (broken + repaired)) * (k >= least[:, None])
        return min(1.0, float(chance[m] @ shown.sum(1)))

    def _least_broken(self, changed: Ints) -> Ints:
        """Return how many of so many changed verdicts must be broken ones to show a drop; more than all: none do."""
        import numpy as np  # noqa: PLC0415 - see the package

        new = changed[self._least[changed] < 0]
        if len(new):
            tail = self._pairs(new, np.arange(int(new.max()) + 1), 0.5)[:, ::-1].cumsum(1)[:, ::-1]
            insignificant = (tail >= self.alpha).sum(1)  # of counts beyond all, the tail is 0
            by_effect = np.floor((new + self.least_drop * self.n) / 2 + 1e-9).astype(np.int64) + 1
            self._least[new] = np.maximum(insignificant, by_effect)
        return np.asarray(self._least[changed])

    def _pairs(self, changed: Ints, broken: Ints, share: float) -> Floats:
        """Return the chance of each count of broken ones (columns) among each count of changed ones (rows)."""
        import numpy as np  # noqa: PLC0415 - see the package

        m, k = changed[:, None], broken[None, :]
        rest = np.maximum(m - k, 0)
        logs = self._logs[m] - self._logs[k] - self._logs[rest] + k * math.log(share) + rest * math.log1p(-share)
        return np.asarray(np.where(k <= m, np.exp(logs), 0.0))

    def _binomial(self, n: int, share: float) -> Floats:
        """Return the chance of 0 to n successes."""
        import numpy as np  # noqa: PLC0415 - see the package

        k = np.arange(n + 1)
        if share <= 0 or share >= 1:
            return np.asarray(k == (n if share >= 1 else 0), np.float64)
        logs = self._logs
        return np.asarray(
            np.exp(logs[n] - logs[k] - logs[n - k] + k * math.log(share) + (n - k) * math.log1p(-share)), np.float64
        )

    def _normal_power(self, noise: float, drop: float) -> float:
        changed = noise + drop
        under, over = math.sqrt(changed / self.n), math.sqrt(max(1e-12, changed - drop * drop) / self.n)
        needed = max(NormalDist().inv_cdf(1 - self.alpha) * under, self.least_drop)
        return 1 - NormalDist().cdf((needed - drop) / over)


def minimum_detectable_drop(
    n: int, noise: float, *, alpha: float, power: float, least_drop: float = 0.0
) -> float | None:
    """Return the least drop of the share that passes which n cases show with this power; None: not even the largest."""
    if n <= 0:
        return None
    test = _Counted(n, alpha, least_drop)
    low, high = 0.0, 1 - noise
    if test.power(noise, high) < power:
        return None
    near = (NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(power)) * math.sqrt(max(noise, 4 / n) / n)
    for guess in (near, 2 * near + least_drop):  # where it mostly lies, so that few steps are needed
        if low < guess < high:
            low, high = (low, guess) if test.power(noise, guess) >= power else (guess, high)
    while high - low > PRECISION:
        middle = (low + high) / 2
        low, high = (low, middle) if test.power(noise, middle) >= power else (middle, high)
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


def minimum_detectable_score_drop(standard_error: float, n: float, *, alpha: float, power: float) -> float:
    """Return the least mean drop of scores that n cases with this standard error show with this power.

    By the normal law, with what the harm itself adds to the variance: at worst it takes whole points from few cases,
    which is drop (1 - drop) / n. A standard error of a change that does no harm alone would promise too much.
    """
    z_alpha, z_power = NormalDist().inv_cdf(1 - alpha), NormalDist().inv_cdf(power)
    drop = 1.0  # from above: 0 would solve it too, where nothing varies
    for _ in range(FIXED_POINT_STEPS):
        added = min(1.0, drop) / n
        under = math.sqrt(standard_error**2 + added)
        over = math.sqrt(standard_error**2 + added * (1 - min(1.0, drop)))
        drop = z_alpha * under + z_power * over
    return min(1.0, drop)


def cases_for_score_drop(drop: float, standard_error: float, n: float, *, alpha: float, power: float) -> int | None:
    """Return how many cases like these n show this mean drop of scores; None: no number does."""
    if drop <= 0 or n <= 0:
        return None

    def is_enough(cases: int) -> bool:
        error = standard_error * math.sqrt(n / cases)
        return minimum_detectable_score_drop(error, cases, alpha=alpha, power=power) <= drop

    low, high = 0, 8
    while not is_enough(high):
        low, high = high, high * 2
        if high > MOST_CASES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
