"""Rows of the database as a `SpanBatch` again, as the processors take it.

Attributes come back as text: the maps of the database hold text, and the normaliser reads "101", "true" and JSON in
text wherever it reads the typed value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exporters.clickhouse.rows import STATUS_CODES, WIRE_KINDS
from schema.anyvalue import ValueType
from schema.batch import AttributeTable, Events, Links, Logs, Origins, Resources, Scopes, SpanBatch

if TYPE_CHECKING:
    from numpy.typing import NDArray


def batch_of(spans: pa.Table, logs: pa.Table, tenant: str) -> SpanBatch:
    """Return the batch of these rows of `spans` and `events`, in their order. One origin and resource per row."""
    n, m = spans.num_rows, logs.num_rows
    trace_id, span_id = ids(spans["trace_id"], 16), ids(spans["span_id"], 8)
    received = np.concatenate([unix_ns(spans["received_at"]), unix_ns(logs["received_at"])])
    own = np.arange(n, dtype=np.int32)
    of_logs = np.arange(n, n + m, dtype=np.int32)
    faults = spans["time_faults"]
    return SpanBatch(
        origin=own,
        resource=own,
        scope=own,
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=ids(spans["parent_span_id"], 8),
        trace_state=strings(spans["trace_state"]),
        name=strings(spans["name"]),
        kind=_numbers(spans["wire_kind"], WIRE_KINDS),
        flags=spans["flags"].to_numpy().astype(np.uint32),
        start_unix_ns=_as_sent(spans["start_time"], faults, "start_missing"),
        end_unix_ns=_as_sent(spans["end_time"], faults, "end_missing"),
        status_code=_numbers(spans["status_code"], STATUS_CODES),
        status_message=strings(spans["status_message"]),
        dropped_attributes_count=np.zeros(n, np.uint32),
        dropped_events_count=np.zeros(n, np.uint32),
        dropped_links_count=np.zeros(n, np.uint32),
        attributes=attributes(spans["span_attributes"]),
        events=_events(spans),
        links=_no_links(),
        resources=Resources(attributes(spans["resource_attributes"]), _empty_strings(n + m)),
        scopes=Scopes(
            name=_then_empty(spans["scope_name"], m),
            version=_then_empty(spans["scope_version"], m),
            schema_url=_empty_strings(n + m),
            attributes=attributes(spans["scope_attributes"]),
        ),
        origins=Origins((tenant,) * (n + m), np.zeros(n + m, np.uint64), received),
        logs=_logs(logs, trace_id, span_id, of_logs),
    )


def attributes(maps: pa.ChunkedArray | pa.MapArray) -> AttributeTable:
    """Return the attributes of n owners from n maps of text; the texts are not copied one by one."""
    array = maps.combine_chunks() if isinstance(maps, pa.ChunkedArray) else maps
    ends = array.offsets.to_numpy()
    first, last = int(ends[0]), int(ends[-1])
    owner = np.repeat(np.arange(len(array), dtype=np.int32), np.diff(ends))
    names = array.keys.slice(first, last - first).cast(pa.string()).dictionary_encode()
    return _texts(owner, names, array.items.slice(first, last - first).cast(pa.large_string()))


def _texts(owner: NDArray[np.int32], names: pa.DictionaryArray, values: pa.LargeStringArray) -> AttributeTable:
    n = len(values)
    _, offsets, data = values.buffers()
    bounds = np.frombuffer(offsets, np.int64)[values.offset : values.offset + n + 1] if n else np.zeros(1, np.int64)
    return AttributeTable(
        owner=owner,
        key=names.indices.to_numpy().astype(np.int32),
        type=np.full(n, int(ValueType.STRING), np.uint8),
        number=np.zeros(n, np.int64),
        start=bounds[:-1].astype(np.int64),
        length=np.diff(bounds).astype(np.int64),
        keys=tuple(names.dictionary.to_pylist()),
        buffer=data.to_pybytes() if data is not None else b"",
    )


def _events(spans: pa.Table) -> Events:
    times = _flat_lists(spans["event_times"])
    names = _flat_lists(spans["event_names"])
    counts = np.asarray(pc.list_value_length(spans["event_names"].combine_chunks()).to_numpy())
    return Events(
        owner=np.repeat(np.arange(spans.num_rows, dtype=np.int32), counts),
        time_unix_ns=unix_ns(times),
        name=names.cast(pa.string()),
        dropped_attributes_count=np.zeros(len(names), np.uint32),
        attributes=attributes(_flat_lists(spans["event_attributes"])),
    )


def _no_links() -> Links:
    return Links(
        owner=np.zeros(0, np.int32),
        trace_id=np.zeros((0, 16), np.uint8),
        span_id=np.zeros((0, 8), np.uint8),
        trace_state=_empty_strings(0),
        attributes=attributes(pa.array([], pa.map_(pa.string(), pa.string()))),
    )


def _logs(logs: pa.Table, trace_id: NDArray[np.uint8], span_id: NDArray[np.uint8], row: NDArray[np.int32]) -> Logs:
    of_trace, of_span = ids(logs["trace_id"], 16), ids(logs["span_id"], 8)
    places = {t.tobytes() + s.tobytes(): i for i, (t, s) in enumerate(zip(trace_id, span_id, strict=True))}
    span_row = [places.get(t.tobytes() + s.tobytes(), -1) for t, s in zip(of_trace, of_span, strict=True)]
    bodies = strings(logs["body"])
    has_body = np.flatnonzero(np.asarray(pc.not_equal(bodies, "").to_numpy(zero_copy_only=False), np.bool_))
    key = pa.array(["body"] * len(has_body), pa.string()).dictionary_encode()
    return Logs(
        origin=row,
        resource=row,
        scope=row,
        span_row=np.array(span_row, np.int32),
        trace_id=of_trace,
        span_id=of_span,
        time_unix_ns=unix_ns(logs["time"]),
        observed_unix_ns=unix_ns(logs["time"]),
        severity_number=np.zeros(len(row), np.uint8),
        severity_text=_empty_strings(len(row)),
        event_name=strings(logs["event_name"]),
        attributes=attributes(logs["attributes"]),
        body=_texts(has_body.astype(np.int32), key, bodies.take(pa.array(has_body)).cast(pa.large_string())),
    )


def ids(column: pa.ChunkedArray, width: int) -> NDArray[np.uint8]:
    """Return FixedString ids as uint8[n, width]."""
    whole = b"".join(column.to_pylist())
    return np.frombuffer(whole, np.uint8).reshape(-1, width)


def unix_ns(column: pa.ChunkedArray | pa.Array) -> NDArray[np.uint64]:
    """Return times as Unix nanoseconds."""
    moments = column.cast(pa.timestamp("ns", "UTC")).cast(pa.int64())
    return np.asarray(moments.to_numpy()).astype(np.uint64)


def strings(column: pa.ChunkedArray | pa.Array) -> pa.StringArray:
    """Return one array of text."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return whole.cast(pa.string())


def _as_sent(times: pa.ChunkedArray, faults: pa.ChunkedArray, missing: str) -> NDArray[np.uint64]:
    """Return times as the sender gave them: what was filled in for want of one is 0 again."""
    was_missing = [missing in f for f in faults.to_pylist()]
    return np.where(was_missing, np.uint64(0), unix_ns(times))


def _numbers(column: pa.ChunkedArray, names: tuple[str, ...]) -> NDArray[np.uint8]:
    index = pc.fill_null(pc.index_in(strings(column), value_set=pa.array(names)), 0)
    return np.asarray(index.to_numpy()).astype(np.uint8)


def _flat_lists(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks().flatten()


def _empty_strings(n: int) -> pa.StringArray:
    return pa.array([""] * n, pa.string())


def _then_empty(column: pa.ChunkedArray, more: int) -> pa.StringArray:
    return pa.concat_arrays([strings(column), _empty_strings(more)])
