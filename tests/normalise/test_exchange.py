"""Whole requests and responses, as providers and frameworks shape them, under keys that hold either."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.normalise.payload import only, span, text

CALL = {"type": "tool_call", "id": "c1", "name": "f", "arguments": {"x": 1}}


def exchanged(request: Any, response: Any, **more: Any) -> dict[str, Any]:
    values = {
        "openinference.span.kind": "LLM",
        "input.value": json.dumps(request),
        "output.value": json.dumps(response),
    }
    return only(span("call", {**values, **more}))


OPENAI_USAGE = {
    "prompt_tokens": 101,
    "completion_tokens": 23,
    "total_tokens": 124,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 7},
}
ASKED = {"role": "user", "content": "hi"}


def openai_chat() -> tuple[Any, Any]:
    request = {"model": "m", "messages": [ASKED], "temperature": 0, "max_completion_tokens": 9, "stream": True}
    choice = {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "yo", "refusal": None}}
    return request, {"id": "r1", "model": "m-1", "choices": [choice], "usage": OPENAI_USAGE}


def openai_responses() -> tuple[Any, Any]:
    usage = {
        "input_tokens": 101,
        "output_tokens": 23,
        "total_tokens": 124,
        "input_tokens_details": {"cached_tokens": 64},
        "output_tokens_details": {"reasoning_tokens": 7},
    }
    output = [
        {"type": "reasoning", "id": "rs", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "yo", "annotations": []}]},
    ]
    details = {"reason": "max_output_tokens"}
    request = {"model": "m", "input": "hi", "stream": True, "max_output_tokens": 9, "temperature": 0}
    response = {"id": "r1", "model": "m-1", "object": "response", "output": output, "status": "incomplete"}
    return request, {**response, "incomplete_details": details, "usage": usage}


def anthropic_messages() -> tuple[Any, Any]:
    usage = {"input_tokens": 20, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 17, "output_tokens": 23}
    request = {"model": "m", "messages": [ASKED], "max_tokens": 9, "temperature": 0, "stream": True}
    content = [{"type": "text", "text": "yo", "citations": None}]
    response = {"id": "r1", "type": "message", "role": "assistant", "model": "m-1", "content": content}
    return request, {**response, "stop_reason": "max_tokens", "usage": usage}


def google_generate_content() -> tuple[Any, Any]:
    usage = {
        "prompt_token_count": 101,
        "candidates_token_count": 16,
        "thoughts_token_count": 7,
        "cached_content_token_count": 64,
        "total_token_count": 124,
    }
    config = {"temperature": 0, "max_output_tokens": 9}
    request = {
        "model": "m",
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "config": config,
        "stream": True,
    }
    parts = [{"text": "thinking", "thought": True}, {"text": "yo"}]
    candidate = {"content": {"role": "model", "parts": parts}, "finish_reason": "FinishReason.MAX_TOKENS"}
    return request, {"response_id": "r1", "model_version": "m-1", "candidates": [candidate], "usage_metadata": usage}


def bedrock_converse() -> tuple[Any, Any]:
    message = {"role": "assistant", "content": [{"text": "yo"}]}
    config = {"temperature": 0, "maxTokens": 9}
    request = {"modelId": "m", "messages": [{"role": "user", "content": [{"text": "hi"}]}], "inferenceConfig": config}
    usage = {"inputTokens": 101, "outputTokens": 23, "totalTokens": 124}
    return request, {"output": {"message": message}, "stopReason": "max_tokens", "usage": usage}


def langchain_run() -> tuple[Any, Any]:
    def constructed(name: str, **kwargs: Any) -> Any:
        return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", name], "kwargs": kwargs}

    request = {"messages": [[constructed("HumanMessage", content="hi", type="human")]]}
    meta = {"id": "r1", "model_name": "m-1", "finish_reason": "length", "token_usage": OPENAI_USAGE}
    answer = constructed("AIMessage", content="yo", response_metadata=meta)
    return request, {"generations": [[{"text": "yo", "generation_info": None, "message": answer}]], "llm_output": None}


def ollama_chat() -> tuple[Any, Any]:
    request = {"model": "m", "messages": [ASKED], "options": {"temperature": 0}, "stream": True}
    answer = {"role": "assistant", "content": "yo"}
    return request, {
        "model": "m-1",
        "message": answer,
        "done_reason": "length",
        "prompt_eval_count": 101,
        "eval_count": 23,
    }


ALL = [
    openai_chat,
    openai_responses,
    anthropic_messages,
    google_generate_content,
    bedrock_converse,
    langchain_run,
    ollama_chat,
]


@pytest.mark.parametrize("shape", ALL)
def test_one_reader_for_every_provider(shape: Any) -> None:
    request, response = shape()
    found = exchanged(request, response)
    assert found["input_messages"] == [text("user", "hi")]
    assert (found["input_text"], found["output_text"]) == ("hi", "yo")
    assert (found["input_tokens"], found["output_tokens"]) == (101, 23)
    assert found["finish_reasons"] == ["length"]


@pytest.mark.parametrize("shape", [openai_chat, openai_responses, anthropic_messages, google_generate_content])
def test_settings_and_identity(shape: Any) -> None:
    found = exchanged(*shape())
    assert (found["request_model"], found["response_model"], found["response_id"]) == ("m", "m-1", "r1")
    assert found["request_params"] == {"temperature": 0, "max_tokens": 9}
    assert found["streaming"] is True
    assert found["cache_read_tokens"] == 64
    assert found["cache_write_tokens"] == (17 if shape is anthropic_messages else None)


def test_a_library_that_adds_up_exclusive_figures_proves_nothing() -> None:
    request, response = anthropic_messages()
    summed = {"input_tokens": 20, "output_tokens": 23, "total_tokens": 43, "cache_read_input_tokens": 64}
    values = {
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.spanInputs": json.dumps(request),
        "mlflow.spanOutputs": json.dumps(response),
        "mlflow.chat.tokenUsage": json.dumps(summed),
    }
    assert only(span("Messages.create", values))["input_tokens"] == 101


def test_a_system_prompt_of_the_request() -> None:
    expected = [{"type": "text", "content": "Be terse."}]
    for system in (
        {"system": "Be terse.", "messages": [ASKED]},
        {"system": [{"type": "text", "text": "Be terse.", "cache_control": {}}], "messages": [ASKED]},
        {"instructions": "Be terse.", "input": "hi"},
        {"system_instruction": {"parts": [{"text": "Be terse."}]}, "contents": [{"parts": [{"text": "hi"}]}]},
        {"config": {"system_instruction": "Be terse."}, "contents": [{"parts": [{"text": "hi"}]}]},
    ):
        found = exchanged(system, {})
        assert found["system_instructions"] == expected
        assert found["input_messages"] == [text("user", "hi")]


def test_settings_that_repeat_the_response_are_not_the_request() -> None:
    echo = {"id": "r1", "object": "response", "model": "m-1", "temperature": 1.0}
    found = exchanged([ASKED], openai_responses()[1], **{"llm.invocation_parameters": json.dumps(echo)})
    assert (found["request_model"], found["response_model"]) == (None, "m-1")
    assert found["request_params"] is None


def test_tools_on_offer_are_no_results() -> None:
    offered = {"role": "tool", "content": {"type": "function", "function": {"name": "f", "parameters": {}}}}
    assert exchanged([ASKED, offered], {})["input_messages"] == [text("user", "hi")]


def test_messages_of_a_completion_without_a_conversation() -> None:
    values = {"openinference.span.kind": "LLM", "llm.prompts.0.prompt.text": "a", "llm.choices.0.completion.text": "b"}
    found = only(span("completion", values))
    assert (found["input_text"], found["output_text"]) == ("a", "b")


def test_content_that_was_withheld_is_unknown() -> None:
    values = {
        "openinference.span.kind": "LLM",
        "input.value": "__REDACTED__",
        "output.value": "__REDACTED__",
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "__REDACTED__",
    }
    found = only(span("call", values))
    assert "__REDACTED__" not in json.dumps(found)
    assert found["output_messages"] is None


def test_json_in_json_in_json_is_unpacked() -> None:
    packed = json.dumps(json.dumps(json.dumps([text("user", "hi")])))
    found = only(span("chat", {"gen_ai.operation.name": "chat", "gen_ai.input.messages": packed}))
    assert found["input_messages"] == [text("user", "hi")]


def test_structured_values_need_no_text() -> None:
    values = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": [text("user", "hi")]}
    assert only(span("chat", values))["input_messages"] == [text("user", "hi")]


def test_events_that_pack_their_fields_into_one() -> None:
    events = (
        ("gen_ai.user.message", {"gen_ai.system": "az.ai.inference", "gen_ai.event.content": json.dumps(ASKED)}),
        (
            "gen_ai.choice",
            {"gen_ai.event.content": json.dumps({"message": {"content": "yo"}, "finish_reason": "stop", "index": 0})},
        ),
    )
    found = only(span("chat", {"gen_ai.operation.name": "chat"}, events=events))
    assert (found["input_text"], found["output_text"], found["finish_reasons"]) == ("hi", "yo", ["stop"])


@pytest.mark.parametrize(
    ("values", "arguments", "result"),
    [
        (
            {"openinference.span.kind": "TOOL", "input.value": "{'x': 1}", "output.value": "18"},
            {"x": 1},
            "18",
        ),
        (
            {
                "traceloop.span.kind": "tool",
                "traceloop.entity.input": json.dumps({"args": [], "kwargs": {"x": 1}}),
                "traceloop.entity.output": json.dumps({"y": 2}),
            },
            {"x": 1},
            {"y": 2},
        ),
        (
            {
                "traceloop.span.kind": "tool",
                "traceloop.entity.input": json.dumps(
                    {"input_str": "{'x': 1}", "tags": [], "inputs": {"x": 1}, "kwargs": {"name": "f"}}
                ),
                "traceloop.entity.output": json.dumps({"output": '{"y": 2}', "kwargs": {}}),
            },
            {"x": 1},
            {"y": 2},
        ),
        (
            {
                "langfuse.observation.type": "tool",
                "langfuse.observation.input": json.dumps({"name": "f", "args": {"x": 1}, "id": "c1"}),
                "langfuse.observation.output": json.dumps(
                    {"type": "tool", "content": '{"y": 2}', "tool_call_id": "c1"}
                ),
            },
            {"x": 1},
            {"y": 2},
        ),
        ({"mlflow.spanType": '"TOOL"', "mlflow.spanInputs": "{}", "mlflow.spanOutputs": "0"}, {}, "0"),
        ({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.arguments": {"x": 1}}, {"x": 1}, None),
    ],
)
def test_a_tools_arguments_by_name_and_its_result_as_a_value(
    values: dict[str, Any], arguments: Any, result: Any
) -> None:
    found = only(span("execute_tool f", values))
    assert (found["tool_arguments"], found["tool_result"]) == (arguments, result)
    assert found["tool_name"] == "f"


def test_tool_events_of_a_tool_span() -> None:
    events = (
        ("gen_ai.tool.message", {"role": "tool", "content": '{"x": 1}', "id": "c1"}),
        ("gen_ai.choice", {"message": '[{"json": {"y": 2}}]', "id": "c1"}),
    )
    found = only(span("execute_tool f", {"gen_ai.operation.name": "execute_tool"}, events=events))
    assert (found["tool_arguments"], found["tool_result"]) == ({"x": 1}, {"y": 2})


def test_a_call_that_was_printed_as_text_is_a_call() -> None:
    printed = "ResponseFunctionToolCall(arguments='{\"x\": 1}', call_id='c1', name='f', type='function_call', id='fc')"
    values = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": json.dumps([text("assistant", printed)])}
    found = only(span("chat", values))
    assert found["output_messages"] == [{"role": "assistant", "parts": [CALL]}]
    assert found["output_text"] is None
    prose = "Point(x=1) is what I would write"
    said = {**values, "gen_ai.output.messages": json.dumps([text("assistant", prose)])}
    assert only(span("chat", said))["output_text"] == prose


def test_a_graphs_state_is_told_by_its_conversation() -> None:
    asked: list[dict[str, Any]] = [{"type": "human", "content": "hi"}]
    answered = [*asked, {"type": "ai", "content": "yo", "usage_metadata": {"input_tokens": 9}}]
    state, after = {"messages": asked, "remaining_steps": 5}, {"messages": answered}
    for kind in ("CHAIN", "AGENT"):
        values = {"openinference.span.kind": kind, "input.value": json.dumps(state), "output.value": json.dumps(after)}
        found = only(span("LangGraph", values))
        assert (found["input_text"], found["output_text"], found["input_tokens"]) == ("hi", "yo", None)
    plain = {"openinference.span.kind": "CHAIN", "input.value": '{"question": "why?"}', "output.value": '{"ok": true}'}
    found = only(span("step", plain))
    assert (found["input_text"], found["output_text"]) == ("why?", '{"ok":true}')


def test_a_coding_agents_own_keys() -> None:
    values = {
        "span.type": "llm_request",
        "gen_ai.system": "anthropic",
        "gen_ai.request.model": "m",
        "input_tokens": 2,
        "output_tokens": 333,
        "cache_read_tokens": 63002,
        "cache_creation_tokens": 679,
        "stop_reason": "tool_use",
        "new_context": "<REDACTED>",
    }
    found = only(span("claude_code.llm_request", values, scope="com.anthropic.claude_code.tracing"))
    assert (found["kind"], found["input_tokens"], found["output_tokens"]) == ("llm", 63683, 333)
    assert (found["cache_read_tokens"], found["cache_write_tokens"]) == (63002, 679)
    assert found["finish_reasons"] == ["tool_call"]
    assert found["input_messages"] is None
    events = (("tool.output", {"output": "<REDACTED>", "content": "3 files"}),)
    tool = only(span("claude_code.tool", {"span.type": "tool", "tool_input": '{"x": 1}'}, events=events))
    assert (tool["kind"], tool["tool_arguments"], tool["tool_result"]) == ("tool", {"x": 1}, "3 files")


def test_a_provider_that_reports_beside_the_framework() -> None:
    usage = {"input_tokens": 20, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 17, "output_tokens": 23}
    values = {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.response.providerMetadata": json.dumps({"anthropic": {"usage": usage, "cacheCreationInputTokens": 17}}),
    }
    for told, total in ((101, 124), (20, 43)):  # the framework's figure includes the cache, or is the provider's
        figures = {"ai.usage.inputTokens": told, "ai.usage.outputTokens": 23, "ai.usage.totalTokens": total}
        found = only(span("ai.generateText.doGenerate", {**values, **figures}))
        assert (found["input_tokens"], found["cache_read_tokens"], found["cache_write_tokens"]) == (101, 64, 17)


def test_a_generation_by_its_keys_where_the_type_says_span() -> None:
    # Langfuse's Python SDK up to 3.3.0
    values = {
        "langfuse.observation.type": "span",
        "langfuse.observation.model.name": "m",
        "langfuse.observation.usage_details": '{"input": 3, "output": 4}',
    }
    assert only(span("generation", values))["kind"] == "llm"
    assert only(span("step", {"langfuse.observation.type": "span"}))["kind"] == "other"


def test_a_retrieval_has_its_query_and_documents_as_text() -> None:
    values = {
        "openinference.span.kind": "RETRIEVER",
        "input.value": "capital?",
        "retrieval.documents.1.document.content": "Lyon",
        "retrieval.documents.0.document.content": "Paris",
        "retrieval.documents.10.document.content": "Nice",
    }
    found = only(span("retrieve", values))
    assert (found["kind"], found["input_text"], found["output_text"]) == ("retrieval", "capital?", "Paris\nLyon\nNice")


def test_multimodal_parts_keep_what_they_are() -> None:
    blocks = [
        {"type": "text", "text": "look"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://host/p.png"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"inline_data": {"mime_type": "video/mp4", "data": "AAAA"}},
        {"type": "something_new", "payload": 1},
    ]
    [message] = exchanged({"model": "m", "messages": [{"role": "user", "content": blocks}]}, {})["input_messages"]
    kinds = [(p["type"], p.get("modality")) for p in message["parts"]]
    assert kinds == [
        ("text", None),
        ("blob", "image"),
        ("uri", "image"),
        ("blob", "audio"),
        ("file", "document"),
        ("blob", "video"),
        ("something_new", None),
    ]
    assert [p.get("size_bytes") for p in message["parts"]] == [None, 3, None, 3, None, 3, None]
