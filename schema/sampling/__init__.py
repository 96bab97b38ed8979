"""Which traces belong to the baseline: a pure function of the trace id, so that every collector agrees without talking.

W3C consistent probability sampling: randomness R is `rv` of the tracestate member `ot` where present, else the low 56
bits of the trace id; a trace is kept iff R ≥ T, with the rejection threshold T = (1 - rate)·2^56. Whoever is kept at a
rate is kept at every higher one. Source:
https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from schema.sampling.tracestate import (
    BITS,
    MAX_MEMBERS,
    MAX_VALUE_CHARS,
    RANGE,
    TraceState,
    Trust,
    read_tracestate,
    with_threshold,
    without_sampling,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from schema.sampling.arrival import Arrival

__all__ = [
    "MAX_MEMBERS",
    "MAX_VALUE_CHARS",
    "RANGE",
    "TraceState",
    "Trust",
    "baseline",
    "randomness",
    "read_tracestate",
    "threshold",
    "weight",
    "with_threshold",
    "without_sampling",
]

LOW_56: Final = np.uint64(RANGE - 1)


def threshold(rate: float) -> int:
    """Return T for a rate in 0..1; 2^56, which nothing reaches, for 0.

    Raises:
        ValueError: the rate is not a probability.

    """
    if not 0 <= rate <= 1:
        raise ValueError(f"a sampling rate is between 0 and 1, not {rate}")
    return RANGE - round(rate * RANGE)


def thresholds(rates: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return T for each rate, as `threshold`."""
    return np.uint64(RANGE) - np.rint(np.ldexp(rates, BITS)).astype(np.uint64)


def weight(rate: float) -> float:
    """Return how many traces one kept at this rate stands for; 0 where nothing is kept."""
    return 1 / rate if rate > 0 else 0.0


def randomness(trace_id: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the low 56 bits of trace ids given as bytes [n, 16]."""
    return np.ascontiguousarray(trace_id[:, 8:16]).view(">u8").reshape(-1).astype(np.uint64) & LOW_56


def baseline(came: Arrival, rate: float | NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return, per span, whether its trace is in the baseline, and with which probability it got there.

    `rate` is one for all spans or one for each. The probability is that, or less where samplers before us kept fewer.
    """
    n = len(came.randomness)
    if isinstance(rate, float | int):
        limit = threshold(rate)
        kept = came.randomness >= np.uint64(limit) if limit < RANGE else np.zeros(n, np.bool_)
        rates = np.full(n, rate, np.float64)
    else:
        kept, rates = came.randomness >= thresholds(rate), rate
    return kept, rates if came.rate is None else np.fmin(rates, came.rate)
