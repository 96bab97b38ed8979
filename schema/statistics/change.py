"""Changes of the same cases between two runs: tests and intervals. A drop is positive, what was minus what is.

The one test is the sign flip: if nothing changed, then and now are interchangeable, so each cluster's sum of drops
might as well have the other sign. Of independent verdicts that is McNemar's exact test, of clusters its
generalisation, of scores the permutation test of paired differences. It assumes no distribution and holds at any n.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MIN_CLUSTERS = 5
"""With fewer no interval of a mean difference is told: resampling four clusters says nothing of a fifth."""
MIN_DISCORDANT = 5
"""With fewer changed verdicts no one-sided test can reach p < 0.05: four broken give 0.0625, five 0.031."""
MOST_COUNTED = 14
"""So many sums that are no whole numbers are flipped in all 2^k ways; more are sampled."""
MOST_STEPS = 20_000
"""So far apart may whole-number sums lie to be counted out."""
TOLERANCE = 1e-9
"""0.9 - 0.6 and 0.3 are the same difference."""


def mcnemar_p(broken: int, repaired: int) -> float:
    """Return the exact one-sided p of McNemar's test: how likely so many broken pairs are if nothing changed.

    `broken` pairs passed before and fail now, `repaired` the reverse. Source: Q. McNemar, Psychometrika 12 (1947),
    with the binomial in place of the chi-square approximation.
    """
    pairs = broken + repaired
    if pairs == 0:
        return 1.0
    return sum(math.comb(pairs, k) for k in range(broken, pairs + 1)) / (1 << pairs)


@dataclass(frozen=True, slots=True)
class Change:
    """Drops of paired cases, summed over clusters. Use `of`."""

    sums: tuple[float, ...]
    """Of the drops, one a cluster."""
    sizes: tuple[int, ...]
    """Cases of each cluster."""
    worse: int
    """Cases that dropped."""
    better: int
    squares: float
    """Sum of squared drops of cases."""

    @classmethod
    def of(cls, drops: Iterable[tuple[str, float]]) -> Change:
        """Return the change of cases: (cluster, what was minus what is). Cases of one cluster are not independent."""
        sums: dict[str, float] = {}
        sizes: dict[str, int] = {}
        worse = better = 0
        squares = 0.0
        for cluster, given in drops:
            drop = given if abs(given) > TOLERANCE else 0.0
            sums[cluster] = sums.get(cluster, 0.0) + drop
            sizes[cluster] = sizes.get(cluster, 0) + 1
            worse += drop > 0
            better += drop < 0
            squares += drop * drop
        order = sorted(sums)
        return cls(tuple(sums[c] for c in order), tuple(sizes[c] for c in order), worse, better, squares)

    @property
    def n(self) -> int:
        """Cases."""
        return sum(self.sizes)

    @property
    def drop(self) -> float:
        """Mean drop of a case; 0 of none, and where drops and gains cancel but for binary fractions."""
        mean = math.fsum(self.sums) / self.n if self.sizes else 0.0
        return mean if abs(mean) > TOLERANCE else 0.0

    @property
    def clustered(self) -> bool:
        """Whether any cluster has more than one case."""
        return len(self.sizes) != self.n

    @property
    def standard_error(self) -> float | None:
        """Of the mean drop, between clusters; None of fewer than two.

        Source: E. Miller, arXiv:2411.00640, §2.2: clustered standard errors, with the correction K / (K - 1).
        """
        count = len(self.sums)
        if count < 2:
            return None
        mean = self.drop
        between = sum((s - mean * m) ** 2 for s, m in zip(self.sums, self.sizes, strict=True))
        return math.sqrt(between * count / (count - 1)) / self.n

    @property
    def design_effect(self) -> float:
        """How many times the variance of independent cases this one has, at least 1."""
        if not self.clustered:
            return 1.0
        copies = sum(m * m for m in self.sizes) / self.n
        variance = (self.squares / self.n - self.drop**2) / self.n
        error = self.standard_error
        if error is None or variance <= 0:
            return copies
        return min(copies, max(1.0, error * error / variance))


def content_seed(*parts: str) -> int:
    """Return a seed that the same content always gives, and other content does not."""
    return int.from_bytes(hashlib.sha256("\x00".join(parts).encode()).digest()[:8], "big")


def sign_flip_p(sums: Sequence[float], seed: int, resamples: int = 10_000) -> float:
    """Return the one-sided p of a drop: how likely a total so large is, if each sum may as well have the other sign.

    Whole numbers (verdicts) are counted out exactly, and so are few sums of any kind; else so many signs are drawn,
    and p is never 0. Sources: E. J. G. Pitman, 1937; B. Phipson, G. Smyth, arXiv:1603.05766, for the + 1.
    """
    moved = [s for s in sums if abs(s) > TOLERANCE]
    if not moved:
        return 1.0
    whole = [round(s) for s in moved]
    if all(abs(s - w) <= TOLERANCE for s, w in zip(moved, whole, strict=True)):
        if all(abs(w) == 1 for w in whole):
            return mcnemar_p(sum(w > 0 for w in whole), sum(w < 0 for w in whole))
        if sum(map(abs, whole)) <= MOST_STEPS:
            return _counted(whole)
    return _flipped(moved, seed, resamples)


def _counted(sums: Sequence[int]) -> float:
    """Return the p of whole-number sums: the distribution of their total under flips, one sum after the other."""
    import numpy as np  # noqa: PLC0415 - see the package

    span = sum(map(abs, sums))
    chance = np.zeros(2 * span + 1)
    chance[span] = 1.0
    for size in map(abs, sums):
        chance = (np.roll(chance, size) + np.roll(chance, -size)) / 2
    return min(1.0, float(chance[span + sum(sums) :].sum()))


def _flipped(sums: Sequence[float], seed: int, resamples: int) -> float:
    import numpy as np  # noqa: PLC0415 - see the package

    values = np.asarray(sums)
    seen = values.sum() - TOLERANCE * np.abs(values).sum()
    if len(values) <= MOST_COUNTED:
        ways = np.arange(1 << len(values))[:, None] >> np.arange(len(values)) & 1
        return float(np.mean((1 - 2 * ways) @ values >= seen))
    draw = np.random.default_rng(seed)
    as_large = 0
    for start in range(0, resamples, 1000):
        signs = 2 * draw.integers(0, 2, (min(1000, resamples - start), len(values)), dtype=np.int8) - 1
        as_large += int(np.sum(signs @ values >= seen))
    return (1 + as_large) / (1 + resamples)


def change_interval(change: Change, level: float) -> tuple[float, float] | None:
    """Return a two-sided interval of the mean drop of verdicts (+1 broken, 0, -1 repaired); None of no case.

    Drops of shares of attempts lie between; theirs is as cautious.

    Sane where nothing changed: of 20 pairs without a change, 90 % is -0.10 to 0.10, and not 0 to 0. Clusters count as
    cases / design effect. Source: D. G. Bonett, R. M. Price, British Journal of Mathematical and Statistical
    Psychology 65 (2012), recommended by Fagerland, Lydersen, Laake, Statistics in Medicine 33 (2014).
    """
    if not change.n:
        return None
    deff = change.design_effect
    n = change.n / deff
    moved = change.squares / deff
    net = change.drop * n
    broken, repaired = ((moved + net) / 2 + 1) / (n + 2), ((moved - net) / 2 + 1) / (n + 2)
    centre = broken - repaired
    half = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt((broken + repaired - centre * centre) / (n + 2))
    return max(-1.0, centre - half), min(1.0, centre + half)


def bootstrap_interval(change: Change, level: float, seed: int, resamples: int = 5000) -> tuple[float, float] | None:
    """Return a two-sided interval of the mean drop of scores by resampling clusters; None of fewer than MIN_CLUSTERS.

    Percentiles, widened for few clusters: T. Hesterberg, "What Teachers Should Know About the Bootstrap", The American
    Statistician 69 (2015), §4.3. A bootstrap of cases that ignores clusters rejects far too often.
    """
    count = len(change.sums)
    if count < MIN_CLUSTERS:
        return None
    import numpy as np  # noqa: PLC0415 - see the package

    sums, sizes = np.asarray(change.sums), np.asarray(change.sizes, np.float64)
    draw = np.random.default_rng(seed)
    means = np.empty(resamples)
    rows = max(1, 2_000_000 // count)
    for start in range(0, resamples, rows):
        picked = draw.integers(0, count, (min(rows, resamples - start), count))
        means[start : start + len(picked)] = sums[picked].sum(1) / sizes[picked].sum(1)
    tail = NormalDist().cdf(-math.sqrt(count / (count - 1)) * t_quantile((1 + level) / 2, count - 1))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def t_quantile(share: float, freedom: int) -> float:
    """Return a quantile of Student's t, to 0.5 % from 4 degrees of freedom on.

    Source: Abramowitz and Stegun 26.7.5: an expansion around the normal quantile.
    """
    z = NormalDist().inv_cdf(share)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(float(term / freedom**power) for power, term in enumerate(terms, 1))
