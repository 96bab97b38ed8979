"""A few spans through every kernel of the processors, which compiles them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.decode.protobuf import decode
from collector.journal.record import Record
from collector.processors.failure import with_failures
from collector.processors.normalise.pipeline import canonical
from collector.processors.redact import RedactProcessor

if TYPE_CHECKING:
    from schema.batch import SpanBatch


RESULT: Final = '[{"role":"tool","parts":[{"type":"tool_call_response","id":"1","response":"!"}]}]'


def run_all() -> None:
    """Run the processors that have kernels, by their kernels."""
    with_failures(canonical(RedactProcessor(compiled=True)(sample()), compiled=True), compiled=True)


def sample() -> SpanBatch:
    """Return two model calls of a remote agent, with a text, a figure and a flag, and the attributes of a resource."""
    request = ExportTraceServiceRequest()
    holder = request.resource_spans.add()
    holder.resource.attributes.append(_text("service.name", "warm-up"))
    inner = holder.scope_spans.add()
    for number, operation in enumerate(("invoke_agent", "chat", "chat"), start=1):
        inner.spans.add(
            trace_id=bytes(15) + b"\x01",
            span_id=bytes([number]) * 8,
            parent_span_id=b"" if number == 1 else bytes([1]) * 8,
            kind=Span.SPAN_KIND_CLIENT,
            attributes=[
                _text("gen_ai.operation.name", operation),
                _text("gen_ai.input.messages", RESULT),
                _text("gen_ai.output.messages", '[{"role":"assistant","parts":[{"type":"text","content":"!"}]}]'),
                _text("gen_ai.output.type", "json"),
                _text("session.id", f"session {number}"),
                KeyValue(key="gen_ai.usage.input_tokens", value=AnyValue(int_value=1)),
                KeyValue(key="gen_ai.request.stream", value=AnyValue(bool_value=True)),
            ],
        )
    return decode(
        [Record(0, "", "traces", "protobuf", gzip=False, received_unix_ns=0, body=request.SerializeToString())]
    )


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))
