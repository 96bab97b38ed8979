"""Failed attempts whose retry succeeded, in one batch: what `retried: ignore` takes out.

A span is the retry of a failed one if it lies under the same parent, is of the same kind and of the same name (a tool's
name, a model's, else the span's own), began when the failed one had ended, and asked for the same: equal arguments of a
tool, equal input of a model. What was asked must be known, or all that a loop does over many inputs would be one try.
A client's own retry is known without that: it counts itself in `http.request.resend_count`
(https://opentelemetry.io/docs/specs/semconv/http/http-spans/).

With a failed attempt goes what failed beneath it, and the word of it in the next call of a model that was told of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schema.arrays import truths
from schema.failure.names import GUARDRAIL, TOOL_ERROR
from schema.failure.tools import answered_tool_errors
from schema.span import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from schema.batch import SpanBatch
    from schema.failure import Masks

RESENT: Final = "http.request.resend_count"
NAMED_BY: Final[Mapping[str, str]] = {
    Kind.TOOL: "tool_name",
    Kind.LLM: "request_model",
    Kind.EMBEDDING: "request_model",
}
"""Kind -> the column that says what was called."""
ASKED: Final[Mapping[str, tuple[str, ...]]] = {
    Kind.TOOL: ("tool_arguments",),
    Kind.LLM: ("input_messages", "input_text"),
    Kind.EMBEDDING: ("input_text",),
}
"""Kind -> the columns that say what was asked, of which the first that is known counts."""
Call = tuple[str, bytes, bytes, str | None, str | None]
"""Tenant, trace, parent, kind, name."""
Span = tuple[str, bytes, bytes]
"""Tenant, trace, span."""


def retried(batch: SpanBatch, masks: Masks) -> Masks:
    """Return of which spans each built-in reason is excused, for those of `masks` that are excused at all."""
    if not any(mask.any() for mask in masks.values()):
        return {}
    is_llm = _are(batch, Kind.LLM)
    own = {name: mask & ~is_llm if name == TOOL_ERROR else mask for name, mask in masks.items() if name != GUARDRAIL}
    failed = np.asarray(np.logical_or.reduce(list(own.values())), np.bool_)
    excused = _attempts(batch, failed)
    if not excused.any():
        return {}
    excused = _with_beneath(batch, excused, failed)
    told = _told(batch, masks.get(TOOL_ERROR, np.zeros(len(batch), np.bool_)) & is_llm, excused)
    return {name: excused | told if name == TOOL_ERROR else excused & own[name] for name in own}


def _attempts(batch: SpanBatch, failed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which failed spans have a retry that succeeded."""
    excused = np.zeros(len(batch), np.bool_)
    parents = _words(batch.parent_span_id)
    rows = np.flatnonzero((parents != 0) & np.isin(parents, parents[failed]))
    calls = list(zip(rows.tolist(), _calls(batch, rows), _asked(batch, rows), strict=True))
    resent = _resent(batch)
    succeeded_at: dict[tuple[Call, Any], int] = {}
    for row, call, asked in calls:
        for proof in (asked, RESENT if resent[row] else None) if not failed[row] else ():
            key = call, proof
            succeeded_at[key] = max(succeeded_at.get(key, 0), int(batch.start_unix_ns[row]))
    for row, call, asked in calls:
        if failed[row]:
            known = [succeeded_at.get((call, proof), 0) for proof in (asked, RESENT) if proof is not None]
            excused[row] = max(known) >= int(batch.end_unix_ns[row]) > 0
    return excused


def _calls(batch: SpanBatch, rows: NDArray[np.int64]) -> Iterator[Call]:
    """Yield what tells siblings apart, for these rows."""
    at = pa.array(rows)
    kinds, names = _texts(batch, "span_kind", at), batch.name.take(at).to_pylist()
    called = {column: _texts(batch, column, at) for column in set(NAMED_BY.values())}
    for i, row in enumerate(rows.tolist()):
        name = called[NAMED_BY[kinds[i]]][i] if kinds[i] in NAMED_BY else names[i]
        tenant = batch.origins.tenant[batch.origin[row]]
        yield tenant, batch.trace_id[row].tobytes(), batch.parent_span_id[row].tobytes(), kinds[i], name


def _asked(batch: SpanBatch, rows: NDArray[np.int64]) -> Iterator[str | None]:
    """Yield what was asked, None where that is not known."""
    at = pa.array(rows)
    kinds = _texts(batch, "span_kind", at)
    said = {column: _texts(batch, column, at) for columns in ASKED.values() for column in columns}
    for i, kind in enumerate(kinds):
        known = (said[column][i] for column in ASKED.get(kind, ()))
        yield next((text for text in known if text is not None), None)


def _resent(batch: SpanBatch) -> NDArray[np.bool_]:
    """Return which spans a client counts as another try."""
    found = np.zeros(len(batch), np.bool_)
    table = batch.attributes
    if RESENT in table.keys:
        rows = np.flatnonzero(table.key == table.keys.index(RESENT))
        found[table.owner[[row for row in rows.tolist() if str(table.value(row)) not in {"0", ""}]]] = True
    return found


def _with_beneath(batch: SpanBatch, excused: NDArray[np.bool_], failed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the excused spans and what failed beneath them."""
    spans, parents = _words(batch.span_id), _words(batch.parent_span_id)
    whole, seen = excused.copy(), excused.copy()
    above = np.flatnonzero(excused)
    while len(above):
        known = {_id(batch, row, batch.span_id) for row in above.tolist()}
        maybe = np.flatnonzero(np.isin(parents, spans[above]) & ~seen)
        rows = [row for row in maybe.tolist() if _id(batch, row, batch.parent_span_id) in known]
        above = np.array(rows, np.int64)
        seen[above] = True
        whole[above] |= failed[above]
    return whole


def _words(ids: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return ids of eight bytes as numbers; 0 is absent."""
    return np.ascontiguousarray(ids).view(np.uint64).reshape(-1)


def _told(batch: SpanBatch, told: NDArray[np.bool_], excused: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which calls of a model were told of nothing but failures that are excused."""
    forgotten = np.zeros(len(batch), np.bool_)
    if not told.any():
        return forgotten
    tools = np.flatnonzero(excused)
    ids = zip(tools.tolist(), _texts(batch, "tool_call_id", pa.array(tools)), strict=True)
    known = {(*_trace(batch, row), call_id) for row, call_id in ids if call_id is not None}
    rows = np.flatnonzero(told)
    for row, text in zip(rows.tolist(), _texts(batch, "input_messages", pa.array(rows)), strict=True):
        forgotten[row] = all((*_trace(batch, row), call_id) in known for call_id in answered_tool_errors(text))
    return forgotten


def _texts(batch: SpanBatch, column: str, at: pa.Array) -> list[Any]:
    found = batch.columns.get(column)
    return [None] * len(at) if found is None else found.take(at).to_pylist()


def _trace(batch: SpanBatch, row: int) -> tuple[str, bytes]:
    return batch.origins.tenant[batch.origin[row]], batch.trace_id[row].tobytes()


def _id(batch: SpanBatch, row: int, ids: NDArray[np.uint8]) -> Span:
    return (*_trace(batch, row), ids[row].tobytes())


def _are(batch: SpanBatch, kind: Kind) -> NDArray[np.bool_]:
    column = batch.columns.get("span_kind")
    return np.zeros(len(batch), np.bool_) if column is None else truths(pc.equal(column, kind.value))
