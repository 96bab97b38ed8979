"""Which spans are worth a look, and why; as wrong as a miss is a false alarm."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode import decode
from collector.journal import Record
from collector.processors.failure import with_failures
from collector.processors.normalise import canonical
from schema.anyvalue import dump_json
from schema.failure import failures, search
from schema.failure.names import REASONS
from schema.failure.tools import reports_error, reports_error_text
from schema.span import CANONICAL

if TYPE_CHECKING:
    from schema.batch import SpanBatch

CORPUS = Path("tests/corpus")


def reasons(**values: Any) -> list[str]:
    """Return the reasons of one span with these columns."""
    columns = {
        name: pa.array(
            [dump_json(v) if name.endswith(("messages", "result")) and v is not None else v],
            CANONICAL.field(name).type,
        )
        for name, v in values.items()
    }
    failing, lists = failures(columns, 1)
    (found,) = lists.to_pylist()
    assert failing.to_pylist() == [bool(found)]
    return list(found)


def said(text: str, role: str = "assistant") -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def answered(response: Any, **more: Any) -> dict[str, Any]:
    return {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": response, **more}]}


def refusal(*before: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "assistant", "parts": [*before, {"type": "refusal", "content": "I cannot do this."}]}]


SLOW_S = 0.5
"""A regular expression that tries everything takes minutes; one that does not, a millisecond."""
ANSWERED: dict[str, Any] = {"span_kind": "llm", "counted": True, "error": False, "finish_reasons": ["stop"]}
JSON_ASKED = {**ANSWERED, "request_params": '{"output_type":"json"}'}


def test_a_plain_success_has_no_reason() -> None:
    ok = {"span_kind": "llm", "counted": True, "error": False, "finish_reasons": ["stop"]}
    assert reasons(**ok, output_messages=[said("hello")]) == []
    assert reasons(**ok, output_messages=None) == [], "content that was not captured is unknown, not empty"
    assert reasons() == []


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"error": True}, ["span_error"]),
        ({"error": True, "span_kind": "tool"}, ["tool_error"]),
        ({"error": False, "span_kind": "tool", "tool_result": {"error": "no such order"}}, ["tool_error"]),
        ({"span_kind": "tool", "tool_result": {"error": None, "rows": []}}, []),
        ({"span_kind": "llm", "finish_reasons": ["content_filter"]}, ["finish:content_filter"]),
        ({"span_kind": "llm", "finish_reasons": ["stop", "length"]}, ["finish:length"]),
        ({"span_kind": "llm", "finish_reasons": ["error"]}, ["finish:error"]),
        ({"span_kind": "llm", "finish_reasons": ["error"], "error": True}, ["span_error"]),
        ({"span_kind": "llm", "finish_reasons": ["tool_call"]}, []),
        ({"span_kind": "guardrail", "output_text": '{"tripwire_triggered": true}'}, ["guardrail"]),
        ({"span_kind": "guardrail", "output_text": '{"action": "GUARDRAIL_INTERVENED"}'}, ["guardrail"]),
        ({"span_kind": "guardrail", "output_text": '{"passed": true}'}, []),
        ({"span_kind": "guardrail", "output_text": "fine"}, []),
        ({"span_kind": "guardrail", "output_text": "blocked"}, ["guardrail"]),
        ({"span_kind": "guardrail", "output_text": '"DENY"\n'}, ["guardrail"]),
        ({"span_kind": "guardrail", "output_text": "blocked it? No."}, []),
        ({"span_kind": "tool", "output_text": "blocked"}, []),
    ],
)
def test_each_rule(columns: dict[str, Any], expected: list[str]) -> None:
    assert reasons(**columns) == expected


@pytest.mark.parametrize(
    ("output", "empty"),
    [
        ([], True),
        ([{"role": "assistant", "parts": []}], True),
        ([said("  \n")], True),
        ([said("hi")], False),
        ([{"role": "assistant", "parts": [{"type": "tool_call", "name": "f", "arguments": {}}]}], False),
        ([{"role": "assistant", "parts": [{"type": "blob", "mime_type": "image/png"}]}], False),
    ],
)
def test_an_answer_without_anything_is_empty(output: list[Any], *, empty: bool) -> None:
    call: dict[str, Any] = {"span_kind": "llm", "counted": True, "error": False, "output_messages": output}
    assert reasons(**call) == (["empty_output"] if empty else [])
    assert reasons(**{**call, "counted": False}) == [], "wrappers and duplicates do not repeat it"
    assert reasons(**{**call, "error": True}) == ["span_error"]
    if empty:
        assert reasons(**call, finish_reasons=["tool_call"]) == [], "it stopped for a tool, whatever was captured"


@pytest.mark.parametrize(
    ("messages", "refused"),
    [
        (refusal(), True),
        (refusal({"type": "reasoning", "content": "hm"}), True),
        (refusal({"type": "text", "content": "Well:"}), False),
        ([said('"refusal"')], False),
        ([{"role": "assistant", "parts": [{"type": "reasoning", "content": '{"type":"refusal"}'}]}], False),
        ([{"role": "assistant", "parts": [{"type": "refusal_policy", "content": '"refusal"'}]}], False),
    ],
)
def test_a_refusal_that_the_provider_marks(messages: list[Any], *, refused: bool) -> None:
    assert reasons(**ANSWERED, output_messages=messages) == (["refused"] if refused else [])
    assert reasons(**{**ANSWERED, "counted": False}, output_messages=messages) == []


@pytest.mark.parametrize(
    "text",
    [
        "I can't help with that.",
        "I can\u2019t help with that.",
        "I'm sorry, but I can't assist with that request.",
        "Sorry, I cannot assist with this.",
        "I\u2019m unable to help you with that request.",
        "Unfortunately, I am not able to answer that question.",
        "As an AI language model, I cannot provide that information.",
        "I won't do that.",
        "I'm sorry, I can't help with that. Is there something else I can help you with?",
        "i cannot comply with your request",
    ],
)
def test_a_text_that_only_refuses(text: str) -> None:
    assert reasons(**ANSWERED, output_text=text) == ["refused"]
    assert reasons(**{**ANSWERED, "finish_reasons": None}, output_text=text) == ["refused"]
    assert reasons(**{**ANSWERED, "span_kind": "tool"}, output_text=text) == []


@pytest.mark.parametrize(
    "text",
    [
        "I can help with that.",
        "I can't find your order, but I can look by phone number.",
        "I can't help but smile at that.",
        "I'm sorry to hear that. Let me check your order.",
        "I cannot recommend this hotel enough!",
        "Sorry, the store is closed on Sundays.",
        "Unfortunately, your order has been delayed.",
        "I can't help with that refund directly, so I opened ticket 4711 for you.",
        "I will not be able to help with that until you log in, so please log in first.",
        "I can't help with that. " + "The store is open from nine to five. " * 10,
        "I don't know.",
        "So",
        "",
    ],
)
def test_a_text_that_does_more_than_refuse(text: str) -> None:
    assert reasons(**ANSWERED, output_text=text) == []


@pytest.mark.parametrize(
    ("text", "invalid"),
    [
        ('{"answer": 1}', False),
        ("[1, 2]", False),
        ('```json\n{"answer": 1}\n```', False),
        ('"only a text"', False),
        ("The answer is 1.", True),
        ('{"answer": 1', True),
        ('{"answer": 1} and more', True),
        ("{'answer': 1}", True),
        ('```json\n{"answer": \n```', True),
        ('```\n{"answer": 1}```', False),
        ('```python\n{"answer": 1}\n```', True),
        ("```", True),
        (" ", False),
    ],
)
def test_json_that_was_asked_for_must_parse(text: str, *, invalid: bool) -> None:
    assert reasons(**JSON_ASKED, output_text=text) == (["invalid_json"] if invalid else [])
    assert reasons(**ANSWERED, output_text=text) == [], "nobody asked for JSON"
    assert reasons(**JSON_ASKED, output_text=text, defects=["truncated_content"]) == [], (
        "cut off here, not by the model"
    )
    cut = {**JSON_ASKED, "finish_reasons": ["length"]}
    assert reasons(**cut, output_text=text) == ["finish:length"], "one reason is enough"
    assert reasons(**JSON_ASKED, output_text=None) == []


@pytest.mark.parametrize(
    "text",
    [
        "As an ai " + "as an ai " * 32,
        "I'm sorry, but " * 20,
        "sorry " * 50,
        "I can't " + "help " * 58,
        "I can't help with that. " + "a b " * 68,
        "```" + "\n" * 200_000,
        "```json\n" + "{" * 200_000 + "\n```",
        "[" * 200_000,
    ],
)
def test_no_text_takes_long_to_read(text: str) -> None:
    began = time.process_time()
    reasons(**JSON_ASKED, output_text=text)
    assert time.process_time() - began < SLOW_S


def test_a_text_before_the_call_of_a_tool_is_not_the_answer() -> None:
    call = {"type": "tool_call", "id": "1", "name": "f", "arguments": {}}
    for text in ("Let me look.", "I can't do that."):
        parts = [{"type": "text", "content": text}, call]
        spoken = {"output_text": text, "output_messages": [{"role": "assistant", "parts": parts}]}
        assert reasons(**{**JSON_ASKED, "finish_reasons": None}, **spoken) == []
        assert reasons(**{**JSON_ASKED, "finish_reasons": None}, **{**spoken, "output_messages": parts[:1]}) != []


@pytest.mark.parametrize(
    ("params", "counts"),
    [
        ('{"max_tokens":1}', False),
        ('{"max_tokens":16}', False),
        ('{"max_tokens":17}', True),
        ("{}", True),
        (None, True),
        ('{"max_tokens":"1"}', True),
        ("[]", True),
    ],
)
def test_a_limit_of_few_tokens_is_meant_to_cut_the_answer_off(params: str | None, *, counts: bool) -> None:
    cut = {**ANSWERED, "finish_reasons": ["length"], "request_params": params}
    assert reasons(**cut) == (["finish:length"] if counts else [])


@pytest.mark.parametrize(
    "result",
    [
        "Error: weather station offline",
        "ValueError: bad city",
        "openai.RateLimitError: 429",
        "An error occurred while running the tool. Please try again.",
        "Error executing tool get_weather: offline",
        "Traceback (most recent call last):\n ...",
        "Failed to fetch the page",
        "Tool execution failed: timeout",
        {"is_error": True, "content": "offline"},
        {"isError": True, "content": [{"type": "text", "text": "offline"}]},
        {"status": "error", "content": [{"text": "offline"}]},
        {"success": False},
        {"error": {"code": 500}},
        [{"type": "text", "text": "Error: offline"}],
        '{"error": "offline"}',
        {"result": "ToolException: offline"},
        {"statusCode": 500, "body": "Internal Server Error"},
        {"status_code": 404, "headers": {"a": "b"}, "body": ""},
        {"status": 502, "body": "boom"},
        '{"statusCode": 503, "body": "down"}',
        '{"status": 503, "body": "down"}',
        {"status": "failed"},
        {"status": "FAILED", "message": "no such order", "rows": []},
        {"status": "error", "tool_use_id": "1", "name": "refund", "content": "offline"},
        {"type": "text", "text": "Error: offline", "annotations": None},
        {"tool_call_id": "1", "name": "refund", "content": "Error: offline"},
        [{"type": "text", "text": "a"}, {"type": "tool_result", "is_error": True, "content": "offline"}],
        {"error": "timeout", "id": 3},
        {"error": 404},
        "Error: offline\nPlease try again.",
        "Error: invalid arguments\n  city: field required\n\nunits: too short\nPlease fix your mistakes.",
        "Error: boom\n    at call (index.js:3)\nCaused by: Error: no route\n    at run (index.js:9)",
        "ValidationError: 2 validation errors for Order\nid\n  Field required\namount\n  Field required",
        "Error executing tool refund: 2 validation errors\nid\n  Field required\namount\n  Field required",
    ],
)
def test_results_that_report_an_error(result: Any) -> None:
    assert reports_error(result)
    assert reports_error_text(json.dumps(result))
    assert reasons(span_kind="tool", tool_result=result) == ["tool_error"], "what is read first lets it through"
    assert reasons(span_kind="llm", input_messages=[answered(result)]) == ["tool_error"]


@pytest.mark.parametrize(
    "result",
    [
        "sunny, 21 degrees",
        "The error rate of the service is 0.1 %",
        "No errors found.",
        "Errors are documented in chapter 3",
        "The user saw 'Error: 500' yesterday",
        "Exceptional weather: sunny",
        "failed payments: 0",
        {"error": None, "value": 1},
        {"errors": [], "status": "ok"},
        {"success": True, "error": "", "text": "Error: in a log line that was asked for"},
        {"isError": False, "content": [{"type": "text", "text": "Error: a log line"}]},
        {"status": "failed_over", "node": 2},
        [{"name": "Error: The Movie"}],
        ["Error: listed titles"],
        {"orders": [{"status": "error"}]},
        {"error_rate": 0.1},
        {"title": "Errors in JS", "text": "Error: is a class", "url": "https://mdn"},
        {"content": "Failed to launch: a history", "score": 0.9},
        {"result": {"title": "Errors in JS", "text": "Error: is a class"}},
        [{"type": "document", "text": "Error: is a class", "url": "https://mdn"}],
        [{"type": "text", "text": "line 0"}, {"type": "text", "text": "Error: a log line"}],
        [{"type": "build", "id": 1, "status": "failed"}],
        "Error: see line 3 of the log you asked for\nline 1 ok\nline 2 ok",
        "Error: see line 3 of the log you asked for\nline 1 ok\nline 2 ok\nline 3 Error\nline 4 ok",
        "Failed to log in: 3\nlogged in: 17\nlocked: 0",
        {"text": "Error: one\nline 1 ok\nline 2 ok"},
        {"error": "none", "x": 1},
        {"error": " No error. "},
        {"error": "N/A", "rows": [1]},
        {"mean": 3.2, "error": 0.1},
        {"id": 1, "status": "failed", "amount": 30},
        {"type": "payment", "status": "failed"},
        {"name": "nightly", "status": "error"},
        {"statusCode": 200, "body": "Internal Server Error"},
        {"status_code": 404, "body": "gone", "checked_at": "2026-01-01", "link": "a"},
        {"statusCode": 500, "orders": 3},
        {"status": 500, "name": "warehouse"},
        {"status": True, "body": "x"},
        None,
        7,
        [],
    ],
)
def test_results_that_only_speak_of_errors(result: Any) -> None:
    assert not reports_error(result)
    assert not reports_error_text(json.dumps(result))
    assert reasons(span_kind="tool", tool_result=result) == []


def test_a_tool_message_that_reports_an_error_counts_where_it_is_answered_and_not_in_the_history() -> None:
    failed, fine = answered("Error: offline"), answered("sunny")
    call = {"span_kind": "llm", "counted": True}
    assert reasons(**call, input_messages=[said("weather?", "user"), failed]) == ["tool_error"]
    assert reasons(**call, input_messages=[said("weather?", "user"), failed, fine]) == ["tool_error"]
    assert reasons(**call, input_messages=[failed, said("offline, sorry"), said("and now?", "user")]) == []
    assert reasons(**call, input_messages=[failed, said("again"), fine]) == []
    assert reasons(**call, input_messages=[answered("offline", is_error=True)]) == ["tool_error"]
    assert reasons(span_kind="agent", input_messages=[failed]) == []


def test_reasons_keep_their_rows_and_their_order() -> None:
    columns = {
        "error": pa.array([False, True, None, True]),
        "span_kind": pa.array(["llm", "llm", None, "tool"]),
        "finish_reasons": pa.array([["length"], ["content_filter", "length"], None, []]),
    }
    failing, lists = failures(columns, 4)
    assert failing.to_pylist() == [True, True, False, True]
    assert lists.to_pylist() == [
        ["finish:length"],
        ["span_error", "finish:content_filter", "finish:length"],
        [],
        ["tool_error"],
    ]
    assert {r for reasons in lists.to_pylist() for r in reasons} <= set(REASONS)
    assert failures({}, 0)[1].to_pylist() == []


hostile = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "status", "content", "text", "result", "output", "parts", "role", "type", "response", "body"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(hostile, st.sampled_from(["llm", "tool", "guardrail", None]))
def test_no_content_raises(value: Any, kind: str | None) -> None:
    text = pa.array([json.dumps(value)])
    names = ("tool_result", "input_messages", "output_messages", "output_text")
    failures({"span_kind": pa.array([kind]), "counted": pa.array([True]), **dict.fromkeys(names, text)}, 1)


def captures() -> list[Path]:
    return sorted(CORPUS.glob("*/*.expected.json"))


@pytest.mark.parametrize("path", captures(), ids=lambda p: f"{p.parent.name}/{p.name.removesuffix('.expected.json')}")
def test_real_captures_are_failing_exactly_when_something_failed(path: Path) -> None:
    expected = json.loads(path.read_text())
    records = [
        Record(i, "default", body["signal"], "json" if body["file"].endswith(".json") else "protobuf", False, 1, data)  # noqa: FBT003 - as the dataclass has it
        for i, body in enumerate(expected["bodies"])
        for data in [(path.parent / body["file"]).read_bytes()]
    ]
    found = reasons_of_calls(with_failures(canonical(decode(records))))
    trace = expected["trace"]
    truth = {"span_error": trace["any_llm_error"], "tool_error": trace["any_tool_error"]}
    assert {name for name, failed in truth.items() if failed} <= found
    assert bool(found) == any(truth.values()), "a success raises nothing"
    assert found <= set(truth), "and no failure more than its own"


def reasons_of_calls(batch: SpanBatch) -> set[str]:
    """Return the reasons of traces that hold more than a library's own spans (Haystack's start-up fails by itself)."""
    kinds, lists = (batch.columns[name].to_pylist() for name in ("span_kind", "failure_reasons"))
    traces = [trace for trace, _, _ in batch.hex_ids()]
    calls = {trace for trace, kind in zip(traces, kinds, strict=True) if kind not in {None, "other"}}
    return {reason for trace, found in zip(traces, lists, strict=True) if trace in calls for reason in found}


CONTENT = st.sampled_from(
    ["", " ", "\xa0", "\t", "x", '"', "\\", "é", "Error: no", '{"role":"tool"}', "tool_call_response"]
)
PART = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "content": CONTENT}),
    st.fixed_dictionaries({"type": st.just("tool_call"), "name": CONTENT}),
    st.fixed_dictionaries({"type": st.sampled_from(["refusal", "reasoning", "blob"]), "content": CONTENT}),
    st.fixed_dictionaries(
        {
            "type": st.just("tool_call_response"),
            "response": CONTENT | st.just([{"role": "user"}]) | st.just({"ok": False}),
        }
    ),
    st.fixed_dictionaries({"content": CONTENT, "type": st.just("text")}),
    st.none(),
)
MESSAGE: st.SearchStrategy[Any] = st.one_of(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "assistant", "tool", "to\u0000l", "tools"]),
            "parts": st.lists(PART, max_size=3),
        }
    ),
    st.fixed_dictionaries({"parts": st.lists(PART, max_size=1), "role": st.just("tool")}),
    st.sampled_from([None, "tool_call_response", {}, []]),
)


@given(st.lists(st.none() | st.tuples(st.lists(MESSAGE, max_size=3), st.integers(0, 60)), min_size=1, max_size=4))
def test_kernels_leave_out_only_messages_of_which_no_rule_holds(made: list[Any]) -> None:
    texts = [None if m is None else dump_json(m[0])[: None if m[1] > 9 else -m[1]] for m in made]
    n = len(texts)
    messages = pa.array([None, *texts], pa.string()).slice(1)
    columns = {"span_kind": pa.array(["llm"] * n), "counted": pa.array([True] * n)}
    columns |= dict.fromkeys(("input_messages", "output_messages", "output_text"), messages)
    columns["request_params"] = pa.array(['{"output_type":"json"}' if len(t or "") % 2 else '{"a":1}' for t in texts])
    got, expected = (failures(columns, n, compiled=compiled) for compiled in (True, False))
    assert [column.to_pylist() for column in got] == [column.to_pylist() for column in expected]


def test_kernels_leave_out_what_a_rule_need_not_read() -> None:
    history = [answered("Error: offline"), said("so be it"), said("and now?", "user")]
    column = pa.array([dump_json(m) for m in (history, history[:1], [said("hello")], [said(" ")])])
    every = np.ones(4, np.bool_)
    assert search.maybe_answered_tool(column, every).tolist() == [False, True, False, False]
    blank, refusing = search.first_parts(column, every)
    assert blank.tolist() == [False, False, False, True]
    assert not refusing.any()
