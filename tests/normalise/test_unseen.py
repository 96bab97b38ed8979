"""What dialects that nobody here had seen taught: each rule on the smallest payload that shows it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from collector.processors.normalise.exchange import is_request, read_response, request_kind
from collector.processors.normalise.literal import read_value
from collector.processors.normalise.messages import read_messages
from tests.normalise.payload import normalised, span
from tests.normalise.payload import only as only_of

RECORD = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 5}


def only(values: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the one span of the document of one span."""
    return only_of(span("s", values, **more))


@pytest.mark.parametrize(
    ("request_body", "kind"),
    [
        ({"model": "m", "messages": []}, "llm"),
        ({"model": "m", "input": "hi"}, "llm"),
        ({"model": "m", "input": ["a", "b"]}, "embedding"),
        ({"model": "m", "input": "a", "encoding_format": "base64"}, "embedding"),
        ({"model": "m", "prompt": "a cat", "size": "1024x1024"}, None),
        ({"model": "m", "input": "hello", "voice": "alloy"}, None),
        ({"messages": ["not a model's"]}, None),
        ({"user": "ann"}, None),
    ],
)
def test_a_request_tells_what_it_asks_for(request_body: dict[str, Any], kind: str | None) -> None:
    assert request_kind(request_body) == kind
    assert only({"request_data": json.dumps(request_body)})["kind"] == (kind or "other")


def test_a_failed_call_with_nothing_but_its_request_is_counted() -> None:
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5}
    found = only({"request_data": json.dumps(asked)}, status=2, message="rate limit")
    assert (found["counted"], found["error"], found["request_model"]) == (True, True, "gpt-4o")
    assert found["request_params"] == {"temperature": 0.5}


def test_the_request_says_what_was_asked_for_where_its_key_holds_the_answers_model() -> None:
    found = only(
        {
            "request_data": json.dumps({"model": "gpt-4o", "messages": []}),
            "gen_ai.request.model": "gpt-4o-2024-08-06",
            "gen_ai.response.model": "gpt-4o-2024-08-06",
        }
    )
    assert (found["request_model"], found["response_model"]) == ("gpt-4o", "gpt-4o-2024-08-06")


@pytest.mark.parametrize(
    ("model", "asked", "answered"),
    [
        ("gpt-4o-mini-2024-07-18", None, "gpt-4o-mini-2024-07-18"),
        ("claude-sonnet-4-5-20250929", None, "claude-sonnet-4-5-20250929"),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", "anthropic.claude-3-5-sonnet-20240620-v1:0", None),
        ("gpt-4o-mini", "gpt-4o-mini", None),
    ],
)
@pytest.mark.parametrize("key", ["llm.model_name", "langfuse.observation.model.name"])
def test_a_lone_model_key_is_the_answers_only_where_it_names_a_snapshot(
    key: str, model: str, asked: str | None, answered: str | None
) -> None:
    marks = {"openinference.span.kind": "LLM", "llm.token_count.completion": 3}
    found = only({**marks, key: model})
    assert (found["request_model"], found["response_model"]) == (asked, answered)


def test_a_lone_model_key_of_a_failed_call_is_what_was_asked_for() -> None:
    found = only({"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o-2024-08-06"}, status=2, message="timeout")
    assert (found["request_model"], found["response_model"]) == ("gpt-4o-2024-08-06", None)


def test_a_model_key_that_repeats_the_request_says_nothing_of_the_answer() -> None:
    settings = json.dumps({"model": "anthropic/claude-sonnet-4-5"})
    values = {"openinference.span.kind": "LLM", "llm.invocation_parameters": settings, "llm.token_count.completion": 3}
    found = only({**values, "llm.model_name": "anthropic/claude-sonnet-4-5", "llm.provider": "anthropic"})
    assert (found["request_model"], found["response_model"]) == ("claude-sonnet-4-5", None)


def test_a_routers_prefix_is_dropped_where_another_key_names_the_rest() -> None:
    values = {"openinference.span.kind": "EMBEDDING", "embedding.model_name": "text-embedding-3-small"}
    found = only({**values, "embedding.invocation_parameters": '{"model": "openai/text-embedding-3-small"}'})
    assert found["request_model"] == "text-embedding-3-small"
    alone = only({"gen_ai.operation.name": "chat", "gen_ai.request.model": "meta-llama/llama-3"})
    assert alone["request_model"] == "meta-llama/llama-3"


def test_a_step_that_only_prepares_a_call_is_none() -> None:
    prepared = {"messages": ["ChatMessage(...)"], "tools": [{"type": "function"}]}
    assert is_request(prepared)
    assert not is_request({"messages": [{"role": "assistant", "content": "hi"}]})
    found = only({"openinference.span.kind": "LLM", "llm.model_name": "m", "output.value": json.dumps(prepared)})
    assert (found["kind"], found["counted"], found["operation"]) == ("other", False, None)


