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
        self._needed: dict[int, int] = {}

    def power(self, noise: float, drop: float) -> float:
        broken, repaired = noise / 2 + drop, noise / 2
        if broken + repaired > 1 + 1e-12:
            return 0.0
        if self.n > MOST_COUNTED:
            return self._normal_power(noise, drop)
        changed_chance = self._binomial(self.n, min(1.0, broken + repaired))
        total = 0.0
        for changed in (changed_chance > NEGLIGIBLE).nonzero()[0]:
            m = int(changed)
            if m and (least := self._least_broken(m)) <= m:
                total += changed_chance[m] * float(self._binomial(m, broken / (broken + repaired))[least:].sum())
        return min(1.0, float(total))

    def _least_broken(self, changed: int) -> int:
        """Return how many of so many changed verdicts must be broken ones to show a drop; more than all: none do."""
        if changed not in self._needed:
            tail = self._binomial(changed, 0.5)[::-1].cumsum()[::-1]
            least = changed + 1 - int((tail < self.alpha).sum())
            self._needed[changed] = max(least, math.floor((changed + self.least_drop * self.n) / 2 + 1e-9) + 1)
        return self._needed[changed]

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
