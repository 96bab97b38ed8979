"""Batches for tests, made as the service makes them: OTLP messages through the decoder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.decode import decode
from collector.journal.record import Record
from schema.span import CANONICAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

    from schema.batch import SpanBatch
    from schema.component import Signal

NOON = 1_790_000_000_000_000_000
"""2026-09-21 14:13:20 UTC."""
SECOND = 1_000_000_000
DAY = 86_400 * SECOND


def value(v: Any) -> AnyValue:
    if isinstance(v, bool):
        return AnyValue(bool_value=v)
    if isinstance(v, int):
        return AnyValue(int_value=v)
    if isinstance(v, float):
        return AnyValue(double_value=v)
    if isinstance(v, bytes):
        return AnyValue(bytes_value=v)
    if isinstance(v, list):
        out = AnyValue()
        out.array_value.values.extend(value(x) for x in v)
        return out
    if isinstance(v, dict):
        out = AnyValue()
        out.kvlist_value.values.extend(attributes(v))
        return out
    return AnyValue(string_value=v) if v is not None else AnyValue()


def attributes(items: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=k, value=value(v)) for k, v in items.items()]


def span(trace: int, number: int, *, parent: int = 0, start: int = NOON, end: int = NOON + SECOND, **rest: Any) -> Span:
    given = {"name": f"span {number}", "attributes": {}, **rest}
    return Span(
        trace_id=trace.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        start_time_unix_nano=start,
        end_time_unix_nano=end,
        **{**given, "attributes": attributes(given["attributes"])},
    )


def spans_record(
    spans: Sequence[Span], *, received: int = NOON, tenant: str = "default", resource: Mapping[str, Any] | None = None
) -> Record:
    request = ExportTraceServiceRequest()
    one = request.resource_spans.add()
    one.resource.attributes.extend(attributes(resource if resource is not None else {"service.name": "shop"}))
    scope = one.scope_spans.add()
    scope.scope.name, scope.scope.version = "lib", "1.2"
    scope.scope.attributes.extend(attributes({"kind": "test"}))
    scope.spans.extend(spans)
    return record(request.SerializeToString(), "traces", received, tenant)


def logs_record(logs: Sequence[LogRecord], *, received: int = NOON, tenant: str = "default") -> Record:
    request = ExportLogsServiceRequest()
    one = request.resource_logs.add()
    one.resource.attributes.extend(attributes({"service.name": "shop"}))
    scope = one.scope_logs.add()
    scope.scope.name = "lib"
    scope.log_records.extend(logs)
    return record(request.SerializeToString(), "logs", received, tenant)


def record(body: bytes, signal: Signal, received: int, tenant: str) -> Record:
    return Record(0, tenant, signal, "protobuf", gzip=False, received_unix_ns=received, body=body)


def batch_of(*records: Record, columns: Mapping[str, list[Any]] | None = None) -> SpanBatch:
    batch = decode(records)
    derived = {k: pa.array(v, CANONICAL.field(k).type) for k, v in (columns or {}).items()}
    return batch.with_columns(derived)


def with_feedback(batch: SpanBatch, *feedback: Mapping[str, Any]) -> SpanBatch:
    whole = {"origin": 0, "time_unix_ns": NOON, "name": "thumb", "source": "test", "polarity": "negative"}
    return replace(batch, feedback=tuple({**whole, **f} for f in feedback))
