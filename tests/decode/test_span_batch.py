"""The columns of a batch against the protobuf objects they came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import decode, parse
from collector.journal.record import Record
from schema.errors import Refused
from tests.decode.batches import describe, expected
from tests.decode.requests import requests

CORPUS = Path(__file__).parents[1] / "corpus"
BODIES = sorted(CORPUS.rglob("*.otlp.pb")) + sorted(CORPUS.rglob("*.otlp.json"))


def record(body: bytes, signal: Any = "traces", *, sequence: int = 0, encoding: Any = "protobuf") -> Record:
    return Record(sequence, "default", signal, encoding, gzip=False, received_unix_ns=1, body=body)


def record_of_file(path: Path, sequence: int = 0) -> Record:
    signal = "logs" if ".logs." in path.name else "traces"
    return record(
        path.read_bytes(), signal, sequence=sequence, encoding="json" if path.suffix == ".json" else "protobuf"
    )


@pytest.mark.parametrize("path", BODIES, ids=lambda p: str(p.relative_to(CORPUS)))
def test_real_bodies_have_in_columns_what_they_have_in_objects(path: Path) -> None:
    one = record_of_file(path)
    got = describe(decode([one]))
    assert got == expected([parse(one)])
    assert got["spans"] or got["logs"]


def test_all_real_bodies_in_one_batch_are_what_they_are_one_by_one() -> None:
    records = [record_of_file(path, i) for i, path in enumerate(BODIES)]
    batch = decode(records)
    assert describe(batch) == expected([parse(r) for r in records])
    assert batch.origins.sequence.tolist() == list(range(len(BODIES)))


@given(st.lists(st.one_of(requests("traces"), requests("logs")), max_size=3))
def test_columns_are_the_objects(messages: list[Any]) -> None:
    records = [
        record(m.SerializeToString(), "traces" if isinstance(m, ExportTraceServiceRequest) else "logs", sequence=i)
        for i, m in enumerate(messages)
    ]
    assert describe(decode(records)) == expected(messages)


@given(st.lists(requests("traces"), max_size=3))
def test_owners_ascend_and_every_column_has_its_length(messages: list[Any]) -> None:
    batch = decode([record(m.SerializeToString(), sequence=i) for i, m in enumerate(messages)])
    n = len(batch)
    for table in (batch.attributes, batch.events.attributes, batch.links.attributes, batch.resources.attributes):
        assert (np.diff(table.owner) >= 0).all()
        assert {len(table.key), len(table.type), len(table.number), len(table.start), len(table.length)} == {len(table)}
    assert (np.diff(batch.events.owner) >= 0).all()
    assert batch.trace_id.shape == (n, 16)
    assert batch.span_id.shape == batch.parent_span_id.shape == (n, 8)
    assert {len(c) for c in (batch.name, batch.kind, batch.flags, batch.start_unix_ns, batch.status_message)} == {n}


def test_a_log_record_points_at_the_span_of_its_batch_that_it_names() -> None:
    traces, logs = ExportTraceServiceRequest(), ExportLogsServiceRequest()
    spans = traces.resource_spans.add().scope_spans.add().spans
    for i in (1, 2):
        spans.add(trace_id=b"t" * 16, span_id=bytes((i,)) * 8)
    records = logs.resource_logs.add().scope_logs.add().log_records
    for i in (2, 3, 1):
        records.add(trace_id=b"t" * 16, span_id=bytes((i,)) * 8)
    records.add()
    batch = decode([record(logs.SerializeToString(), "logs"), record(traces.SerializeToString(), sequence=1)])
    assert batch.logs.span_row.tolist() == [1, -1, 0, -1]


def test_the_older_attribute_names_the_event_where_the_field_does_not() -> None:
    logs = ExportLogsServiceRequest()
    records = logs.resource_logs.add().scope_logs.add().log_records
    for name in ("", "gen_ai.choice"):
        one = records.add(event_name=name)
        one.attributes.add(key="event.name").value.string_value = "gen_ai.user.message"
    batch = decode([record(logs.SerializeToString(), "logs")])
    assert batch.logs.event_name.to_pylist() == ["gen_ai.user.message", "gen_ai.choice"]


def test_nothing_decodes_to_an_empty_batch() -> None:
    assert describe(decode([])) == describe(decode([record(b"")])) == {"spans": [], "logs": []}


def test_a_damaged_record_is_named_by_its_sequence() -> None:
    with pytest.raises(Refused, match="journal record 7: "):
        decode([record(b""), record(b"\xff", sequence=7)])
