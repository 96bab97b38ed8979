"""I6: a trace of hundreds of thousands of spans.

Injected: one trace, sent for 15 s in requests of 5 000 spans, each a child of one of the request before it.
Holds: every acknowledged span is stored once; memory stays bounded, also where the trace is read as a whole; lists show
it with its count, and as too large to be settled.
Figure: spans of the trace, memory more than before.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.faults.content import post
from tests.faults.harness import until
from tests.redact.places import value

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Collector, Launch

TRACE = b"one-large-trace!"
SPANS, SEND_S, MOST_REQUESTS = 5_000, 15.0, 200
ALLOWED_BYTES = 1 << 30
"""More than before; most of it is the embedded database's."""


def request(number: int) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    spans = made.resource_spans.add().scope_spans.add().spans
    for i in range(SPANS):
        parent = ((number - 1) * SPANS + i + 1).to_bytes(8, "big") if number else b""
        span = spans.add(trace_id=TRACE, span_id=(number * SPANS + i + 1).to_bytes(8, "big"), parent_span_id=parent)
        span.name, span.start_time_unix_nano, span.end_time_unix_nano = "step", 10**18 + number, 10**18 + number + 1
        span.attributes.add(key="user.id", value=value("one"))
    return made


def stored(collector: Collector) -> int:
    (row,) = collector.rows("SELECT count() AS n FROM spans")
    return int(row["n"])


def test_a_very_large_trace_is_stored_whole_in_bounded_memory(
    launch: Launch, record_property: Callable[[str, object], None]
) -> None:
    collector = launch(config={"service": {"journal": {"segment_bytes": 8 << 20, "max_bytes": 512 << 20}}}).start()
    post(collector, "traces", request(0))
    until(lambda: stored(collector) == SPANS, "the first are stored")
    rss, most, sent = collector.rss_bytes(), 0, 1
    end_s = time.monotonic() + SEND_S
    while sent < MOST_REQUESTS and time.monotonic() < end_s:
        post(collector, "traces", request(sent))
        sent += 1
        most = max(most, collector.rss_bytes())
    until(lambda: stored(collector) == sent * SPANS, "all are stored", deadline_s=25)
    most = max(most, collector.rss_bytes())

    def shown() -> bool:
        (row,) = collector.rows("SELECT span_count, trace_defects FROM traces")
        return bool(row["span_count"] == sent * SPANS and row["trace_defects"] == ["not_settled"])

    until(shown, "the list has its count, and says that it is too large to be read as a whole", deadline_s=15)
    (row,) = collector.rows("SELECT uniqExact(span_id) AS n FROM spans")
    assert row["n"] == sent * SPANS
    grown = most - rss
    assert grown < ALLOWED_BYTES, f"{grown >> 20} MiB"
    record_property("figure", f"{sent * SPANS} spans, {grown >> 20} MiB more")
