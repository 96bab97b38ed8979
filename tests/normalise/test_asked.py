"""A call that asked for JSON says so in its request parameters, whatever its dialect calls it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.normalise.payload import only, span

LLM = {"gen_ai.operation.name": "chat"}
SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}}
ASKED: list[dict[str, Any]] = [
    {**LLM, "gen_ai.output.type": "json"},
    {**LLM, "gen_ai.openai.request.response_format": "json_schema"},
    {**LLM, "gen_ai.request.structured_output_schema": json.dumps(SCHEMA)},
    {**LLM, "model_request_parameters": json.dumps({"output_mode": "native", "output_object": SCHEMA})},
    {"ai.operationId": "ai.generateObject.doGenerate"},
    *(
        {"openinference.span.kind": "LLM", "llm.invocation_parameters": json.dumps(parameters)}
        for parameters in (
            {"response_format": {"type": "json_object"}},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
            {"text": {"format": {"type": "json_schema", "schema": SCHEMA}}},
            {"output_format": {"type": "json_schema", "schema": SCHEMA}},
            {"generation_config": {"response_mime_type": "application/json"}},
            {"format": SCHEMA},
            {"format": "json"},
        )
    ),
    {
        "openinference.span.kind": "LLM",
        "input.value": json.dumps(
            {"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_object"}}
        ),
    },
]
NOT_ASKED: list[dict[str, Any]] = [
    LLM,
    {**LLM, "gen_ai.output.type": "text"},
    {**LLM, "model_request_parameters": json.dumps({"output_mode": "tool", "output_tools": [{"schema": SCHEMA}]})},
    {"ai.operationId": "ai.generateText.doGenerate"},
    {"openinference.span.kind": "LLM", "llm.invocation_parameters": '{"response_format": {"type": "text"}}'},
    {"openinference.span.kind": "LLM", "llm.invocation_parameters": '{"response_format": null, "format": "mp3"}'},
    {"openinference.span.kind": "LLM", "llm.invocation_parameters": '{"text": {"format": {"type": "text"}}}'},
]


@pytest.mark.parametrize(("values", "asked"), [*((v, True) for v in ASKED), *((v, False) for v in NOT_ASKED)])
def test_output_type(values: dict[str, Any], *, asked: bool) -> None:
    params = only(span("chat", values))["request_params"] or {}
    assert (params.get("output_type") == "json") == asked


@pytest.mark.parametrize("failed", [False, "false", "False"])
def test_a_tool_that_says_it_did_not_succeed_has_failed(failed: object) -> None:
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "f"}
    assert only(span("f", {**tool, "tool.success": failed}))["error"] is True
    assert only(span("f", {**tool, "tool.success": True}))["error"] is False
