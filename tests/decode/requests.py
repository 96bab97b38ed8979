"""Requests as hypothesis makes them, and small ways to make one by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from tests.decode.hostile import varint

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from schema.component import Signal

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
UINT32 = st.integers(0, 2**32 - 1)
UINT64 = st.integers(0, 2**64 - 1)
KEYS = st.sampled_from(["", "gen_ai.request.model", "event.name", "k", "ключ"])


def any_values(*, nan: bool) -> SearchStrategy[AnyValue]:
    leaves = st.one_of(
        st.just(AnyValue()),
        st.builds(AnyValue, string_value=TEXT),
        st.builds(AnyValue, bool_value=st.booleans()),
        st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
        st.builds(AnyValue, double_value=st.floats(allow_nan=nan)),
        st.builds(AnyValue, bytes_value=st.binary(max_size=8)),
    )

    def nest(inner: SearchStrategy[AnyValue]) -> SearchStrategy[AnyValue]:
        array = st.builds(ArrayValue, values=st.lists(inner, max_size=3))
        pairs = st.builds(KeyValueList, values=st.lists(st.builds(KeyValue, key=KEYS, value=inner), max_size=3))
        return st.builds(AnyValue, array_value=array) | st.builds(AnyValue, kvlist_value=pairs)

    return st.recursive(leaves, nest, max_leaves=4)


def requests(signal: Signal, *, nan: bool = True) -> SearchStrategy[Any]:
    """Make whole requests; with `nan` off only those that compare equal to themselves."""
    attributes = st.lists(st.builds(KeyValue, key=KEYS, value=any_values(nan=nan)), max_size=4)
    resources = st.builds(Resource, attributes=attributes)
    trace_ids, span_ids = st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8)
    if signal == "logs":
        record = st.builds(
            LogRecord,
            time_unix_nano=UINT64,
            observed_time_unix_nano=UINT64,
            severity_number=st.integers(0, 24),
            severity_text=TEXT,
            body=st.none() | any_values(nan=nan),
            attributes=attributes,
            trace_id=trace_ids | st.just(b""),
            span_id=span_ids | st.just(b""),
            event_name=TEXT,
        )
        logs = st.builds(ScopeLogs, log_records=st.lists(record, max_size=3), schema_url=TEXT)
        resource_logs = st.builds(ResourceLogs, resource=resources, scope_logs=st.lists(logs, max_size=2))
        return st.builds(ExportLogsServiceRequest, resource_logs=st.lists(resource_logs, max_size=2))
    span = st.builds(
        Span,
        trace_id=trace_ids,
        span_id=span_ids,
        parent_span_id=span_ids | st.just(b""),
        trace_state=TEXT,
        flags=UINT32,
        name=TEXT,
        kind=st.integers(0, 5),
        start_time_unix_nano=UINT64,
        end_time_unix_nano=UINT64,
        attributes=attributes,
        dropped_attributes_count=UINT32,
        dropped_events_count=UINT32,
        dropped_links_count=UINT32,
        events=st.lists(st.builds(Span.Event, time_unix_nano=UINT64, name=TEXT, attributes=attributes), max_size=2),
        links=st.lists(
            st.builds(Span.Link, trace_id=trace_ids, span_id=span_ids, trace_state=TEXT, attributes=attributes),
            max_size=2,
        ),
        status=st.builds(Status, code=st.integers(0, 2), message=TEXT),
    )
    scope = st.builds(ScopeSpans, spans=st.lists(span, max_size=3), schema_url=TEXT)
    resource_spans = st.builds(
        ResourceSpans, resource=resources, scope_spans=st.lists(scope, max_size=2), schema_url=TEXT
    )
    return st.builds(ExportTraceServiceRequest, resource_spans=st.lists(resource_spans, max_size=2))


def field(number: int, inner: bytes) -> bytes:
    """Return one length-delimited protobuf field, written by hand."""
    return varint(number << 3 | 2) + varint(len(inner)) + inner


def in_request(scope_fields: bytes) -> bytes:
    """Return a request around the fields of one ScopeSpans or ScopeLogs."""
    return field(1, field(2, scope_fields))
