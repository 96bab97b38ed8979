"""Some rows of a batch are what they were in the whole, with everything that is theirs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import decode
from collector.journal.record import Record
from exporters.otlp.encode import to_requests
from schema.subset import subset
from tests.decode.batches import describe
from tests.decode.requests import requests


def batch_of(messages: list[Any]) -> Any:
    return decode(
        [
            Record(
                i,
                "default",
                "traces" if isinstance(m, ExportTraceServiceRequest) else "logs",
                "protobuf",
                gzip=False,
                received_unix_ns=1,
                body=m.SerializeToString(),
            )
            for i, m in enumerate(messages)
        ]
    )


@settings(max_examples=40)
@given(st.lists(st.one_of(requests("traces"), requests("logs")), max_size=3), st.data())
def test_what_is_chosen_is_as_it_was(messages: list[Any], data: st.DataObject) -> None:
    whole = batch_of(messages)
    spans = np.array([data.draw(st.booleans()) for _ in range(len(whole))], np.bool_)
    logs = np.array([data.draw(st.booleans()) for _ in range(len(whole.logs))], np.bool_)
    whole = whole.with_columns({"cost_usd": pa.array(range(len(whole)), pa.float64())})
    part = subset(whole, spans, logs)
    was, now = describe(whole), describe(part)
    assert now["spans"] == [s for s, chosen in zip(was["spans"], spans, strict=True) if chosen]
    assert now["logs"] == [x for x, chosen in zip(was["logs"], logs, strict=True) if chosen]
    assert part.columns["cost_usd"].to_pylist() == np.flatnonzero(spans).tolist()
    assert [len(body) for _, body in to_requests(part)] == [len(body) for _, body in to_requests(batch_of_parts(part))]


def batch_of_parts(part: Any) -> Any:
    """Return the batch that its own requests make: what is in the columns is whole."""
    return decode(
        [
            Record(0, "default", signal, "protobuf", gzip=False, received_unix_ns=1, body=body)
            for signal, body in to_requests(part)
        ]
    )


@settings(max_examples=20)
@given(st.lists(st.booleans(), min_size=6, max_size=6))
def test_a_log_record_names_its_span_by_the_new_row_or_none(chosen: list[bool]) -> None:
    message = ExportTraceServiceRequest()
    spans = message.resource_spans.add().scope_spans.add().spans
    logs = ExportLogsServiceRequest()
    records = logs.resource_logs.add().scope_logs.add().log_records
    for i in range(1, 7):
        spans.add(trace_id=b"t" * 16, span_id=bytes((i,)) * 8)
        records.add(trace_id=b"t" * 16, span_id=bytes((i,)) * 8)
    part = subset(batch_of([message, logs]), np.array(chosen), np.ones(6, np.bool_))
    named = [int(r) for r in part.logs.span_row]
    assert [n >= 0 for n in named] == chosen
    assert [part.span_id[n].tobytes()[0] for n in named if n >= 0] == [i + 1 for i in range(6) if chosen[i]]
