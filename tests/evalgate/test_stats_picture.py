"""Rates as words and bars."""

from __future__ import annotations

import numpy as np

from evalgate.stats.estimate import Sums
from evalgate.stats.figure import Figure, figure_of
from evalgate.stats.measures import Least
from evalgate.stats.numbers import amount, count, interval, share
from evalgate.stats.picture import axis, axis_end, said, whisker


def figure(rate: float | None, low: float, high: float) -> Figure:
    return Figure("f", rate, low, high, 100, 1.0, 100, 3, None if rate is not None else "few")


def test_a_bar_ends_at_its_rate_and_its_whisker_at_the_limits() -> None:
    assert whisker(figure(0.5, 0.25, 0.75), 1.0, 17) == "████├───●───┤"
    assert whisker(figure(None, 0.0, 0.5), 1.0, 17) == "├───────┤"
    assert whisker(figure(None, 0.5, 1.0), 0.5, 5) == "    ›"
    assert axis(1.0, 20) == "0 %     50 %   100 %"
    assert axis_end([figure(0.01, 0.005, 0.018), figure(None, 0.0, 1.0)]) == 0.02


def test_numbers_never_say_0_or_100_percent_of_what_is_not() -> None:
    assert [share(x) for x in (0.0, 1.0, 0.034, 0.00012, 0.99964, 0.5, 1e-9, 0.9999999)] == [
        "0 %",
        "100 %",
        "3.4 %",
        "0.012 %",
        "99.964 %",
        "50 %",
        "0.00000010 %",
        "99.9999900 %",
    ]
    assert interval(0.029, 0.0404) == "2.9 to 4.0 %"
    assert interval(0.03998, 0.04012) == "4.00 to 4.01 %"
    assert interval(0.5, 0.5) == "50 to 50 %"
    assert interval(0.0, 5e-14) == "below 0.001 %"
    assert interval(1 - 5e-14, 1.0) == "above 99.999 %"
    assert interval(0.95, 1 - 5e-14) == "95.0 to >99.999 %"
    assert interval(1e-14, 0.05) == "<0.001 to 5.0 %"
    assert said(figure(None, 1e-14, 5e-14)) == ("insufficient data", "below 0.001 %")
    assert [count(x) for x in (0, 3, 0.251, 41233.4, 41_233_000, 1e12)] == [
        "0",
        "3",
        "0.25",
        "41,233",
        "41.23 million",
        "1.00 trillion",
    ]
    assert [amount(x) for x in (1234.5, 0.00431, 12)] == ["1,234", "0.00431", "12"]
    assert said(figure(None, 0.0, 0.2)) == ("insufficient data", "0 to 20 %")


def test_what_is_lacking_is_said_in_words() -> None:
    def told(events: float) -> str | None:
        one = [np.array([x]) for x in (1000, 1000, 1000, events, events, events, events, 0, 1000 - events, 1, 1)]
        return figure_of("f", Sums(*one), Least()).why

    assert told(1) == "only 1 session or trace with it, 5 are needed"
    assert told(2) == "only 2 sessions or traces with it, 5 are needed"
