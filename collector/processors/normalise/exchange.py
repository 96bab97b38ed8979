"""A provider's request and response, or a framework's copy of them, to canonical facts.

One reader for OpenAI chat completions and Responses, Anthropic messages, Google generateContent, LangChain's
serialised runs and plain messages: the shape tells itself. What is not such a shape yields text or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from collector.processors.normalise.literal import read_json_object, read_value
from collector.processors.normalise.messages import Message, read_message, read_messages
from schema.span import Kind

REQUEST_KEYS = frozenset({"messages", "contents", "input", "prompt", "instructions", "system", "system_instruction"})
RESPONSE_KEYS = ("choices", "candidates", "generations", "output", "content", "messages")
PARAM_HOLDERS = (
    *("config", "generation_config", "generationConfig", "inferenceConfig", "options"),
    *("kwargs", "invocation_params", "parameters", "generation_kwargs"),
)
MODEL_KEYS = ("model", "model_name", "model_version", "modelVersion", "modelId")
USAGE_KEYS = ("usage", "usage_metadata", "usageMetadata", "token_usage", "tokenUsage")
ID_KEYS = ("id", "response_id", "responseId")
STOP_KEYS = ("finish_reason", "stop_reason", "finishReason", "stopReason")
METADATA_KEYS = ("response_metadata", "meta")
NOT_TEXT = frozenset({"size", "quality", "voice", "file"})
"""Keys of requests for images, speech and transcripts."""
OLLAMA_USAGE = ("prompt_eval_count", "eval_count")


@dataclass(slots=True)
class Request:
    """What was asked."""

    messages: list[Message] = field(default_factory=list)
    system: list[dict[str, Any]] = field(default_factory=list)
    model: str | None = None
    streaming: bool | None = None
    params: dict[str, Any] = field(default_factory=dict)
    """As spelt by the sender."""
    texts: list[str] = field(default_factory=list)
    """Inputs of an embedding, or a plain prompt."""


@dataclass(slots=True)
class Response:
    """What was answered."""

    messages: list[Message] = field(default_factory=list)
    model: str | None = None
    response_id: str | None = None
    finish_reasons: list[str] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)


def read_request(value: Any) -> Request | None:
    """Return what a request holds; None where the value is no model request."""
    value = read_value(value)
    if isinstance(value, list):
        messages = read_messages(value)
        return Request(messages=messages) if messages and _is_conversation(value) else None
    if not isinstance(value, dict) or not (REQUEST_KEYS & value.keys() or "model" in value):
        return None
    found = Request(model=first_text(value, MODEL_KEYS), params=read_params(value))
    if isinstance(value.get("stream"), bool):
        found.streaming = value["stream"]
    body = next((value[k] for k in ("messages", "contents", "input", "prompt") if value.get(k) not in (None, "")), None)
    if isinstance(body, list) and body and all(isinstance(x, str) for x in body):
        found.texts = list(body)
        return found
    if isinstance(body, str):
        found.texts = [body]
    found.messages = read_messages(body)
    found.system = _system(value)
    return found


def request_kind(value: dict[str, Any]) -> Kind | None:
    """Tell by a request's own keys whether it asks a model for text or for vectors; None for anything else."""
    if not isinstance(value.get("model"), str) or NOT_TEXT & value.keys():
        return None
    given = value.get("input")
    texts = isinstance(given, list) and bool(given) and all(isinstance(g, str) for g in given)
    if given is not None and (texts or {"encoding_format", "dimensions"} & value.keys()):
        return Kind.EMBEDDING
    return Kind.LLM if {"messages", "contents", "prompt", "input"} & value.keys() else None


def is_request(value: Any) -> bool:
    """Tell a request by the tools on offer beside its messages: what a step that only prepares a call returns."""
    value = read_value(value)
    return isinstance(value, dict) and isinstance(value.get("tools"), list) and isinstance(value.get("messages"), list)


def _is_conversation(value: list[Any]) -> bool:
    first = value[0] if value else None
    while isinstance(first, list) and first:
        first = first[0]
    return isinstance(first, dict) or (isinstance(first, str) and isinstance(value[0], list))


