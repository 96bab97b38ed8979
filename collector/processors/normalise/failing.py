"""Whether an operation failed, however the dialect says so: status, exception event, error type, level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.processors.normalise.columns import coalesce, truths, valid
from collector.processors.normalise.scalars import Source, fill

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from schema.batch import SpanBatch

OK, ERROR = 1, 2
BAD_LEVELS = ("error", "fatal", "critical")
BAD_TOOL_STATUS = ("error", "failure", "failed")
UNSUCCESSFUL = ("false", "0", "no")
"""Of `tool.success`, which is a boolean or a word."""
EXCEPTION = r"^(exception|(gen_ai|http|rpc|db|messaging|faas)\.(.*\.)?exception)$"
"""Names of the event that records one, on a span or, as the conventions have it now, as a log record:
https://opentelemetry.io/docs/specs/semconv/exceptions/"""
OTHER = "_OTHER"
"""The conventions' error type for "failed, nothing else known"."""


def error_columns(batch: SpanBatch, columns: dict[str, pa.Array], stated_type: pa.Array) -> dict[str, pa.Array]:
    """Return error, error_type and error_message.

    An exception event counts unless the status says OK: recording a handled exception is not a failure.
    `stated_type` is error.type as sent, `_OTHER` included.
    """
    n = len(batch)
    events, logs = batch.events, batch.logs
    spans = [_exceptions(events.name, events.owner), _exceptions(logs.event_name, logs.span_row)]
    thrown = [Source(events.attributes, spans[0]), Source(logs.attributes, spans[1])]
    raised = np.zeros(n, np.bool_)
    for of_events in spans:
        raised[of_events[of_events >= 0]] = True
    failed = (batch.status_code == ERROR) | (raised & (batch.status_code != OK)) | valid(stated_type)
    failed |= _among(columns["level"], BAD_LEVELS) | _among(columns["tool_status"], BAD_TOOL_STATUS)
    failed |= _among(columns["tool_success"], UNSUCCESSFUL)
    nothing = pa.nulls(n, pa.string())
    if not failed.any():
        return {"error": pa.array(failed), "error_type": nothing, "error_message": nothing}
    type_ = coalesce(columns["error_type"], fill(n, thrown, ["exception.type"], pa.string()).values)
    message = _not_empty(batch.status_message)
    message = coalesce(message, fill(n, thrown, ["exception.message"], pa.string()).values)
    message = coalesce(message, columns["error_message"])
    at = pa.array(failed)
    return {
        "error": at,
        "error_type": pc.if_else(at, coalesce(type_, stated_type), nothing),
        "error_message": pc.if_else(at, message, nothing),
    }


def _exceptions(name: pa.Array, span: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return for events or log records of these names the span they speak of, -1 for those that are no exception's."""
    found = np.full(len(span), -1, np.int64)
    maybe = np.flatnonzero(truths(pc.ends_with(name, "exception"))) if len(span) else found
    if len(maybe):
        rows = maybe[truths(pc.match_substring_regex(name.take(pa.array(maybe)), EXCEPTION))]
        found[rows] = span[rows]
    return found


def _among(column: pa.Array, words: tuple[str, ...]) -> NDArray[np.bool_]:
    if column.null_count == len(column):
        return np.zeros(len(column), np.bool_)
    return truths(pc.is_in(pc.utf8_lower(column), value_set=pa.array(words)))


def _not_empty(column: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(column, ""), pa.nulls(len(column), pa.string()), column)
