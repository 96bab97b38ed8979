"""Defects: what is wrong with the record itself, and what only looks so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collector.processors.normalise import canonical
from tests.clickhouse.otlp import NOON, SECOND, batch_of, span, spans_record

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 1}


def call(number: int, attributes: dict[str, Any] | None = None, *, parent: int = 99) -> Any:
    start = NOON + number * SECOND
    values = {**CHAT, **(attributes or {})}
    return span(1, number, parent=parent, start=start, end=start + SECOND // 2, attributes=values)


def defects(*spans: Any) -> list[list[str]]:
    found: list[list[str]] = canonical(batch_of(spans_record(spans))).columns["defects"].to_pylist()
    return found


def said(role: str, *parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": role, "parts": list(parts)}]


ASKS = {"type": "tool_call", "id": "c1", "name": "search", "arguments": {"q": 1}}
ANSWERS = {"type": "tool_call_response", "id": "c1", "response": "found"}
HI = {"gen_ai.input.messages": json.dumps(said("user", {"type": "text", "content": "hi"}))}
ASKING = {**HI, "gen_ai.output.messages": json.dumps(said("assistant", ASKS))}


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        ({}, ["withheld_content"]),
        (HI, []),
        ({"gen_ai.output.messages": HI["gen_ai.input.messages"]}, []),
        ({"gen_ai.response.finish_reasons": ["stop"], "gen_ai.input.messages": ""}, ["withheld_content"]),
    ],
)
def test_a_call_that_tells_its_usage_but_no_word_was_withheld(attributes: dict[str, Any], found: list[str]) -> None:
    assert defects(call(1, attributes)) == [found]


def test_what_another_record_of_the_call_says_is_not_withheld() -> None:
    silent = call(2, {"gen_ai.usage.output_tokens": 2}, parent=1)
    assert defects(call(1, HI), silent) == [[], []]


def test_spans_that_are_no_calls_withhold_nothing() -> None:
    assert defects(span(1, 1), span(1, 2, attributes={"gen_ai.operation.name": "execute_tool"})) == [[], []]


def test_json_that_ends_half_way_is_truncated() -> None:
    cut = HI["gen_ai.input.messages"][:-6]
    assert defects(call(1, {"gen_ai.input.messages": cut})) == [["truncated_content"]]
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.result": '{"rows": [1, 2, {"a": "b'}
    assert defects(span(1, 1, attributes=tool)) == [["truncated_content"]]


def test_a_tool_call_that_nothing_answers_while_the_conversation_goes_on() -> None:
    assert defects(call(1, ASKING), call(2, HI)) == [["tool_call_without_result"], []]


def test_a_conversation_that_repeats_the_request_went_on_wherever_it_is() -> None:
    history = {
        "gen_ai.input.messages": json.dumps([*said("assistant", ASKS), *said("user", {"type": "text", "content": "?"})])
    }
    assert defects(call(1, ASKING), call(2, history, parent=98)) == [["tool_call_without_result"], []]


@pytest.mark.parametrize(
    "answer",
    [
        call(2, {"gen_ai.input.messages": json.dumps(said("tool", ANSWERS))}),
        span(1, 2, attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.id": "c1"}),
        span(1, 2, attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}),
    ],
    ids=["a tool message", "a tool span with the id", "a tool span with the name"],
)
def test_a_tool_call_that_is_answered(answer: Any) -> None:
    assert defects(call(1, ASKING), answer, call(3, HI)) == [[], [], []]


def test_a_trace_may_end_with_a_tool_call() -> None:
    assert defects(call(1, HI), call(2, ASKING)) == [[], []]


def test_a_call_of_which_nothing_says_to_which_session_it_belongs() -> None:
    a, b = (call(n, {**HI, "session.id": f"s{n}"}) for n in (1, 2))
    assert defects(a, b, call(3, HI)) == [[], [], ["disconnected_session"]]
    assert defects(a, call(3, HI)) == [[], []]


def test_a_span_that_is_above_itself_is_a_defect_and_what_hangs_below_it_is_not() -> None:
    parents = {1: 1, 2: 3, 3: 4, 4: 2, 5: 4, 6: 0, 7: 6, 8: 99, 9: 1}
    found = defects(*(span(1, n, parent=p) for n, p in parents.items()))
    assert [n for n, of in zip(parents, found, strict=True) if "parent_cycle" in of] == [1, 2, 3, 4]
