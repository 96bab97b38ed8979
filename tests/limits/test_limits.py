"""What one span may fill the tables with: each limit at its number and one past it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import protobuf
from collector.decode.columns import decode
from collector.processors.limits import LimitsConfig, LimitsProcessor
from exporters.clickhouse.rows import blocks
from tests.redact.places import record, value

if TYPE_CHECKING:
    from collections.abc import Callable

    from schema.batch import SpanBatch

SMALL = LimitsConfig(
    max_attributes=3, max_events=2, max_links=1, max_key_bytes=64, max_value_bytes=200, max_content_bytes=400
)
READINGS = (decode, protobuf.decode)


def one_span(fill: Callable[[Any], None], reading: Any = decode) -> SpanBatch:
    """Return a batch of two spans, the second of which is filled."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    spans.add(trace_id=b"t" * 16, span_id=b"1" * 8).attributes.add(key="first", value=value("stays"))
    fill(spans.add(trace_id=b"t" * 16, span_id=b"2" * 8))
    batch: SpanBatch = reading([record(request, "traces")])
    return batch


def attributes(*given: tuple[str, Any]) -> Callable[[Any], None]:
    def fill(span: Any) -> None:
        for key, v in given:
            span.attributes.add(key=key, value=value(v))

    return fill


@pytest.mark.parametrize("reading", READINGS)
def test_what_fits_is_handed_on_as_it_is(reading: Any) -> None:
    def fill(span: Any) -> None:
        attributes(("k" * 64, "x" * 200), ("b", b"y" * 200), ("gen_ai.input.messages", "é" * 200))(span)
        span.events.add(name="e" * 200)
        span.events.add()
        span.links.add()

    batch = one_span(fill, reading)
    processor = LimitsProcessor(SMALL)
    assert processor(batch) is batch
    assert processor.exceeded == {}


@pytest.mark.parametrize("reading", READINGS)
def test_attributes_beyond_the_limit_go_and_are_counted(reading: Any) -> None:
    def fill(span: Any) -> None:
        span.dropped_attributes_count = 7
        attributes(*((f"k{i}", i) for i in range(5)))(span)
        event = span.events.add(dropped_attributes_count=1)
        attributes(*((f"e{i}", i) for i in range(4)))(event)

    processor = LimitsProcessor(SMALL)
    batch = processor(one_span(fill, reading))
    assert batch.attributes.of(0) == {"first": "stays"}
    assert batch.attributes.of(1) == {"k0": 0, "k1": 1, "k2": 2}
    assert batch.dropped_attributes_count.tolist() == [0, 9]
    assert batch.events.attributes.of(0) == {"e0": 0, "e1": 1, "e2": 2}
    assert batch.events.dropped_attributes_count.tolist() == [2]
    assert processor.exceeded == {"max_attributes": 3}


@pytest.mark.parametrize("reading", READINGS)
def test_events_and_links_beyond_the_limit_go_with_their_attributes(reading: Any) -> None:
    def fill(span: Any) -> None:
        for i in range(4):
            span.events.add(name=f"e{i}", time_unix_nano=i).attributes.add(key="of", value=value(i))
            span.links.add(trace_id=bytes([i]) * 16).attributes.add(key="of", value=value(i))

    processor = LimitsProcessor(SMALL)
    batch = processor(one_span(fill, reading))
    assert batch.events.name.to_pylist() == ["e0", "e1"]
    assert batch.events.owner.tolist() == [1, 1]
    assert [batch.events.attributes.of(i) for i in range(2)] == [{"of": 0}, {"of": 1}]
    assert batch.links.trace_id.tolist() == [[0] * 16]
    assert batch.links.attributes.of(0) == {"of": 0}
    assert (batch.dropped_events_count.tolist(), batch.dropped_links_count.tolist()) == ([0, 2], [0, 3])
    assert processor.exceeded == {"max_events": 2, "max_links": 3}
    (rows,) = (b.rows.to_pylist() for b in blocks(batch) if b.table == "spans")
    assert [(r["dropped_attributes"], r["dropped_events"], r["dropped_links"]) for r in rows] == [(0, 0, 0), (0, 2, 3)]


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize(
    ("key", "most"), [("any", 200), ("gen_ai.input.messages", 400), ("gen_ai.prompt.0.content", 400)]
)
def test_a_value_one_past_its_limit_is_cut_with_length_and_hash(key: str, most: int, reading: Any) -> None:
    text = "é" * (most // 2) + "x"
    processor = LimitsProcessor(SMALL)
    found = processor(one_span(attributes((key, text), ("next", "whole")), reading)).attributes.of(1)
    begin, _, note = found[key].partition("… [cut: ")
    assert text.startswith(begin)
    assert begin
    assert note == f"{most + 1} bytes, sha256 {hashlib.sha256(text.encode()).hexdigest()}]"
    assert most - 2 <= len(found[key].encode()) <= most
    assert found["next"] == "whole"
    assert processor.exceeded.total() == 1


@given(st.text(min_size=1, max_size=300), st.integers(64, 260))
def test_a_character_is_never_split(text: str, most: int) -> None:
    processor = LimitsProcessor(SMALL.model_copy(update={"max_value_bytes": most}))
    found = processor(one_span(attributes(("k", text)))).attributes.of(1)["k"]
    assert len(found.encode()) <= most
    assert "\ufffd" not in found or "\ufffd" in text
    assert (found == text) == (len(text.encode()) <= most)


@pytest.mark.parametrize("reading", READINGS)
def test_long_lists_become_a_text_and_long_bytes_too(reading: Any) -> None:
    batch = one_span(attributes(("list", ["x" * 30] * 20), ("bytes", b"\xff" * 500)), reading)
    found = LimitsProcessor(SMALL)(batch).attributes.of(1)
    assert found["list"].startswith('["xxx')
    assert found["bytes"].startswith("////")
    assert all(len(v) <= 200 for v in found.values())


@pytest.mark.parametrize("reading", READINGS)
def test_long_keys_are_cut_and_stay_apart(reading: Any) -> None:
    batch = one_span(attributes(("k" * 64, 0), ("é" * 40 + "a", 1), ("é" * 40 + "b", 2)), reading)
    found = LimitsProcessor(SMALL)(batch).attributes.of(1)
    assert sorted(found.values()) == [0, 1, 2]
    assert all(len(k.encode()) <= 64 for k in found)


def test_names_messages_and_bodies_have_limits_too() -> None:
    def fill(span: Any) -> None:
        span.name = span.status.message = "n" * 201
        span.events.add(name="e" * 201)

    batch = LimitsProcessor(SMALL)(one_span(fill))
    texts = [batch.name[1], batch.status_message[1], batch.events.name[0]]
    assert all(len(t.as_py().encode()) == 200 and "[cut: 201 bytes" in t.as_py() for t in texts)
    request = ExportLogsServiceRequest()
    for size in (400, 401):
        request.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "b" * size
    bodies = LimitsProcessor(SMALL)(decode([record(request, "logs")])).logs.body
    assert [("cut" in bodies.of(i)["body"], len(bodies.of(i)["body"].encode())) for i in (0, 1)] == [(0, 400), (1, 400)]


def test_limits_again_change_nothing() -> None:
    batch = one_span(attributes(("k", "x" * 999), ("key" * 99, 1), ("c", 1), ("d", 1)))
    once = LimitsProcessor(SMALL)(batch)
    assert LimitsProcessor(SMALL)(once) is once
