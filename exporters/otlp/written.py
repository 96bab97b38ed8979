"""The spans of a batch as one request, written by kernels from its columns: byte for byte what the library makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from exporters.otlp import kernels
from schema.anyvalue import ValueType
from schema.batch import AttributeTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from schema.batch import SpanBatch

IN_BUFFER: Final = np.array([t in (1, 5, 6, 7) for t in ValueType])
"""Types whose value lies in the buffer."""
PER_SPAN_BYTES: Final = 224
PER_EVENT_BYTES: Final = 64
PER_LINK_BYTES: Final = 96
PER_ATTRIBUTE_BYTES: Final = 40
"""More than ids, numbers, tags and lengths take."""
MAX_BYTES: Final = 1 << 31


def spans_request(batch: SpanBatch, heads: Callable[[int, int], tuple[bytes, bytes, bytes, bytes]]) -> bytes:
    """Return the ExportTraceServiceRequest of all spans of a batch.

    `heads` gives of a resource and a scope what stands before and behind the spans: the first and the last fields of
    ResourceSpans, and those of ScopeSpans.

    Raises:
        ValueError: a table points beyond its buffer.

    """
    groups, order = _grouped(batch)
    size = (
        PER_SPAN_BYTES * len(batch)
        + sum(_size(t) for t in (batch.trace_state, batch.name, batch.status_message))
        + _attributes_size(batch.attributes)
        + PER_EVENT_BYTES * len(batch.events.owner)
        + _size(batch.events.name)
        + _attributes_size(batch.events.attributes)
        + PER_LINK_BYTES * len(batch.links.owner)
        + _size(batch.links.trace_state)
        + _attributes_size(batch.links.attributes)
    )
    if size > MAX_BYTES:
        raise ValueError(f"{len(batch)} spans take more than {MAX_BYTES} bytes")
    out, begins = np.empty(size, np.uint8), np.empty(len(order) + 1, np.int64)
    begins[-1] = size
    kernels.put_spans(
        out,
        begins,
        order,
        (_raw(batch.trace_id), _raw(batch.span_id), _raw(batch.parent_span_id)),
        (_texts(batch.trace_state), _texts(batch.name), _texts(batch.status_message)),
        tuple(
            _numbers(n)
            for n in (
                *(batch.kind, batch.start_unix_ns, batch.end_unix_ns, batch.dropped_attributes_count),
                *(batch.dropped_events_count, batch.dropped_links_count, batch.status_code, batch.flags),
            )
        ),
        _attributes(batch.attributes, len(batch)),
        (
            _first(batch.events.owner, len(batch)),
            _numbers(batch.events.time_unix_ns),
            _texts(batch.events.name),
            _numbers(batch.events.dropped_attributes_count),
            _attributes(batch.events.attributes, len(batch.events.owner)),
        ),
        (
            _first(batch.links.owner, len(batch)),
            _raw(batch.links.trace_id),
            _raw(batch.links.span_id),
            _texts(batch.links.trace_state),
            _attributes(batch.links.attributes, len(batch.links.owner)),
        ),
    )
    return _joined(out.data, begins, groups, heads)


def _grouped(batch: SpanBatch) -> tuple[list[tuple[int, int, int]], NDArray[np.int64]]:
    """Return (resource, scope, spans) of each group, as they first appear, and the rows in that order."""
    pair = np.stack((batch.resource, batch.scope)).astype(np.int64)
    distinct, first, which, count = np.unique(pair, axis=1, return_index=True, return_inverse=True, return_counts=True)
    by_first = np.argsort(first, kind="stable")
    rank = np.empty(len(by_first), np.int64)
    rank[by_first] = np.arange(len(by_first))
    order = np.argsort(rank[which.reshape(-1)], kind="stable")
    groups = [(int(distinct[0, g]), int(distinct[1, g]), int(count[g])) for g in by_first]
    return groups, order.astype(np.int64)


def _joined(
    out: memoryview,
    begins: NDArray[np.int64],
    groups: list[tuple[int, int, int]],
    heads: Callable[[int, int], tuple[bytes, bytes, bytes, bytes]],
) -> bytes:
    pieces: list[bytes | memoryview] = []
    done = 0
    for resource, scope, count in groups:
        spans = out[int(begins[done]) : int(begins[done + count])]
        done += count
        before, behind, scope_before, scope_behind = heads(resource, scope)
        inner = len(scope_before) + len(spans) + len(scope_behind)
        scope_head = b"\x12" + _varint(inner)
        outer = len(before) + len(scope_head) + inner + len(behind)
        pieces += [b"\x0a" + _varint(outer), before, scope_head, scope_before, spans, scope_behind, behind]
    return b"".join(pieces)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def warm_up() -> None:
    """Compile the kernels, or load them from where numba keeps them: five seconds, or some milliseconds."""
    none, ids, text = np.zeros(0, np.int32), np.zeros((0, 16), np.uint8), pa.array([], pa.string())
    long = np.zeros(0, np.int64)
    table = AttributeTable(none, none, np.zeros(0, np.uint8), long, long, long, (), b"")
    first, texts, numbers, attributes = _first(none, 0), _texts(text), _numbers(none), _attributes(table, 0)
    kernels.put_spans(
        np.empty(0, np.uint8),
        np.empty(1, np.int64),
        np.zeros(0, np.int64),
        (_raw(ids), _raw(ids), _raw(ids)),
        (texts, texts, texts),
        (numbers,) * 8,
        attributes,
        (first, numbers, texts, numbers, attributes),
        (first, _raw(ids), _raw(ids), texts, attributes),
    )


# -- columns as kernels take them: of one type each, contiguous, read-only --------------------------------------------


def _kept(array: NDArray[Any]) -> Any:
    array = array.view()
    array.flags.writeable = False
    return array


def _numbers(column: NDArray[Any]) -> Any:
    """Return int64; uint64 by its bits."""
    return _kept(column.view(np.int64) if column.dtype == np.uint64 else np.asarray(column, np.int64))


def _raw(ids: NDArray[np.uint8]) -> Any:
    return _kept(np.ascontiguousarray(ids).reshape(-1))


def _texts(column: pa.Array) -> tuple[Any, Any]:
    plain = column if column.type == pa.string() else column.cast(pa.string())
    _, offsets, data = plain.buffers()
    found = np.zeros(1, np.int32) if offsets is None else np.frombuffer(offsets, np.int32)
    of_rows = found[plain.offset : plain.offset + len(plain) + 1] if len(plain) else np.zeros(1, np.int32)
    return _kept(of_rows.astype(np.int64)), _bytes(data)


def _bytes(buffer: Any) -> Any:
    return _kept(np.frombuffer(buffer if buffer is not None and len(buffer) else b"\0", np.uint8))


def _first(owner: NDArray[np.int32], owners: int) -> Any:
    return _kept(np.searchsorted(owner, np.arange(owners + 1, dtype=owner.dtype)).astype(np.int64))


def _attributes(table: AttributeTable, owners: int) -> Any:
    inside = IN_BUFFER[table.type]
    start, length = (np.where(inside, x, 0).astype(np.int64) for x in (table.start, table.length))
    if len(table) and ((start < 0) | (length < 0) | (start + length > len(table.buffer))).any():
        raise ValueError("an attribute lies beyond its buffer")
    keys = _texts(pa.array(table.keys, pa.string()))
    numbers = (_numbers(n) for n in (table.key, table.type, table.number, start, length))
    return (_first(table.owner, owners), *numbers, _bytes(table.buffer), keys)


def _size(column: pa.Array) -> int:
    offsets, _ = _texts(column)
    return int(offsets[-1] - offsets[0])


def _attributes_size(table: AttributeTable) -> int:
    if not len(table):
        return 0
    inside = IN_BUFFER[table.type]
    of_keys = np.array([len(k.encode()) for k in table.keys], np.int64)
    return int(table.length[inside].sum() + of_keys[table.key].sum() + PER_ATTRIBUTE_BYTES * len(table))
