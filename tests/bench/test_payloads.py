"""The load of the bench is real OTLP, and never the same twice."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any, get_args

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.tools.payloads import CONTENT_BYTES, Kind, stamper
from collector.decode.validate import validate

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

KINDS = get_args(Kind)


def spans(body: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    return [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("json", [False, True])
def test_every_send_is_a_request_that_the_receiver_takes_whole(kind: Any, *, json: bool) -> None:
    body = stamper(kind, 32, json=json).next()
    encoding: Any = "json" if json else "protobuf"
    found = validate(body, "traces", encoding=encoding, gzip=False)
    assert (found.accepted, found.refused) == (32, 0)


@pytest.mark.parametrize("compressed", [False, True])
def test_no_span_trace_or_body_is_sent_twice(*, compressed: bool) -> None:
    made = stamper("genai", 16, requests=2)
    bodies = [gzip.decompress(made.next_gzipped()) if compressed else made.next() for _ in range(5)]
    sent = [span for body in bodies for span in spans(body)]
    assert len(set(bodies)) == 5
    assert len({span.span_id for span in sent}) == len(sent) == 80
    assert len({span.trace_id for span in sent}) == 10


def test_a_parent_is_a_span_of_the_same_send() -> None:
    made = stamper("small", 16, requests=2)
    made.next()
    sent = spans(made.next())
    roots = {span.trace_id: span.span_id for span in sent if not span.parent_span_id}
    assert len(roots) == 2
    assert all(span.parent_span_id in (b"", roots[span.trace_id]) for span in sent)


def test_a_genai_span_has_the_size_that_the_figures_say() -> None:
    body = stamper("genai", 512, requests=2).next()
    one = spans(body)
    assert 2900 < len(body) / 512 < 3050
    assert {len(span.attributes) for span in one} == {25, 26}
    contents = [
        sum(len(a.value.string_value) for a in span.attributes if a.key.endswith("put.messages")) for span in one
    ]
    assert min(contents) > CONTENT_BYTES * 0.9


def test_a_small_span_has_the_size_that_the_figures_say() -> None:
    body = stamper("small", 512, requests=2).next()
    assert 350 < len(body) / 512 < 380
    assert {len(span.attributes) for span in spans(body)} == {10}
