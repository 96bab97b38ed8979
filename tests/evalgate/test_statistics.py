"""The gate's arithmetic, against published values and brute force."""

from __future__ import annotations

import itertools

import pytest
from scipy import stats

from schema.statistics import mcnemar_p, wilson_interval


@pytest.mark.parametrize(("passed", "total"), list(itertools.product((0, 1, 3, 7, 10), (10, 11, 250))))
def test_wilson_agrees_with_scipy(passed: int, total: int) -> None:
    interval = wilson_interval(passed, total)
    assert interval is not None
    expected = stats.binomtest(passed, total).proportion_ci(0.95, method="wilson")
    assert interval == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_is_sane_at_the_edges() -> None:
    assert wilson_interval(0, 0) is None
    low, high = wilson_interval(1, 1) or (None, None)
    assert low == pytest.approx(0.2065, abs=1e-4)
    assert high == 1.0


@pytest.mark.parametrize("broken", range(8))
@pytest.mark.parametrize("repaired", range(5))
def test_mcnemar_agrees_with_the_binomial_test(broken: int, repaired: int) -> None:
    pairs = broken + repaired
    expected = stats.binomtest(broken, pairs, alternative="greater").pvalue if pairs else 1.0
    assert mcnemar_p(broken, repaired) == pytest.approx(expected, abs=1e-12)


def test_five_pairs_all_one_way_are_the_least_that_is_significant() -> None:
    assert mcnemar_p(5, 0) < 0.05 < mcnemar_p(4, 0)
