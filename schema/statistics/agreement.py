"""How far people agree on a nominal scale, beyond what chance gives: Cohen's κ of two, Krippendorff's α of any number.

Both are 1 - D_o / D_e: the disagreement that was observed over the one that chance gives. 1 is perfect, 0 is chance.

    κ   chance: each of the two keeps to the shares of their own words         J. Cohen, Educ. Psychol. Meas. 20 (1960)
    α   chance: all words of all people are dealt out anew; words may be missing
        K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), C: nominal data, any observers, gaps

The intervals are percentiles of resampled items: A. Zapf et al., BMC Med. Res. Methodol. 16:93 (2016), §"Conclusions",
recommend that for both. They are widened for few items: T. Hesterberg, "What Teachers Should Know About the Bootstrap",
The American Statistician 69 (2015), §4.3. Where nobody disagreed resampling tells nothing, and the lower limit is what
Wilson's of the items that agree leaves. How often they hold the truth: bench/agreement.py.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from schema.statistics.change import content_seed, t_quantile
from schema.statistics.proportion import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

    Disagreements = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    """(observed, expected) of rows of counts, one count for each pattern of an item."""

MIN_ITEMS = 20
"""With fewer items that two people labelled no coefficient is told: one item more would turn it over."""
MIN_RARE = 5
"""Of so many of them somebody must say anything but the most common word: agreement on what is rarer is luck. With both
bounds nine of ten intervals of 95 % hold the truth where most simulations have enough; without them, half of some
(bench/agreement.py)."""
RESAMPLES = 2000
LEVEL = 0.95
RELIABLE = 0.8
"""Conclusions may rest on data whose α is as large. K. Krippendorff, Content Analysis, 2nd ed. (2004), p. 241."""
TENTATIVE = 0.667
"""Below it no conclusion should rest on them. Ibid."""


@dataclass(frozen=True, slots=True)
class Coefficient:
    """An agreement beyond chance, of items that at least two people labelled."""

    n: int
    """Items."""
    agreed: int
    """Items of which all say the same."""
    rare: int
    """Items of which somebody says anything but the most common word."""
    value: float | None
    """None: of too few items, or everybody said one and the same word, of which chance gives as much."""
    low: float | None = None
    high: float | None = None

    @property
    def observed(self) -> float | None:
        """The share of items of which all say the same; None of no item."""
        return self.agreed / self.n if self.n else None


def cohen_kappa(
    pairs: Sequence[tuple[str, str]], *, level: float = LEVEL, min_items: int = MIN_ITEMS, min_rare: int = MIN_RARE
) -> Coefficient:
    """Return κ of two people: what each of them said of every item that both labelled."""
    agreed, rare = sum(a == b for a, b in pairs), _rare(Counter(pairs))
    words = sorted({word for pair in pairs for word in pair})
    if len(pairs) < min_items or rare < min_rare or len(words) < 2:
        return Coefficient(len(pairs), agreed, rare, None)
    import numpy as np  # noqa: PLC0415 - see the package

    at = {word: i for i, word in enumerate(words)}
    table = np.zeros((len(words), len(words)))
    for a, b in pairs:
        table[at[a], at[b]] += 1
    used = np.flatnonzero(table)  # of a hundred words most pairs never occur

    def disagreements(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n = counts.sum(axis=1)
        first, second = (np.zeros((len(counts), len(words))) for _ in range(2))
        for column, cell in enumerate(used):
            first[:, cell // len(words)] += counts[:, column]
            second[:, cell % len(words)] += counts[:, column]
        same = counts[:, used // len(words) == used % len(words)].sum(axis=1)
        return 1 - same / n, 1 - (first * second).sum(axis=1) / n**2

    seed = content_seed("kappa", *(f"{a}\x01{b}" for a, b in sorted(pairs)))
    return _coefficient(table.ravel()[used], disagreements, (agreed, rare), level, seed)


def krippendorff_alpha(
    items: Sequence[Sequence[str]], *, level: float = LEVEL, min_items: int = MIN_ITEMS, min_rare: int = MIN_RARE
) -> Coefficient:
    """Return α for nominal data: the words said of each item, by whomever. An item with one word does not count."""
    patterns = Counter(tuple(sorted(said)) for said in items if len(said) > 1)
    n, agreed = patterns.total(), sum(count for said, count in patterns.items() if len(set(said)) == 1)
    words, rare = sorted({word for said in patterns for word in said}), _rare(patterns)
    if n < min_items or rare < min_rare or len(words) < 2:
        return Coefficient(n, agreed, rare, None)
    import numpy as np  # noqa: PLC0415 - see the package

    order = sorted(patterns)
    at = {word: i for i, word in enumerate(words)}
    shares = np.zeros((len(order), len(words)))
    for row, said in enumerate(order):
        for word in said:
            shares[row, at[word]] += 1
    sizes = shares.sum(axis=1)
    apart = (sizes**2 - (shares**2).sum(axis=1)) / (sizes - 1)

    def disagreements(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = counts @ sizes
        per_word = counts @ shares
        return counts @ apart / values, (values**2 - (per_word**2).sum(axis=1)) / (values * (values - 1))

    seed = content_seed("alpha", *(f"{said}{patterns[said]}" for said in order))
    counts = np.array([patterns[said] for said in order], float)
    return _coefficient(counts, disagreements, (agreed, rare), level, seed)


def _rare(patterns: Mapping[tuple[str, ...], int]) -> int:
    """Return of how many items anything but the most common word is said."""
    words: Counter[str] = Counter()
    for said, count in patterns.items():
        for word in said:
            words[word] += count
    common = min(words, key=lambda w: (-words[w], w), default="")
    return sum(count for said, count in patterns.items() if any(word != common for word in said))


def _coefficient(
    counts: np.ndarray, disagreements: Disagreements, seen: tuple[int, int], level: float, seed: int
) -> Coefficient:
    """Return 1 - D_o / D_e with its interval; items of one pattern are drawn together, as a multinomial.

    `seen`: items of which all say the same, and those with a rare word.
    """
    import numpy as np  # noqa: PLC0415 - see the package

    n = int(counts.sum())
    observed, expected = (float(d[0]) for d in disagreements(counts[None, :]))
    value = 1 - observed / expected
    if seen[0] == n:
        certain, _ = wilson_interval(n, n) or (0.0, 1.0)
        return Coefficient(n, *seen, 1.0, max(-1.0, 1 - (1 - certain) / expected), 1.0)
    drawn = np.random.default_rng(seed).multinomial(n, counts / n, RESAMPLES).astype(float)
    differing, chance = disagreements(drawn)
    told = chance > 0  # a draw in which everybody says one word has no coefficient
    tail = NormalDist().cdf(-math.sqrt(n / (n - 1)) * t_quantile((1 + level) / 2, n - 1))
    low, high = np.quantile(1 - differing[told] / chance[told], (tail, 1 - tail))
    return Coefficient(n, *seen, value, float(min(low, value)), float(max(high, value)))