def test_a_client_librarys_record_without_an_id_joins_the_instrumentations() -> None:
    outer = span("chat", {**RECORD, "gen_ai.response.id": "r1"}, at="a", parent="p", duration_ns=100)

    def counted(
        values: dict[str, Any], duration_ns: int, scope: str = "mistralai_sdk_tracer", parent: str = "p"
    ) -> int:
        inner = span("x", values, at="b", parent=parent, scope=scope, start_ns=10, duration_ns=duration_ns)
        return sum(s["counted"] for s in normalised(outer, inner)["spans"])

    assert counted(RECORD, 80) == 1
    assert counted({**RECORD, "gen_ai.usage.input_tokens": 6}, 80) == 2  # another figure: another call
    assert counted({**RECORD, "gen_ai.request.model": "n"}, 80) == 2
    assert counted(RECORD, 95) == 2  # not within it
    assert counted(RECORD, 80, "another") == 2  # two applications' calls at one time
    assert counted(RECORD, 80, parent="q") == 2


def test_a_result_told_twice_under_one_call_id_is_one() -> None:
    once = {"role": "tool", "tool_call_id": "c", "content": [{"json": {"a": 1}}]}
    again = {"role": "user", "content": [{"toolResult": {"toolUseId": "c", "content": [{"json": {"a": 1}}]}}]}
    differs = {"role": "user", "content": [{"toolResult": {"toolUseId": "c", "content": [{"json": {"a": 2}}]}}]}
    assert [p["response"] for m in read_messages([once, again, differs]) for p in m["parts"]] == [{"a": 1}, {"a": 2}]
    unnamed = [{"role": "tool", "content": "same"}, {"role": "tool", "content": "same"}]
    assert len(read_messages(unnamed)) == 2


def test_results_beside_their_message_are_read() -> None:
    result = {"name": "f", "content": "18", "call_id": "c", "is_error": False}
    values = {"llm.input_messages.0.message.role": "function", "llm.input_messages.0.function.0": json.dumps(result)}
    (message,) = only({"openinference.span.kind": "LLM", **values})["input_messages"]
    assert message["role"] == "tool"
    assert message["parts"] == [{"type": "tool_call_response", "id": "c", "response": "18", "name": "f"}]


def test_blocks_of_which_none_was_written_down_are_no_text() -> None:
    assert read_messages([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "[]"}]) == [
        {"role": "user", "parts": [{"type": "text", "content": "hi"}]},
        {"role": "assistant", "parts": []},
    ]


def test_a_reason_without_an_answer_is_kept() -> None:
    found = only({"gen_ai.operation.name": "chat", "gen_ai.completion.0.finish_reason": "tool_use"})
    assert found["finish_reasons"] == ["tool_call"]


def test_no_tokens_either_way_is_no_usage() -> None:
    values = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}
    assert only(values)["input_tokens"] is None
    assert only({**values, "gen_ai.usage.input_tokens": 7})["output_tokens"] == 0


def test_an_echoed_request_tells_what_is_no_default() -> None:
    echo = {"id": "resp_1", "created_at": 1, "model": "m-2024-01-01", "temperature": 0.2, "top_p": 1.0, "seed": None}
    found = only({"openinference.span.kind": "LLM", "llm.invocation_parameters": json.dumps(echo)})
    assert found["request_params"] == {"temperature": 0.2}


def test_metadata_tells_user_session_and_provider() -> None:
    told = {"thread_id": "s1", "user_id": "u1", "ls_provider": "openai", "tier": "gold"}
    found = only({"openinference.span.kind": "LLM", "metadata": json.dumps(told)})
    assert (found["session_id"], found["user_id"], found["provider"]) == ("s1", "u1", "openai")
    assert found["metadata"] == {"tier": "gold"}
    assert only({"metadata": json.dumps(told), "session.id": "own"})["session_id"] == "own"


def test_a_copy_of_a_made_up_conversation_id_is_no_session() -> None:
    copied = {"gen_ai.conversation.id": "x", "session.id": "x"}
    assert only(copied, scope="pydantic-ai")["session_id"] is None
    assert only({**copied, "session.id": "own"}, scope="pydantic-ai")["session_id"] == "own"
    assert only(copied)["session_id"] == "x"


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("llm", {"haystack.component.type": "OpenAIChatGenerator"}),
        ("embedding", {"haystack.component.type": "OpenAITextEmbedder"}),
        ("retrieval", {"haystack.component.type": "InMemoryBM25Retriever"}),
        ("other", {"haystack.component.type": "DALLEImageGenerator"}),
        ("other", {"haystack.component.type": "PromptBuilder"}),
        ("workflow", {"haystack.pipeline.input_data": "{}"}),
        ("agent", {"haystack.agent.max_steps": 5}),
    ],
)
def test_the_class_of_a_component_tells_its_kind(kind: str, values: dict[str, Any]) -> None:
    assert only(values)["kind"] == kind


