"""From the wire to the view: whatever says that something failed makes its trace failing, by the right name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.processors.failure import with_failures
from collector.processors.normalise import canonical
from collector.settle import Limits, Settler
from exporters.clickhouse.insert import insert_batch
from schema.failure.rules import FailureRules
from schema.policy.failure import FailurePolicy
from tests.clickhouse.otlp import DAY, NOON, SECOND, attributes, batch_of, logs_record, span, spans_record

if TYPE_CHECKING:
    from exporters.clickhouse.connect import Database
    from schema.batch import SpanBatch

CHAT: Final = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.response.model": "m"}
TOOL: Final = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "refund"}
GUARD: Final = {"openinference.span.kind": "GUARDRAIL"}
OK: Final = {"code": 1}
NO_MESSAGES: Final = {"gen_ai.output.messages": "[]"}


def answer(*parts: dict[str, Any], reason: str = "stop") -> dict[str, Any]:
    """Return the attributes of a call that was answered with these parts."""
    message = {"role": "assistant", "parts": list(parts), "finish_reason": reason}
    return {**CHAT, "gen_ai.output.messages": json.dumps([message]), "gen_ai.response.finish_reasons": [reason]}


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def event(name: str, values: dict[str, Any]) -> dict[str, Any]:
    return {"events": [Span.Event(name=name, time_unix_nano=NOON, attributes=attributes(values))]}


TOLD: Final = [
    {"role": "user", "parts": [text("refund 4711")]},
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": {"error": "no such order"}}]},
]
FAILING: Final[list[tuple[list[str], dict[str, Any]]]] = [
    (["span_error"], {"attributes": CHAT, "status": {"code": 2}}),
    (["span_error"], {"attributes": {**CHAT, "error.type": "timeout"}, "status": OK}),
    (["span_error"], {"attributes": CHAT, **event("exception", {"exception.type": "ValueError"})}),
    (["tool_error"], {"attributes": TOOL, "status": {"code": 2}}),
    (["tool_error"], {"attributes": {**TOOL, "tool.success": False}, "status": OK}),
    (["tool_error"], {"attributes": {**TOOL, "gen_ai.tool.call.result": '{"error":"no such order"}'}, "status": OK}),
    (
        ["tool_error"],
        {"attributes": {**answer(text("Sorry!")), "gen_ai.input.messages": json.dumps(TOLD)}, "status": OK},
    ),
    (["finish:content_filter"], {"attributes": answer(text("…"), reason="content_filter")}),
    (["finish:length"], {"attributes": answer(text("It is"), reason="length")}),
    (["empty_output"], {"attributes": answer(text(""))}),
    (["refused"], {"attributes": answer({"type": "refusal", "refusal": "I cannot."})}),
    (["refused"], {"attributes": answer(text("I'm sorry, but I can't help with that."))}),
    (["invalid_json"], {"attributes": {**answer(text("Sure: {")), "gen_ai.output.type": "json"}}),
    (["guardrail"], {"attributes": {**GUARD, "output.value": '{"tripwire_triggered": true}'}}),
    (["guardrail"], {"attributes": {**GUARD, "output.value": '{"action": "blocked"}'}}),
    (["guardrail"], {"attributes": {**GUARD, "traceloop.entity.output": '{"action": "blocked"}'}}),
    (["tool_error"], {"attributes": {**TOOL, "gen_ai.tool.call.result": '{"statusCode": 500, "body": "boom"}'}}),
    (["empty_output"], {"attributes": {**answer(), "gen_ai.input.messages": json.dumps(TOLD[:1])} | NO_MESSAGES}),
    (["feedback:user.feedback"], {"attributes": {**CHAT, "user.feedback": "thumbs_down"}}),
    (
        ["feedback:relevance"],
        event(
            "gen_ai.evaluation.result", {"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 0.2}
        ),
    ),
    (
        ["feedback:judge"],
        event("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "judge", "gen_ai.evaluation.score.label": "fail"}),
    ),
]
FINE: Final[list[dict[str, Any]]] = [
    {"attributes": answer(text("Paris."))},
    {"attributes": CHAT, "status": OK, **event("exception", {"exception.type": "ValueError"})},
    {"attributes": {**TOOL, "tool.success": True, "gen_ai.tool.call.result": '{"error":null,"rows":[]}'}},
    {"attributes": {**answer(text("y"), reason="length"), "gen_ai.request.max_tokens": 1}},
    {"attributes": answer({"type": "tool_call", "name": "refund", "arguments": {}}, reason="tool_call")},
    {"attributes": {**answer(text('{"a": 1}')), "gen_ai.output.type": "json"}},
    {"attributes": {**GUARD, "output.value": '{"tripwire_triggered": false}'}},
    {"attributes": {**GUARD, "output.value": '{"action": "allowed"}'}},
    {"attributes": {**TOOL, "gen_ai.tool.call.result": '{"id": 1, "status": "failed", "amount": 30}'}},
    {"attributes": {**CHAT, "http.response.status_code": 500}},
    {"attributes": {**CHAT, "user.feedback": "thumbs_up"}},
    event("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 0.9}),
]


def reasons(db: Database) -> dict[int, list[str]]:
    """Return the reasons of every trace, by its number."""
    rows = db.rows("SELECT trace_id, failing, failure_reasons FROM traces")
    assert all(bool(row["failing"]) == bool(row["failure_reasons"]) for row in rows)
    return {int(row["trace_id"], 16): list(row["failure_reasons"]) for row in rows}


def test_each_source_of_failure_makes_its_trace_failing_and_nothing_else_does(embedded_db: Database) -> None:
    cases = [*FAILING, *(([], rest) for rest in FINE)]
    spans = [span(trace, trace, **rest) for trace, (_, rest) in enumerate(cases, 1)]
    insert_batch(embedded_db, with_failures(canonical(batch_of(spans_record(spans)))), "spans")
    assert reasons(embedded_db) == {trace: expected for trace, (expected, _) in enumerate(cases, 1)}


def test_what_comes_later_raises_and_never_lowers(embedded_db: Database) -> None:
    """The last span of a trace, an evaluation of days later, and then good news."""
    said = {"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 0.1}
    good = {"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 1.0}

    def store(token: str, *records: Any) -> list[str]:
        insert_batch(embedded_db, with_failures(canonical(batch_of(*records))), token)
        return reasons(embedded_db)[1]

    def evaluated(values: dict[str, Any], at: int) -> Any:
        trace, own = (1).to_bytes(16, "big"), (1).to_bytes(8, "big")
        log = LogRecord(
            time_unix_nano=at,
            event_name="gen_ai.evaluation.result",
            trace_id=trace,
            span_id=own,
            attributes=attributes(values),
        )
        return logs_record([log], received=at)

    assert store("1", spans_record([span(1, 1, attributes=answer(text("Paris.")))])) == []
    failed = span(1, 2, parent=1, attributes=TOOL, status={"code": 2})
    assert store("2", spans_record([failed], received=NOON + DAY)) == ["tool_error"]
    assert store("3", evaluated(said, NOON + 5 * DAY)) == ["feedback:relevance", "tool_error"]
    assert store("4", evaluated(good, NOON + 6 * DAY)) == ["feedback:relevance", "tool_error"]
    fine = span(1, 2, parent=1, attributes=TOOL)
    assert store("5", spans_record([fine], received=NOON + 6 * DAY)) == ["feedback:relevance", "tool_error"]


def test_settlement_agrees_and_lowers_nothing_when_retries_are_ignored(embedded_db: Database) -> None:
    """Trace 1 comes in one request; of trace 2 the retry comes in a later one; trace 3 is whole and has no retry."""
    rules = FailureRules.of(FailurePolicy(retried="ignore"))

    def process(batch: SpanBatch) -> SpanBatch:
        return rules(canonical(batch))

    def attempt(trace: int, number: int, *, failed: bool) -> Span:
        asked = {**TOOL, "gen_ai.tool.call.arguments": '{"order":4711}'}
        start = NOON + number * SECOND
        return span(
            trace, number, parent=1, start=start, end=start + 1, attributes=asked, status={"code": 2} if failed else {}
        )

    tries = {(t, n): attempt(t, n, failed=n == 2) for t in (1, 2, 3) for n in (2, 3)}
    first = [tries[1, 2], tries[1, 3], tries[2, 2], tries[3, 2]]
    insert_batch(embedded_db, process(batch_of(spans_record(first))), "1")
    insert_batch(embedded_db, process(batch_of(spans_record([tries[2, 3]]))), "2")
    expected = {1: [], 2: ["tool_error"], 3: ["tool_error"]}
    assert reasons(embedded_db) == expected
    outcome = Settler(embedded_db, process, Limits(quiet_s=0)).settle()
    assert outcome.settled == len(expected), "all name a parent that never came"
    assert reasons(embedded_db) == expected, "what was raised stays, and nothing is raised anew"


@pytest.mark.parametrize(
    ("kind", "output"),
    [
        ({"openinference.span.kind": "GUARDRAIL"}, "output.value"),
        ({"traceloop.span.kind": "guardrail"}, "traceloop.entity.output"),
        ({"langfuse.observation.type": "guardrail"}, "langfuse.observation.output"),
        ({"mlflow.spanType": '"GUARDRAIL"'}, "mlflow.spanOutputs"),
    ],
)
def test_a_guardrail_that_blocked_is_failing_in_every_dialect(kind: dict[str, Any], output: str) -> None:
    said = {
        '{"action": "blocked"}': True,
        '{"action": "blocked", "reason": "pii"}': True,
        '{"blocked": true}': True,
        "blocked": True,
        '{"action": "allowed"}': False,
        '{"passed": true}': False,
    }
    spans = [span(n, n, attributes={**kind, output: text}) for n, text in enumerate(said, 1)]
    found = with_failures(canonical(batch_of(spans_record(spans)))).columns["failure_reasons"].to_pylist()
    assert found == [["guardrail"] if blocked else [] for blocked in said.values()]
