"""Each trap seen in real telemetry, by its number: how a normaliser goes wrong there, and that this one does not.

Captures are real bytes of released libraries; where none shows the trap, a small payload does.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from tests.normalise.payload import PNG, capture, counted, log, normalised, only, span, text

CHAT: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.provider.name": "openai"}


def messages(*said: dict[str, Any]) -> str:
    return json.dumps(list(said))


@pytest.mark.parametrize(
    ("id_", "calls", "spans_with_model"),
    [
        ("otel-genai-anthropic/anthropic_tool", 2, 4),  # the SDK's own span inside the instrumentor's
        ("traceloop-instrumentors/anthropic_chat", 1, 2),  # two traces for one call
        ("traceloop-sdk/anthropic_tool", 2, 4),  # siblings
        ("openinference-dspy/error_500", 1, 2),  # an adapter around a client, failed: no id joins them
        ("litellm-otel/chat", 1, 1),  # a raw request below the request
        ("logfire-openai/stream_tool", 2, 4),  # a request, then a record of its stream
    ],
)
def test_t1_two_spans_of_one_call_count_once(id_: str, calls: int, spans_with_model: int) -> None:
    found = capture(id_)
    assert len(counted(found)) == calls
    assert sum(s["kind"] == "llm" for s in found["spans"]) == spans_with_model


def test_t1_equal_response_ids_of_calls_at_other_times_are_two_calls() -> None:
    # test servers and some gateways repeat ids
    call = {**CHAT, "gen_ai.response.id": "resp-1", "gen_ai.usage.input_tokens": 5}
    found = normalised(span("chat", call, trace="t1"), span("chat", call, trace="t2", start_ns=10**12))
    assert len(counted(found)) == 2


def test_t1_a_call_that_a_tool_makes_is_its_own_even_inside_a_model_span() -> None:
    found = normalised(
        span("outer", {**CHAT, "gen_ai.usage.input_tokens": 5}, at="a"),
        span("tool", {"gen_ai.operation.name": "execute_tool"}, at="b", parent="a"),
        span("inner", {**CHAT, "gen_ai.usage.input_tokens": 7}, at="c", parent="b"),
    )
    assert sorted(s["input_tokens"] for s in counted(found)) == [5, 7]


def test_t1_calls_that_fail_in_parallel_under_two_instrumentations_are_paired() -> None:
    def failed(at: str, scope: str) -> bytes:
        return span("chat", CHAT, at=at, parent="p", status=2, scope=scope)

    found = normalised(*(failed(f"a{i}", "one") for i in range(3)), *(failed(f"b{i}", "two") for i in range(3)))
    assert len(counted(found)) == 3
    assert len(counted(normalised(*(failed(f"a{i}", "one") for i in range(3))))) == 3


def test_t1_each_stream_meets_its_own_record() -> None:
    asked = {**CHAT, "gen_ai.input.messages": messages(text("user", "ping"))}
    answered = {**asked, "gen_ai.usage.input_tokens": 1}
    requests = [span("request", asked, at=f"q{i}", trace=f"q{i}", start_ns=i * 10**9) for i in range(3)]
    records = [span("record", answered, at=f"r{i}", trace=f"r{i}", start_ns=i * 10**9 + 5) for i in range(3)]
    found = normalised(*requests, *records)
    assert [s["name"] for s in counted(found)] == ["record"] * 3


def test_t1_a_wrapper_of_several_calls_is_not_counted() -> None:
    found = normalised(
        span("wrapper", {**CHAT, "gen_ai.usage.input_tokens": 12}, at="w"),
        span("one", {**CHAT, "gen_ai.usage.input_tokens": 5}, at="a", parent="w"),
        span("two", {**CHAT, "gen_ai.usage.input_tokens": 7}, at="b", parent="w"),
    )
    assert {s["name"] for s in counted(found)} == {"one", "two"}


@pytest.mark.parametrize(
    ("id_", "total"),
    [
        ("strands/tool_agent_grpc", 239),
        ("openinference-smolagents/tool_agent", 239),
        ("pydantic-ai-1.0/tool_agent", 239),
        ("pydantic-ai/tool_agent_v2", 239),
        ("vercel-ai-v7-otel/tool_agent", 239),
    ],
)
def test_t2_an_agents_sum_is_not_a_call(id_: str, total: int) -> None:
    found = capture(id_)
    assert sum(s["input_tokens"] for s in counted(found)) == total
    assert not any(s["counted"] for s in found["spans"] if s["kind"] == "agent")


def test_t2_a_remote_agent_is_the_only_record_of_its_calls() -> None:
    values = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 1}
    assert only(span("invoke_agent a", values, kind=3))["counted"] is True
    assert only(span("invoke_agent a", values, kind=1))["counted"] is False


@pytest.mark.parametrize(
    "id_",
    ["otel-genai-anthropic/anthropic_tool", "openlit/anthropic_tool", "logfire-openai/anthropic_chat"],
)
def test_t3_the_same_key_means_input_with_or_without_cache(id_: str) -> None:
    first = counted(capture(id_))[0]
    assert (first["input_tokens"], first["cache_read_tokens"], first["cache_write_tokens"]) == (182, 64, 17)


def test_t3_a_total_decides_before_any_habit() -> None:
    bucketed = {"input": 37, "output": 16, "total": 124, "input_cache_read": 64, "output_reasoning": 7}
    inclusive = {"input": 101, "output": 23, "total": 124, "input_cache_read": 64, "output_reasoning": 7}
    for usage in (bucketed, inclusive):
        values = {
            "langfuse.observation.type": "generation",
            "langfuse.observation.usage_details": json.dumps(usage),
        }
        found = only(span("g", values))
        assert (found["input_tokens"], found["output_tokens"]) == (101, 23)
        assert (found["cache_read_tokens"], found["reasoning_tokens"]) == (64, 7)


def test_t4_google_counts_thoughts_apart() -> None:
    assert [s["output_tokens"] for s in counted(capture("google-adk-1.14/tool_agent"))] == [30, 41]
    assert [s["output_tokens"] for s in counted(capture("otel-google-genai/stream"))] == [30]


def test_t5_absent_is_not_zero() -> None:
    for id_ in ("vercel-ai-v4/stream", "otel-openai-v2-legacy/stream_no_usage", "traceloop-instrumentors-0.40/stream"):
        [call] = counted(capture(id_))
        assert call["input_tokens"] is None
        assert call["output_tokens"] is None
    [embedding] = counted(capture("mlflow/embeddings"))
    assert (embedding["input_tokens"], embedding["output_tokens"]) == (9, None)


def test_t5_zero_is_zero_where_it_was_said() -> None:
    found = only(span("chat", {**CHAT, "gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 0}))
    assert found["output_tokens"] == 0


def test_t6_the_model_asked_for_and_the_one_that_answered() -> None:
    [call] = counted(capture("openinference-openai/vision"))
    assert (call["request_model"], call["response_model"]) == ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
    first = counted(capture("openinference-smolagents/tool_agent"))[0]
    assert (first["request_model"], first["response_model"]) == ("gpt-4o-mini", None)
    [failed] = counted(capture("openinference-dspy/error_500"))
    assert failed["request_model"] == "gpt-4o-mini"  # without the router's "openai/"
    [failed] = counted(capture("logfire-openai/error_429"))
    assert failed["response_model"] is None  # the library echoes the request


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (["stop"], ["stop"]),
        (["STOP"], ["stop"]),
        (["end_turn"], ["stop"]),
        (["completed"], ["stop"]),
        (["max_tokens"], ["length"]),
        (["tool-calls"], ["tool_call"]),
        (["tool_use"], ["tool_call"]),
        (["function_call"], ["tool_call"]),
        (["FinishReason.SAFETY"], ["content_filter"]),
        ('["end_turn"]', ["stop"]),
        ("stop, length", ["stop", "length"]),
        (["something new"], None),
    ],
)
def test_t7_finish_reasons_are_classes(raw: Any, expected: Any) -> None:
    assert only(span("chat", {**CHAT, "gen_ai.response.finish_reasons": raw}))["finish_reasons"] == expected


def test_t7_stop_on_a_turn_that_calls_tools_is_a_tool_call() -> None:
    first = counted(capture("openinference-openai-agents/tool_error"))[0]
    assert first["finish_reasons"] == ["tool_call"]


@pytest.mark.parametrize(
    ("id_", "error_type"),
    [
        ("langfuse-python/langchain_error_429", None),
        ("openinference-openai/error_429", "openai.RateLimitError"),
        ("vercel-ai-v6/error_429_json", "AI_APICallError"),
        ("litellm-otel/error_500", "InternalServerError"),
        ("otel-genai-anthropic/anthropic_error_429", "anthropic.RateLimitError"),
        ("google-adk-1.14/error_500", "google.genai.errors.ServerError"),
    ],
)
def test_t8_a_failed_call_is_an_error_whatever_says_so(id_: str, error_type: str | None) -> None:
    [call] = counted(capture(id_))
    assert call["error"] is True
    assert call["error_type"] == error_type


def test_t8_an_exception_that_was_handled_is_no_failure() -> None:
    raised = (("exception", {"exception.type": "KeyError", "exception.message": "x"}),)
    assert only(span("chat", CHAT, events=raised, status=0))["error"] is True
    assert only(span("chat", CHAT, events=raised, status=1))["error"] is False
    assert only(span("chat", CHAT, status=2, message="boom"))["error_message"] == "boom"


def test_t9_the_root_may_never_arrive() -> None:
    [orphan] = capture("mlflow-lost-root/error_500")["spans"]
    assert orphan["parent_span_id"] is not None
    assert orphan["counted"] is True
    assert orphan["error"] is True


def test_t10_a_tools_or_an_agents_name_does_not_make_a_tool_or_an_agent() -> None:
    for call in counted(capture("openlit/anthropic_tool")):
        assert call["kind"] == "llm"
        assert call["tool_name"] is None
    found = only(span("x", {**CHAT, "gen_ai.agent.name": "a", "gen_ai.tool.name": "t", "gen_ai.tool.call.id": "c"}))
    assert (found["kind"], found["agent_name"], found["tool_name"]) == ("llm", "a", None)
    bare = only(span("chat", {"gen_ai.tool.name": "t", "gen_ai.request.model": "m"}))
    assert bare["kind"] == "llm"


OPENAI_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
CALL_PART = {"type": "tool_call", "id": "c1", "name": "f", "arguments": {"x": 1}}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "f", "arguments": '{"x": 1}'}]},
        {"role": "assistant", "content": None, "tool_calls": [OPENAI_CALL]},
        {"finish_reason": "tool_calls", "index": 0, "message": {"role": "assistant", "tool_calls": [OPENAI_CALL]}},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c1", "name": "f", "input": {"x": 1}}}]},
        {"role": "model", "parts": [{"function_call": {"id": "c1", "name": "f", "args": {"x": 1}}}]},
        {
            "role": "assistant",
            "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "f", "input": '{"x":1}'}],
        },
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"x": 1}'},
        {"type": "ai", "content": "", "tool_calls": [{"name": "f", "args": {"x": 1}, "id": "c1", "type": "tool_call"}]},
    ],
)
def test_t11_one_key_many_message_shapes(message: dict[str, Any]) -> None:
    found = only(span("chat", {**CHAT, "gen_ai.output.messages": messages(message)}))
    [answer] = found["output_messages"]
    assert (answer["role"], answer["parts"]) == ("assistant", [CALL_PART])


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": {"x": 1}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "result": '{"x": 1}'}]},
        {"role": "user", "parts": [{"type": "tool_call_response", "id": "c1", "result": {"x": 1}}], "name": None},
        {"role": "tool", "tool_call_id": "c1", "content": '{"x": 1}'},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": '{"x": 1}'}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"json": {"x": 1}}]}}]},
        {"role": "user", "parts": [{"function_response": {"id": "c1", "name": None, "response": {"x": 1}}}]},
        {
            "role": "tool",
            "content": [{"type": "tool-result", "toolCallId": "c1", "output": {"type": "json", "value": {"x": 1}}}],
        },
        {"type": "function_call_output", "call_id": "c1", "output": '{"x": 1}'},
    ],
)
def test_t11_a_tools_result_is_a_message_of_role_tool(message: dict[str, Any]) -> None:
    found = only(span("chat", {**CHAT, "gen_ai.input.messages": messages(message)}))
    [said] = found["input_messages"]
    assert said == {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": {"x": 1}}]}


def test_t11_flattened_conversations() -> None:
    events = (
        ("gen_ai.content.prompt", {"gen_ai.prompt": "user: hi\nthere\nassistant: where to?\nuser: Paris"}),
        ("gen_ai.content.completion", {"gen_ai.completion": "Fine."}),
    )
    found = only(span("chat", CHAT, events=events))
    assert found["input_messages"] == [text("user", "hi\nthere"), text("assistant", "where to?"), text("user", "Paris")]
    assert found["output_messages"] == [text("assistant", "Fine.")]


def test_t12_values_of_the_wrong_type() -> None:
    values = {
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.llm.model": '"gpt-4o-mini"',
        "gen_ai.usage.input_tokens": "20",
        "gen_ai.usage.output_tokens": 5.0,
        "llm.is_streaming": "False",
        "gen_ai.usage.input_token_details": "{'audio': 0, 'cache_read': 4}",
        "gen_ai.request.temperature": "0.5",
        "gen_ai.request.max_tokens": "Infinity",
    }
    found = only(span("Completions", values))
    assert found["kind"] == "llm"
    assert found["response_model"] == "gpt-4o-mini"
    assert (found["input_tokens"], found["output_tokens"], found["cache_read_tokens"]) == (20, 5, 4)
    assert found["streaming"] is False
    assert found["request_params"] == {"temperature": 0.5}


def test_t13_invented_parameters_are_left_out() -> None:
    for call in counted(capture("openlit/anthropic_tool")):
        assert call["request_params"] == {"max_tokens": 256}
    assert counted(capture("langfuse-python/tool_error"))[0]["request_params"] is None
    said = {**CHAT, "gen_ai.request.temperature": 1.0}
    assert only(span("chat", said, scope="other"))["request_params"] == {"temperature": 1.0}
    assert only(span("chat", {**said, "gen_ai.request.max_tokens": -1}))["request_params"] == {"temperature": 1.0}


def test_t14_a_system_prompt_stands_once() -> None:
    values = {
        **CHAT,
        "gen_ai.system_instructions": messages({"type": "text", "content": "Be  terse."}),
        "gen_ai.input.messages": messages(text("system", "Be terse."), text("user", "hi")),
    }
    found = only(span("chat", values))
    assert found["input_messages"] == [text("user", "hi")]
    assert found["system_instructions"] == [{"type": "text", "content": "Be  terse."}]
    other = {**values, "gen_ai.input.messages": messages(text("system", "And kind."), text("user", "hi"))}
    assert only(span("chat", other))["input_messages"] == [text("system", "And kind."), text("user", "hi")]


@pytest.mark.parametrize(
    ("id_", "session"),
    [
        ("openinference-agno/tool_agent", "sess-ag-8"),  # on the root alone
        ("google-adk-1.14/tool_agent", "sess-adk-1"),  # on the model calls alone
        ("vercel-ai-v6/chat", "sess-v-2"),  # as a metadata key
        ("langsmith-otel/tool_agent", "thread-88"),  # session_name is the project
        ("pydantic-ai/tool_agent_v2", None),  # an id made up for the run
    ],
)
def test_t15_a_session_anywhere_in_the_trace_is_the_traces(id_: str, session: str | None) -> None:
    assert {s["session_id"] for s in capture(id_)["spans"]} == {session}


def test_t15_an_explicit_session_outranks_a_conversation_and_two_are_kept_apart() -> None:
    found = normalised(
        span("root", {"session.id": "s"}, at="a"),
        span("chat", {**CHAT, "gen_ai.conversation.id": "random"}, at="b", parent="a"),
    )
    assert {s["session_id"] for s in found["spans"]} == {"s"}
    found = normalised(
        span("root", {}, at="r"),
        span("one", {"session.id": "s1"}, at="a", parent="r"),
        span("two", {"session.id": "s2"}, at="b", parent="r"),
        span("below two", CHAT, at="c", parent="b"),
    )
    assert [s["session_id"] for s in found["spans"]] == [None, "s1", "s2", "s2"]


def test_t16_one_span_of_several_calls_is_one_record() -> None:
    assert len(counted(capture("otel-google-genai/tool_agent"))) == 1
    assert counted(capture("otel-genai-openai-agents/tool_agent")) == []  # no span records a model call there


def test_t17_children_before_parents_over_several_requests_in_any_order() -> None:
    found = capture("openinference-openai/tool_agent_split")
    assert {s["session_id"] for s in found["spans"]} == {"sess-oi-3"}
    assert len(counted(found)) == 2


def test_t17_a_span_delivered_twice_is_one_span() -> None:
    found = capture("logfire-openai/tool_agent")
    ids = [s["span_id"] for s in found["spans"]]
    assert len(ids) == len(set(ids))
    one = span("chat", {**CHAT, "gen_ai.usage.input_tokens": 5})
    twice = normalised(one, one)
    assert len(twice["spans"]) == len(counted(twice)) == 1


def test_t17_json_cut_off_by_a_length_limit_keeps_what_is_whole() -> None:
    whole = messages(text("user", 'a "quoted" question'), text("user", "and more"))
    for end in range(len(whole) - 1, 60, -1):
        found = only(span("chat", {**CHAT, "gen_ai.input.messages": whole[:end]}))
        assert found["input_messages"][-1]["truncated"] is True
        said = found["input_messages"][0]["parts"]
        assert not said or 'a "quoted" question'.startswith(said[0]["content"].rstrip("\\"))


@pytest.mark.parametrize("name", ["POST", "turn", "Step 1", "unknown", "RunnableSequence", "running 1 tool"])
def test_t18_noise_is_no_model_call(name: str) -> None:
    found = only(span(name, {"http.method": "POST", "http.url": "http://h/v1/chat/completions"}))
    assert (found["kind"], found["counted"]) == ("other", False)


def test_t18_embedding_vectors_are_dropped() -> None:
    [call] = counted(capture("openinference-openai/embeddings"))
    assert call["input_text"] == "first document\nsecond document"
    assert "0.1" not in json.dumps(call["output_text"])


def test_t19_what_the_framework_leaks_is_not_metadata() -> None:
    found = capture("langsmith-otel/tool_agent")
    assert not any("LANGSMITH" in json.dumps(s) for s in found["spans"])
    values = {
        **CHAT,
        "gen_ai.input.messages": messages(
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]}
        ),
    }
    [message] = only(span("chat", values))["input_messages"]
    blob = {"type": "blob", "modality": "image", "mime_type": "image/png", "size_bytes": 24}
    assert message["parts"] == [{**blob, "sha256": hashlib.sha256(base64.b64decode(PNG)).hexdigest()}]


def test_t20_spans_without_anything_genai_are_kept_and_claim_nothing() -> None:
    found = only(span("GET /", {"http.route": "/"}))
    assert (found["kind"], found["operation"], found["provider"], found["counted"]) == ("other", None, None, False)


def test_t21_the_client_library_is_right_about_tokens() -> None:
    values = {**CHAT, "gen_ai.response.id": "msg-1", "gen_ai.usage.input_tokens": 101}
    answer = {"gen_ai.output.messages": messages(text("assistant", "hi"))}
    found = normalised(
        span("anthropic.chat", {**values, **answer, "gen_ai.usage.output_tokens": 24}, at="a"),
        span(
            "anthropic.messages.create",
            {**values, "gen_ai.usage.output_tokens": 23},
            at="b",
            scope="com.anthropic.sdk.python",
        ),
    )
    [call] = counted(found)
    assert (call["name"], call["output_tokens"]) == ("anthropic.chat", 23)


def test_content_in_log_records_whenever_they_arrive() -> None:
    logs = (
        log("gen_ai.choice", {}, {"index": 0, "finish_reason": "stop", "message": {"content": "yes"}}, time_ns=5),
        log("gen_ai.user.message", {"gen_ai.system": "openai"}, {"content": "hi"}, time_ns=2),
        log("", {"event.name": "gen_ai.system.message"}, {"content": "Be terse."}, time_ns=1),
    )
    found = only(span("chat", CHAT), logs=logs)
    assert found["input_messages"] == [text("system", "Be terse."), text("user", "hi")]
    assert found["output_text"] == "yes"
    assert found["finish_reasons"] == ["stop"]