def test_replies_and_their_metadata_are_an_answer() -> None:
    meta = {"model": "m-1", "finish_reason": "tool_calls", "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    call = {"tool_call": {"tool_name": "f", "arguments": {"a": 1}, "id": "c"}}
    output = json.dumps({"replies": [{"role": "assistant", "meta": meta, "content": [{"text": "hm"}, call]}]})
    found = only({"haystack.component.type": "OpenAIChatGenerator", "haystack.component.output": output})
    assert [p["type"] for m in found["output_messages"] for p in m["parts"]] == ["text", "tool_call"]
    assert (found["response_model"], found["input_tokens"], found["output_tokens"]) == ("m-1", 5, 2)
    assert found["finish_reasons"] == ["tool_call"]
    plain = read_response({"replies": ["hi"], "meta": [{"model": "m-1"}]})
    assert plain is not None
    assert plain.model == "m-1"
    assert read_response({"replies": ["ChatMessage(_role=...)"]}) is None


def test_a_components_tool_result_is_a_tools() -> None:
    result = {"result": "18", "origin": {"tool_name": "f", "arguments": {}, "id": "c"}, "error": True}
    (message,) = read_messages([{"role": "tool", "content": [{"tool_call_result": result}]}])
    part = {"type": "tool_call_response", "id": "c", "response": "18", "name": "f", "is_error": True}
    assert message == {"role": "tool", "parts": [part]}


def test_a_models_span_may_tell_the_tool_its_answer_calls() -> None:
    values = {
        "gen_ai.operation.name": "chat",
        "gen_ai.response.finish_reasons": ["tool_calls"],
        "gen_ai.tool.name": "f",
        "gen_ai.tool.args": '{"a": 1}',
    }
    (message,) = only(values)["output_messages"]
    assert message["parts"] == [{"type": "tool_call", "id": None, "name": "f", "arguments": {"a": 1}}]
    assert only({**values, "gen_ai.response.finish_reasons": ["stop"]})["output_messages"] is None


def test_printed_stand_ins_are_no_settings() -> None:
    values = {"gen_ai.operation.name": "chat", "gen_ai.request.stop_sequences": "<openai.Omit object at 0x7f00>"}
    assert only(values)["request_params"] is None
    assert only({**values, "gen_ai.request.stop_sequences": "<end>"})["request_params"] == {"stop": ["<end>"]}


def test_arguments_under_kwargs_alone_are_unwrapped() -> None:
    found = only({"openinference.span.kind": "TOOL", "input.value": '{"kwargs": {"city": "Paris"}}'})
    assert found["tool_arguments"] == {"city": "Paris"}


def test_a_tools_raw_output_is_its_result() -> None:
    output = {"tool_name": "f", "blocks": [{"text": "18"}], "raw_output": {"c": 18}}
    assert only({"openinference.span.kind": "TOOL", "output.value": json.dumps(output)})["tool_result"] == {"c": 18}


def test_a_task_with_a_tools_own_keys_is_a_tool() -> None:
    values = {"traceloop.span.kind": "task", "tool.name": "f", "tool.arguments": '{"a": 1}'}
    found = only(values)
    assert (found["kind"], found["tool_name"], found["tool_arguments"]) == ("tool", "f", {"a": 1})
    assert only({"traceloop.span.kind": "task"})["kind"] == "other"


def test_a_double_stored_as_text_is_the_same_count() -> None:
    values = {"gen_ai.operation.name": "chat", "gen_ai.usage.output_tokens": 3}
    for sent in (97.0, "97.0", "97", 97):
        assert only({**values, "gen_ai.usage.input_tokens": sent})["input_tokens"] == 97
    for sent in (97.5, "97.5", "97.x", ".0", "-1.0", "NaN"):
        assert only({**values, "gen_ai.usage.input_tokens": sent})["input_tokens"] is None


def test_json_sent_as_bytes_is_read_also_where_it_was_stored_as_base64() -> None:
    sent = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()
    for value in (sent, base64.b64encode(sent).decode()):
        found = only({"gen_ai.operation.name": "chat", "gen_ai.prompt": value})
        assert found["input_text"] == "hi"
    for value in ("eyJ is how it begins", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x", "W3school", b"\xff\xfe", b"plain"):
        assert read_value(value) == value


def test_the_last_of_packed_messages_is_the_answer() -> None:
    events = [
        {"event.name": "gen_ai.user.message", "role": "user", "content": "hi"},
        {"event.name": "gen_ai.assistant.message", "role": "assistant", "content": "hello"},
    ]
    found = only({"gen_ai.operation.name": "chat", "events": json.dumps(events)})
    assert [m["role"] for m in found["input_messages"]] == ["user"]
    assert found["output_text"] == "hello"
