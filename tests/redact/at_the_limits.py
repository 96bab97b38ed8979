"""Redact requests made to be slow, in a process of its own; print what each took.

    python -m tests.redact.at_the_limits BYTES

Prints JSON, by shape: CPU seconds, bytes by which the most memory grew, what was counted, and what stands beside the
large value.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode.columns import decode
from collector.processors.redact import RedactConfig, RedactProcessor
from tests.redact.places import record, value

if TYPE_CHECKING:
    from collections.abc import Callable

    from schema.batch import SpanBatch

SHAPES: dict[str, Callable[[int], dict[str, Any]]] = {
    "urls": lambda n: {"a": "a://b:c@" * (n // 8)},
    "urls of small values": lambda n: {"a": ["a://b:c@d"] * (n // 16)},
    "urls of many attributes": lambda n: {f"a{i}": "a://b:c@ " * 32 for i in range(n // 300)},
    "cards": lambda n: {"a": "4111 1111 1111 1111 " * (n // 20)},
    "digits": lambda n: {"a": "4 " * (n // 2)},
    "prefixes": lambda n: {"a": "sk-A" * (n // 4)},
    "names": lambda n: {"a": "token=" * (n // 6)},
    "under the name of a secret": lambda n: {"password": ["x"] * (n // 8)},
    "under such a name in a kvlist": lambda n: {"a": {"password": ["x"] * (n // 8)}},
    "keys": lambda n: {"a": [{"password": 1}] * (n // 24)},
    "parameters of tools": lambda n: {"tool.parameters": '"password":"x" ' * (n // 15)},
    "a pattern": lambda n: {"a": "1234 " * (n // 5)},
}
"""By name, the attributes of one span of about so many bytes."""


def batch_of(attributes: dict[str, Any]) -> SpanBatch:
    """Return a batch of one span, and one beside it."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    span = spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    for key, given in attributes.items():
        span.attributes.add(key=key, value=value(given))
    spans.add(trace_id=b"t" * 16, span_id=b"u" * 8).attributes.add(key="beside", value=value("stays"))
    return decode([record(request, "traces")])


def peak_bytes() -> int:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def took(shape: str, n: int) -> dict[str, Any]:
    """Redact one request of a shape; return what that took."""
    batch = batch_of(SHAPES[shape](n))
    processor = RedactProcessor(RedactConfig(patterns=PATTERN if shape == "a pattern" else {}), compiled=True)
    processor(batch_of({"a": "sk-proj-Zx81kd02LmQpRs7TuVwX"}))
    before, start = peak_bytes(), time.process_time()
    after = processor(batch)
    return {
        "cpu_s": time.process_time() - start,
        "bytes": peak_bytes() - before,
        "counts": processor.redactions,
        "beside": after.attributes.of(1),
    }


PATTERN = {"four": "[0-9]{4}"}

if __name__ == "__main__":
    sys.stdout.write(json.dumps({shape: took(shape, int(sys.argv[1])) for shape in SHAPES}) + "\n")
