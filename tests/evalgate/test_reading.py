"""What a trace says of its tool calls: with results, so that a run can replay them."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING, Any, cast

from evalgate.review.cases import CaseRow, CaseStatus
from evalgate.review.show import print_case
from evalgate.select.reading import MAX_RESULT_CHARS, MAX_RESULTS_CHARS, finish_reason, tool_calls
from evalgate.select.traces import Span, Trace
from evalgate.terminal import Terminal
from schema.case import Case, CaseInput, Observed

if TYPE_CHECKING:
    from evalgate.select.traces import TraceRow

SPAN = Span(
    span_id="1",
    parent_span_id="",
    start_unix_ns=0,
    duration_ms=1.0,
    name="s",
    status_code="OK",
    status_message="",
    service_name="shop",
    kind="llm",
    counted=True,
    model="m",
    input_tokens=1,
    output_tokens=1,
    finish_reasons=(),
    input_messages=(),
    output_messages=(),
    input_text=None,
    output_text=None,
    tool_name=None,
    tool_arguments=None,
    tool_result=None,
    error=False,
    error_type=None,
    error_message=None,
    feature=None,
    tags=(),
    defects=(),
    failing=False,
    failure_reasons=(),
)


def trace(*spans: Span) -> Trace:
    return Trace(cast("TraceRow", None), spans, (), ())


def tool(number: int, result: object, *, error: str | None = None) -> Span:
    return replace(
        SPAN,
        span_id=str(number),
        kind="tool",
        tool_name="look_up",
        tool_arguments={"n": number},
        tool_result=result,
        error=error is not None,
        error_message=error,
    )


def test_a_tools_own_span_tells_its_result_and_its_error() -> None:
    found = tool_calls(trace(tool(1, {"days": 30}), tool(2, None, error="no route")))
    assert found == (
        {"name": "look_up", "arguments": {"n": 1}, "result": {"days": 30}},
        {"name": "look_up", "arguments": {"n": 2}, "error": "no route"},
    )


def test_without_spans_of_tools_results_come_from_what_the_next_call_was_told() -> None:
    def asks(call_id: str, name: str) -> dict[str, Any]:
        part = {"type": "tool_call", "id": call_id, "name": name, "arguments": {}}
        return {"role": "assistant", "parts": [part]}

    told = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "a", "response": "first"}]}
    first = replace(SPAN, span_id="1", output_messages=(asks("a", "one"),))
    second = replace(SPAN, span_id="2", input_messages=(told,), output_messages=(asks("b", "two"),))
    assert tool_calls(trace(first, second)) == (
        {"name": "one", "arguments": {}, "result": "first"},
        {"name": "two", "arguments": {}},
    )


def test_results_that_would_make_a_case_too_large_are_left_out_by_name() -> None:
    fitting, beyond = tool(1, "x" * MAX_RESULT_CHARS), tool(2, "x" * (MAX_RESULT_CHARS + 1))
    first, second = tool_calls(trace(fitting, beyond))
    assert "result" in first
    assert second == {
        "name": "look_up",
        "arguments": {"n": 2},
        "omitted": f"a result of {MAX_RESULT_CHARS + 1} characters",
    }
    many = MAX_RESULTS_CHARS // MAX_RESULT_CHARS
    kept = tool_calls(trace(*(tool(n, "x" * MAX_RESULT_CHARS) for n in range(many + 1))))
    assert ["result" in c for c in kept] == [True] * many + [False]


def test_the_last_model_says_why_it_stopped() -> None:
    spans = (
        replace(SPAN, span_id="1", finish_reasons=("tool_calls",)),
        replace(SPAN, span_id="2", finish_reasons=("stop",)),
    )
    assert finish_reason(trace(*spans)) == "stop"
    assert finish_reason(trace(SPAN)) is None


def test_a_person_sees_what_the_tools_answered() -> None:
    calls = (
        {"name": "t", "arguments": {"q": 1}, "result": {"days": 30}},
        {"name": "u", "arguments": {}, "error": "away"},
    )
    case = Case("case-1", CaseInput((), "Q"), Observed("A", calls))
    out = StringIO()
    print_case(Terminal(out, out), CaseRow(case, CaseStatus.QUARANTINED, "2026-11-21T09:00:00"), [])
    assert '  called t({"q": 1})\n    answered {"days": 30}\n  called u({})\n    failed away\n' in out.getvalue()
