"""I4: spans that are too large.

Injected: 30 000 attributes, 5 000 events and 2 000 links on a span; values of 64 KiB and of one byte more, also within
a character; a prompt of 10 MB; a key of 10 kB.
Holds: what is over the limits is cut on a character or dropped, the counts of what was dropped are right, length and
hash of what was cut are kept, and the limits met are counted.
Figure: bytes sent, bytes stored of them.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.faults.content import await_rows, post
from tests.faults.harness import until
from tests.redact.places import value

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Launch

KIB = 1024
ATTRIBUTES = 30_000
"""About the most that a receiver takes of one span: 200 000 fields, nested ones included."""


def test_what_is_too_large_is_cut_dropped_and_counted(
    launch: Launch, record_property: Callable[[str, object], None]
) -> None:
    collector = launch(config={"service": {"journal": {"segment_bytes": 32 << 20, "max_bytes": 512 << 20}}}).start()
    until(lambda: collector.status()["kernels_ready"], "nothing is read by the library, which takes fewer fields")
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    many = spans.add(trace_id=b"t" * 16, span_id=b"1" * 8, dropped_attributes_count=5)
    for i in range(ATTRIBUTES):
        many.attributes.add(key=f"key {i}", value=value(i))
    for i in range(5_000):
        many.events.add(name=f"event {i}", time_unix_nano=i + 1)
    for i in range(2_000):
        many.links.add(trace_id=i.to_bytes(16, "big"), span_id=b"l" * 8)
    long = spans.add(trace_id=b"t" * 16, span_id=b"2" * 8)
    texts = {"fits": "x" * 64 * KIB, "one more": "x" * (64 * KIB + 1), "in a character": "é" * (32 * KIB) + "x"}
    for key, text in texts.items():
        long.attributes.add(key=key, value=value(text))
    long.attributes.add(key="k" * 10_000, value=value("short"))
    prompt = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "p" * 10_000_000}]}])
    big = spans.add(trace_id=b"t" * 16, span_id=b"3" * 8)
    big.attributes.add(key="gen_ai.operation.name", value=value("chat"))
    big.attributes.add(key="gen_ai.input.messages", value=value(prompt))
    post(collector, "traces", request)
    await_rows(collector, spans=3)

    one, two, three = collector.rows("SELECT *, lower(hex(span_id)) AS id FROM spans ORDER BY span_id")
    assert len(one["span_attributes"]) == 1024
    assert len(one["events.name"]) == 1024
    assert len(one["links.span_id"]) == 256
    dropped = [one[f"dropped_{what}"] for what in ("attributes", "events", "links")]
    assert dropped == [5 + ATTRIBUTES - 1024, 5_000 - 1024, 2_000 - 256]
    stored = two["span_attributes"]
    assert stored["fits"] == texts["fits"]
    for key in ("one more", "in a character"):
        whole = texts[key].encode()
        assert stored[key].endswith(f"… [cut: {len(whole)} bytes, sha256 {hashlib.sha256(whole).hexdigest()}]")
        assert 64 * KIB - 4 < len(stored[key].encode()) <= 64 * KIB
    (key,) = (k for k, v in stored.items() if v == "short")
    assert len(key.encode()) <= 256
    assert len(three["span_attributes"]["gen_ai.input.messages"].encode()) <= 1 << 20
    (part,) = json.loads(three["input_messages"])[0]["parts"]
    assert (part["truncated"], part["original_bytes"]) == (True, 10_000_000)
    assert "truncated_content" in three["defects"]
    record_property("figure", f"{request.ByteSize() / 1e6:.0f} MB sent")
