"""A batch of spans and log records as columns: what flows from decode through the processors to the exporters.

There is no object per span and none per attribute. Everything a span owns lies in flat tables whose `owner` column
holds the row of the owner, in ascending order:

    spans        0   1   2                      n rows: ids, times, name, status, ...
    attributes   0 0 0 1 1 2 2 2 2              owner = row of the span
    events       0 2 2                          owner = row of the span
    events.attributes  0 0 1 2 2                owner = row of the event
    resources    one row per ResourceSpans / ResourceLogs;  spans.resource = row of the resource
    scopes       one row per ScopeSpans / ScopeLogs;        spans.scope = row of the scope
    logs         log records of the same journal batch; logs.span_row = row of the span they name, or -1

Strings of attributes are offsets into `buffer`; an array or a kvlist is the bytes of its protobuf message there.
Ids are raw bytes, `uint8[n, 16]` and `uint8[n, 8]`; all zero means absent. Times are Unix nanoseconds, `uint64`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from schema import anyvalue
from schema.anyvalue import ValueType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    import pyarrow as pa
    from numpy.typing import NDArray

    from schema.ledger import Entry

STRING, BOOL, INT, DOUBLE, ARRAY, KVLIST, BYTES = map(int, list(ValueType)[1:])
"""`ValueType` as plain ints: comparing with members of an enum costs more than the reading (measured)."""


@dataclass(frozen=True, slots=True)
class AttributeTable:
    """Attributes of many owners, in ascending order of owner; within an owner as sent."""

    owner: NDArray[np.int32]
    """Row of the owner."""
    key: NDArray[np.int32]
    """Index into `keys`."""
    type: NDArray[np.uint8]
    """`ValueType`."""
    number: NDArray[np.int64]
    """Bool (0/1) and int values; a double's IEEE 754 bits; else 0."""
    start: NDArray[np.int64]
    """Offset into `buffer` of a string, bytes, ArrayValue or KeyValueList; else 0."""
    length: NDArray[np.int64]
    """Its length in bytes."""
    keys: tuple[str, ...]
    """The distinct keys of this table."""
    buffer: bytes

    def __len__(self) -> int:
        return len(self.owner)

    def value(self, row: int) -> Any:
        """Return the Python value of one attribute; undecodable UTF-8 is replaced, never raised."""
        kind = int(self.type[row])
        if kind == STRING:
            return self.raw(row).decode("utf-8", "replace")
        if kind == INT:
            return int(self.number[row])
        if kind == BOOL:
            return bool(self.number[row])
        if kind == DOUBLE:
            return float(self.number[row : row + 1].view(np.float64)[0])
        if kind == ARRAY:
            return anyvalue.array_to_python(self.raw(row))
        if kind == KVLIST:
            return anyvalue.kvlist_to_python(self.raw(row))
        return self.raw(row) if kind == BYTES else None

    def raw(self, row: int) -> bytes:
        """Return the bytes behind a string, bytes, array or kvlist value."""
        start = int(self.start[row])
        return self.buffer[start : start + int(self.length[row])]

    def rows(self, owner: int) -> range:
        """Return the rows that belong to one owner."""
        # Asked for in another type, numpy copies the whole column: 0.5 ms for each owner of a large batch (measured).
        first, last = self.owner.searchsorted(np.array((owner, owner + 1), self.owner.dtype))
        return range(int(first), int(last))

    def of(self, owner: int) -> dict[str, Any]:
        """Return one owner's attributes as a dict; of equal keys the last wins."""
        return {self.keys[self.key[r]]: self.value(r) for r in self.rows(owner)}


@dataclass(frozen=True, slots=True)
class Resources:
    """One row per resource of the batch; attributes.owner = row here."""

    attributes: AttributeTable
    schema_url: pa.Array


@dataclass(frozen=True, slots=True)
class Scopes:
    """One row per instrumentation scope of the batch; attributes.owner = row here."""

    name: pa.Array
    version: pa.Array
    schema_url: pa.Array
    attributes: AttributeTable


@dataclass(frozen=True, slots=True)
class Events:
    """Span events; owner = row of the span, attributes.owner = row here."""

    owner: NDArray[np.int32]
    time_unix_ns: NDArray[np.uint64]
    name: pa.Array
    dropped_attributes_count: NDArray[np.uint32]
    attributes: AttributeTable