def _system(request: dict[str, Any]) -> list[dict[str, Any]]:
    config = request.get("config")
    places = [request, config] if isinstance(config, dict) else [request]
    for place in places:
        for key in ("instructions", "system", "system_instruction", "systemInstruction"):
            if parts := system_parts(place.get(key)):
                return parts
    return []


def system_parts(value: Any) -> list[dict[str, Any]]:
    """Return the parts of a system prompt given as text, blocks, parts or messages."""
    return [p for m in read_messages(value, "system") for p in m["parts"]]


def read_params(value: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a request, those in an inner config too, as spelt by the sender."""
    found: dict[str, Any] = {}
    for holder in PARAM_HOLDERS:
        inner = value.get(holder)
        if isinstance(inner, dict):
            found |= inner
    return found | value


def is_response_echo(params: dict[str, Any]) -> bool:
    """Tell settings that are a response object repeated: its model is the one that answered, not the one asked for."""
    return "id" in params and ("created_at" in params or "object" in params)


def read_response(value: Any) -> Response | None:
    """Return what a response holds; None where the value is no model response."""
    value = read_value(value)
    if isinstance(value, str):
        return Response(messages=read_messages(value, "assistant")) if value else None
    if isinstance(value, list):
        messages = read_messages(value, "assistant")
        return Response(messages=messages) if messages and _is_conversation(value) else None
    if not isinstance(value, dict):
        return None
    if value.keys() == {"data"} and isinstance(value["data"], dict):  # an event of a stream around its last chunk
        value = value["data"]
    if isinstance(value.get("message"), dict) and not isinstance(value.get("choices"), list):
        return _wrapped_message(value)
    if isinstance(value.get("replies"), list):
        return _replies(value)
    if isinstance(value.get("combined_chunk_content"), str):  # Logfire's record of a stream
        return Response(messages=read_messages(value["combined_chunk_content"], "assistant"))
    if "tool_calls" in value or "role" in value or not any(value.get(k) is not None for k in RESPONSE_KEYS):
        return _plain_message(value)
    found = Response(model=first_text(value, MODEL_KEYS), usage=_usage(value))
    if value.get("generations") is not None:
        return _langchain(value, found)
    _provider(value, found)
    if not found.messages and not found.usage and found.model is None:
        return None
    found.response_id = first_text(value, ID_KEYS)
    return found


def _wrapped_message(value: dict[str, Any]) -> Response:
    """Read {"message": {...}} with the rest beside it: Ollama, Cohere, Logfire."""
    return Response(
        messages=read_messages([value], "assistant"),
        model=first_text(value, MODEL_KEYS),
        response_id=first_text(value, ID_KEYS),
        finish_reasons=_reasons([value.get("finish_reason"), value.get("done_reason")]),
        usage=_usage(value) or ({k: value[k] for k in OLLAMA_USAGE if k in value}),
    )


def _replies(value: dict[str, Any]) -> Response | None:
    """Read Haystack's {"replies": [...]}: messages with "meta", or texts with a list of it beside them."""
    beside = value.get("meta")
    replies = [r for r in value["replies"] if isinstance(r, dict) or isinstance(beside, list)]
    if not replies:
        return None  # texts alone may be messages that were printed
    found = Response(messages=[m for r in replies for m in read_messages([r], "assistant")])
    for meta in [*replies, *({"meta": b} for b in beside or [])]:
        if isinstance(meta, dict):
            _response_metadata(meta, found)
    return found


def _plain_message(value: dict[str, Any]) -> Response | None:
    message = read_message(value, "assistant") if {"role", "content", "tool_calls", "parts"} & value.keys() else None
    usage = _usage(value)
    if message is None and not usage and not any(isinstance(value.get(k), dict) for k in METADATA_KEYS):
        return None
    found = Response(messages=read_messages([value], "assistant") if message else [], usage=usage)
    if usage or value.get("stop_reason"):  # Anthropic's response is itself the message
        found.model, found.response_id = first_text(value, MODEL_KEYS), first_text(value, ID_KEYS)
    found.finish_reasons = _reasons([value.get("finish_reason"), value.get("stop_reason")])
    _response_metadata(value, found)
    return found


def _provider(value: dict[str, Any], found: Response) -> None:
    choices = value.get("choices")
    if isinstance(choices, list):
        found.messages = read_messages(choices, "assistant")
        found.finish_reasons = _reasons(c.get("finish_reason") for c in choices if isinstance(c, dict))
        return
    candidates = value.get("candidates")
    if isinstance(candidates, list):
        contents = [c for c in candidates if isinstance(c, dict)]
        found.messages = read_messages([c["content"] for c in contents if c.get("content")], "assistant")
        found.finish_reasons = _reasons(c.get("finish_reason") or c.get("finishReason") for c in contents)
        return
    if isinstance(value.get("output"), list):
        found.messages = _joined(read_messages(value["output"], "assistant"))
        found.finish_reasons = _responses_status(value, found.messages)
        return
    body = next((value[k] for k in ("content", "messages", "output") if value.get(k) is not None), None)
    found.messages = read_messages(body, "assistant")
    found.finish_reasons = _reasons(value.get(k) for k in STOP_KEYS)


def _joined(messages: list[Message]) -> list[Message]:
    """Join the items of one Responses answer into one message."""
    if len(messages) < 2 or any(m["role"] != "assistant" for m in messages):
        return messages
    return [{"role": "assistant", "parts": [p for m in messages for p in m["parts"]]}]


def _responses_status(value: dict[str, Any], messages: list[Message]) -> list[str]:
    """Return what the Responses API says instead of a finish reason: status, and calls among its items."""
    if any(p["type"] == "tool_call" for m in messages for p in m["parts"]):
        return ["tool_calls"]
    details = value.get("incomplete_details")
    if isinstance(details, dict) and isinstance(details.get("reason"), str):
        return [details["reason"]]
    return _reasons([value.get("status")])


def _reasons(values: Any) -> list[str]:
    return [v for v in values if isinstance(v, str) and v]


def _usage(value: dict[str, Any]) -> dict[str, Any]:
    return next((u for k in USAGE_KEYS if (u := read_json_object(value.get(k)))), {})


def _langchain(value: dict[str, Any], found: Response) -> Response:
    """Read an LLMResult: {"generations": [[{"text", "generation_info", "message"}]], "llm_output": {...}}."""
    runs = value["generations"]
    flat = [g for run in runs for g in (run if isinstance(run, list) else [run])] if isinstance(runs, list) else []
    for generation in (g for g in flat if isinstance(g, dict)):
        inner = generation.get("message")
        if isinstance(inner, dict):
            found.messages += read_messages([inner], "assistant")
            kwargs = inner.get("kwargs", inner.get("data", inner))
            _response_metadata(kwargs if isinstance(kwargs, dict) else {}, found)
        elif generation.get("text"):
            found.messages += read_messages(generation["text"], "assistant")
        info = generation.get("generation_info")
        if isinstance(info, dict):
            found.finish_reasons = found.finish_reasons or _reasons([info.get("finish_reason")])
    output = value.get("llm_output")
    if isinstance(output, dict):
        found.model = found.model or first_text(output, MODEL_KEYS)
        found.response_id = found.response_id or first_text(output, ID_KEYS)
        found.usage = found.usage or _usage(output)
    return found


def _response_metadata(message: dict[str, Any], found: Response) -> None:
    """Read what LangChain and Haystack keep beside a message or a vector."""
    found.usage = found.usage or _usage(message)
    meta = next((message[k] for k in METADATA_KEYS if isinstance(message.get(k), dict)), None)
    if not isinstance(meta, dict):
        return
    found.model = found.model or first_text(meta, MODEL_KEYS)
    found.response_id = found.response_id or first_text(meta, ID_KEYS)
    found.usage = found.usage or _usage(meta)
    found.finish_reasons = found.finish_reasons or _reasons([meta.get("finish_reason"), meta.get("stop_reason")])


def first_text(value: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    """Return the first non-empty string under these keys."""
    return next((v for k in keys if isinstance(v := value.get(k), str) and v), None)
