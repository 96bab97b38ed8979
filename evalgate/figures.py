"""Figures as people read them."""

from __future__ import annotations


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
