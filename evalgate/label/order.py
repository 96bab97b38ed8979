"""Which of the traces without a label come first: by the points of their signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evalgate.select.recent import CLOCK_AHEAD
from evalgate.select.where import Where
from evalgate.signals.measure import signals
from evalgate.signals.population import STATEMENTS
from evalgate.signals.priority import MORE, prioritise
from evalgate.signals.weights import PATTERN
from evalgate.signals.words import words_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from evalgate.database import TenantDatabase
    from evalgate.signals.weights import Weights
    from evalgate.terminal import Step

__all__ = ["STATEMENTS", "by_points"]

PARTS: Final = 3
"""Parts of a score that are told of a trace."""
EXPLAINED: Final = 500
"""Traces whose points are put into words; nobody reads more in one sitting."""


def by_points(
    database: TenantDatabase,
    trace_ids: Sequence[str],
    weights: Weights,
    since: datetime | None,
    *,
    step: Step,
) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Return the traces, those with the most points first, and why, by trace.

    Traces that are older than those that are compared keep their order, after the others.
    """
    found = signals(database, Where(), since and since - CLOCK_AHEAD, step=step)
    priority = prioritise(found, weights)
    asked, row_of = set(trace_ids), {}
    for row in priority.order:
        trace = str(found.population.trace[row])
        if trace in asked:
            row_of[trace] = int(row)
    why: dict[str, tuple[str, ...]] = {}
    for trace, row in list(row_of.items())[:EXPLAINED]:
        parts = [(name, points) for name, points in priority.parts_of(row).items() if abs(points) >= 0.5]
        told = [
            f"{name} {points:+.0f}" + (f" ({words_of(found, name, row)})" if name not in (MORE, PATTERN) else "")
            for name, points in parts[:PARTS]
        ]
        if told:
            why[trace] = (f"{priority.score[row]:.0f} points: {', '.join(told)}",)
    return [*row_of, *(t for t in trace_ids if t not in row_of)], why