@dataclass(frozen=True, slots=True)
class Links:
    """Span links; owner = row of the span, attributes.owner = row here."""

    owner: NDArray[np.int32]
    trace_id: NDArray[np.uint8]
    span_id: NDArray[np.uint8]
    trace_state: pa.Array
    attributes: AttributeTable


@dataclass(frozen=True, slots=True)
class Origins:
    """Where rows came from: one row per journal record. Spans and logs point here with `origin`."""

    tenant: tuple[str, ...]
    sequence: NDArray[np.uint64]
    received_unix_ns: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Logs:
    """Log records; `span_row` is the row of the span of this batch that they name, or -1."""

    origin: NDArray[np.int32]
    resource: NDArray[np.int32]
    scope: NDArray[np.int32]
    span_row: NDArray[np.int32]
    trace_id: NDArray[np.uint8]
    span_id: NDArray[np.uint8]
    time_unix_ns: NDArray[np.uint64]
    observed_unix_ns: NDArray[np.uint64]
    severity_number: NDArray[np.uint8]
    severity_text: pa.Array
    event_name: pa.Array
    """EventName, or the attribute `event.name` of older exporters, or empty."""
    attributes: AttributeTable
    body: AttributeTable
    """The body as one attribute per record under the key "body"; no row where there is no body."""

    def __len__(self) -> int:
        return len(self.origin)


@dataclass(frozen=True, slots=True)
class SpanBatch:
    """Spans of many requests as columns, with the log records that came in the same journal batch."""

    origin: NDArray[np.int32]
    """Row of `origins`."""
    resource: NDArray[np.int32]
    """Row of `resources`."""
    scope: NDArray[np.int32]
    """Row of `scopes`."""
    trace_id: NDArray[np.uint8]
    span_id: NDArray[np.uint8]
    parent_span_id: NDArray[np.uint8]
    trace_state: pa.Array
    name: pa.Array
    kind: NDArray[np.uint8]
    """SpanKind of the wire, 0..5."""
    flags: NDArray[np.uint32]
    start_unix_ns: NDArray[np.uint64]
    end_unix_ns: NDArray[np.uint64]
    status_code: NDArray[np.uint8]
    """0 unset, 1 ok, 2 error."""
    status_message: pa.Array
    dropped_attributes_count: NDArray[np.uint32]
    dropped_events_count: NDArray[np.uint32]
    dropped_links_count: NDArray[np.uint32]
    attributes: AttributeTable
    events: Events
    links: Links
    resources: Resources
    scopes: Scopes
    origins: Origins
    logs: Logs
    columns: Mapping[str, pa.Array] = field(default_factory=lambda: MappingProxyType({}))
    """What processors derived, one Arrow array of n rows per name of `schema.span.CANONICAL`."""
    feedback: tuple[Mapping[str, Any], ...] = ()
    """Feedback rows found in spans, events and logs: few, so dicts of `schema.span.FEEDBACK`."""
    log_columns: Mapping[str, pa.Array] = field(default_factory=lambda: MappingProxyType({}))
    """As `columns`, for log records."""
    booked: tuple[Entry, ...] = ()
    """What is no longer among the rows, and why: entries that go into the ledger with the batch, under its token."""

    def __len__(self) -> int:
        return len(self.origin)

    def with_columns(self, columns: Mapping[str, pa.Array]) -> SpanBatch:
        """Return the batch with these derived columns added; each must have one value per span."""
        for name, array in columns.items():
            if len(array) != len(self):
                raise ValueError(f"column {name!r} has {len(array)} values for {len(self)} spans")
        return replace(self, columns=MappingProxyType({**self.columns, **columns}))

    def hex_ids(self) -> Iterator[tuple[str, str, str | None]]:
        """Yield (trace_id, span_id, parent_span_id or None) in lower-case hex."""
        for trace, span, parent in zip(self.trace_id, self.span_id, self.parent_span_id, strict=True):
            yield trace.tobytes().hex(), span.tobytes().hex(), parent.tobytes().hex() if parent.any() else None
