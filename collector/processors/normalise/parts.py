"""Content blocks of any provider to canonical message parts.

Canonical parts are those of the OpenTelemetry GenAI message schema: text, tool_call, tool_call_response, reasoning,
blob, uri, file; a block of any other type is kept as it came. A blob's bytes are not kept, only what they were.
Source: open-telemetry/semantic-conventions-genai, model/gen-ai/gen-ai-input-messages.json.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from collector.processors.normalise.literal import read_call, read_value

Part = dict[str, Any]

TEXT_TYPES = frozenset({"text", "input_text", "output_text", "summary_text"})
CALL_TYPES = frozenset(
    {"tool_call", "tool_use", "tool-call", "function", "function_call", "server_tool_use", "mcp_tool_use"}
)
RESULT_TYPES = frozenset({"tool_call_response", "tool_result", "tool-result", "function_call_output", "tool_response"})
REASONING_TYPES = frozenset({"reasoning", "thinking", "redacted_thinking", "redacted-reasoning"})
MEDIA_TYPES = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "audio": "audio",
    "input_audio": "audio",
    "video": "video",
    "document": "document",
    "file": "document",
    "input_file": "document",
    "blob": None,
    "uri": None,
    "media": None,
}


def text_part(content: Any) -> Part:
    """Return a text part."""
    return {"type": "text", "content": content if isinstance(content, str) else _as_text(content)}


def _as_text(value: Any) -> str:
    from schema.anyvalue import to_text  # noqa: PLC0415 - keeps this module free of protobuf until it is needed

    return to_text(value)


def tool_call_part(call_id: Any, name: Any, arguments: Any) -> Part:
    """Return a tool call; arguments that are JSON text are read."""
    part: Part = {"type": "tool_call", "id": _id(call_id), "name": name if isinstance(name, str) else None}
    if arguments is not None:
        part["arguments"] = {} if arguments == "" else read_value(arguments)
    return part


def tool_response_part(call_id: Any, response: Any, name: Any = None) -> Part:
    """Return a tool's result; one that is JSON text is read."""
    part: Part = {"type": "tool_call_response", "id": _id(call_id), "response": read_value(response)}
    if isinstance(name, str) and name:
        part["name"] = name
    return part


