"""Times of the wire, uint64 nanoseconds, as ClickHouse can hold them, with a word on each repair.

DateTime64(9) ends on 2262-04-11 23:47:16 UTC, where its signed 64-bit count does. A sender's clock may say anything
and must not fail an INSERT; `time_faults` says what was changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

LATEST_UNIX_NS = np.uint64(2**63 - 1)

FAULTS = ("start_missing", "start_clamped", "end_missing", "end_clamped", "end_before_start")
"""What can be said of a span: its start became the time of receipt; its end became its start; a time after 2262 became
the last one that can be stored; the duration became 0 because the end lies before the start."""

LOG_FAULTS = ("time_missing", "time_clamped")
"""As FAULTS, for log records. The observed time stands in for a missing time, as the OTLP data model has it; where both
are missing, the time of receipt."""


@dataclass(frozen=True, slots=True)
class SpanTimes:
    """Storable times of n spans."""

    start: pa.Array
    end: pa.Array
    duration_ns: pa.Array
    faults: pa.Array


def span_times(start: NDArray[np.uint64], end: NDArray[np.uint64], received: NDArray[np.uint64]) -> SpanTimes:
    """Repair what must be repaired and say so."""
    no_start, no_end = start == 0, end == 0
    begin = np.where(no_start, received, start)
    finish = np.where(no_end, begin, end)
    backwards = finish < begin
    duration = np.where(backwards, np.uint64(0), finish - np.minimum(begin, finish))
    faults = np.stack([no_start, begin > LATEST_UNIX_NS, no_end, finish > LATEST_UNIX_NS, backwards])
    return SpanTimes(timestamps(begin), timestamps(finish), pa.array(duration), _words(faults, FAULTS))


def log_times(
    time: NDArray[np.uint64], observed: NDArray[np.uint64], received: NDArray[np.uint64]
) -> tuple[pa.Array, pa.Array]:
    """Return times and faults of log records."""
    missing = (time == 0) & (observed == 0)
    at = np.where(time != 0, time, np.where(observed != 0, observed, received))
    return timestamps(at), _words(np.stack([missing, at > LATEST_UNIX_NS]), LOG_FAULTS)


def timestamps(unix_ns: NDArray[np.uint64]) -> pa.Array:
    """Return Arrow timestamps; what lies after 2262 becomes the last moment that can be stored."""
    return pa.array(np.minimum(unix_ns, LATEST_UNIX_NS).astype(np.int64)).view(pa.timestamp("ns", "UTC"))


def _words(present: NDArray[np.bool_], words: tuple[str, ...]) -> pa.Array:
    """Return per column of the matrix the list of words whose row is true."""
    owner, word = np.nonzero(present.T)
    ends = np.zeros(present.shape[1] + 1, np.int32)
    np.cumsum(np.bincount(owner, minlength=present.shape[1]), out=ends[1:])
    return pa.ListArray.from_arrays(
        pa.array(ends), pa.DictionaryArray.from_arrays(pa.array(word.astype(np.int32)), pa.array(words))
    )
