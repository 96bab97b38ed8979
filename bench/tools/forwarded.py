"""The stream of bench/tools/arrivals.py through the sidecar's sampler: what it would forward, and remember.

The decisions are the product's own: its evidence, its memory and file of decisions, its sampler of a lane. The time
between them is the stream's: what a batch says is known when its last record came, and it is forwarded
`decision_wait_s` later. The journal is stood for by a list, which a crash leaves as it is; the memory is loaded from
its file again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bench.tools.samplers import Kept
from bench.tools.stored import records
from collector.decode import decode
from collector.journal.fs import Fs
from collector.processors.asymmetric_sampler.decisions import FACT
from collector.processors.asymmetric_sampler.evidence import evidence
from collector.processors.asymmetric_sampler.file import DecisionFile
from collector.processors.asymmetric_sampler.memory import Memory
from collector.processors.asymmetric_sampler.sampler import Sampler
from schema.arrays import truths
from schema.sampling.arrival import arrival

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bench.tools.arrivals import Stream
    from schema.batch import SpanBatch

WAIT_S: Final = 30.0
MAX_TRACES: Final = 100_000
"""Defaults of the processor."""
SALT: Final = bytes(16)
NEAR_S, FAR_S = 10.0, 60.0
"""What comes within so long is one batch: while many come, and later. A journal's are shorter, and tell sooner."""
KEY_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Waiting:
    """A batch that was read ahead."""

    due_s: float
    end: int
    batch: SpanBatch


class Sidecar:
    """The two sides of the sampler and what lies between them."""

    def __init__(self, stream: Stream, process: Callable[[SpanBatch], SpanBatch], folder: Path) -> None:
        self._stream = stream
        self._process = process
        self._folder = folder
        n = len(stream.mode)
        self.kept = Kept(np.zeros(n, np.int64), np.zeros(n, np.bool_))
        self._order = np.argsort(stream.ids.view("V16").reshape(-1))
        self._sorted = stream.ids.view("V16").reshape(-1)[self._order]
        self._rate = np.zeros(n)
        self._waiting: deque[Waiting] = deque()
        self._read = 0
        self._start()

    def _start(self) -> None:
        """Begin with what the file says, as after a crash."""
        file = DecisionFile(self._folder, Fs())
        self._memory = Memory(file, SALT, max_traces=MAX_TRACES, policy="bench")
        self._memory.load(self._read, mark=0)
        self._memory.free_before = lambda: self._waiting[0].batch.origins.sequence[0] if self._waiting else self._read
        self._sampler = Sampler(self._memory, MAX_TRACES, lambda sequence: np.zeros(len(sequence), np.bool_))

    def run(self, crashes_s: Sequence[float]) -> Kept:
        """Return what was forwarded."""
        crashes = deque(sorted(crashes_s))
        for first, last in windows(self._stream):
            now_s = float(self._stream.at_s[last - 1])
            while crashes and crashes[0] <= now_s:
                self._forward(crashes.popleft())
                self._start()
            self._forward(now_s)
            batch = decode(list(records(self._stream, first, last)))
            self._memory.observe(evidence(self._process(batch), SALT, policy=self._memory.policy))
            self._memory.save()
            self._read = last
            self._waiting.append(Waiting(now_s + WAIT_S, last, batch))
            self._measure()
        self._forward(float("inf"))
        rate = np.where(self._rate > 0, self._rate, 1.0)
        self.kept.weight = np.where(self.kept.spans > 0, 1 / rate, 0.0)
        return self.kept

    def _forward(self, now_s: float) -> None:
        while self._waiting and self._waiting[0].due_s <= now_s:
            out = self._process(self._sampler(self._waiting.popleft().batch))
            self._sampler.save()
            if len(out):
                rows = self._rows(out.trace_id)
                np.add.at(self.kept.spans, rows, 1)
                np.logical_or.at(self.kept.shows_failure, rows, truths(out.columns["failing"]))
                came = arrival(out.trace_id, out.trace_state)
                np.maximum.at(self._rate, rows, 1.0 if came.rate is None else np.nan_to_num(came.rate, nan=1.0))
            for row in out.feedback:
                trace = np.frombuffer(bytes.fromhex(row["trace_id"]), np.uint8).reshape(1, 16)
                self.kept.shows_failure[self._rows(trace)] = True

    def _rows(self, ids: NDArray[np.uint8]) -> NDArray[np.intp]:
        own = np.ascontiguousarray(ids).view("V16").reshape(-1)
        return np.asarray(self._order[np.searchsorted(self._sorted, own)], np.intp)

    def _measure(self) -> None:
        status: dict[str, Any] = self._memory.status()
        left_out = len(self._sampler._left_out)  # noqa: SLF001 - its memory is measured
        used = status["remembered_traces"] * FACT.itemsize + left_out * KEY_BYTES
        self.kept.peak_bytes = max(self.kept.peak_bytes, used)
        self.kept.peak_traces = max(self.kept.peak_traces, status["remembered_traces"])


def windows(stream: Stream) -> Iterator[tuple[int, int]]:
    """Yield ranges of arrivals that come within NEAR_S of their first, or FAR_S once few come."""
    last_began = float(stream.began_s.max())
    first = 0
    while first < len(stream.at_s):
        at = float(stream.at_s[first])
        last = int(np.searchsorted(stream.at_s, at + (NEAR_S if at <= last_began else FAR_S)))
        yield first, max(last, first + 1)
        first = max(last, first + 1)
