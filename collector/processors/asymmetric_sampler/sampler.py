"""What one lane forwards: a step between decoding and the processors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from collector.processors.asymmetric_sampler.counts import SamplerCounts
from collector.processors.asymmetric_sampler.decisions import EARLY, FAILING, Recent, facts
from collector.processors.asymmetric_sampler.keep import limits_of, only
from collector.processors.asymmetric_sampler.keys import trace_keys
from schema.sampling.arrival import DEFAULT_TRUST

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from collector.processors.asymmetric_sampler.memory import Memory
    from schema.batch import SpanBatch
    from schema.sampling import Trust


class Sampler:
    """Made for each lane. One batch at a time, in any thread."""

    def __init__(
        self,
        memory: Memory,
        max_traces: int,
        is_early: Callable[[NDArray[np.uint64]], NDArray[np.bool_]],
        moved: Callable[[], None] = lambda: None,
        trust: Trust = DEFAULT_TRUST,
    ) -> None:
        """`is_early` says of sequences of the journal whether those records are released before they are due."""
        self._memory = memory
        self._is_early = is_early
        self.moved = moved
        self._trust = trust
        self._left_out = Recent.empty(max_traces)
        self.counts = SamplerCounts()

    def __call__(self, batch: SpanBatch) -> SpanBatch:
        """Return of a decoded batch what is kept, with its thresholds; the rest is booked as sampled out.

        What is kept early is remembered, so that the rest of its trace follows; `Memory.save` makes that durable, and
        must be called before anything of the batch leaves.
        """
        memory, tenants = self._memory, batch.origins.tenant
        keys = trace_keys(batch.trace_id, batch.origin, tenants, memory.salt)
        log_keys = trace_keys(batch.logs.trace_id, batch.logs.origin, tenants, memory.salt)
        no_trace, no_log_trace = ~batch.trace_id.any(axis=1), ~batch.logs.trace_id.any(axis=1)
        sequence = batch.origins.sequence
        early_records = self._is_early(sequence) | (sequence.astype(np.int64) <= memory.forgotten_through)
        if early_records.any():
            spans, logs = ~no_trace, ~no_log_trace
            record = np.concatenate((batch.origin[spans], batch.logs.origin[logs]))
            early = early_records[record]
            self._keep_early(np.concatenate((keys[spans], log_keys[logs]))[early], sequence[record[early]])
        kept, flags, rate = memory.look_up(keys)
        kept |= no_trace | early_records[batch.origin]
        log_kept, log_flags, _ = memory.look_up(log_keys)
        log_kept |= no_log_trace | early_records[batch.logs.origin]
        self._count(keys[kept & ~no_trace], flags[kept & ~no_trace], keys[~kept])
        self._count(log_keys[log_kept & ~no_log_trace], log_flags[log_kept & ~no_log_trace], log_keys[~log_kept])
        return only(batch, kept, log_kept, limits_of(flags, rate), self._trust)

    def _keep_early(self, keys: NDArray[np.uint64], sequence: NDArray[np.uint64]) -> None:
        """Remember the traces that were not kept yet, as far as there is room that nothing else needs."""
        flags = np.full(len(keys), EARLY, np.uint8)
        found = facts(keys, sequence, np.zeros(len(keys)), flags, policy=self._memory.policy)
        known, _, _ = self._memory.look_up(found["key"])
        new = found[~known]
        if not len(new):
            return
        self.counts.early_keeps += len(new)
        if self._memory.fits(new):
            self._memory.observe(new)
        else:
            self.counts.unremembered_keeps += len(new)

    def _count(self, kept: NDArray[np.uint64], flags: NDArray[np.uint8], left_out: NDArray[np.uint64]) -> None:
        """Count who is kept now, and was not before. Asking twice counts once."""
        if len(self._left_out) and len(kept):
            partial = self._left_out.take(np.unique(kept))
            self.counts.partial_traces += len(partial)
            failing = np.unique(kept[flags & FAILING > 0])
            self.counts.late_failures += int(np.count_nonzero(np.isin(partial, failing, assume_unique=True)))
        if len(left_out):
            self._left_out.add(np.unique(left_out))

    def save(self) -> None:
        """Make what was decided early durable. Raises OSError; call again."""
        self._memory.save()

    def status(self) -> dict[str, Any]:
        """Return counts."""
        return {name: getattr(self.counts, name) for name in SamplerCounts.__slots__}
