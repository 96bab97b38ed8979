"""Small OTLP payloads by hand: spans and log records as plain values, encoded as a sender would."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector.normalize import document

CORPUS = Path(__file__).parent.parent / "corpus"
START_UNIX_NS = 1_790_000_000_000_000_000
Document = dict[str, Any]


def any_value(value: Any) -> AnyValue:
    """Encode a Python value; bytes become bytes, an existing AnyValue stays."""
    match value:
        case AnyValue():
            return value
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=attributes(value)))
        case list() | tuple():
            return AnyValue(array_value=ArrayValue(values=[any_value(v) for v in value]))
    return AnyValue()


def attributes(values: dict[str, Any]) -> list[KeyValue]:
    """Encode attributes."""
    return [KeyValue(key=k, value=any_value(v)) for k, v in values.items()]


def identifier(text: str | None, width: int) -> bytes:
    """Return an id that begins with this text; empty for None."""
    return b"" if text is None else text.encode().ljust(width, b"\x01")[:width]


def span(
    name: str = "span",
    values: dict[str, Any] | None = None,
    *,
    at: str | None = "a",
    parent: str | None = None,
    trace: str | None = "t",
    scope: str = "test",
    status: int = 0,
    message: str = "",
    events: tuple[tuple[str, dict[str, Any]], ...] = (),
    start_ns: int = 0,
    duration_ns: int = 1_000_000,
    kind: int = 1,
    resource: dict[str, Any] | None = None,
) -> bytes:
    """Return a request with one span; requests concatenate."""
    request = ExportTraceServiceRequest()
    holder = request.resource_spans.add()
    holder.resource.attributes.extend(attributes(resource or {"service.name": "test"}))
    inner = holder.scope_spans.add()
    inner.scope.name = scope
    one = inner.spans.add()
    one.name = name
    one.kind = Span.SpanKind.ValueType(kind)
    one.trace_id, one.span_id, one.parent_span_id = (
        identifier(trace, 16),
        identifier(at, 8),
        identifier(parent, 8),
    )
    one.start_time_unix_nano = START_UNIX_NS + start_ns
    one.end_time_unix_nano = START_UNIX_NS + start_ns + duration_ns
    one.status.code = Status.StatusCode.ValueType(status)
    one.status.message = message
    one.attributes.extend(attributes(values or {}))
    for event_name, fields in events:
        event = one.events.add()
        event.name = event_name
        event.attributes.extend(attributes(fields))
    return request.SerializeToString()


def log(
    event_name: str,
    values: dict[str, Any] | None = None,
    body: Any = None,
    *,
    at: str | None = "a",
    trace: str | None = "t",
    time_ns: int = 0,
) -> bytes:
    """Return a request with one log record; requests concatenate."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.event_name = event_name
    record.trace_id, record.span_id = identifier(trace, 16), identifier(at, 8)
    record.time_unix_nano = START_UNIX_NS + time_ns
    record.attributes.extend(attributes(values or {}))
    if body is not None:
        record.body.CopyFrom(any_value(body))
    return request.SerializeToString()


def normalised(*requests: bytes, logs: tuple[bytes, ...] = ()) -> Document:
    """Return the document of requests, each with its log requests after the spans; a fault of ours is raised."""
    bodies = [(f"{i}.otlp.pb", r) for i, r in enumerate(requests)]
    return document([*bodies, *((f"{i}.logs.otlp.pb", r) for i, r in enumerate(logs))], on_fault=raised)


def raised(row: int, span_name: str, fault: Exception) -> None:
    """Raise what the product logs."""
    raise AssertionError(f"span {span_name!r}, row {row}") from fault


def only(*requests: bytes, logs: tuple[bytes, ...] = ()) -> Document:
    """Return the one span of the document."""
    [found] = normalised(*requests, logs=logs)["spans"]
    assert isinstance(found, dict)
    return found


def capture(id_: str) -> Document:
    """Return the document of one capture of the corpus."""
    dialect, scenario = id_.split("/")
    folder = CORPUS / dialect
    files = sorted(p for p in folder.glob(f"{scenario}.*") if ".otlp." in p.name)
    ordered = sorted(files, key=lambda p: (".logs." in p.name, p.name))
    return document([(str(p), p.read_bytes()) for p in ordered])


def counted(found: Document) -> list[Document]:
    """Return the counted spans of a document in order of time."""
    return sorted((s for s in found["spans"] if s["counted"]), key=lambda s: s["start_unix_ns"])


def text(role: str, content: str) -> Document:
    """Return a canonical message of one text part."""
    return {"role": role, "parts": [{"type": "text", "content": content}]}


PNG = base64.b64encode(b"\x89PNG" + bytes(20)).decode()
