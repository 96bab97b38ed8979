"""Journal records of spans of any shape: how many to a trace, how many attributes, how many tenants."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.journal.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

SPANS_PER_REQUEST: Final = 100
OWN_ATTRIBUTES: Final = 5
"""Those of a model call; the rest is an application's own."""


OPERATIONS: Final = ("invoke_agent", "execute_tool", "chat", "chat")


@dataclass(frozen=True, slots=True)
class Ids:
    """Where a span stands."""

    trace: bytes
    span: bytes
    parent: bytes
    operation: str


@dataclass(frozen=True, slots=True)
class Shape:
    """What varies."""

    spans: int = 8192
    spans_per_trace: int = 8
    attributes: int = 25
    tenants: int = 1
    nested_calls: bool = False
    """Every span is a model call around those below it, as of a proxy before a proxy."""


def records(shape: Shape, *, seed: int = 1) -> list[Record]:
    """Make records of agents, tools and model calls without content; every id is new for every seed."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    spans = _spans(shape, chance)
    now = time.time_ns()
    found = []
    for sequence, first in enumerate(range(0, shape.spans, SPANS_PER_REQUEST)):
        request = ExportTraceServiceRequest()
        holder = request.resource_spans.add()
        holder.resource.attributes.add(key="service.name").value.string_value = f"svc-{sequence % 8}"
        scope = holder.scope_spans.add()
        for _ in range(min(SPANS_PER_REQUEST, shape.spans - first)):
            _fill(scope.spans.add(), next(spans), shape.attributes, chance, now)
        tenant = "default" if shape.tenants == 1 else f"tenant-{sequence % shape.tenants}"
        body = request.SerializeToString()
        found.append(Record(sequence, tenant, "traces", "protobuf", gzip=False, received_unix_ns=now, body=body))
    return found


def _spans(shape: Shape, chance: random.Random) -> Iterator[Ids]:
    """Yield the spans of trace after trace: agents call tools that call agents, and model calls hang below either.

    Each hangs below one of the eight before it that can have spans below them, so that large traces are deep.
    """
    while True:
        trace = chance.randbytes(16)
        above: list[bytes] = []
        operations = ("chat",) if shape.nested_calls else OPERATIONS
        for i in range(shape.spans_per_trace):
            own, operation = chance.randbytes(8), operations[i % len(operations)]
            yield Ids(trace, own, chance.choice(above) if above else b"", operation)
            if shape.nested_calls or operation != "chat":
                above = [*above[-7:], own]


def _fill(span: Span, ids: Ids, attributes: int, chance: random.Random, now: int) -> None:
    span.trace_id, span.span_id, span.parent_span_id = ids.trace, ids.span, ids.parent
    span.name = f"{ids.operation} x"
    span.start_time_unix_nano, span.end_time_unix_nano = now - chance.randint(10**6, 10**9), now
    span.attributes.add(key="gen_ai.operation.name").value.string_value = ids.operation
    span.attributes.add(key="gen_ai.request.model").value.string_value = "gpt-4o"
    span.attributes.add(key="gen_ai.provider.name").value.string_value = "openai"
    span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = chance.randint(10, 4000)
    span.attributes.add(key="gen_ai.usage.output_tokens").value.int_value = chance.randint(10, 900)
    for i in range(attributes - OWN_ATTRIBUTES):
        span.attributes.add(key=f"app.key.{i}").value.string_value = f"value {chance.getrandbits(32)}"
