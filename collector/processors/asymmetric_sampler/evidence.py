"""What a batch says of its traces: which fail, which are in the baseline, at which rate."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

from collector.processors.asymmetric_sampler.decisions import BASELINE, FAILING, facts
from collector.processors.asymmetric_sampler.keys import trace_keys
from schema.arrays import truths

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from schema.batch import SpanBatch

TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")
NEGATIVE: Final = "negative"
"""A thumbs-down, or what means the same: it makes a trace a failing one."""


def evidence(batch: SpanBatch, salt: bytes, *, policy: int = 0) -> NDArray[np.void]:
    """Return a fact for each trace of a processed batch, sorted by key; those without a flag are only seen."""
    tenants = batch.origins.tenant
    has_trace = batch.trace_id.any(axis=1)
    flags = np.where(_truths(batch.columns, "failing", len(batch)), np.uint8(FAILING), np.uint8(0))
    in_baseline = _truths(batch.columns, "baseline", len(batch))
    flags |= np.where(in_baseline, np.uint8(BASELINE), np.uint8(0))
    rate = np.where(in_baseline, _rates(batch.columns, len(batch)), 0.0)
    keys = [trace_keys(batch.trace_id, batch.origin, tenants, salt)[has_trace]]
    last = [batch.origins.sequence[batch.origin][has_trace]]
    rates, all_flags = [rate[has_trace]], [flags[has_trace]]
    for trace_id, origin in (_negative_feedback(batch), _logs(batch)):
        n = len(origin)
        is_feedback = len(keys) == 1
        keys.append(trace_keys(trace_id, origin, tenants, salt))
        last.append(batch.origins.sequence[origin])
        rates.append(np.zeros(n))
        all_flags.append(np.full(n, FAILING if is_feedback else 0, np.uint8))
    return facts(
        np.concatenate(keys), np.concatenate(last), np.concatenate(rates), np.concatenate(all_flags), policy=policy
    )


def _truths(columns: Mapping[str, pa.Array], name: str, n: int) -> NDArray[np.bool_]:
    return truths(columns[name]) if name in columns else np.zeros(n, np.bool_)


def _rates(columns: Mapping[str, pa.Array], n: int) -> NDArray[np.float64]:
    if "baseline_rate" not in columns:
        return np.zeros(n)
    rates: NDArray[np.float64] = columns["baseline_rate"].to_numpy(zero_copy_only=False).astype(np.float64)
    return np.nan_to_num(rates)


def _negative_feedback(batch: SpanBatch) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return trace ids and records of what users did not like; feedback is rare, so rows are dicts."""
    found = [
        (bytes.fromhex(row["trace_id"]), row["origin"])
        for row in batch.feedback
        if row.get("polarity") == NEGATIVE and _is_trace_id(row.get("trace_id"))
    ]
    ids = np.frombuffer(b"".join(i for i, _ in found), np.uint8).reshape(-1, 16)
    return ids, np.array([o for _, o in found], np.int32)


def _is_trace_id(text: object) -> bool:
    return isinstance(text, str) and TRACE_ID.fullmatch(text) is not None and text.strip("0") != ""


def _logs(batch: SpanBatch) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return trace ids and records of log records: what waits of a kept trace must not be forgotten."""
    chosen = batch.logs.trace_id.any(axis=1)
    return batch.logs.trace_id[chosen], batch.logs.origin[chosen]
