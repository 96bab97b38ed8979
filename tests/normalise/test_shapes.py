"""Every shape, broken at every place, under every key: nothing raises."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from collector.normalize import document
from schema.dialect import dialects
from tests.normalise.payload import normalised, raised, span, text
from tests.normalise.test_exchange import ALL
from tests.normalise.test_hostile import FIXED_SHAPES

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("LLM", "AGENT", "TOOL", "EMBEDDING", "RETRIEVER", "CHAIN")
HOSTILE: tuple[Any, ...] = (None, 5, "", "x", [], {}, [[]], [None], {"type": []}, {"content": {"a": [1]}}, True)
PARTS = [
    text("assistant", "ResponseFunctionToolCall(arguments='{}', call_id='c', name='f', type='function_call')"),
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]},
    {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "x"}]},
    {
        "role": "assistant",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    },
    {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "x"}]}],
    },
    {"role": "user", "content": [{"toolResult": {"toolUseId": "c", "status": "error", "content": [{"json": {}}]}}]},
    {
        "role": "model",
        "parts": [{"function_response": {"name": "f", "response": {"result": 1}}}, {"inline_data": {"data": "A"}}],
    },
    {
        "role": "assistant",
        "content": [{"type": "reasoning", "summary": [{"text": "x"}]}],
        "additional_kwargs": {"tool_calls": []},
    },
    {"type": "ai", "data": {"content": "x", "tool_calls": [], "response_metadata": {"token_usage": {}}}},
    {"type": "function_call_output", "call_id": "c", "output": "x"},
    {"role": "assistant", "content": [{"tool_call": {"tool_name": "f", "arguments": {}, "id": "c"}}]},
    {"role": "tool", "content": [{"tool_call_result": {"result": "x", "origin": {"id": "c"}, "error": False}}]},
    {"message": {"role": "function"}, "function": ['{"content": "x", "call_id": "c"}']},
]


def broken(value: Any) -> Iterator[Any]:
    """Yield the value with one node at a time replaced by something hostile."""
    yield from HOSTILE
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: b} for b in broken(inner))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from ([*value[:i], b, *value[i + 1 :]] for b in broken(inner))


def many(cases: list[dict[str, Any]]) -> bytes:
    """Return requests of one span each, all in one body: a batch is normalised at once."""
    return b"".join(span(f"case {i}", values, at=f"{i}", trace=f"{i}") for i, values in enumerate(cases))


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_with_every_odd_text(kind: str) -> None:
    table = dialects()
    keys = {k for section in table.content.values() for k in section if not k.endswith(".")} | set(table.finish.keys)
    indexed = {
        f"{k}{rest}"
        for section in table.content.values()
        for k in section
        if k.endswith(".")
        for rest in ("0", "0.a.b")
    }
    cases = [
        {"openinference.span.kind": kind, key: shape}
        for key, shape in itertools.product(sorted(keys | indexed), FIXED_SHAPES)
    ]
    assert len(normalised(many(cases))["spans"]) == len(cases)


def test_every_column_and_feedback_key_with_every_odd_text() -> None:
    table = dialects()
    keys = {k for section in table.columns.values() for k in section} | set(table.feedback.keys)
    keys |= {f"{p}{s}" for p in table.params.prefixes for s in table.params.names}
    keys |= {"annotation.name", "annotation.label", "annotations.0.annotation.score", "logfire.feedback.name"}
    odd: tuple[Any, ...] = (*FIXED_SHAPES, 0, -1, True, 1.5, float("nan"), b"\xff", ["x", 1], {"a": {}}, None)
    cases = [{"openinference.span.kind": "LLM", "annotation.name": "a", k: v} for k in sorted(keys) for v in odd]
    assert len(normalised(many(cases))["spans"]) == len(cases)


@pytest.mark.parametrize("shape", ALL)
def test_every_exchange_broken_at_every_place(shape: Any) -> None:
    request, response = shape()
    cases = [{"input.value": json.dumps(b), "output.value": json.dumps(response)} for b in broken(request)]
    cases += [{"input.value": json.dumps(request), "output.value": json.dumps(b)} for b in broken(response)]
    for kind in ("LLM", "AGENT"):
        marked = [{**c, "openinference.span.kind": kind} for c in cases]
        assert len(normalised(many(marked))["spans"]) == len(cases)


@pytest.mark.parametrize("message", PARTS)
def test_every_message_broken_at_every_place(message: dict[str, Any]) -> None:
    cases = [
        {"gen_ai.operation.name": "chat", key: json.dumps([b, text("user", "and this")])}
        for b in broken(message)
        for key in ("gen_ai.input.messages", "gen_ai.output.messages")
    ]
    found = normalised(many(cases))["spans"]
    assert len(found) == len(cases)
    for one in found:
        said = [p for m in one["input_messages"] or one["output_messages"] for p in m["parts"]]
        assert {"type": "text", "content": "and this"} in said


@pytest.mark.parametrize(
    "name", ["gen_ai.choice", "gen_ai.user.message", "gen_ai.tool.message", "gen_ai.content.prompt"]
)
def test_every_event_with_every_odd_value(name: str) -> None:
    fields = ("content", "message", "finish_reason", "tool_calls", "gen_ai.event.content", "gen_ai.prompt")
    for kind in ("chat", "execute_tool", "invoke_agent"):
        events = [
            ((name, {f: json.dumps(h) if packed else h}),) for f in fields for h in HOSTILE for packed in (True, False)
        ]
        body = b"".join(
            span("case", {"gen_ai.operation.name": kind}, at=f"{i}", trace=f"{i}", events=e)
            for i, e in enumerate(events)
        )
        assert len(normalised(body)["spans"]) == len(events)


def test_a_fault_of_ours_costs_its_span_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(subject: Any) -> None:
        if subject.name == "odd":
            raise KeyError("a shape nobody foresaw")

    monkeypatch.setattr("collector.processors.normalise.convert.CONVERTERS", (faulty,))
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.input.messages": "[]"}
    found = document([("b.pb", span("odd", chat) + span("even", chat, at="b"))])["spans"]
    assert [(s["name"], s["request_model"]) for s in found] == [("odd", "m"), ("even", "m")]
    assert "'odd' (row 0)" in caplog.text
    with pytest.raises(AssertionError, match="odd"):
        document([("b.pb", span("odd", chat))], on_fault=raised)
