"""OTLP requests to columns with the protobuf library.

This is the reference reading: it makes an object per span and is replaced on the hot path, where it stays the oracle
that a faster reading is tested against.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from google.protobuf.message import DecodeError

from collector.decode.inflate import gunzip
from collector.decode.otlp_json import REQUESTS, to_message
from schema.anyvalue import ValueType
from schema.batch import AttributeTable, Events, Links, Logs, Origins, Resources, Scopes, SpanBatch
from schema.errors import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

    from collector.journal.record import Record

MAX_INFLATED_BYTES = 64 << 20
"""OTLP specification: the recommended limit of a request body after decompression."""


def parse(record: Record, *, max_inflated_bytes: int = MAX_INFLATED_BYTES) -> Any:
    """Return the request message of one record, whatever its encoding.

    Raises:
        Refused: the bytes are not a request of the record's signal.

    """
    body = gunzip(record.body, max_inflated_bytes) if record.gzip else record.body
    if record.encoding == "json":
        return to_message(body, record.signal)
    try:
        return REQUESTS[record.signal].FromString(body)
    except DecodeError as e:
        raise Refused(
            Reason.BAD_DATA, f"the body is not an OTLP {record.signal} request in protobuf: {str(e)[:200]}"
        ) from None


def decode(records: Sequence[Record]) -> SpanBatch:
    """Decode records of one journal batch; the receiver has validated them.

    Spans keep the order of the records. Log records of the batch come along, joined to its spans by id.

    Raises:
        Refused: a record does not parse (it was damaged or journalled by an older version); its sequence is named.

    """
    builder = _Builder()
    for index, record in enumerate(records):
        try:
            message = parse(record)
        except Refused as e:
            raise Refused(e.reason, f"journal record {record.sequence}: {e}") from None
        if record.signal == "traces":
            builder.add_traces(index, message)
        else:
            builder.add_logs(index, message)
    return builder.finish(records)


@dataclass(slots=True)
class _Attributes:
    owner: list[int] = field(default_factory=list)
    key: list[int] = field(default_factory=list)
    type: list[int] = field(default_factory=list)
    number: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    length: list[int] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0

    def extend(self, owner: int, attributes: Iterable[KeyValue]) -> None:
        for kv in attributes:
            self.add(owner, kv.key, kv.value)

    def add(self, owner: int, key: str, value: AnyValue) -> None:
        self.owner.append(owner)
        self.key.append(self.keys.setdefault(key, len(self.keys)))
        which = value.WhichOneof("value")
        number = 0
        raw = b""
        match which:
            case "string_value":
                kind, raw = ValueType.STRING, value.string_value.encode("utf-8", "surrogatepass")
            case "int_value":
                kind, number = ValueType.INT, value.int_value
            case "bool_value":
                kind, number = ValueType.BOOL, int(value.bool_value)
            case "double_value":
                kind, number = ValueType.DOUBLE, struct.unpack("<q", struct.pack("<d", value.double_value))[0]
            case "array_value":
                kind, raw = ValueType.ARRAY, value.array_value.SerializeToString()
            case "kvlist_value":
                kind, raw = ValueType.KVLIST, value.kvlist_value.SerializeToString()
            case "bytes_value":
                kind, raw = ValueType.BYTES, value.bytes_value
            case _:
                kind = ValueType.EMPTY
        self.type.append(kind)
        self.number.append(number)
        self.start.append(self.size if raw else 0)
        self.length.append(len(raw))
        if raw:
            self.chunks.append(raw)
            self.size += len(raw)

    def finish(self) -> AttributeTable:
        return AttributeTable(
            owner=np.array(self.owner, np.int32),
            key=np.array(self.key, np.int32),
            type=np.array(self.type, np.uint8),
            number=np.array(self.number, np.int64),
            start=np.array(self.start, np.int64),
            length=np.array(self.length, np.int64),
            keys=tuple(self.keys),
            buffer=b"".join(self.chunks),
        )


def _ids(values: list[bytes], width: int) -> NDArray[np.uint8]:
    """Return ids as a matrix; an id of another length was refused by the receiver and counts as absent here."""
    whole = b"".join(v if len(v) == width else bytes(width) for v in values)
    return np.frombuffer(whole, np.uint8).reshape(len(values), width)


def _strings(values: list[str]) -> pa.Array:
    """Return an Arrow array. Not by `pa.array`: that imports pandas where it is installed, 27 MB (measured)."""
    encoded = [v.encode("utf-8", "surrogatepass") for v in values]
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(v) for v in encoded], out=offsets[1:])
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


class _Builder:
    """Collects rows as lists; `finish` turns them into columns."""

    def __init__(self) -> None:
        self.resource_attributes, self.scope_attributes = _Attributes(), _Attributes()
        self.resource_schema: list[str] = []
        self.scopes: list[tuple[str, str, str]] = []
        self.attributes, self.event_attributes, self.link_attributes = _Attributes(), _Attributes(), _Attributes()
        self.spans: list[tuple[Any, ...]] = []
        self.events: list[tuple[int, int, str, int]] = []
        self.links: list[tuple[int, bytes, bytes, str]] = []
        self.logs: list[tuple[Any, ...]] = []
        self.log_attributes, self.bodies = _Attributes(), _Attributes()

    def _resource(self, item: Any) -> int:
        row = len(self.resource_schema)
        self.resource_schema.append(item.schema_url)
        self.resource_attributes.extend(row, item.resource.attributes)
        return row

    def _scope(self, item: Any) -> int:
        row = len(self.scopes)
        self.scopes.append((item.scope.name, item.scope.version, item.schema_url))
        self.scope_attributes.extend(row, item.scope.attributes)
        return row

    def add_traces(self, origin: int, request: Any) -> None:
        for resource_spans in request.resource_spans:
            resource = self._resource(resource_spans)
            for scope_spans in resource_spans.scope_spans:
                scope = self._scope(scope_spans)
                for span in scope_spans.spans:
                    self._span(origin, resource, scope, span)

    def _span(self, origin: int, resource: int, scope: int, s: Any) -> None:
        row = len(self.spans)
        self.attributes.extend(row, s.attributes)
        for e in s.events:
            self.event_attributes.extend(len(self.events), e.attributes)
            self.events.append((row, e.time_unix_nano, e.name, e.dropped_attributes_count))
        for link in s.links:
            self.link_attributes.extend(len(self.links), link.attributes)
            self.links.append((row, link.trace_id, link.span_id, link.trace_state))
        self.spans.append(
            (
                origin,
                resource,
                scope,
                s.trace_id,
                s.span_id,
                s.parent_span_id,
                s.trace_state,
                s.name,
                s.kind,
                s.flags,
                s.start_time_unix_nano,
                s.end_time_unix_nano,
                s.status.code,
                s.status.message,
                s.dropped_attributes_count,
                s.dropped_events_count,
                s.dropped_links_count,
            )
        )

    def add_logs(self, origin: int, request: Any) -> None:
        for resource_logs in request.resource_logs:
            resource = self._resource(resource_logs)
            for scope_logs in resource_logs.scope_logs:
                scope = self._scope(scope_logs)
                for r in scope_logs.log_records:
                    row = len(self.logs)
                    name = r.event_name
                    for kv in r.attributes:
                        if kv.key == "event.name" and not name:
                            name = kv.value.string_value
                        self.log_attributes.add(row, kv.key, kv.value)
                    if r.HasField("body"):
                        self.bodies.add(row, "body", r.body)
                    self.logs.append(
                        (
                            origin,
                            resource,
                            scope,
                            r.trace_id,
                            r.span_id,
                            r.time_unix_nano,
                            r.observed_time_unix_nano,
                            r.severity_number,
                            r.severity_text,
                            name,
                        )
                    )

    def finish(self, records: Sequence[Record]) -> SpanBatch:
        columns: list[list[Any]] = [list(c) for c in zip(*self.spans, strict=True)] or [[] for _ in range(17)]
        trace_id, span_id = _ids(columns[3], 16), _ids(columns[4], 8)
        return SpanBatch(
            origin=np.array(columns[0], np.int32),
            resource=np.array(columns[1], np.int32),
            scope=np.array(columns[2], np.int32),
            trace_id=trace_id,
            span_id=span_id,
            parent_span_id=_ids(columns[5], 8),
            trace_state=_strings(columns[6]),
            name=_strings(columns[7]),
            kind=np.array(columns[8], np.int64).clip(0, 255).astype(np.uint8),
            flags=np.array(columns[9], np.uint32),
            start_unix_ns=np.array(columns[10], np.uint64),
            end_unix_ns=np.array(columns[11], np.uint64),
            status_code=np.array(columns[12], np.int64).clip(0, 255).astype(np.uint8),
            status_message=_strings(columns[13]),
            dropped_attributes_count=np.array(columns[14], np.uint32),
            dropped_events_count=np.array(columns[15], np.uint32),
            dropped_links_count=np.array(columns[16], np.uint32),
            attributes=self.attributes.finish(),
            events=self._finish_events(),
            links=self._finish_links(),
            resources=Resources(self.resource_attributes.finish(), _strings(self.resource_schema)),
            scopes=Scopes(
                _strings([s[0] for s in self.scopes]),
                _strings([s[1] for s in self.scopes]),
                _strings([s[2] for s in self.scopes]),
                self.scope_attributes.finish(),
            ),
            origins=Origins(
                tuple(r.tenant for r in records),
                np.array([r.sequence for r in records], np.uint64),
                np.array([r.received_unix_ns for r in records], np.uint64),
            ),
            logs=self._finish_logs(trace_id, span_id, [r.tenant for r in records]),
        )

    def _finish_events(self) -> Events:
        return Events(
            owner=np.array([e[0] for e in self.events], np.int32),
            time_unix_ns=np.array([e[1] for e in self.events], np.uint64),
            name=_strings([e[2] for e in self.events]),
            dropped_attributes_count=np.array([e[3] for e in self.events], np.uint32),
            attributes=self.event_attributes.finish(),
        )

    def _finish_links(self) -> Links:
        return Links(
            owner=np.array([x[0] for x in self.links], np.int32),
            trace_id=_ids([x[1] for x in self.links], 16),
            span_id=_ids([x[2] for x in self.links], 8),
            trace_state=_strings([x[3] for x in self.links]),
            attributes=self.link_attributes.finish(),
        )

    def _finish_logs(self, trace_id: NDArray[np.uint8], span_id: NDArray[np.uint8], tenants: Sequence[str]) -> Logs:
        rows: list[list[Any]] = [list(c) for c in zip(*self.logs, strict=True)] or [[] for _ in range(10)]
        log_trace, log_span = _ids(rows[3], 16), _ids(rows[4], 8)
        of = [tenants[span[0]] for span in self.spans]
        at = {(w, t.tobytes(), s.tobytes()): i for i, (w, t, s) in enumerate(zip(of, trace_id, span_id, strict=True))}
        named = zip((tenants[r] for r in rows[0]), log_trace, log_span, strict=True)
        span_row = [at.get((w, t.tobytes(), s.tobytes()), -1) for w, t, s in named]
        return Logs(
            origin=np.array(rows[0], np.int32),
            resource=np.array(rows[1], np.int32),
            scope=np.array(rows[2], np.int32),
            span_row=np.array(span_row, np.int32),
            trace_id=log_trace,
            span_id=log_span,
            time_unix_ns=np.array(rows[5], np.uint64),
            observed_unix_ns=np.array(rows[6], np.uint64),
            severity_number=np.array(rows[7], np.int64).clip(0, 255).astype(np.uint8),
            severity_text=_strings(rows[8]),
            event_name=_strings(rows[9]),
            attributes=self.log_attributes.finish(),
            body=self.bodies.finish(),
        )
