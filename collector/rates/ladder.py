"""From how many traces came to the rate that samples enough of them.

Rates stand on a ladder of halves: 1, 1/2, 1/4, … Collectors that count a little differently mostly stand on the same
step, and what they disagree on does no harm: a trace has the highest rate of its spans.
"""

from __future__ import annotations

import math
from typing import Final

STEPS: Final = 30
"""The lowest is 2^-30."""
MARGIN: Final = 1.25
"""A rate comes down when the step below would do for so many times the target: it must not go up and down each day."""


def step(share: float) -> float:
    """Return the lowest step of the ladder that is not below a share; 1 for more than everything."""
    if share >= 1:
        return 1.0
    return float(2.0 ** -min(math.floor(-math.log2(share)), STEPS)) if share > 0 else 2.0**-STEPS


def next_rate(before: float | None, *, set_rate: float, traces_per_day: float, target_per_day: float) -> float:
    """Return the rate to use from now on; `before` is that of until now, None where nothing was raised.

    It is never below what is set and never above 1. What is set to 0 stays out.
    """
    if set_rate == 0:
        return 0.0
    share = target_per_day / traces_per_day if traces_per_day > 0 else 1.0
    low, high = step(share), step(share * MARGIN)
    held = low if before is None or before < low else min(before, high)
    return max(set_rate, held)
