"""Tests and intervals of paired cases, against scipy, statsmodels and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from schema.statistics import (
    Change,
    benjamini_hochberg,
    bootstrap_interval,
    change_interval,
    content_seed,
    holm,
    mcnemar_p,
    sign_flip_p,
)
from schema.statistics.change import t_quantile


def verdicts(broken: int, repaired: int, same: int) -> Change:
    """Return the change of independent verdicts."""
    drops = [1.0] * broken + [-1.0] * repaired + [0.0] * same
    return Change.of((str(i), drop) for i, drop in enumerate(drops))


@pytest.mark.parametrize(("broken", "repaired"), list(itertools.product((0, 1, 4, 9), (0, 2, 5))))
def test_mcnemar_agrees_with_statsmodels(broken: int, repaired: int) -> None:
    if broken + repaired:
        expected = mcnemar([[7, broken], [repaired, 7]], exact=True).pvalue
        more, fewer = max(broken, repaired), min(broken, repaired)
        assert min(1.0, 2 * mcnemar_p(more, fewer)) == pytest.approx(expected, abs=1e-12)
    one_sided = stats.binomtest(broken, broken + repaired, alternative="greater").pvalue if broken + repaired else 1.0
    assert mcnemar_p(broken, repaired) == pytest.approx(one_sided, abs=1e-12)


def test_sign_flips_of_independent_verdicts_are_mcnemars_test() -> None:
    assert sign_flip_p(verdicts(7, 2, 30).sums, seed=1) == mcnemar_p(7, 2)


@given(st.lists(st.integers(-4, 4), max_size=9), st.integers(0, 5))
def test_whole_numbers_are_counted_out(sums: list[int], seed: int) -> None:
    """By brute force: every way to choose the signs."""
    ways = [
        sum(f * s for f, s in zip(signs, sums, strict=True)) for signs in itertools.product((1, -1), repeat=len(sums))
    ]
    expected = sum(w >= sum(sums) for w in ways) / len(ways)
    assert sign_flip_p([float(s) for s in sums], seed) == pytest.approx(expected)


def test_scores_agree_with_scipys_permutation_test() -> None:
    draw = np.random.default_rng(3)
    drops = draw.normal(0.1, 0.3, 12)
    expected = stats.permutation_test(
        (drops,), np.mean, permutation_type="samples", alternative="greater", n_resamples=math.inf
    )
    assert sign_flip_p(list(drops), seed=0) == pytest.approx(expected.pvalue)
    many = draw.normal(0.06, 0.3, 60)
    sampled = stats.permutation_test(
        (many,), np.mean, permutation_type="samples", alternative="greater", n_resamples=20_000, rng=draw
    )
    assert sign_flip_p(list(many), seed=0, resamples=20_000) == pytest.approx(sampled.pvalue, abs=0.01)


def test_the_same_seed_gives_the_same_p_and_p_is_never_0() -> None:
    drops = [0.3 + i / 1000 for i in range(40)]
    assert sign_flip_p(drops, 5) == sign_flip_p(drops, 5) == 1 / 10_001
    assert content_seed("a", "b") != content_seed("ab") != content_seed("a", "c")


def test_a_difference_that_binary_fractions_make_is_none() -> None:
    change = Change.of([("a", 0.9 - 0.6 - 0.3), ("b", 0.3 - 0.9 + 0.6)])
    assert (change.worse, change.better, change.drop) == (0, 0, 0)
    assert sign_flip_p(change.sums, 0) == 1.0
    swapped = [0.9 - 0.6, -0.3, 0.1, 0.1]  # the first two are the same size
    assert sign_flip_p(swapped, 0) == sign_flip_p([0.3, -0.3, 0.1, 0.1], 0)


def test_copies_of_a_case_add_nothing() -> None:
    """Four broken cases, each ten times over, are four flips and not forty."""
    copies = Change.of((str(i % 4), 1.0) for i in range(40))
    assert sign_flip_p(copies.sums, 0) == mcnemar_p(4, 0) == 0.0625


def test_clusters_widen_the_interval() -> None:
    drops = [1.0 if i % 10 == 0 else 0.0 for i in range(100)]
    alone = Change.of((str(i), d) for i, d in enumerate(drops))
    together = Change.of((str(i % 10), d) for i, d in enumerate(drops))  # all that broke are of one cluster
    assert together.design_effect == pytest.approx(10)
    (low, high), (low_c, high_c) = change_interval(alone, 0.9) or (0, 0), change_interval(together, 0.9) or (0, 0)
    assert low_c < low < 0.1 < high < high_c
    assert alone.design_effect == 1.0


def test_the_interval_of_verdicts_is_sane_where_nothing_changed() -> None:
    assert change_interval(verdicts(0, 0, 0), 0.9) is None
    low, high = change_interval(verdicts(0, 0, 20), 0.9) or (0.0, 0.0)
    assert low == -high
    assert high == pytest.approx(0.105, abs=0.001)
    low, high = change_interval(verdicts(1, 0, 0), 0.9) or (0.0, 0.0)
    assert -1 <= low < 0 < high <= 1
    low, high = change_interval(verdicts(50, 0, 0), 0.9) or (0.0, 0.0)
    assert 0.8 < low < high <= 1


def test_intervals_of_verdicts_hold_the_truth() -> None:
    """One that is too narrow would pass harm that it should not rule out."""
    draw = np.random.default_rng(7)
    for n, broken, repaired in ((20, 0.1, 0.1), (50, 0.02, 0.02), (100, 0.1, 0.03), (200, 0.2, 0.15)):
        counts = draw.multinomial(n, [broken, repaired, 1 - broken - repaired], 1000)
        held = [change_interval(verdicts(*map(int, c)), 0.9) or (0, 0) for c in counts]
        share = np.mean([low <= broken - repaired <= high for low, high in held])
        assert share >= 0.88, (n, broken, repaired)


@pytest.mark.parametrize("clusters", [6, 12])
def test_intervals_of_clustered_scores_hold_the_truth(clusters: int) -> None:
    """Plain percentiles of six clusters hold it in 80 of 100."""
    draw = np.random.default_rng(11)
    held = []
    for _ in range(400):
        shift = draw.normal(0.05, 0.2, clusters)
        drops = [(str(c), float(shift[c] + draw.normal(0, 0.1))) for c in range(clusters) for _ in range(5)]
        low, high = bootstrap_interval(Change.of(drops), 0.9, seed=1, resamples=2000) or (0, 0)
        held.append(low <= 0.05 <= high)
    assert 0.86 <= np.mean(held) <= 0.95


def test_few_clusters_have_no_interval() -> None:
    assert bootstrap_interval(Change.of([(str(i), 0.1 * i) for i in range(4)]), 0.9, seed=1) is None
    assert bootstrap_interval(Change.of([]), 0.9, seed=1) is None
    low, high = bootstrap_interval(Change.of([(str(i), 0.0) for i in range(9)]), 0.9, seed=1) or (1, 1)
    assert (low, high) == (0, 0)


@pytest.mark.parametrize("freedom", [4, 9, 30, 200])
@pytest.mark.parametrize("share", [0.95, 0.975, 0.99])
def test_quantiles_of_t_agree_with_scipy(freedom: int, share: float) -> None:
    assert t_quantile(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=0.006)


@pytest.mark.parametrize(
    "p_values", [[0.04], [0.01, 0.04, 0.03, 0.005], [0.5, 0.5, 0.5], [0.0, 1.0, 0.02], [0.9, 0.001, 0.02, 0.02, 0.2]]
)
def test_families_agree_with_statsmodels_and_scipy(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))
    assert benjamini_hochberg(p_values) == pytest.approx(list(stats.false_discovery_control(p_values)))


def test_no_test_is_no_family() -> None:
    assert holm([]) == benjamini_hochberg([]) == []
