"""How many examples of a rare failure mode there are a week, and what it takes to have enough."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalgate.stats.figure import Figure
from evalgate.stats.rare import Mode, Traffic, yield_of

WEEK = Traffic(traces_per_week=20_000, failing_per_week=1_000, flagged_per_week=2_900, rate=0.1, labelled=0.05)


def asked(frequency: float, shows: float = 0.0) -> Mode:
    return Mode("m", "asked", None, frequency, shows)


def test_a_five_percent_mode_has_enough_at_10_percent() -> None:
    found = yield_of(asked(0.05), WEEK)
    assert (found.there, found.flagged, found.advice) == (1000, 100, "enough")


def test_a_mode_in_a_thousand_needs_a_higher_rate_or_a_rule_that_catches_it() -> None:
    found = yield_of(asked(0.001), WEEK)
    assert (found.there, found.flagged, found.rate_for_enough) == (20, 2, 0.5)
    assert found.weeks_for_enough == 5
    assert found.advice == "baseline_rate 0.5 flags 7,600 more a week; a failure rule that catches it 20"


def test_where_all_of_it_is_too_few_only_time_helps() -> None:
    found = yield_of(asked(0.0001), WEEK)
    assert found.rate_for_enough is None
    assert found.advice == "a failure rule that catches it, and 5 weeks: all there is are 2 a week"


def test_what_shows_as_a_failure_is_all_flagged() -> None:
    found = yield_of(asked(0.0001, shows=1.0), WEEK)
    assert (found.flagged, found.rate_for_enough) == (2, None)
    assert found.advice == "5 weeks: all there is are 2 a week"


def test_a_mode_whose_frequency_is_not_known_has_a_bound() -> None:
    figure = Figure("m", None, 0.0, 0.02, 50, 1.0, 50, 0, "none seen")
    found = yield_of(Mode("m", "mode", figure, None, 0.0), WEEK)
    assert (found.there, found.flagged) == (None, None)
    assert "at most 400 a week" in found.advice


@given(
    st.floats(1e-6, 1.0),
    st.floats(0.0, 1.0),
    st.floats(0.0, 0.99),
    st.floats(10, 1e7),
    st.floats(1, 100),
)
def test_the_advised_rate_yields_enough_and_no_lower_one_does(
    frequency: float, shows: float, rate: float, traces: float, enough: float
) -> None:
    week = Traffic(traces, traces * 0.05, traces * 0.1, rate, 0.1)
    found = yield_of(asked(frequency, shows), week, enough)
    if found.rate_for_enough is None:
        return
    assert rate < found.rate_for_enough <= 1

    def flagged(at: float) -> float:
        return traces * frequency * (shows + (1 - shows) * at)

    assert flagged(found.rate_for_enough) == pytest.approx(max(enough, flagged(found.rate_for_enough)))
    assert flagged(found.rate_for_enough * 0.9) <= enough * 1.0001
