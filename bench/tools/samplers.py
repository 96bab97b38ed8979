"""Simulations of samplers that decide while spans arrive. They are models of documented algorithms, not the programs.

`TailSampler`: `tail_sampling` of the OpenTelemetry Collector (contrib), by its README and by what its source does at
commit 01d8b1c, with the policies `status_code: ERROR` and `probabilistic`:

- Spans are kept in memory by trace. `decision_wait` after a trace's first span a tick, once a second, decides for it.
- Then its spans are sent or forgotten, and the trace itself stays known, with its decision, until `num_traces` newer
  ones pushed it out; spans that come meanwhile follow the decision. One pushed out before its decision is lost.
- Spans of a trace that is not known any more begin a new trace: decided from themselves alone, `decision_wait` later.
- With `decision_cache`, decisions are known by trace id for longer (LRU); the trace itself is let go at once.
- A crash forgets everything. What was sent by then is at the backend.

Left out in its favour: memory of anything but the wire bytes of spans, delays of its one event loop, what fails on the
way to the backend. Only status_code and probabilistic are configured; an `ottl_condition` could see some content too.

`coin_flips`: a decision for each trace of each request, without looking at others: an error or a thumbs-down is always
kept, else one in ten by a random number that nobody remembers.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from bench.tools.arrivals import Sign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bench.tools.arrivals import Stream

DECISION_WAIT_S: Final = 30
NUM_TRACES: Final = 50_000
"""Defaults of the processor's README."""


@dataclass(slots=True)
class Kept:
    """What of a stream is at the backend in the end, by trace."""

    spans: NDArray[np.int64]
    """How many of its spans."""
    shows_failure: NDArray[np.bool_]
    """Whether among them is what tells that it fails."""
    weight: NDArray[np.float64] | None = None
    """How many traces each kept one stands for; None: nobody recorded it."""
    spans_at_first: int | None = None
    """How many spans are stored before their holding time is over; None: as many as in the end."""
    spans_at_last: int | None = None
    """How many in the end; None: those of the traces that were picked."""
    peak_bytes: int = 0
    """In memory at the worst moment: wire bytes of spans that wait for a decision, or of what is remembered."""
    peak_traces: int = 0
    """Traces known in memory, at the worst moment."""
    lost_early: int = 0
    """Traces pushed out before their decision."""
    lost_in_crash: int = 0
    """Traces without a decision when the process died."""


@dataclass(slots=True)
class _Waiting:
    """What is known of one trace in memory."""

    arrivals: list[int] = field(default_factory=list)
    is_error: bool = False
    sampled: bool | None = None


