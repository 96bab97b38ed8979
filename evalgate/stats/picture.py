"""Rates as bars with the whiskers of their intervals, in plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evalgate.stats.figure import WORD
from evalgate.stats.numbers import TINY, interval, share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.stats.figure import Figure

WIDTH: Final = 36
STEPS: Final = (1.0, 2.0, 5.0)
NICE: Final = tuple(s * 10.0**e for e in range(-7, 1) for s in STEPS if s * 10.0**e <= 1)
"""Where an axis may end."""


def axis_end(figures: Sequence[Figure]) -> float:
    """Return the share at which the axis of these figures ends: beyond the intervals of those that can be told."""
    told = [f.high for f in figures if f.rate is not None] or [min(f.high for f in figures)] if figures else [1.0]
    return next((n for n in NICE if n >= max(told)), 1.0)


def whisker(figure: Figure, end: float, width: int = WIDTH) -> str:
    """Return one bar: filled up to the rate, a whisker from limit to limit; "›" where it goes on beyond the axis.

    No rate, no bar and no point: the whisker alone.
    """
    cells = [" "] * width
    first, last = _cell(figure.low, end, width), _cell(figure.high, end, width)
    if figure.rate is not None:
        cells[: _cell(figure.rate, end, width)] = "█" * _cell(figure.rate, end, width)
    for i in range(first, last + 1):
        cells[i] = "─"
    cells[first] = "├"
    cells[last] = "›" if figure.high > end else "┤"
    if figure.rate is not None:
        cells[_cell(figure.rate, end, width)] = "●"
    return "".join(cells).rstrip()


def axis(end: float, width: int = WIDTH) -> str:
    """Return the line above the bars: 0, the half, the end."""
    marks = [share(0.0), share(end / 2), share(end)]
    middle = width // 2 - len(marks[1]) // 2 - len(marks[0])
    rest = width - len(marks[0]) - middle - len(marks[1]) - len(marks[2])
    return f"{marks[0]}{' ' * middle}{marks[1]}{' ' * max(rest, 1)}{marks[2]}"


def said(figure: Figure) -> tuple[str, str]:
    """Return a rate and its interval in words; what is missing where there is no rate."""
    if figure.rate is not None:
        return share(figure.rate), interval(figure.low, figure.high)
    if figure.events == 0 and figure.traces > 0:
        return WORD, interval(0.0, figure.high) if figure.high < TINY else f"below {share(figure.high)}"
    return WORD, interval(figure.low, figure.high)


def _cell(value: float, end: float, width: int) -> int:
    return min(max(round(value / end * (width - 1)), 0), width - 1)
