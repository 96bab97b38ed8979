"""How surprising a sequence of tool calls is for its workflow: a bigram model of each cohort. Pure.

The probability of the next tool, given the one before, is (c + a) / (n + a (v + 1)): of n calls after that tool, c were
the next one; v tools are known in the cohort, and the end is one more; a = 1/2 (Krichevsky & Trofimov 1981,
doi:10.1109/TIT.1981.1056331). Counts leave out the trace itself, so that what only one trace does is as surprising as
it is. The surprise of a trace is the mean of -ln p over its steps, the first and the end among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evalgate.signals.population import Lists

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

SMOOTHING: Final = 0.5


@dataclass(frozen=True, slots=True)
class Surprise:
    """How unexpected the tools of each trace are; columns, one element a trace."""

    nats_per_step: Floats
    before: Codes
    """The tool before the least expected step, as a code of the list; -1 is the beginning."""
    after: Codes
    """The tool there; -1 is the end."""
    step_nats: Floats
    """Of that step."""


def surprise(tools: Lists, cohort: Codes) -> Surprise:
    """Return how surprising the tools of each trace are in its cohort."""
    n, known = len(cohort), len(tools.names)
    if n == 0:
        none = np.zeros(0)
        return Surprise(none, none.astype(np.int64), none.astype(np.int64), none)
    trace, before, after = _steps(tools, known)
    width = known + 1
    context = cohort[trace] * width + before
    counts, own = _counts(context * width + after, trace)
    all_after, own_after = _counts(context, trace)
    used = np.unique(np.repeat(cohort, tools.lengths) * width + tools.codes) // width
    tools_known = np.bincount(used, minlength=int(cohort.max()) + 1)[cohort[trace]]
    chance = (counts - own + SMOOTHING) / (all_after - own_after + SMOOTHING * (tools_known + 1))
    nats = np.abs(np.log(chance))  # not -0 where it is certain
    begins = tools.offsets[:-1] + np.arange(n)
    most = np.maximum.reduceat(nats, begins)
    at = np.minimum.reduceat(np.where(nats == most[trace], np.arange(len(nats)), len(nats)), begins)
    mean = np.add.reduceat(nats, begins) / (tools.lengths + 1)
    return Surprise(mean, _shown(before[at], known), _shown(after[at], known), most)


def _steps(tools: Lists, outside: int) -> tuple[Codes, Codes, Codes]:
    """Return of every step its trace, the tool before and the tool after; `outside` is the beginning and the end."""
    n = len(tools.lengths)
    trace = np.repeat(np.arange(n), tools.lengths + 1)
    first = tools.offsets[:-1] + np.arange(n)
    before = np.full(len(trace), outside, np.int64)
    after = before.copy()
    is_first, is_last = np.zeros(len(trace), bool), np.zeros(len(trace), bool)
    is_first[first] = True
    is_last[first + tools.lengths] = True
    before[~is_first] = tools.codes
    after[~is_last] = tools.codes
    return trace, before, after


def _counts(keys: Codes, trace: Codes) -> tuple[Codes, Codes]:
    """Return for each step how often its key occurs, and how often in its own trace."""
    _, key, total = np.unique(keys, return_inverse=True, return_counts=True)
    _, own, of_own = np.unique(trace * len(total) + key, return_inverse=True, return_counts=True)
    return total[key], of_own[own]


def _shown(code: Codes, outside: int) -> Codes:
    return np.where(code == outside, -1, code)
