"""Messages of any provider or framework to canonical ones: {"role", "parts"}.

Shapes are told by their own keys, never by who sent them, since the same attribute carries different shapes:
OpenTelemetry parts, OpenAI chat and Responses items, Anthropic blocks, Google contents, Bedrock blocks, AI SDK parts,
LangChain messages (serialised constructors too), OpenInference's unflattened attributes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.processors.normalise.literal import read_marked, read_value
from collector.processors.normalise.parts import (
    joined_blocks,
    read_part,
    text_part,
    tool_call_part,
    tool_response_part,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

Part = dict[str, Any]
Message = dict[str, Any]

ROLES = {
    "system": "system",
    "developer": "system",
    "systemmessage": "system",
    "systemmessagechunk": "system",
    "user": "user",
    "human": "user",
    "humanmessage": "user",
    "humanmessagechunk": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "aimessage": "assistant",
    "aimessagechunk": "assistant",
    "tool": "tool",
    "function": "tool",
    "toolmessage": "tool",
    "toolmessagechunk": "tool",
    "functionmessage": "tool",
    "tool-call": "assistant",
    "tool-response": "tool",
}
"""Role as sent, in lower case -> role; any other role stays as it is."""

BARE_BLOCKS = frozenset(
    {"text", "toolUse", "toolResult", "functionCall", "function_call", "tool_call", "tool_call_result"}
)
"""The one key of a Bedrock, Google or Haystack block."""
RESPONSES_ITEMS = frozenset(
    {"function_call", "function_call_output", "reasoning", "custom_tool_call", "custom_tool_call_output"}
)
"""Items of OpenAI's Responses API that are messages without a role."""


def read_messages(value: Any, role: str = "user") -> list[Message]:
    """Return the canonical messages in a value: text, one message, or a list (of lists) of messages or parts."""
    value, truncated = read_marked(value)
    messages = settle(_read(value, role))
    if truncated and messages:
        messages[-1]["truncated"] = True
        return messages
    return messages if any(m["parts"] for m in messages) else []  # roles alone: the content was withheld


def _read(value: Any, role: str) -> list[Message]:
    if value in (None, "", []):
        return []
    if isinstance(value, dict):
        return [m] if (m := read_message(value, role)) else []
    if not isinstance(value, list):
        return [{"role": role, "parts": [text_part(value)]}]
    if all(isinstance(v, list) for v in value) and not _pairs(value):
        return [m for inner in value for m in _read(inner, role)]
    if _pairs(value):
        return [{"role": canonical_role(r, role), "parts": [text_part(t)]} for r, t in value]
    if not any(_message_like(v) for v in value):
        parts = [p for v in value if (p := read_part(v))]
        return [{"role": role, "parts": parts}] if parts else []
    return [m for v in value for m in _read(read_value(v), role)]


def _pairs(value: list[Any]) -> bool:
    """Tell a list of (role, text) pairs."""
    return all(isinstance(v, list) and len(v) == 2 and all(isinstance(x, str) for x in v) for v in value) and all(
        v[0].lower() in ROLES for v in value
    )


