"""A batch as rows of the tables: `SpanBatch` to one Arrow table per ClickHouse table and day of receipt."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exporters.clickhouse.ledger import ledger_rows
from exporters.clickhouse.maps import attribute_maps, attribute_texts, offsets
from exporters.clickhouse.quoted import quoted
from exporters.clickhouse.times import log_times, span_times, timestamps
from schema.anyvalue import dump_json
from schema.apart import ids_apart
from schema.dialect import dialects
from schema.span import CANONICAL, FEEDBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from schema.batch import AttributeTable, SpanBatch
    from schema.component import Rejected

DAY_NS = 86_400_000_000_000

MIXERS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9))
"""Odd numbers: different ids seldom mix to the same word, equal ids always."""

WIRE_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
"""SpanKind of opentelemetry-proto trace.proto, by number; an unknown number counts as unspecified."""
STATUS_CODES = ("unset", "ok", "error")
"""Status.StatusCode of opentelemetry-proto trace.proto, by number."""


REPEATING = frozenset(
    {
        "service_name",
        "span_kind",
        "operation",
        "provider",
        "request_model",
        "response_model",
        "service_tier",
        "tool_name",
        "error_type",
        "agent_name",
        "workflow_name",
        "feature",
        "environment",
        "release",
        "prompt_name",
        "prompt_version",
        "price_source",
        "policy_version",
    }
)
"""Derived columns of few distinct values: words with numbers here, LowCardinality in the database."""


QUOTED = MappingProxyType({"input_text": "input_messages", "output_text": "output_messages"})
"""Texts, and the JSON column that they are nearly always a string of (see `exporters.clickhouse.quoted`)."""


@dataclass(frozen=True, slots=True)
class Block:
    """What one INSERT takes: rows of one table and one day of receipt, so of one partition."""

    table: str
    day: int
    """Days since 1970-01-01 of the receipt, UTC."""
    rows: pa.Table
    at: NDArray[np.intp] | None = None
    """Which rows of the batch they are, where they are not all of them."""


def blocks(batch: SpanBatch) -> Iterator[Block]:
    """Yield the blocks of a batch but for the ledger, which counts what is in them.

    The same batch gives the same blocks in the same order.
    """
    received = batch.origins.received_unix_ns
    yield from _by_day("spans", received[batch.origin], lambda: span_rows(batch))
    yield from _by_day("events", received[batch.logs.origin], lambda: event_rows(batch))
    origin = np.array([f["origin"] for f in batch.feedback], np.int32)
    yield from _by_day("feedback", received[origin], lambda: feedback_rows(batch))


def ledger_blocks(batch: SpanBatch, rejected: Rejected | None = None) -> Iterator[Block]:
    """Yield what the ledger says of a batch of which some rows are not stored, and of what came with it."""
    minutes = ledger_rows(batch, rejected)
    at = minutes["minute"].cast(pa.int64()).to_numpy().astype(np.uint64) * np.uint64(1_000_000_000)
    yield from _by_day("ledger", at, lambda: minutes)


def span_rows(batch: SpanBatch) -> pa.Table:
    """Return the rows of table `spans`, in the order of the batch."""
    n = len(batch)
    received = batch.origins.received_unix_ns[batch.origin]
    times = span_times(batch.start_unix_ns, batch.end_unix_ns, received)
    columns: dict[str, pa.Array] = {
        "tenant": _take(batch.origins.tenant, batch.origin),
        "trace_id": _fixed(batch.trace_id),
        "span_id": _fixed(batch.span_id),
        "parent_span_id": _fixed(batch.parent_span_id),
        "received_at": timestamps(received),
        "sequence": pa.array(batch.origins.sequence[batch.origin]),
        "copy_number": pa.array(_copies(batch)),
        "start_time": times.start,
        "end_time": times.end,
        "duration_ns": times.duration_ns,
        "time_faults": times.faults,
        "name": batch.name.dictionary_encode(),
        "wire_kind": _names(WIRE_KINDS, batch.kind),
        "status_code": _names(STATUS_CODES, batch.status_code),
        "status_message": batch.status_message,
        "trace_state": batch.trace_state,
        "flags": pa.array(batch.flags),
        "dropped_attributes": pa.array(batch.dropped_attributes_count),
        "dropped_events": pa.array(batch.dropped_events_count),
        "dropped_links": pa.array(batch.dropped_links_count),
        "scope_name": _worded(batch.scopes.name, batch.scope),
        "scope_version": _worded(batch.scopes.version, batch.scope),
    }
    for column in CANONICAL:
        columns[column.name] = _derived(batch.columns.get(column.name), column, n)
    columns["service_name"] = _filled(columns["service_name"], _service(batch, batch.resource))
    for text, messages in QUOTED.items():
        found = quoted(columns.pop(text), columns[messages])
        columns[f"{text}_at"], columns[f"{text}_bytes"], columns[f"{text}_kept"] = found
    columns["span_attributes"] = attribute_maps(batch.attributes, n)
    resources, scopes = batch.resources, batch.scopes
    columns["resource_attributes"] = attribute_maps(resources.attributes, len(resources.schema_url), batch.resource)
    columns["scope_attributes"] = attribute_maps(scopes.attributes, len(scopes.name), batch.scope)
    columns |= _span_events(batch, n) | _span_links(batch, n)
    return pa.table(columns)


def event_rows(batch: SpanBatch) -> pa.Table:
    """Return the rows of table `events`: the log records of the batch."""
    logs = batch.logs
    received = batch.origins.received_unix_ns[logs.origin]
    time, faults = log_times(logs.time_unix_ns, logs.observed_unix_ns, received)
    resources = attribute_maps(batch.resources.attributes, len(batch.resources.schema_url), logs.resource)
    return pa.table(
        {
            "tenant": _take(batch.origins.tenant, logs.origin),
            "trace_id": _fixed(logs.trace_id),
            "span_id": _fixed(logs.span_id),
            "received_at": timestamps(received),
            "time": time,
            "time_faults": faults,
            "event_name": logs.event_name.dictionary_encode(),
            "severity_number": pa.array(logs.severity_number),
            "severity_text": logs.severity_text.dictionary_encode(),
            "body": _bodies(logs.body, len(logs)),
            "attributes": attribute_maps(logs.attributes, len(logs)),
            "resource_attributes": resources,
            "scope_name": _worded(batch.scopes.name, logs.scope),
            "service_name": _service(batch, logs.resource),
            "loose": pa.array(_loose(batch)),
        }
    )


def feedback_rows(batch: SpanBatch) -> pa.Table:
    """Return the rows of table `feedback`; an unknown id, name, source or polarity is ''."""
    found = pa.Table.from_pylist([dict(f) for f in batch.feedback], FEEDBACK)
    origin = found["origin"].to_numpy()
    columns: dict[str, pa.Array] = {
        "tenant": _take(batch.origins.tenant, origin),
        "received_at": timestamps(batch.origins.received_unix_ns[origin]),
        "time_unix_ns": pc.fill_null(found["time_unix_ns"], 0),
    }
    for name in ("trace_id", "span_id", "name", "source", "polarity"):
        columns[name] = pc.fill_null(found[name], "")
    for name in ("response_id", "session_id", "value", "label", "comment"):
        columns[name] = found[name]
    return pa.table(columns)


def _by_day(table: str, received: NDArray[np.uint64], rows: Callable[[], pa.Table]) -> Iterator[Block]:
    if len(received) == 0:
        return
    day = received // np.uint64(DAY_NS)
    whole = rows()
    for one in np.unique(day).tolist():
        where = np.flatnonzero(day == one)
        if len(where) == len(day):
            yield Block(table, one, whole)
        else:
            yield Block(table, one, plain(whole).take(pa.array(where)), where)


def plain(table: pa.Table) -> pa.Table:
    """Return the table with maps of plain strings: Arrow takes no rows out of views."""
    texts = pa.map_(pa.string(), pa.string())
    fields = []
    for field in table.schema:
        in_list = pa.types.is_list(field.type) and pa.types.is_map(field.type.value_type)
        plain = pa.list_(texts) if in_list else texts if pa.types.is_map(field.type) else field.type
        fields.append((field.name, plain))
    return table.cast(pa.schema(fields))


def _span_events(batch: SpanBatch, n: int) -> dict[str, pa.Array]:
    events = batch.events
    ends = offsets(events.owner, n)
    attributes = attribute_maps(events.attributes, len(events.owner))
    return {
        "events.time": pa.ListArray.from_arrays(ends, timestamps(events.time_unix_ns)),
        "events.name": pa.ListArray.from_arrays(ends, events.name.dictionary_encode()),
        "events.attributes": pa.ListArray.from_arrays(ends, attributes),
    }


def _span_links(batch: SpanBatch, n: int) -> dict[str, pa.Array]:
    links = batch.links
    ends = offsets(links.owner, n)
    attributes = attribute_maps(links.attributes, len(links.owner))
    return {
        "links.trace_id": pa.ListArray.from_arrays(ends, _hex(links.trace_id)),
        "links.span_id": pa.ListArray.from_arrays(ends, _hex(links.span_id)),
        "links.trace_state": pa.ListArray.from_arrays(ends, links.trace_state),
        "links.attributes": pa.ListArray.from_arrays(ends, attributes),
    }


def _copies(batch: SpanBatch) -> NDArray[np.uint16]:
    """Return of each row how many rows of the same span stand before it in the batch."""
    trace_id = ids_apart(batch.trace_id, batch.origin, batch.origins.tenant)
    ids = np.concatenate([trace_id, batch.span_id], axis=1)
    words = ids.view(np.uint64)
    mixed = np.sort(words[:, 0] * MIXERS[0] ^ words[:, 1] * MIXERS[1] ^ words[:, 2] * MIXERS[2])
    if (mixed[1:] != mixed[:-1]).all():  # nearly always; comparing ids themselves costs more than all the rest here
        return np.zeros(len(ids), np.uint16)
    keys = np.ascontiguousarray(ids).view(np.dtype((np.void, ids.shape[1]))).ravel()
    order = np.argsort(keys, kind="stable")
    place = np.arange(len(order))
    begins = np.ones(len(order), np.bool_)
    begins[1:] = keys[order][1:] != keys[order][:-1]
    copies = np.empty(len(order), np.int64)
    copies[order] = place - np.maximum.accumulate(np.where(begins, place, 0))
    return np.minimum(copies, np.iinfo(np.uint16).max).astype(np.uint16)


def _loose(batch: SpanBatch) -> NDArray[np.bool_]:
    """Return which log records tell of a model call or a tool whose span is not in the batch."""
    logs = batch.logs
    loose = (logs.span_row < 0) & logs.trace_id.any(axis=1) & logs.span_id.any(axis=1)
    return loose & np.asarray(dialects().event_tells_of_span(logs.event_name).to_numpy(zero_copy_only=False), np.bool_)


def _derived(column: pa.Array | None, field: pa.Field, n: int) -> pa.Array:
    """Return a processor's column; nulls where it did not run. A list cannot be null in ClickHouse: it is empty."""
    kind = field.type
    array = pa.nulls(n, kind) if column is None else column if _fits(column.type, kind) else column.cast(kind)
    if pa.types.is_list(kind):
        ends = np.zeros(n + 1, np.int32)
        if array.null_count == 0:
            ends = array.offsets.to_numpy() - array.offsets[0].as_py()
        else:
            np.cumsum(pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False), out=ends[1:])
        return pa.ListArray.from_arrays(pa.array(ends), array.flatten().dictionary_encode())
    if field.name not in REPEATING or pa.types.is_dictionary(array.type):
        return array
    if array.null_count == n:
        return pa.DictionaryArray.from_arrays(pa.nulls(n, pa.int32()), pa.array([], pa.string()))
    return array.dictionary_encode()


