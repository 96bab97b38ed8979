"""Percentiles, robust scores and surprise, held to their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import percentileofscore

from evalgate.signals.cohorts import MIN_COHORT, WIDER_TRACES, codes, percentiles, ramp, robust_z, shares
from evalgate.signals.phrases import parse_phrases, read_phrases
from evalgate.signals.sequences import surprise
from tests.evalgate.signals.made import lists

VALUES = st.lists(st.one_of(st.integers(0, 6).map(float), st.just(math.nan)), min_size=20, max_size=60)


@settings(max_examples=50)
@given(VALUES)
def test_a_percentile_is_that_of_the_textbook(values: list[float]) -> None:
    column = np.array(values)
    found = percentiles(column, (np.zeros(len(column), np.int64),))
    known = column[~np.isnan(column)]
    for value, percentile in zip(values, found, strict=True):
        if math.isnan(value) or len(known) < MIN_COHORT:
            assert math.isnan(percentile)
        else:
            assert percentile == pytest.approx(percentileofscore(known, value, "mean") / 100)


def test_a_small_cohort_leans_on_the_wider_one() -> None:
    values = np.r_[np.arange(100.0), 50.0, 51.0]
    narrow = np.r_[np.zeros(100, np.int64), 1, 1]
    found = percentiles(values, (narrow, np.zeros(102, np.int64)))
    wide = percentileofscore(values, 51.0, "mean") / 100
    assert found[101] == pytest.approx((2 * 0.75 + WIDER_TRACES * wide) / (2 + WIDER_TRACES))


def test_a_robust_score_ignores_what_is_extreme_and_what_is_a_trifle() -> None:
    values = np.r_[np.linspace(-1, 1, 101), 1e6, np.nan]
    z, middle = robust_z(values, (np.zeros(103, np.int64),), 0.1)
    assert middle[0] == pytest.approx(0.01)
    assert z[100] == pytest.approx(0.99 / (1.4826 * 0.5), rel=0.05)
    assert np.isnan(z[102])
    same, _ = robust_z(np.r_[np.zeros(50), 0.2], (np.zeros(51, np.int64),), 0.1)
    assert same[50] == pytest.approx(2)


def test_a_share_is_of_the_cohort() -> None:
    has = np.arange(100) < 25
    assert shares(has, (np.zeros(100, np.int64),))[0] == pytest.approx(0.25)
    assert shares(has[:5], (np.zeros(5, np.int64),))[0] == 0


def test_a_ramp_goes_up_or_down_and_unknown_is_nothing() -> None:
    assert list(ramp(np.array([0.0, 1, 1.5, 2, 3, np.nan]), 1, 2)) == [0, 0, 0.5, 1, 1, 0]
    assert list(ramp(np.array([0.0, 0.05, 0.1, 0.2]), 0.1, 0.0)) == [1, 0.5, 0, 0]


def test_codes_are_equal_where_all_columns_are() -> None:
    found = codes(np.array(["a", "a", "b", "a"]), np.array([1, 2, 1, 1]))
    assert found[0] == found[3]
    assert len(set(found)) == 3
    assert len(codes(np.zeros(0, np.str_))) == 0


def test_surprise_is_that_of_a_bigram_model_without_the_trace_itself() -> None:
    rows = [("a", "b")] * 9 + [("b",)]
    found = surprise(lists(rows), np.zeros(10, np.int64))
    # The tenth: begin → b in none of 9, b → end in all 9 of 9; two tools and the end are known.
    wanted = (-math.log(0.5 / (9 + 1.5)) - math.log(9.5 / (9 + 1.5))) / 2
    assert found.nats_per_step[9] == pytest.approx(wanted)
    assert (found.before[9], found.after[9]) == (-1, 1)
    # One of the nine: each of its steps in the other 8, beside the tenth's.
    each = -math.log(8.5 / (9 + 1.5)) - math.log(8.5 / (8 + 1.5)) - math.log(9.5 / (9 + 1.5))
    assert found.nats_per_step[0] == pytest.approx(each / 3)


def test_no_tools_are_a_sequence_too() -> None:
    found = surprise(lists([("a",)] * 30 + [()]), np.zeros(31, np.int64))
    assert found.nats_per_step[30] > 3
    assert (found.before[30], found.after[30]) == (-1, -1)
    assert len(surprise(lists([]), np.zeros(0, np.int64)).nats_per_step) == 0


def test_phrases_are_words_and_nothing_that_a_pattern_could_obey() -> None:
    assert read_phrases().version == 1
    assert set(read_phrases().languages) >= {"en", "de", "fr", "es"}
    for bad in ("a.*b", "(x", "Perhaps", "a|b", r"\pL", ""):
        with pytest.raises(ValueError, match="letters"):
            parse_phrases(f"version: 1\nlanguages: {{en: {{hedging: ['{bad}'], refusal: [no]}}}}")
