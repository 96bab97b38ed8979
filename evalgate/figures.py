"""Figures as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalgate.terminal import count_of

if TYPE_CHECKING:
    from schema.statistics import WeightedShare


def percent(rate: float | None) -> str:
    """Return a rate: 80 %, 33.3 %; never rounded up to 100 % or down to 0 %."""
    if rate is None:
        return "–"
    text = f"{rate * 100:.1f}".removesuffix(".0")
    if text == "100" and rate < 1:
        text = ">99.9"
    if text == "0" and rate > 0:
        text = "<0.1"
    return f"{text} %"


def points(change: float) -> str:
    """Return a change of a share or a score, in hundredths and with its sign: +3.2 points, -12 points, 0 points."""
    text = f"{change * 100:+.1f}".removesuffix(".0")
    if float(text) == 0:
        text = "0" if change == 0 else "<+0.1" if change > 0 else ">-0.1"
    return f"{text} points"


def weighted_words(share: WeightedShare | None) -> str | None:
    """Return what is to be said of a weighted pass rate; None where it says no more than the plain one."""
    if share is None or share.equal:
        return None
    told = "insufficient data" if share.rate is None else percent(share.rate)
    interval = f"95 % interval {percent(share.low)} to {percent(share.high)}"
    without = f", {share.unweighted} without a weight" if share.unweighted else ""
    return (
        f"{told} ({interval}), each case by what its trace stands for; effective n {share.effective_n:.3g} of "
        f"{count_of(share.counted, 'case')}{without}. Cases are chosen: a rate of production is evalgate stats"
    )