def _fits(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Tell whether an INSERT takes a column as it is: strings may also come as words with numbers, or as views."""
    if pa.types.is_dictionary(given):
        given = given.value_type
    return bool(given == wanted) or (pa.types.is_string_view(given) and pa.types.is_string(wanted))


def _filled(array: pa.Array, instead: pa.DictionaryArray) -> pa.Array:
    """Return the column with another's values where it has none."""
    if array.null_count == len(array):
        return instead
    if array.null_count == 0:
        return array
    plain = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    return pc.coalesce(plain, instead.dictionary_decode()).dictionary_encode()


def _service(batch: SpanBatch, resource: NDArray[np.int32]) -> pa.Array:
    """Return `service.name` of each row's resource, '' where it has none."""
    attributes = batch.resources.attributes
    names = [""] * len(batch.resources.schema_url)
    if "service.name" in attributes.keys:
        texts = attribute_texts(attributes)
        for row in np.flatnonzero(attributes.key == attributes.keys.index("service.name")).tolist():
            names[attributes.owner[row]] = texts[row].as_py()
    return _worded(pa.array(names, pa.string()), resource)


def _bodies(table: AttributeTable, n: int) -> pa.Array:
    """Return each log record's body as JSON text, '' where it has none."""
    bodies = [""] * n
    for row, owner in enumerate(table.owner.tolist()):
        bodies[owner] = dump_json(table.value(row))
    return pa.array(bodies, pa.string())


def _fixed(ids: NDArray[np.uint8]) -> pa.Array:
    rows, width = ids.shape
    return pa.Array.from_buffers(pa.binary(width), rows, [None, pa.py_buffer(np.ascontiguousarray(ids).tobytes())])


def _hex(ids: NDArray[np.uint8]) -> pa.Array:
    return pa.array([row.tobytes().hex() if row.any() else "" for row in ids], pa.string())


def _take(values: tuple[str, ...], index: NDArray[np.int32]) -> pa.DictionaryArray:
    return _worded(pa.array(values, pa.string()), index)


def _worded(values: pa.Array, index: NDArray[np.int32]) -> pa.DictionaryArray:
    """Return for each row the value that it names, as number among the distinct ones."""
    distinct = values.dictionary_encode()
    number = distinct.indices.to_numpy()[index] if len(values) else index
    return pa.DictionaryArray.from_arrays(pa.array(number), distinct.dictionary)


def _names(names: tuple[str, ...], number: NDArray[np.uint8]) -> pa.Array:
    return _take(names, np.where(number < len(names), number, 0).astype(np.int32))
