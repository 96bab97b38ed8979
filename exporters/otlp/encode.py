"""A batch as OTLP requests again: what processors masked is masked, what they left out is left out.

Spans are written by kernels (written.py), where numba works; else, and log records always, by the protobuf library.

What the columns do not hold is lost: fields newer than this version, flags and dropped counts of links, resources,
scopes and log records.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans

from schema.anyvalue import ValueType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schema.batch import AttributeTable, SpanBatch
    from schema.component import Signal

log = logging.getLogger(__name__)


def to_requests(batch: SpanBatch) -> list[tuple[Signal, bytes]]:
    """Return a request for the spans and one for the log records, where there are any."""
    found: list[tuple[Signal, bytes]] = []
    if len(batch):
        found.append(("traces", _written(batch)))
    if len(batch.logs):
        found.append(("logs", _logs(batch).SerializeToString()))
    return found


def _written(batch: SpanBatch) -> bytes:
    try:
        from exporters.otlp.written import spans_request  # noqa: PLC0415 - numba takes 0.3 s to import

        return spans_request(batch, partial(_heads, batch))
    except Exception as e:  # noqa: BLE001 - numba and LLVM fail in many ways; the library always works
        log.warning("spans are written by the protobuf library, thirty times slower: %s: %s", type(e).__name__, e)
        return by_library(batch)


def _heads(batch: SpanBatch, resource: int, scope: int) -> tuple[bytes, bytes, bytes, bytes]:
    """Return what stands before and behind the spans of a scope in a resource, as `_group` makes it."""
    request = ExportTraceServiceRequest()
    inner = _group(batch, {}, request.resource_spans, "scope_spans", (resource, scope))
    outer = request.resource_spans[0]
    del outer.scope_spans[:]
    behind, scope_behind = ResourceSpans(schema_url=outer.schema_url), ScopeSpans(schema_url=inner.schema_url)
    outer.schema_url = inner.schema_url = ""
    return tuple(bytes(m.SerializeToString()) for m in (outer, behind, inner, scope_behind))  # type: ignore[return-value]  # of four


def by_library(batch: SpanBatch) -> bytes:
    """Return the request of the spans of a batch, made by the protobuf library: a Python object for each attribute."""
    return bytes(_spans(batch).SerializeToString())


def _spans(batch: SpanBatch) -> Any:
    request = ExportTraceServiceRequest()
    groups: dict[tuple[int, int], Any] = {}
    names, states = batch.name.to_pylist(), batch.trace_state.to_pylist()
    messages = batch.status_message.to_pylist()
    event_names, link_states = batch.events.name.to_pylist(), batch.links.trace_state.to_pylist()
    events, links = _owned(batch.events.owner.tolist()), _owned(batch.links.owner.tolist())
    for row in range(len(batch)):
        span = _group(
            batch, groups, request.resource_spans, "scope_spans", (batch.resource[row], batch.scope[row])
        ).spans.add(
            trace_id=_id(batch.trace_id[row]),
            span_id=_id(batch.span_id[row]),
            parent_span_id=_id(batch.parent_span_id[row]),
            trace_state=states[row],
            name=names[row],
            kind=int(batch.kind[row]),
            flags=int(batch.flags[row]),
            start_time_unix_nano=int(batch.start_unix_ns[row]),
            end_time_unix_nano=int(batch.end_unix_ns[row]),
            attributes=_attributes(batch.attributes, row),
            dropped_attributes_count=int(batch.dropped_attributes_count[row]),
            dropped_events_count=int(batch.dropped_events_count[row]),
            dropped_links_count=int(batch.dropped_links_count[row]),
        )
        if batch.status_code[row] or messages[row]:
            span.status.code, span.status.message = int(batch.status_code[row]), messages[row]
        for i in events.get(row, ()):
            span.events.add(
                time_unix_nano=int(batch.events.time_unix_ns[i]),
                name=event_names[i],
                attributes=_attributes(batch.events.attributes, i),
                dropped_attributes_count=int(batch.events.dropped_attributes_count[i]),
            )
        for i in links.get(row, ()):
            span.links.add(
                trace_id=_id(batch.links.trace_id[i]),
                span_id=_id(batch.links.span_id[i]),
                trace_state=link_states[i],
                attributes=_attributes(batch.links.attributes, i),
            )
    return request


def _logs(batch: SpanBatch) -> Any:
    request = ExportLogsServiceRequest()
    groups: dict[tuple[int, int], Any] = {}
    logs = batch.logs
    names, severities = logs.event_name.to_pylist(), logs.severity_text.to_pylist()
    for row in range(len(logs)):
        record = _group(
            batch, groups, request.resource_logs, "scope_logs", (logs.resource[row], logs.scope[row])
        ).log_records.add(
            trace_id=_id(logs.trace_id[row]),
            span_id=_id(logs.span_id[row]),
            time_unix_nano=int(logs.time_unix_ns[row]),
            observed_time_unix_nano=int(logs.observed_unix_ns[row]),
            severity_number=int(logs.severity_number[row]),
            severity_text=severities[row],
            event_name=names[row],
            attributes=_attributes(logs.attributes, row),
        )
        for body in _attributes(logs.body, row):
            record.body.CopyFrom(body.value)
    return request


def _group(batch: SpanBatch, groups: dict[tuple[int, int], Any], resources: Any, inner: str, of: Any) -> Any:
    """Return the message of one scope of one resource, made when it is first asked for."""
    resource, scope = int(of[0]), int(of[1])
    if (resource, scope) not in groups:
        outer = resources.add(schema_url=batch.resources.schema_url[resource].as_py())
        outer.resource.attributes.extend(_attributes(batch.resources.attributes, resource))
        group = getattr(outer, inner).add(schema_url=batch.scopes.schema_url[scope].as_py())
        group.scope.name, group.scope.version = batch.scopes.name[scope].as_py(), batch.scopes.version[scope].as_py()
        group.scope.attributes.extend(_attributes(batch.scopes.attributes, scope))
        groups[resource, scope] = group
    return groups[resource, scope]


def _attributes(table: AttributeTable, owner: int) -> Iterator[Any]:
    for row in table.rows(owner):
        yield KeyValue(key=table.keys[table.key[row]], value=_value(table, row))


def _value(table: AttributeTable, row: int) -> Any:
    match ValueType(int(table.type[row])):
        case ValueType.STRING:
            return AnyValue(string_value=table.raw(row).decode("utf-8", "replace"))
        case ValueType.BOOL:
            return AnyValue(bool_value=bool(table.number[row]))
        case ValueType.INT:
            return AnyValue(int_value=int(table.number[row]))
        case ValueType.DOUBLE:
            return AnyValue(double_value=table.value(row))
        case ValueType.ARRAY:
            return AnyValue(array_value=ArrayValue.FromString(table.raw(row)))
        case ValueType.KVLIST:
            return AnyValue(kvlist_value=KeyValueList.FromString(table.raw(row)))
        case ValueType.BYTES:
            return AnyValue(bytes_value=table.raw(row))
        case _:
            return AnyValue()


def _owned(owners: list[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for i, owner in enumerate(owners):
        found.setdefault(owner, []).append(i)
    return found


def _id(row: Any) -> bytes:
    return row.tobytes() if row.any() else b""
