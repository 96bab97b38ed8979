"""An answer that is said to be empty is an answer; one that nobody captured is unknown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.normalise.payload import only, span

CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.response.model": "m",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.output_tokens": 1,
}
ASKED = {"gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]'}
NOTHING = [{"role": "assistant", "parts": []}]


def messages(*parts: dict[str, Any]) -> dict[str, Any]:
    return {
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": list(parts), "finish_reason": "stop"}])
    }


@pytest.mark.parametrize(
    "values",
    [
        messages({"type": "text", "content": ""}),
        {"gen_ai.output.messages": '[{"role": "assistant", "content": ""}]'},
        {"gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": ""},
        {"llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": ""},
        {"ai.operationId": "ai.generateText.doGenerate", "ai.response.text": ""},
        {**ASKED, "gen_ai.output.messages": "[]"},
        {**ASKED, "gen_ai.output.messages": " [ ] ", "gen_ai.response.finish_reasons": []},
    ],
)
def test_an_empty_answer(values: dict[str, Any]) -> None:
    found = only(span("chat", {**CALL, **values}))
    assert found["output_messages"] == NOTHING
    assert found["failure_reasons"] == ["empty_output"]
    assert found["defects"] == [], "nothing was withheld"


@pytest.mark.parametrize(
    "values",
    [
        {},
        messages(),
        messages({"type": "text"}),
        {"gen_ai.output.messages": "[]"},
        {"gen_ai.output.messages": "[]", "gen_ai.input.messages": "[]"},
        {**ASKED, **messages()},
        {"gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.finish_reason": "stop"},
        {"llm.output_messages.0.message.role": "assistant"},
        {"gen_ai.prompt.0.content": ""},
        {"output.value": ""},
    ],
)
def test_an_answer_that_was_not_captured(values: dict[str, Any]) -> None:
    found = only(span("chat", {**CALL, **values}))
    assert found["output_messages"] is None
    assert found["failure_reasons"] == []


def test_a_list_without_messages_says_nothing_of_a_call_that_may_not_have_ended() -> None:
    call = {"gen_ai.operation.name": "chat", "gen_ai.response.model": "m", **ASKED, "gen_ai.output.messages": "[]"}
    assert only(span("chat", call))["failure_reasons"] == []
    assert only(span("chat", {**call, "gen_ai.usage.output_tokens": 0}))["failure_reasons"] == ["empty_output"]
    stopped_for_a_tool = {**call, "gen_ai.response.finish_reasons": ["tool_calls"]}
    assert only(span("chat", stopped_for_a_tool))["failure_reasons"] == []


def test_an_empty_text_beside_a_call_of_a_tool_is_no_empty_answer() -> None:
    call = {"type": "tool_call", "id": "1", "name": "f", "arguments": {}}
    found = only(span("chat", {**CALL, **messages({"type": "text", "content": ""}, call)}))
    assert [part["type"] for part in found["output_messages"][0]["parts"]] == ["tool_call"]
    failed = only(span("chat", {**CALL, **messages({"type": "text", "content": ""})}, status=2))
    assert (failed["output_messages"], failed["failure_reasons"]) == (None, ["span_error"])