class TailSampler:
    """The processor, fed with arrivals in order."""

    def __init__(
        self,
        stream: Stream,
        span_bytes: int,
        lucky: NDArray[np.bool_],
        *,
        rate: float = 0.1,
        num_traces: int = NUM_TRACES,
        cache_traces: int = 0,
    ) -> None:
        """`lucky` says which traces the probabilistic policy takes, at `rate`; `cache_traces` is a cache's size."""
        self._rate = rate
        self._stream = stream
        self._span_bytes = span_bytes
        self._lucky = lucky
        self._num_traces = num_traces
        self._cache_traces = cache_traces
        n = len(lucky)
        self._errors = np.zeros(n, np.bool_)
        self._kept = Kept(np.zeros(n, np.int64), np.zeros(n, np.bool_))
        self._bytes = 0
        self._forget()

    def _forget(self) -> None:
        self._known: OrderedDict[int, _Waiting] = OrderedDict()
        self._due: deque[tuple[float, int, _Waiting]] = deque()
        self._cached: dict[bool, OrderedDict[int, None]] = {True: OrderedDict(), False: OrderedDict()}
        self._bytes = 0

    def run(self, crashes_s: Sequence[float] = ()) -> Kept:
        """Return what it kept of the stream; the process dies at each of these moments, and is there again at once."""
        crashes = deque(sorted(crashes_s))
        s = self._stream
        for i, (at, trace) in enumerate(zip(s.at_s.tolist(), s.trace.tolist(), strict=True)):
            while crashes and crashes[0] <= at:
                self._decide(crashes[0])
                self._crash()
                crashes.popleft()
            self._decide(at)
            if s.spans[i]:
                self._take(i, trace, at)
            else:
                self._log(i, trace)
        self._decide(float("inf"))
        # Nobody records these; who knows the policies can put them together again: 1 where there is an error.
        weight = np.where(self._errors, 1.0, 1 / self._rate)
        self._kept.weight = np.where(self._kept.spans > 0, weight, 0.0)
        return self._kept

    def _take(self, i: int, trace: int, at: float) -> None:
        for sampled, cache in self._cached.items():
            if trace in cache:
                cache.move_to_end(trace)
                if sampled:
                    self._send(trace, [i])
                return
        known = self._known.get(trace)
        if known is None:
            known = self._known[trace] = _Waiting()
            # Decided by the tick that closes its second.
            self._due.append((float(int(at) + 1 + DECISION_WAIT_S), trace, known))
            if len(self._known) > self._num_traces:
                self._push_out()
            self._kept.peak_traces = max(self._kept.peak_traces, len(self._known))
        if known.sampled is not None:
            if known.sampled:
                self._send(trace, [i])
            return
        known.arrivals.append(i)
        known.is_error |= bool(self._stream.sign[i] == Sign.STATUS_ERROR)
        self._bytes += self._size(i)
        self._kept.peak_bytes = max(self._kept.peak_bytes, self._bytes)

    def _log(self, i: int, trace: int) -> None:
        """Take a log record: a pipeline of logs is not sampled, so the backend has it, and the trace or not."""
        self._kept.shows_failure[trace] |= bool(self._stream.sign[i] == Sign.FEEDBACK)

    def _decide(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            _, trace, known = self._due.popleft()
            if self._known.get(trace) is not known:
                continue  # pushed out
            known.sampled = known.is_error or bool(self._lucky[trace])
            self._bytes -= sum(map(self._size, known.arrivals))
            if known.sampled:
                self._send(trace, known.arrivals)
            known.arrivals = []
            if self._cache_traces:
                del self._known[trace]
                cache = self._cached[known.sampled]
                cache[trace] = None
                if len(cache) > self._cache_traces:
                    cache.popitem(last=False)

    def _push_out(self) -> None:
        _, oldest = self._known.popitem(last=False)
        if oldest.sampled is None:
            self._kept.lost_early += 1
            self._bytes -= sum(map(self._size, oldest.arrivals))

    def _crash(self) -> None:
        self._kept.lost_in_crash += sum(k.sampled is None for k in self._known.values())
        self._forget()

    def _send(self, trace: int, arrivals: Sequence[int]) -> None:
        for i in arrivals:
            self._kept.spans[trace] += self._stream.spans[i]
            self._kept.shows_failure[trace] |= bool(self._stream.sign[i] != Sign.NOTHING)
            self._errors[trace] |= bool(self._stream.sign[i] == Sign.STATUS_ERROR)

    def _size(self, i: int) -> int:
        return int(self._stream.spans[i]) * self._span_bytes


def coin_flips(stream: Stream, rate: float, seed: int) -> Kept:
    """Return what is picked where each trace of each request is flipped for; everything else is stored as well.

    The picked ones are those that are looked at, and of which rates are told.
    """
    chance = np.random.default_rng(seed)
    n = len(stream.mode)
    is_failure = np.isin(stream.sign, (Sign.STATUS_ERROR, Sign.FEEDBACK))
    picked = is_failure | (chance.random(len(stream.trace)) < rate) & (stream.spans > 0)
    taken = np.bincount(stream.trace[picked], minlength=n) > 0
    shows = np.bincount(stream.trace[stream.sign != Sign.NOTHING], minlength=n) > 0
    everything = int(stream.spans.sum())
    found = Kept(np.where(taken, stream.span_count, 0), shows & taken)
    found.spans_at_first = found.spans_at_last = everything
    return found
