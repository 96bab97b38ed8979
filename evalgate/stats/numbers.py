"""Numbers as people read them."""

from __future__ import annotations

import math
from typing import Final

MAX_DECIMALS: Final = 12
MOST_OF_INTERVAL: Final = 5
"""Decimals that tell the ends of an interval apart."""
TINY: Final = 1e-5
"""An interval below it is told as that: nobody reads more zeros."""


def share(rate: float, decimals: int = 0) -> str:
    """Return a share with two digits that matter, and at least so many decimals: 3.4 %, 0.012 %, 99.96 %.

    It says 0 % and 100 % of nothing else.
    """
    if rate in (0.0, 1.0):
        return f"{rate * 100:g} %"
    return f"{rate * 100:.{max(_decimals(rate), decimals)}f} %"


def interval(low: float, high: float) -> str:
    """Return an interval: "2.9 to 4.0 %"; with as many decimals as tell its ends apart.

    An end below 0.001 % is told as that, and an interval that ends there is "below 0.001 %".
    """
    if high < TINY:
        return "below 0.001 %"
    if low > 1 - TINY:
        return "above 99.999 %"
    decimals = 0 if high <= low else min(MOST_OF_INTERVAL, math.ceil(-math.log10((high - low) * 100)))
    first = "<0.001" if 0 < low < TINY else share(low, decimals).removesuffix(" %")
    last = ">99.999 %" if 1 - TINY < high < 1 else share(high, decimals)
    return f"{first} to {last}"


def _decimals(rate: float) -> int:
    away = min(rate, 1 - rate) * 100
    return 0 if away >= 9.95 else min(MAX_DECIMALS, 1 - math.floor(math.log10(away)))


def count(number: float) -> str:
    """Return a count with commas, or with few digits where it is small or large: 41,233; 0.25; 4.12 million."""
    if number != 0 and abs(number) < 10:
        return f"{number:.2g}"
    if abs(number) < 1e6:
        return f"{number:,.0f}"
    for limit, name in ((1e9, "million"), (1e12, "billion"), (math.inf, "trillion")):
        if abs(number) < limit:
            scale = {"million": 1e6, "billion": 1e9, "trillion": 1e12}[name]
            return f"{number / scale:,.2f} {name}"
    return f"{number:g}"


def amount(number: float) -> str:
    """Return a measured amount with three digits that matter."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
