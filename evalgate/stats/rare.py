"""Failure modes that are seldom seen: how many examples the present rate yields, and what it takes to have enough.

An example is a trace with the mode that is flagged, so that a person sees it. One that shows as a failure is always
flagged; of the others the baseline has its share. Raising `baseline_rate` buys examples of everything at once; a
failure rule that catches the mode (a pre-filter) buys all of its examples and nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalgate.stats.measures import ENOUGH
from evalgate.stats.numbers import count

if TYPE_CHECKING:
    from evalgate.stats.figure import Figure


@dataclass(frozen=True, slots=True)
class Traffic:
    """What comes in, a week."""

    traces_per_week: float
    failing_per_week: float
    flagged_per_week: float
    rate: float
    """The share of traces that do not fail which the baseline has."""
    labelled: float
    """The share of flagged traces that a person has labelled."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A failure mode, a reason, or one that is asked for."""

    name: str
    kind: str
    """mode, reason or asked."""
    figure: Figure | None
    frequency: float | None
    """Of all traces; None: not known."""
    shows_as_failure: float
    """Of its traces, the share that fails by itself, and so is flagged."""


@dataclass(frozen=True, slots=True)
class Yield:
    """What a mode yields; numbers a week, None where its frequency is not known."""

    mode: Mode
    there: float | None
    flagged: float | None
    rate_for_enough: float | None
    """The least baseline rate that yields enough; None where the present one does, or none would."""
    weeks_for_enough: float | None
    """At the present rate."""
    advice: str


def yield_of(mode: Mode, traffic: Traffic, enough: float = ENOUGH) -> Yield:
    """Return how many examples of a mode a week has, and what would have to change for enough."""
    if mode.frequency is None:
        high = mode.figure.high if mode.figure else 1.0
        advice = f"not known, at most {count(high * traffic.traces_per_week)} a week: label more, or look further back"
        return Yield(mode, None, None, None, None, advice)
    there = mode.frequency * traffic.traces_per_week
    surely = there * mode.shows_as_failure
    hidden = there - surely
    flagged = surely + hidden * traffic.rate
    weeks = enough / flagged if flagged > 0 else None
    rate = (enough - surely) / hidden if hidden > 0 and surely < enough else None
    if flagged >= enough:
        return Yield(mode, there, flagged, None, weeks, "enough")
    if rate is not None and rate <= 1:
        least = _up(rate)
        more = (least - traffic.rate) * (traffic.traces_per_week - traffic.failing_per_week)
        advice = (
            f"baseline_rate {least:g} flags {count(more)} more a week; a failure rule that catches it {count(hidden)}"
        )
        return Yield(mode, there, flagged, least, weeks, advice)
    if there <= 0:
        return Yield(mode, there, flagged, None, None, "there is none of it")
    rule = "" if mode.shows_as_failure >= 1 else "a failure rule that catches it, and "
    advice = f"{rule}{enough / there:,.2g} weeks: all there is are {count(there)} a week"
    return Yield(mode, there, flagged, None, weeks, advice)


def _up(rate: float) -> float:
    """Return the next rate of two digits."""
    digits = 1 - math.floor(math.log10(rate))
    scale = float(10**digits)
    return min(1.0, math.ceil(rate * scale - 1e-9) / scale)
