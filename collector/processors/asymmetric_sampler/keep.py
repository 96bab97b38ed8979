"""Which rows of a batch go on: those of traces that are kept, with the threshold that says how they were.

Rows of one trace in one batch all go on or all stay behind, so it makes no difference to what follows. What has no
trace id goes on. What stays behind is booked as `sampled_out`, with the batch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.processors.asymmetric_sampler.decisions import BASELINE
from schema.arrays import codes
from schema.ledger import FEEDBACK_SCOPE, MINUTE_NS, Entry, LedgerSignal, State, merged
from schema.sampling import threshold, with_threshold, without_sampling
from schema.sampling.arrival import DEFAULT_TRUST, arrival
from schema.sampling.tracestate import BITS, RANGE
from schema.subset import subset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from schema.batch import SpanBatch
    from schema.sampling import Trust

UNCHANGED: Final = -1
UNFLAGGED: Final = "unflagged"
"""The ledger's reason: neither failing nor in the baseline, as far as was known in time."""


def only(
    batch: SpanBatch,
    spans: NDArray[np.bool_],
    logs: NDArray[np.bool_],
    limit: NDArray[np.uint64],
    trust: Trust = DEFAULT_TRUST,
) -> SpanBatch:
    """Return the marked rows; `limit` is the threshold that each span of the batch says from now on."""
    kept = subset(batch, spans, logs)
    return replace(
        kept,
        trace_state=said(kept.trace_id, kept.trace_state, limit[spans], trust),
        booked=merged((*batch.booked, *_left_out(batch, ~spans, ~logs))),
    )


def limits_of(flags: NDArray[np.uint8], rate: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return the threshold for each kept row: that of its rate where it is in the baseline and nothing else, else 0."""
    only_baseline = flags == BASELINE
    limit = np.zeros(len(flags), np.uint64)
    for value in np.unique(rate[only_baseline]).tolist():
        limit[only_baseline & (rate == value)] = threshold(value)
    return limit


def said(
    trace_id: NDArray[np.uint8], states: pa.Array, limit: NDArray[np.uint64], trust: Trust = DEFAULT_TRUST
) -> pa.Array:
    """Return the tracestates with `th`: that of `limit`, or what they say already where that is as high.

    What a sender says of sampling and is not believed (schema/sampling/arrival.py) is as if it were not there. Where no
    tracestate is read, nothing of its member `ot` goes on: who believes us must not draw with another's `rv`.
    """
    if not len(states):
        return states
    rate = arrival(trace_id, states, trust).rate
    own = limit.astype(np.int64)
    if rate is not None:
        told = ~np.isnan(rate)
        before = RANGE - np.ldexp(np.where(told, rate, 1.0), BITS).astype(np.int64)
        own[told & (before >= own)] = UNCHANGED
    which, texts = codes(states)
    if not trust.reads:
        texts = [without_sampling(text) for text in texts]
    pairs, row = np.unique(np.stack((which, own)), axis=1, return_inverse=True)
    distinct = [texts[w] if t == UNCHANGED else with_threshold(texts[w], t) for w, t in pairs.T.tolist()]
    return pa.array(distinct, states.type).take(pa.array(row.reshape(-1)))


def _left_out(batch: SpanBatch, spans: NDArray[np.bool_], logs: NDArray[np.bool_]) -> Iterator[Entry]:
    """Yield what stays behind, per journal record."""
    minute = (batch.origins.received_unix_ns // np.uint64(MINUTE_NS)).tolist()
    for signal, origin in _signals(batch, spans, logs):
        for row, count in enumerate(np.bincount(origin, minlength=len(minute)).tolist() if len(origin) else ()):
            if count:
                yield Entry(batch.origins.tenant[row], minute[row], signal, State.SAMPLED_OUT, UNFLAGGED, count)


def _signals(
    batch: SpanBatch, spans: NDArray[np.bool_], logs: NDArray[np.bool_]
) -> Iterator[tuple[LedgerSignal, NDArray[np.int32]]]:
    yield "traces", batch.origin[spans]
    if not logs.any():
        return
    feedback_scope = np.array(pc.equal(batch.scopes.name, FEEDBACK_SCOPE).to_pylist(), np.bool_)
    is_feedback = feedback_scope[batch.logs.scope]
    yield "logs", batch.logs.origin[logs & ~is_feedback]
    yield "feedback", batch.logs.origin[logs & is_feedback]