def _message_like(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    kind = value.get("type")
    if isinstance(kind, str) and (kind in RESPONSES_ITEMS or kind.lower() in ROLES):
        return True
    return "role" in value or "lc" in value or "parts" in value or isinstance(value.get("message"), dict)


def canonical_role(role: Any, default: str) -> str:
    """Return the canonical role; an unknown one stays as it is."""
    return ROLES.get(role.lower(), role) if isinstance(role, str) and role else default


def read_message(item: dict[str, Any], role: str = "user") -> Message | None:
    """Return one canonical message, or None where nothing was said."""
    if isinstance(item.get("message"), dict):  # a choice, an unflattened attribute, a generation
        beside = read_value(item.get("function"))
        if isinstance(beside, list) and "content" not in item["message"]:  # AutoGen's results, beside their message
            item = {**item, "message": {**item["message"], "content": [_result_block(b) for b in beside]}}
        inner = read_message(item["message"], role)
        return _with_finish(inner, item.get("finish_reason"))
    if "lc" in item and isinstance(item.get("kwargs"), dict):
        name = item["id"][-1] if isinstance(item.get("id"), list) and item["id"] else None
        return read_message({"role": name, **item["kwargs"]}, role)
    if isinstance(item.get("data"), dict) and "type" in item and "content" in item["data"]:
        return read_message({"role": item["type"], **item["data"]}, role)
    kind = item["type"] if isinstance(item.get("type"), str) else ""
    if kind in RESPONSES_ITEMS:
        return _read_responses_item(item, kind)
    said = item.get("role") or (kind if kind.lower() in ROLES else None)
    who = canonical_role(said, role)
    message: Message = {"role": who, "parts": _parts(item, who)}
    if isinstance(item.get("name"), str) and item["name"] and who != "tool":
        message["name"] = item["name"]
    if not message["parts"] and (who == "tool" or not said):
        return None
    return _with_finish(message, item.get("finish_reason"))


def _result_block(value: Any) -> Any:
    value = read_value(value)
    return {"type": "tool_result", **value} if isinstance(value, dict) else value


def _with_finish(message: Message | None, reason: Any) -> Message | None:
    if message is not None and isinstance(reason, str) and reason and "finish_reason" not in message:
        message["finish_reason"] = reason
    return message


def _read_responses_item(item: dict[str, Any], kind: str) -> Message:
    call_id = item.get("call_id") or item.get("id")
    if kind.endswith("_call"):
        called = tool_call_part(call_id, item.get("name"), item.get("arguments", item.get("input")))
        return {"role": "assistant", "parts": [called]}
    if kind.endswith("_output"):
        return {"role": "tool", "parts": [tool_response_part(call_id, item.get("output"))]}
    part = read_part(item)
    return {"role": "assistant", "parts": [part] if part else []}


def _parts(item: dict[str, Any], role: str) -> list[Part]:
    parts: list[Part] = []
    reasoning = item.get("reasoning_content") or item.get("reasoning")
    if isinstance(reasoning, str) and reasoning:
        parts.append({"type": "reasoning", "content": reasoning})
    body = item.get("parts", item.get("contents", item.get("content")))
    call_id = item.get("tool_call_id")
    if role == "tool" and not _holds_tool_results(body):
        if call_id is None and _is_definition(body):
            return parts  # LangChain's callbacks list the tools on offer as messages of role tool
        response = body if body is not None else item.get("output")
        if response is None and call_id is None and not item.get("tool_calls"):
            return parts
        identity = call_id or item.get("id") or item.get("tool_use_id")
        return [tool_response_part(identity, joined_blocks(_only_text(response)), item.get("name"))]
    parts += _content_parts(body)
    if isinstance(item.get("refusal"), str) and item["refusal"]:
        parts.append({"type": "refusal", "content": item["refusal"]})
    parts += _tool_calls(item)
    return parts


def _is_definition(body: Any) -> bool:
    function = body.get("function") if isinstance(body, dict) else None
    return isinstance(function, dict) and "parameters" in function


def _holds_tool_results(body: Any) -> bool:
    body = read_value(body) if isinstance(body, str) and body[:2] in ("[{", "[ ") else body
    if not isinstance(body, list):
        return False
    return any((read_part(b) or {}).get("type") == "tool_call_response" for b in body if isinstance(b, dict))


def _only_text(body: Any) -> Any:
    """Join a list of text blocks: a tool's result that a framework wrapped."""
    if isinstance(body, list) and body:
        parts = [read_part(b) for b in body]
        if all(p and p["type"] == "text" for p in parts):
            return "\n".join(str(p["content"]) for p in parts if p)
    return body


def _content_parts(body: Any) -> list[Part]:
    if isinstance(body, str):
        value = read_value(body) if body[:1] == "[" else body
        if value == []:
            return []  # a list of blocks of which none was written down
        if isinstance(value, list) and value and all(isinstance(v, dict) and read_part(v) for v in value):
            known = [p for v in value if (p := read_part(v))]
            if all("type" in v or _bare_block(v) for v in value):
                return known
        return [text_part(body)] if body else []
    if isinstance(body, list):
        return [p for b in body if (p := read_part(b))]
    if isinstance(body, dict):
        part = read_part(body)
        return [part] if part else []
    return [] if body is None else [text_part(body)]


def _bare_block(block: dict[str, Any]) -> bool:
    """Tell a block whose one key names what it is."""
    return len(block) == 1 and next(iter(block)) in BARE_BLOCKS


def _tool_calls(item: dict[str, Any]) -> list[Part]:
    calls = read_value(item.get("tool_calls"))
    if not isinstance(calls, list) or not calls:
        extra = item.get("additional_kwargs")
        calls = extra.get("tool_calls") if isinstance(extra, dict) else None
    out = []
    for call in calls if isinstance(calls, list) else []:
        inner = call.get("tool_call", call) if isinstance(call, dict) else None
        if isinstance(inner, dict):
            part = read_part({**inner, "type": "tool_call"})
            out += [part] if part else []
    legacy = item.get("function_call")
    if not out and isinstance(legacy, dict) and legacy.get("name"):
        out.append(tool_call_part(None, legacy["name"], legacy.get("arguments")))
    seen = {p.get("id") for p in _content_parts(item.get("content")) if p["type"] == "tool_call"}
    return [p for p in out if p.get("id") is None or p.get("id") not in seen]


def settle(messages: Iterable[Message]) -> list[Message]:
    """Put tool results into messages of role tool (Anthropic and Bedrock send them as the user's), each once."""
    out: list[Message] = []
    told: dict[str, list[Any]] = {}
    for message in messages:
        kept = _without_told(message, told)
        if kept is None:
            continue
        message = kept  # noqa: PLW2901 - the same message without what was said before
        results = [p for p in message["parts"] if p["type"] == "tool_call_response"]
        if results and message["role"] != "tool":
            out.append({"role": "tool", "parts": results})
            rest = [p for p in message["parts"] if p["type"] != "tool_call_response"]
            if not rest:
                continue
            message = {**message, "parts": rest}  # noqa: PLW2901 - the same message without what moved
        out.append(message)
    return out


def _without_told(message: Message, told: dict[str, list[Any]]) -> Message | None:
    """Leave out results that were told under the same call id before; None where nothing else was said."""
    kept = []
    for part in message["parts"]:
        if part["type"] == "tool_call_response" and part["id"] is not None:
            if part["response"] in told.setdefault(part["id"], []):
                continue
            told[part["id"]].append(part["response"])
        kept.append(part)
    if len(kept) == len(message["parts"]):
        return message
    return {**message, "parts": kept} if kept else None


def text_of(messages: Iterable[Message], roles: frozenset[str] | None = None) -> str | None:
    """Return the text parts of messages of these roles, joined by newlines; None where there is none."""
    said = [
        str(p["content"])
        for m in messages
        if roles is None or m["role"] in roles
        for p in m["parts"]
        if p["type"] == "text" and p.get("content")
    ]
    return "\n".join(said) or None