def _id(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def read_part(block: Any) -> Part | None:
    """Return the canonical part of one content block; None where it is empty."""
    if isinstance(block, str):
        return text_part(block) if block else None
    if not isinstance(block, dict):
        return None if block is None else text_part(block)
    if isinstance(block.get("message_content"), dict):  # OpenInference, unflattened
        return read_part(block["message_content"])
    kind = block.get("type")
    if isinstance(kind, str):
        return _typed(block, kind)
    return _untyped(block)


def _typed(block: Part, kind: str) -> Part | None:
    if kind in TEXT_TYPES:
        content = block.get("content", block.get("text"))
        return _printed_call(content) or (text_part(content) if content not in (None, "") else None)
    if kind in CALL_TYPES:
        return _call(block)
    if kind in RESULT_TYPES:
        return _result(block)
    if kind in REASONING_TYPES:
        return _reasoning(block)
    if kind in MEDIA_TYPES:
        return _media(block, MEDIA_TYPES[kind])
    if kind == "refusal":
        return {"type": "refusal", "content": block.get("content", block.get("refusal"))}
    return block


def _printed_call(content: Any) -> Part | None:
    """Read a tool call that an instrumentation printed as text: ResponseFunctionToolCall(arguments='{}', ...)."""
    call = read_call(content) if isinstance(content, str) else {}
    if call.get("type") != "function_call" or "name" not in call:
        return None
    return tool_call_part(call.get("call_id") or call.get("id"), call["name"], call.get("arguments"))


def _call(block: Part) -> Part:
    function = block.get("function")
    if isinstance(function, dict):
        return tool_call_part(
            block.get("id") or function.get("id"), function.get("name"), function.get("arguments", function.get("args"))
        )
    arguments = next((block[k] for k in ("arguments", "args", "input") if block.get(k) is not None), None)
    name = block.get("name") or block.get("toolName")
    return tool_call_part(block.get("call_id") or block.get("id") or block.get("toolCallId"), name, arguments)


def _result(block: Part) -> Part:
    response = next((block[k] for k in ("response", "result", "output", "content") if block.get(k) is not None), None)
    if isinstance(response, dict) and "type" in response and "value" in response:  # AI SDK 5+: {type: json, value}
        response = response["value"]
    identity = next((block[k] for k in ("id", "tool_use_id", "toolCallId", "call_id") if block.get(k)), None)
    part = tool_response_part(identity, joined_blocks(response), block.get("name") or block.get("toolName"))
    if block.get("is_error") is True or block.get("isError") is True:
        part["is_error"] = True
    return part


def joined_blocks(value: Any) -> Any:
    """Return what a list of result blocks holds: their text joined, one JSON value, or the list as it is."""
    if not isinstance(value, list) or not value:
        return value
    texts = [_block_text(b) for b in value]
    if all(t is not None for t in texts):
        return "\n".join(t for t in texts if t is not None)
    if len(value) == 1 and isinstance(value[0], dict) and set(value[0]) == {"json"}:
        return value[0]["json"]
    return value


def _block_text(block: Any) -> str | None:
    if not isinstance(block, dict) or not isinstance(block.get("text"), str):
        return None
    kind = block.get("type", "text")
    return block["text"] if isinstance(kind, str) and kind in TEXT_TYPES else None


def _reasoning(block: Part) -> Part | None:
    said = next((block[k] for k in ("content", "thinking", "text", "summary", "data") if block.get(k)), "")
    if isinstance(said, list):
        said = "\n".join(str(s.get("text", "")) if isinstance(s, dict) else str(s) for s in said)
    return {"type": "reasoning", "content": said} if said else None


def _untyped(block: Part) -> Part | None:
    """Read blocks that say what they are by their key: Google's, Bedrock's and Haystack's."""
    if block.get("thought") is True and isinstance(block.get("text"), str):
        return {"type": "reasoning", "content": block["text"]}
    call = next((c for k in ("function_call", "functionCall", "toolUse", "tool_call") if (c := block.get(k))), None)
    if isinstance(call, dict):
        arguments = next((call[k] for k in ("args", "input", "arguments") if call.get(k) is not None), None)
        name = call.get("name") or call.get("tool_name")
        return tool_call_part(call.get("id") or call.get("toolUseId"), name, arguments)
    result = block.get("function_response") or block.get("functionResponse")
    if isinstance(result, dict):
        return tool_response_part(result.get("id"), _unwrapped(result.get("response")), result.get("name"))
    result = block.get("toolResult")
    if isinstance(result, dict):
        part = tool_response_part(result.get("toolUseId"), joined_blocks(result.get("content")))
        return part | ({"is_error": True} if result.get("status") == "error" else {})
    result = block.get("tool_call_result")
    if isinstance(result, dict):
        origin = result["origin"] if isinstance(result.get("origin"), dict) else {}
        part = tool_response_part(origin.get("id"), result.get("result"), origin.get("tool_name"))
        return part | ({"is_error": True} if result.get("error") is True else {})
    reasoning = block.get("reasoningContent")
    if isinstance(reasoning, dict):
        said = reasoning.get("reasoningText")
        return {"type": "reasoning", "content": said.get("text", "") if isinstance(said, dict) else ""}
    for key in ("inline_data", "inlineData", "file_data", "fileData", "image", "document", "video"):
        if isinstance(block.get(key), dict):
            return _media(block[key], key if key in MEDIA_TYPES else None)
    if isinstance(block.get("text"), str):
        return text_part(block["text"]) if block["text"] else None
    if isinstance(block.get("content"), str) and "role" not in block:
        return text_part(block["content"]) if block["content"] else None
    return {"type": "unknown", "value": block} if block else None


def _unwrapped(response: Any) -> Any:
    """Return a function's result without Google's {"result": ...} around it."""
    return response["result"] if isinstance(response, dict) and set(response) == {"result"} else response


def _media(block: Part, modality: str | None) -> Part | None:
    """Return blob (bytes were sent), uri or file; the bytes themselves are dropped, their size and hash are kept."""
    source = _media_source(block)
    mime = next(
        (source[k] for k in ("mime_type", "mimeType", "media_type", "mediaType", "format") if source.get(k)), None
    )
    data = next((source[k] for k in ("data", "content", "bytes", "file_data") if source.get(k)), None)
    where = next((source[k] for k in ("uri", "url", "file_uri", "fileUri", "image") if source.get(k)), None)
    if isinstance(where, str) and where.startswith("data:"):
        head, _, data = where.partition(",")
        mime = head.removeprefix("data:").partition(";")[0] or mime
        where = None
    kind = modality or (mime.partition("/")[0] if isinstance(mime, str) else None)
    part: Part = {"type": "blob", "modality": block.get("modality") or kind, "mime_type": mime}
    if isinstance(data, str):
        return part | {"size_bytes": len(data.rstrip("=")) * 3 // 4, "sha256": _digest(data)}
    if isinstance(data, (bytes, list)):
        return part | {"size_bytes": len(data)}
    if isinstance(where, str) and where:
        return part | {"type": "uri", "uri": where}
    identity = source.get("file_id") or source.get("id")
    return part | ({"type": "file", "file_id": identity} if isinstance(identity, str) else {})


def _digest(data: str) -> str:
    """Return the hash of what base64 holds, of the text itself where it is none."""
    try:
        return hashlib.sha256(base64.b64decode(data, altchars=b"-_" if {"-", "_"} & set(data) else None)).hexdigest()
    except ValueError:
        return hashlib.sha256(data.encode("utf-8", "replace")).hexdigest()


def _media_source(block: Part) -> Part:
    """Return the dict that holds data or address, wherever a provider nests it."""
    merged = dict(block)
    for key in ("image_url", "image", "source", "input_audio", "file", "audio", "input_image"):
        inner = block.get(key)
        if isinstance(inner, dict):
            merged |= _media_source(inner)
        elif isinstance(inner, str) and key in ("image_url", "image", "input_image"):
            merged.setdefault("url" if inner.startswith(("data:", "http", "gs:", "s3:")) else "data", inner)
    merged.pop("image", None) if isinstance(merged.get("image"), dict) else None
    return merged
