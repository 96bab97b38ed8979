"""Rates of what only labelled traces show: a failure mode is known of those that a person has read.

People label failing traces first, so those are no picture of all traces. Among failing ones, and among the sampled
others, which are labelled is taken to be chance (an assumption: whoever picks by content breaks it). A mode's rate is

    θ = p · q₁ + (1 - p) · q₀        p: share of failing traces, q: share of the mode among the labelled of each kind

the estimate of double sampling for stratification (J. Neyman, JASA 33, 1938). Its limits are put together from those
of the three parts (MOVER: G. Y. Zou and A. Donner, Statistics in Medicine 27, 2008). Where nothing of one kind is
labelled, anything between none and all of it may have the mode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evalgate.stats.estimate import Rates
    from evalgate.stats.intervals import Floats

NARROW: Final = 0.05
WIDE: Final = 0.30
RELATIVE: Final = 1.30
"""A share is told where its interval is narrower than the first, or than the second and than so many times itself:
NCHS Data Presentation Standards for Proportions, Vital Health Stat 2(175), 2017."""
TIMES: Final = 20.0
"""Nor where its upper limit is so many times the share: labels of one kind say nothing of the other (ours)."""


@dataclass(frozen=True, slots=True)
class Overall:
    """Shares of all traces; columns."""

    rate: Floats
    """NaN where nothing of one kind is labelled."""
    low: Floats
    high: Floats
    sufficient: NDArray[np.bool_]


def overall(p: Rates, among_failing: Rates, among_others: Rates, *, min_events: float) -> Overall:
    """Put the share of a mode among all traces together from its shares among labelled ones."""
    q1, q0 = among_failing, among_others
    r1, r0 = np.nan_to_num(q1.rate), np.nan_to_num(q0.rate)
    known = ~np.isnan(q1.rate) & ~np.isnan(q0.rate)
    top1, top0 = np.where(np.isnan(q1.rate), 1.0, r1), np.where(np.isnan(q0.rate), 1.0, r0)
    share = np.nan_to_num(p.rate)
    rate = share * r1 + (1 - share) * r0
    highest = share * top1 + (1 - share) * top0
    difference = r1 - r0
    falls = np.where(difference > 0, share - p.low, p.high - share)
    rises = np.where(difference > 0, p.high - share, share - p.low)
    below = _length(share * (r1 - q1.low), (1 - share) * (r0 - q0.low), difference * falls)
    above = _length(share * (q1.high - top1), (1 - share) * (q0.high - top0), difference * rises)
    low, high = np.clip(rate - below, 0.0, 1.0), np.clip(highest + above, 0.0, 1.0)
    width = high - low
    told = (width < NARROW) | ((width < WIDE) & (width < RELATIVE * rate))
    enough = (np.nan_to_num(q1.sessions) >= min_events) | (np.nan_to_num(q0.sessions) >= min_events)
    return Overall(np.where(known, rate, np.nan), low, high, known & told & enough & (rate > 0) & (high < TIMES * rate))


def _length(*parts: Floats) -> Floats:
    return np.sqrt(sum(p * p for p in parts))
