"""A synthetic stream of traces for comparing samplers: what arrives when, and which traces fail, and how one finds out.

A trace comes in one or more arrivals, each the spans of one request. The modes, and what tells that a trace fails:

    fine           nothing
    at once        a span with status ERROR among its first
    late           a span with status ERROR that comes minutes to hours after the others (a lognormal delay)
    long           an agent that works for up to an hour, its last span with status ERROR
    content        every status is OK; the answer was withheld (finish reason content_filter)
    thumbs down    a user says so in a log record, minutes to a day later (a lognormal delay)
    after holding  as thumbs down, but days after traces that nobody flagged may be gone

Traces come evenly, but for one burst in the middle; a third of them in several requests. All times are seconds since
the stream began, all randomness is of one seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Mode(IntEnum):
    """How a trace fails, or that it does not."""

    FINE = 0
    AT_ONCE = 1
    LATE = 2
    LONG = 3
    CONTENT = 4
    THUMBS_DOWN = 5
    AFTER_HOLDING = 6


class Sign(IntEnum):
    """What an arrival says of a failure."""

    NOTHING = 0
    STATUS_ERROR = 1
    CONTENT = 2
    FEEDBACK = 3


NAMES: Final = ("fine", "at once", "late", "long", "content", "thumbs down", "after holding")
SHARES: Final = {
    Mode.AT_ONCE: 0.02,
    Mode.LATE: 0.01,
    Mode.LONG: 0.005,
    Mode.CONTENT: 0.005,
    Mode.THUMBS_DOWN: 0.01,
    Mode.AFTER_HOLDING: 0.001,
}
"""Of all traces: one in twenty fails, half of them noticed later than any sampler in memory waits."""

DAY_S: Final = 86_400.0
LATE_MEDIAN_S: Final = 600.0
LATE_SIGMA: Final = 1.3
THUMBS_MEDIAN_S: Final = 3_600.0
THUMBS_SIGMA: Final = 1.5
LATEST_S: Final = DAY_S
LONG_S: Final = (300.0, 3_600.0)
LONG_PIECES: Final = 6
SPLIT_WITHIN_S: Final = 5.0
"""OTEL_BSP_SCHEDULE_DELAY of an SDK: the pieces of one trace come so far apart."""
SPLIT_SHARE: Final = 1 / 3


@dataclass(frozen=True, slots=True)
class Plan:
    """How much comes."""

    traces: int = 60_000
    """That come evenly."""
    seconds: float = 3_600.0
    burst_traces: int = 60_000
    burst_seconds: float = 20.0
    holding_days: int = 7
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Stream:
    """Arrivals in order of time, as columns, and the truth about each trace."""

    at_s: NDArray[np.float64]
    trace: NDArray[np.int64]
    """Row of the trace."""
    spans: NDArray[np.int64]
    """0: feedback comes as a log record."""
    sign: NDArray[np.int64]
    """A Sign: what its last span says, or the log record."""
    mode: NDArray[np.int64]
    """Of each trace."""
    began_s: NDArray[np.float64]
    """Of each trace."""
    ids: NDArray[np.uint8]
    """Of each trace, 16 bytes."""

    @property
    def failing(self) -> NDArray[np.bool_]:
        """Which traces fail, sooner or later."""
        return np.not_equal(self.mode, Mode.FINE)

    @property
    def span_count(self) -> NDArray[np.int64]:
        """Spans of each trace."""
        return np.bincount(self.trace, self.spans, len(self.mode)).astype(np.int64)


def stream(plan: Plan) -> Stream:
    """Make a stream; the same plan makes the same one."""
    chance = np.random.default_rng(plan.seed)
    middle = plan.seconds / 2
    even = chance.uniform(0, plan.seconds, plan.traces)
    burst = chance.uniform(middle, middle + plan.burst_seconds, plan.burst_traces)
    began = np.sort(np.concatenate([even, burst]))
    n = len(began)
    mode = chance.choice(np.array([Mode.FINE, *SHARES]), size=n, p=[1 - sum(SHARES.values()), *SHARES.values()]).astype(
        np.int64
    )
    parts = [_first(began, chance)]
    parts += [_last(began, mode, m, chance, plan) for m in SHARES if m not in (Mode.AT_ONCE, Mode.CONTENT)]
    parts.append(_steps(began, mode, chance))
    at, trace, spans = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((trace, at))
    at, trace, spans = at[order], trace[order], spans[order]
    ids = chance.integers(0, 256, (n, 16), np.uint8)
    return Stream(at, trace, spans, _signs(trace, mode), mode, began, ids)


Part = tuple["NDArray[np.float64]", "NDArray[np.int64]", "NDArray[np.int64]"]
"""When, of which trace, how many spans."""


def _first(began: NDArray[np.float64], chance: np.random.Generator) -> Part:
    """Return what every trace begins with: one request, or two to four within seconds."""
    n = len(began)
    pieces = np.where(chance.random(n) < SPLIT_SHARE, chance.integers(2, 5, n), 1)
    trace = np.repeat(np.arange(n), pieces)
    is_first = np.diff(trace, prepend=-1) != 0
    delay = np.where(is_first, 0.0, chance.uniform(0, SPLIT_WITHIN_S, len(trace)))
    return began[trace] + delay, trace, chance.integers(1, 6, len(trace))


def _steps(began: NDArray[np.float64], mode: NDArray[np.int64], chance: np.random.Generator) -> Part:
    """Return what long traces send while they work."""
    which = np.repeat(np.flatnonzero(mode == Mode.LONG), LONG_PIECES)
    # Before LONG_S[0], when the earliest of them end.
    return began[which] + chance.uniform(10, LONG_S[0], len(which)), which, np.full(len(which), 2)


def _last(
    began: NDArray[np.float64], mode: NDArray[np.int64], wanted: Mode, chance: np.random.Generator, plan: Plan
) -> Part:
    """Return what tells that a trace fails, where that comes after its beginning."""
    which = np.flatnonzero(mode == wanted)
    n = len(which)
    if wanted is Mode.LATE:
        delay = SPLIT_WITHIN_S + np.minimum(LATE_MEDIAN_S * np.exp(LATE_SIGMA * chance.standard_normal(n)), LATEST_S)
    elif wanted is Mode.LONG:
        delay = chance.uniform(*LONG_S, n)
    else:
        delay = SPLIT_WITHIN_S + np.minimum(
            THUMBS_MEDIAN_S * np.exp(THUMBS_SIGMA * chance.standard_normal(n)), LATEST_S
        )
    if wanted is Mode.AFTER_HOLDING:
        delay += (plan.holding_days + 2) * DAY_S
    spans = 0 if wanted in (Mode.THUMBS_DOWN, Mode.AFTER_HOLDING) else 1
    return began[which] + delay, which, np.full(n, spans)


def _signs(trace: NDArray[np.int64], mode: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what each arrival says: the last of a trace tells of its failure, for `at once` the first does."""
    says = np.array(
        [
            Sign.NOTHING, Sign.STATUS_ERROR, Sign.STATUS_ERROR, Sign.STATUS_ERROR, Sign.CONTENT, Sign.FEEDBACK,
            Sign.FEEDBACK,
        ]
    )  # fmt: skip
    _, first = np.unique(trace, return_index=True)
    last = len(trace) - 1 - np.unique(trace[::-1], return_index=True)[1]
    found = np.zeros(len(trace), np.int64)
    at = np.where(np.isin(mode, (Mode.AT_ONCE, Mode.CONTENT)), first, last)
    found[at] = says[mode]
    return found
