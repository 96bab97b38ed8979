"""Limits of shares: they are the mid-P limits, and sane where there is next to nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evalgate.stats.estimate import Sums, rates
from evalgate.stats.intervals import gamma_limits, share_limits, student

COUNTS = st.integers(0, 400)
TAIL = 0.025


@given(COUNTS, COUNTS)
def test_each_limit_is_where_half_of_what_was_seen_and_all_beyond_it_is_unlikely(x: int, z: int) -> None:
    low, high = (float(v[0]) for v in share_limits(np.array([x]), np.array([z])))
    n = x + z
    if x:
        assert (stats.binom.sf(x - 1, n, low) + stats.binom.sf(x, n, low)) / 2 == pytest.approx(TAIL, rel=1e-6)
    else:
        assert low == 0
    if z:
        assert (stats.binom.cdf(x, n, high) + stats.binom.cdf(x - 1, n, high)) / 2 == pytest.approx(TAIL, rel=1e-6)
    else:
        assert high == 1


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_limits_hold_the_share_and_mirror_each_other(x: float, z: float) -> None:
    low, high = (float(v[0]) for v in share_limits(np.array([x]), np.array([z])))
    assert 0 <= low <= high <= 1
    if x + z > 0:
        assert low <= x / (x + z) + 1e-9
        assert high >= x / (x + z) - 1e-9
    mirrored_low, mirrored_high = (float(v[0]) for v in share_limits(np.array([z]), np.array([x])))
    assert (mirrored_low, mirrored_high) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_of_no_trials_nothing_is_known() -> None:
    low, high = share_limits(np.zeros(1), np.zeros(1))
    assert (float(low[0]), float(high[0])) == (0, 1)


def test_more_trials_give_a_narrower_interval() -> None:
    sizes = np.array([1, 10, 100, 1e4, 1e8])
    low, high = share_limits(sizes * 0.3, sizes * 0.7)
    assert (np.diff(high - low) < 0).all()


def test_of_a_count_the_gamma_limits_lie_between_the_exact_ones_of_poisson() -> None:
    counts = np.array([0.0, 1, 5, 100])
    low, high = gamma_limits(counts, np.full(4, 3.0))
    exact = [(stats.chi2.ppf(TAIL, 2 * c) / 2 if c else 0, stats.chi2.ppf(1 - TAIL, 2 * c + 2) / 2) for c in counts]
    for i, (least, most) in enumerate(exact):
        assert least <= low[i] / 3 < counts[i] + 0.001 < high[i] / 3 <= most


def test_the_quantile_of_student_is_that_of_the_tables() -> None:
    found = student(np.array([1.0, 10.0, math.inf]))
    assert [round(float(t), 3) for t in found] == [12.706, 2.228, 1.96]


def test_where_nothing_was_sampled_and_all_of_it_fails_nothing_is_said_on_stderr() -> None:
    """No trace of the window could be unseen: 0 / 0, which is no warning (they are errors here)."""
    all_fail = np.array([3.0])
    sums = Sums(*(all_fail,) * 7, np.zeros(1), np.zeros(1), unseen_event=np.ones(1), unseen_other=np.zeros(1))
    nothing = Sums(*(np.zeros(1),) * 11)
    assert float(rates(sums).rate[0]) == 1
    assert np.isnan(rates(nothing).rate[0])
