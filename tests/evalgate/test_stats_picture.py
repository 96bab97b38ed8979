"""Rates as words and bars."""

from __future__ import annotations

from evalgate.stats.figure import Figure
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
