"""The gate's arithmetic, against published values and brute force."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from scipy import stats

from schema.statistics import mcnemar_p, weighted_share, wilson_interval


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


def test_without_weights_there_is_no_weighted_share() -> None:
    assert weighted_share([(True, None), (False, 0.0), (True, math.nan), (True, -1.0), (True, math.inf)]) is None


def test_with_equal_weights_the_weighted_share_is_the_plain_one() -> None:
    share = weighted_share([(n % 4 > 0, 10.0) for n in range(40)])
    assert share is not None
    assert share.equal
    assert share.rate == 0.75
    assert share.effective_n == pytest.approx(40)
    assert (share.low, share.high) == pytest.approx(wilson_interval(30, 40))


def test_each_case_counts_as_often_as_its_trace_stands_for() -> None:
    """Thirty failing traces, of which one in three passes now, and ten that stand for ten each and pass."""
    share = weighted_share([*((n % 3 == 0, 1.0) for n in range(30)), *((True, 10.0) for _ in range(10)), (True, None)])
    assert share is not None
    assert (share.counted, share.unweighted, share.equal) == (40, 1, False)
    assert share.rate is None  # (30 + 100)² / (30 + 1000) = 16.4 is too few
    assert share.effective_n == pytest.approx(16.4, abs=0.1)
    assert share.low < 110 / 130 < share.high


def test_a_weighted_share_is_never_told_as_0_or_100_percent() -> None:
    for passed in (True, False):
        share = weighted_share([(passed, 1.0 + n % 2) for n in range(100)])
        assert share is not None
        assert share.rate is None
        assert (share.low > 0.9, share.high < 0.1) == (passed, not passed)


def test_weighted_intervals_cover_the_truth() -> None:
    """Cases that failed in production (weight 1) pass less often than sampled ones (weight 10)."""
    draw = random.Random(5)  # noqa: S311 - a simulation
    truth = (60 * 0.5 + 60 * 10 * 0.9) / (60 + 600)
    shares = [
        weighted_share(
            [*((draw.random() < 0.5, 1.0) for _ in range(60)), *((draw.random() < 0.9, 10.0) for _ in range(60))]
        )
        for _ in range(2000)
    ]
    covered = sum(s is not None and s.low <= truth <= s.high for s in shares)
    assert 0.93 <= covered / len(shares) <= 0.97
