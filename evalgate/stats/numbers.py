"""Numbers as people read them."""

from __future__ import annotations

import math


def share(rate: float) -> str:
    """Return a share with two digits that matter: 3.4 %, 0.012 %, 99.96 %; 0 % and 100 % only where it is just that."""
    if rate in (0.0, 1.0):
        return f"{rate * 100:g} %"
    away = min(rate, 1 - rate)
    decimals = max(0, 1 - math.floor(math.log10(away * 100))) if away * 100 < 9.95 else 0
    return f"{rate * 100:.{min(decimals, 12)}f} %"


def interval(low: float, high: float) -> str:
    """Return an interval: "2.9 to 4.0 %"."""
    first, last = share(low), share(high)
    return f"{first.removesuffix(' %')} to {last}"


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
