"""No payload makes the normaliser raise, and none invents a figure: what cannot be read is unknown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schema.dialect import dialects
from tests.normalise.payload import any_value, log, normalised, only, span, text

MARKS = {m.key: sorted(m.values) for m in dialects().kinds}
KEYS = sorted(
    {k for keys in dialects().columns.values() for k in keys}
    | {k.rstrip(".") for keys in dialects().content.values() for k in keys}
    | {f"{k}0.message.content" for k in dialects().content["input_indexed"]}
    | {f"{k}9999999999.role" for k in dialects().content["output_indexed"]}
    | {f"{k}.{i}" for k in ("llm.input_messages", "retrieval.documents") for i in ("0", "-1", "x", "0.0.0")}
    | {"__proto__", "constructor", "a" + ".a" * 10_000, "", ".", "llm.input_messages..", "gen_ai.prompt.0"}
    | set(dialects().finish.keys)
)
FIXED_SHAPES = [
    *(
        '"\\ud800"',
        '["\\ud800"]',
        '[{"role": "user", "content": "\\ud83c"}]',
        '{"input": ["\\ud800"], "id": "\\ud800"}',
    ),
    *("", "null", "[]", "{}", '"', "[", '{"a', "NaN", "-1", "1e400", "None", "True", "{'a': nan}", "[1, 2"),
    *(
        '[{"role": "user", "parts": null}]',
        '[{"role": 5, "content": {"a": []}}]',
        '[[[[[["x"]]]]]]',
        '{"choices": 5}',
    ),
    *(
        '{"messages": {"role": []}}',
        '{"generations": [[null]]}',
        '{"usage": {"input_tokens": {"a": 1}}}',
        '[[], ["user"]]',
    ),
    *(
        '{"candidates": [{"content": "x"}], "usage": []}',
        '{"args": 5, "kwargs": 6}',
        '{"output": [[1]]}',
        "[null, 5]",
    ),
    *('{"lc": 1, "kwargs": {"content": 5}, "id": []}', '{"message": {"message": {"message": {}}}}', '{"data": {}}'),
    *('[{"type": "tool_call", "function": []}]', '[{"type": "image_url", "image_url": 5}]', '[{"type": []}]'),
    *(json.dumps(json.dumps(json.dumps([text("user", "x")]))), "(1, 2", "b'\\xff'", "{1: {2, 3}}", "[1e9999]"),
]
SHAPES = st.sampled_from(FIXED_SHAPES)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SHAPES
    | st.text(max_size=20)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.booleans()
    | st.none()
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS[:40]) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
ATTRIBUTES = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=10), VALUES, max_size=6)
MARKED = st.one_of([st.tuples(st.just(k), st.sampled_from(v)) for k, v in MARKS.items()])
EVENT_NAMES = st.sampled_from(
    [
        *("gen_ai.user.message", "gen_ai.choice", "gen_ai.content.prompt", "gen_ai.evaluation.result", "exception"),
        *("gen_ai.client.inference.operation.details", "gen_ai.tool.message", "tool.output", "x"),
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(mark=MARKED, values=ATTRIBUTES, event=EVENT_NAMES, fields=ATTRIBUTES, record=EVENT_NAMES, body=VALUES)
def test_nothing_raises(  # noqa: PLR0917 - hypothesis passes them by name
    mark: tuple[str, str], values: dict[str, Any], event: str, fields: dict[str, Any], record: str, body: Any
) -> None:
    found = normalised(
        span("one", {**values, mark[0]: mark[1]}, events=((event, fields),)),
        span("two", {**fields, mark[0]: mark[1]}, at="b", parent="a"),
        logs=(log(record, fields, body),),
    )
    json.dumps(found, allow_nan=False)
    assert [s["name"] for s in found["spans"]] == ["one", "two"]
    for one in found["spans"]:
        for key in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"):
            assert one[key] is None or 0 <= one[key] < 2**63


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, -0.5, 2.5, "many", "", True, b"5", [5], {"a": 5}])
def test_a_figure_that_is_none_is_unknown(value: Any) -> None:
    values = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": value, "gen_ai.usage.prompt_tokens": 7}
    assert only(span("chat", values))["input_tokens"] == 7
    del values["gen_ai.usage.prompt_tokens"]
    assert only(span("chat", values))["input_tokens"] is None


def test_a_cycle_of_parents_ends() -> None:
    chat = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 1}
    found = normalised(
        span("a", chat, at="a", parent="b"), span("b", chat, at="b", parent="a"), span("c", chat, at="c", parent="c")
    )
    assert len(found["spans"]) == 3
    assert any(s["counted"] for s in found["spans"])


def test_an_empty_batch() -> None:
    assert normalised(b"") == {"schema": "normalized/1", "spans": [], "feedback": [], "rejected": []}


def test_many_distinct_keys_cost_no_more_than_their_number() -> None:
    found = only(span("chat", {f"k{i}.{i}": i for i in range(50_000)} | {"gen_ai.operation.name": "chat"}))
    assert found["kind"] == "llm"


def test_a_value_without_a_type_is_unknown() -> None:
    assert (
        only(span("chat", {"gen_ai.request.model": any_value(None), "gen_ai.system": any_value(None)}))["kind"] == "llm"
    )


def test_an_unknown_provider_keeps_its_name_and_a_framework_is_none() -> None:
    said = {"gen_ai.operation.name": "chat"}
    assert only(span("x", {**said, "gen_ai.system": "MyGateway"}))["provider"] == "mygateway"
    assert only(span("x", {**said, "gen_ai.system": "langchain"}))["provider"] is None
    assert only(span("x", {**said, "gen_ai.system": "az.ai.openai"}))["provider"] == "azure.ai.openai"
