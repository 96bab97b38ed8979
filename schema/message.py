"""A message as people and other tools write it, read into the canonical form of `normalized/1`.

{"role": "user", "parts": [{"type": "text", "content": "Where is it?"}]}      canonical: stays as it is
{"role": "user", "content": "Where is it?"}                                   the shape of chat completions, with
{"role": "assistant", "tool_calls": [{"id", "function": {"name", "arguments": "{…}"}}]}       its calls of tools
{"role": "tool", "tool_call_id": "…", "content": "…"}                                         and their answers
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

from schema.fields import Fields, Malformed

TEXT_TYPES = ("text", "input_text", "output_text")


def canonical_message(value: dict[str, Any]) -> dict[str, Any]:
    """Return a message with its parts.

    Raises:
        Malformed: in words for its author.

    """
    if "parts" in value:
        parts = value["parts"]
        if not isinstance(value.get("role"), str) or not isinstance(parts, list):
            raise Malformed(
                'input: each message must be {"role": ..., "content": "..."}, or {"role": ..., "parts": []}'
            )
        if not all(isinstance(p, dict) for p in parts):
            raise Malformed('input: each part must be an object such as {"type": "text", "content": ...}')
        return value
    message = Fields({k: v for k, v in value.items() if v is not None and v != []}, "a message of input")
    role, content = message.text("role"), message.any("content")
    call_id = message.optional_text("tool_call_id")
    calls = [_call(c) for c in message.objects("tool_calls")]
    name = message.optional_text("name")
    message.close()
    texts = _texts(content)
    if role == "tool":
        answer = {"type": "tool_call_response", "id": call_id, "response": "\n".join(texts)}
        return {"role": role, **({"name": name} if name else {}), "parts": [answer]}
    if not texts and not calls:
        raise Malformed("a message of input lacks 'content'")
    parts = [*({"type": "text", "content": t} for t in texts), *calls]
    return {"role": role, **({"name": name} if name else {}), "parts": parts}


def _texts(content: Any) -> list[str]:
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        raise Malformed("a message of input: 'content' must be a text, or a list of parts")
    texts = []
    for part in content:
        text = part.get("text") if isinstance(part, dict) and part.get("type") in TEXT_TYPES else None
        if not isinstance(text, str):
            raise Malformed('a message of input: a part of \'content\' must be {"type": "text", "text": "..."}')
        texts.append(text)
    return texts


def _call(value: dict[str, Any]) -> dict[str, Any]:
    """Return a call of a tool as a part; arguments that are no JSON stay the text that they are."""
    fields = Fields(value, "a tool call of input")
    function = Fields(fields.mapping("function"), "the function of a tool call")
    arguments = function.any("arguments")
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError, RecursionError):
            arguments = json.loads(arguments, parse_constant=_refuse)
    called = {"id": fields.optional_text("id"), "name": function.text("name"), "arguments": arguments}
    for unused in ("type", "index"):
        fields.any(unused)
    fields.close()
    function.close()
    return {"type": "tool_call", **called}


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")
