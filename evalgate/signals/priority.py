"""Which traces deserve a look most: a sum of points, whose parts are shown. Pure.

    priority = sum over signals of (points x strength) + points of `pattern` x log(1 + n) / log(1 + most) - more_of_same

n is how many traces fail in the same way (reasons of failing and name of the root), `most` that of the most common way:
of two failures the more common one comes first (half of its points at the square root of the most). Ten labels of one
mode are enough to begin with, so a trace that k others come before for the same reason keeps 10 / (10 + k) of the
points of that reason; `more_of_same` takes the rest away. The reason is the part with the most points, in one workflow;
of failures, the pattern. Without that, one common error that does no harm, or one tool that is polled, is the whole
queue. Sums of points are what naive Bayes makes of signals that know nothing of each other; those that do (tokens,
cost, duration) have few points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from evalgate.signals.cohorts import codes
from evalgate.signals.weights import PATTERN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from evalgate.signals.measure import Signals
    from evalgate.signals.weights import Weights

MORE: Final = "more_of_same"
FLAG: Final = "model_flag"
ENOUGH: Final = 10
"""Labels of one failure mode that are enough for a first evaluator (docs/alignment.md)."""


@dataclass(frozen=True, slots=True)
class Priority:
    """The priority of each trace of a population."""

    score: NDArray[np.float64]
    parts: Mapping[str, NDArray[np.float64]]
    """Points by signal, those of `pattern`, and of `more_of_same`, which are below 0; they add up to the score."""
    before: NDArray[np.float64]
    """How many traces come before each for the same reason."""
    order: NDArray[np.int64]
    """Rows that are asked for, the most deserving first; of equal ones the latest."""

    def parts_of(self, row: int) -> dict[str, float]:
        """Return the parts of a trace that are not 0, the largest first."""
        found = {name: float(column[row]) for name, column in self.parts.items() if column[row] != 0}
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def prioritise(signals: Signals, weights: Weights) -> Priority:
    """Return the priority of every trace, and the order of those that are asked for."""
    parts = {name: weights.of(name) * column.strength for name, column in signals.columns.items()}
    most = signals.pattern_size.max(initial=0.0)
    parts[PATTERN] = weights.of(PATTERN) * np.log1p(signals.pattern_size) / max(np.log1p(most), 1e-9)
    score = np.sum(list(parts.values()), axis=0)
    p = signals.population
    lead, points = _lead(parts)
    reason = codes(lead, np.where(lead == 0, signals.pattern, -1), _flagged_as(signals, lead, parts), signals.workflow)
    before = _before(reason, np.lexsort((p.trace, -p.start_ns, -score)))
    parts[MORE] = -points * before / (ENOUGH + before)
    score = score + parts[MORE]
    order = np.lexsort((p.trace, -p.start_ns, -score))
    return Priority(score, parts, before, order[p.asked_for[order]])


def _lead(parts: Mapping[str, NDArray[np.float64]]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which part has the most points, 0 for failing with its pattern, and how many."""
    failing = parts["failure"] + parts[PATTERN]
    every = np.stack([failing, *(column for name, column in parts.items() if name not in {"failure", PATTERN})])
    return every.argmax(axis=0), every.max(axis=0)


def _flagged_as(
    signals: Signals, lead: NDArray[np.int64], parts: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.int64]:
    """Return what a model called a trace, as a number, where that is the reason: its categories are no one reason."""
    flagged = signals.population.flagged
    category = np.full(len(lead), -1, np.int64)
    category[flagged.row] = codes(flagged.category) if len(flagged.row) else flagged.row
    others = [name for name in parts if name not in {"failure", PATTERN}]
    return np.where(lead == 1 + others.index(FLAG), category, -1)


def _before(reason: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how many traces come before each for the same reason, in an order."""
    found = np.zeros(len(reason))
    by_reason = order[np.argsort(reason[order], kind="stable")]
    own = reason[by_reason]
    begins = np.flatnonzero(np.r_[True, own[1:] != own[:-1]]) if len(own) else np.zeros(0, np.int64)
    lengths = np.diff(np.r_[begins, len(own)])
    found[by_reason] = np.arange(len(own)) - np.repeat(begins, lengths)
    return found
