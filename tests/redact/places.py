"""A request with something of ours in every place where a sender can put a text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from collector.journal.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from schema.component import Signal

RECEIVED_UNIX_NS = 1_790_000_000_000_000_000


def value(given: Any) -> AnyValue:
    """Return the AnyValue of a Python value."""
    made = AnyValue()
    match given:
        case bool():
            made.bool_value = given
        case int():
            made.int_value = given
        case float():
            made.double_value = given
        case bytes():
            made.bytes_value = given
        case list():
            made.array_value.values.extend(value(v) for v in given)
        case dict():
            for k, v in given.items():
                made.kvlist_value.values.add(key=k).value.CopyFrom(value(v))
        case _:
            made.string_value = given
    return made


def record(request: Any, signal: Signal, sequence: int = 0) -> Record:
    """Return the journal's record of a request."""
    return Record(
        sequence=sequence,
        tenant="default",
        signal=signal,
        encoding="protobuf",
        gzip=False,
        received_unix_ns=RECEIVED_UNIX_NS,
        members=1,
        body=request.SerializeToString(),
    )


@dataclass(slots=True)
class Canaries:
    """Requests, and what lies where in them."""

    traces: ExportTraceServiceRequest = field(default_factory=ExportTraceServiceRequest)
    logs: ExportLogsServiceRequest = field(default_factory=ExportLogsServiceRequest)
    where: dict[str, str] = field(default_factory=dict)
    """Secret to the name of its place."""
    not_stored: set[str] = field(default_factory=set)
    """Those in places of which nothing is stored."""

    @property
    def secrets(self) -> list[str]:
        """Return all of them."""
        return list(self.where)

    @property
    def records(self) -> list[Record]:
        """Return the journal's records of both requests."""
        return [record(self.traces, "traces"), record(self.logs, "logs", 1)]


def canaries(secret: Callable[[int], str], *, trace_id: bytes = b"canary-trace-id!") -> Canaries:
    """Put a secret in every place; `secret` makes the one of a number."""
    made = Canaries()

    def put(place: str, *, stored: bool = True) -> str:
        text = secret(len(made.where))
        made.where[text] = place
        if not stored:
            made.not_stored.add(text)
        return text

    def attributes(of: Any, owner: str) -> None:
        of.add(key="text", value=value(f"before {put(owner)} after"))
        of.add(key="json", value=value('{"a":[1,"' + put(f"{owner}, JSON") + '"]}'))
        of.add(key="escaped", value=value('"{\\"a\\":\\"\\n' + put(f"{owner}, JSON in JSON") + '\\"}"'))
        of.add(key="array", value=value([put(f"{owner}, array"), {"deep": [put(f"{owner}, deep")]}]))
        of.add(key="kvlist", value=value({"k": put(f"{owner}, kvlist"), put(f"{owner}, key of a kvlist"): 1}))
        of.add(key=put(f"{owner}, key"), value=value(1))

    resource = made.traces.resource_spans.add(schema_url=put("schema_url of the resource", stored=False))
    attributes(resource.resource.attributes, "resource")
    resource.resource.attributes.add(key="service.name", value=value(put("service.name")))
    scoped = resource.scope_spans.add(schema_url=put("schema_url of the scope", stored=False))
    scoped.scope.name, scoped.scope.version = put("scope name"), put("scope version")
    attributes(scoped.scope.attributes, "scope")
    span = scoped.spans.add(
        trace_id=trace_id,
        span_id=b"canary-1",
        name=put("span name"),
        trace_state=f"k={put('trace state')}",
        start_time_unix_nano=RECEIVED_UNIX_NS - 10**9,
        end_time_unix_nano=RECEIVED_UNIX_NS,
    )
    span.status.code = Status.STATUS_CODE_ERROR
    span.status.message = put("status message")
    attributes(span.attributes, "span")
    for key in ("gen_ai.input.messages", "gen_ai.output.messages"):
        content = '[{"role":"user","parts":[{"type":"text","content":"' + put(key) + '"}]}]'
        span.attributes.add(key=key, value=value(content))
    span.attributes.add(key="gen_ai.operation.name", value=value("chat"))
    span.attributes.add(key="gen_ai.request.model", value=value(put("model")))
    span.attributes.add(key="user.id", value=value(put("user")))
    span.attributes.add(key="session.id", value=value(put("session")))
    event = span.events.add(name=put("event name"), time_unix_nano=RECEIVED_UNIX_NS)
    attributes(event.attributes, "event")
    event = span.events.add(name="exception", time_unix_nano=RECEIVED_UNIX_NS)
    event.attributes.add(key="exception.message", value=value(put("exception message")))
    event.attributes.add(key="exception.stacktrace", value=value(f"Traceback\n  {put('stack trace')}\n"))
    link = span.links.add(trace_id=b"l" * 16, span_id=b"l" * 8, trace_state=f"k={put('trace state of a link')}")
    attributes(link.attributes, "link")

    of_logs = made.logs.resource_logs.add().scope_logs.add()
    of_logs.scope.name = put("scope name of logs")
    for number, body in enumerate((put("body"), {"content": put("body, kvlist"), "more": [put("body, deep")]})):
        log = of_logs.log_records.add(
            trace_id=trace_id, span_id=b"canary-1", time_unix_nano=RECEIVED_UNIX_NS + number,
            severity_text=put(f"severity {number}"), event_name=put(f"event name of a log record {number}"),
        )  # fmt: skip
        log.body.CopyFrom(value(body))
        attributes(log.attributes, f"log record {number}")
    feedback = of_logs.log_records.add(trace_id=trace_id, time_unix_nano=1, event_name="gen_ai.evaluation.result")
    feedback.attributes.add(key="gen_ai.evaluation.name", value=value("helpful"))
    feedback.attributes.add(key="gen_ai.evaluation.score.value", value=value(0.0))
    feedback.attributes.add(key="gen_ai.evaluation.explanation", value=value(put("comment of feedback")))
    return made
