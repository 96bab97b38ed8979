"""Some rows of a batch, with everything that is theirs. Columnar: nothing is done per span or attribute in Python."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from schema.batch import AttributeTable, Events, Links, Logs, SpanBatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray


def subset(batch: SpanBatch, spans: NDArray[np.bool_], logs: NDArray[np.bool_]) -> SpanBatch:
    """Return the spans and log records that are marked, in their order.

    Resources, scopes, origins and what is booked stay as they are, so that rows of them keep their numbers; so do rows
    of feedback, which belong to records. A log record whose span is left out names none. Buffers are shared.
    """
    if spans.all() and logs.all():
        return batch
    rows = np.flatnonzero(spans)
    span_row = _places(spans)
    return replace(
        batch,
        origin=batch.origin[rows],
        resource=batch.resource[rows],
        scope=batch.scope[rows],
        trace_id=batch.trace_id[rows],
        span_id=batch.span_id[rows],
        parent_span_id=batch.parent_span_id[rows],
        trace_state=batch.trace_state.take(rows),
        name=batch.name.take(rows),
        kind=batch.kind[rows],
        flags=batch.flags[rows],
        start_unix_ns=batch.start_unix_ns[rows],
        end_unix_ns=batch.end_unix_ns[rows],
        status_code=batch.status_code[rows],
        status_message=batch.status_message.take(rows),
        dropped_attributes_count=batch.dropped_attributes_count[rows],
        dropped_events_count=batch.dropped_events_count[rows],
        dropped_links_count=batch.dropped_links_count[rows],
        attributes=_attributes(batch.attributes, spans),
        events=_events(batch.events, spans),
        links=_links(batch.links, spans),
        logs=_logs(batch.logs, logs, span_row),
        columns=_columns(batch.columns, rows),
        log_columns=_columns(batch.log_columns, np.flatnonzero(logs)),
    )


def _places(chosen: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return for every row its place among the chosen ones, -1 where it is not chosen."""
    return np.where(chosen, np.cumsum(chosen) - 1, -1).astype(np.int32)


def _attributes(table: AttributeTable, owners: NDArray[np.bool_]) -> AttributeTable:
    rows = np.flatnonzero(owners[table.owner])
    return replace(
        table,
        owner=_places(owners)[table.owner[rows]],
        key=table.key[rows],
        type=table.type[rows],
        number=table.number[rows],
        start=table.start[rows],
        length=table.length[rows],
    )


def _events(events: Events, spans: NDArray[np.bool_]) -> Events:
    chosen = spans[events.owner]
    rows = np.flatnonzero(chosen)
    return Events(
        owner=_places(spans)[events.owner[rows]],
        time_unix_ns=events.time_unix_ns[rows],
        name=events.name.take(rows),
        dropped_attributes_count=events.dropped_attributes_count[rows],
        attributes=_attributes(events.attributes, chosen),
    )


def _links(links: Links, spans: NDArray[np.bool_]) -> Links:
    chosen = spans[links.owner]
    rows = np.flatnonzero(chosen)
    return Links(
        owner=_places(spans)[links.owner[rows]],
        trace_id=links.trace_id[rows],
        span_id=links.span_id[rows],
        trace_state=links.trace_state.take(rows),
        attributes=_attributes(links.attributes, chosen),
    )


def _logs(logs: Logs, chosen: NDArray[np.bool_], span_row: NDArray[np.int32]) -> Logs:
    rows = np.flatnonzero(chosen)
    named = logs.span_row[rows]
    return Logs(
        origin=logs.origin[rows],
        resource=logs.resource[rows],
        scope=logs.scope[rows],
        span_row=np.where(named < 0, -1, span_row[named] if len(span_row) else -1).astype(np.int32),
        trace_id=logs.trace_id[rows],
        span_id=logs.span_id[rows],
        time_unix_ns=logs.time_unix_ns[rows],
        observed_unix_ns=logs.observed_unix_ns[rows],
        severity_number=logs.severity_number[rows],
        severity_text=logs.severity_text.take(rows),
        event_name=logs.event_name.take(rows),
        attributes=_attributes(logs.attributes, chosen),
        body=_attributes(logs.body, chosen),
    )


def _columns(columns: Mapping[str, pa.Array], rows: NDArray[np.int64]) -> Mapping[str, pa.Array]:
    return MappingProxyType({name: array.take(rows) for name, array in columns.items()})
