"""Whether a tool failed, where only its result says so, or the message that a model was given."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

MAYBE_ERROR: Final = r"(?i)error|exception|fail|traceback|success|\bok\b"
"""Whatever reports an error has one of these words: the rest need not be parsed."""
SAYS_ERROR: Final = re.compile(
    r"\s*(?:"
    r"(?:[A-Za-z_][\w.]*)?(?:Error|Exception)\s*[:(]"  # ValueError: ..., openai.APIError(...)
    r"|(?:an? )?(?:unexpected |internal )?(?:error|exception) (?:occurred|executing|calling|running|while|in tool)"
    r"|(?:error|exception)\s*[:(]"
    r"|(?:failed to|failure:)"
    r"|(?:tool|function)(?: call| execution)? (?:failed|error)"
    r"|traceback \(most recent call last\)"
    r")",
    re.IGNORECASE,
)
"""How a text begins that is nothing but the report of a failure."""
BAD_STATUS: Final = frozenset({"error", "failed", "failure"})
TRUE_MEANS_ERROR: Final = ("is_error", "isError")
FALSE_MEANS_ERROR: Final = ("success", "ok")
MAX_DEPTH: Final = 4
"""A result may be JSON in a text in a part; nothing honest goes deeper."""


def reports_error_text(text: str) -> bool:
    """Say whether the JSON text of a tool's result reports an error."""
    return reports_error(read_json(text))


def reports_error(value: Any, depth: int = 0) -> bool:
    """Say whether a tool's result reports an error: a flag, a status, an error field, or a text that begins as one."""
    if depth > MAX_DEPTH:
        return False
    if isinstance(value, str):
        inner = read_json(value) if value.lstrip()[:1] in ("{", "[") else value
        return reports_error(inner, depth + 1) if inner is not value else SAYS_ERROR.match(value) is not None
    if isinstance(value, dict):
        if any(value.get(k) is True for k in TRUE_MEANS_ERROR) or any(value.get(k) is False for k in FALSE_MEANS_ERROR):
            return True
        if any(value.get(k) is False for k in TRUE_MEANS_ERROR) or any(value.get(k) is True for k in FALSE_MEANS_ERROR):
            return False
        status = value.get("status")
        if isinstance(status, str) and status.lower() in BAD_STATUS:
            return True
        if value.get("error"):
            return True
        # The envelopes of results: MCP and Anthropic content, a message part, a wrapped return value.
        return any(reports_error(value[k], depth + 1) for k in ("content", "text", "result", "output") if k in value)
    if isinstance(value, list):
        return (
            bool(value)
            and all(isinstance(v, dict) and "type" in v for v in value)
            and any(reports_error(v, depth + 1) for v in value)
        )
    return False


def answers_tool_error(text: str) -> bool:
    """Say whether the input messages of a call end with a tool's message that reports an error."""
    return bool(answered_tool_errors(text))


def answered_tool_errors(text: str) -> list[str | None]:
    """Return the call ids of the tool results at the end of input messages that report an error; unknown ids as None.

    Only of the messages that this call answers: the history holds the errors of turns long past.
    """
    messages = read_json(text)
    found: list[str | None] = []
    for message in reversed(messages) if isinstance(messages, list) else ():
        if not isinstance(message, dict) or message.get("role") != "tool":
            break
        errors = [part for part in parts_of(message) if _is_error_response(part)]
        found += [part["id"] if isinstance(part.get("id"), str) else None for part in errors]
    return found


def _is_error_response(part: Any) -> bool:
    if not isinstance(part, dict) or part.get("type") != "tool_call_response":
        return False
    return any(part.get(k) is True for k in TRUE_MEANS_ERROR) or reports_error(part.get("response"))


def parts_of(message: dict[str, Any]) -> list[Any]:
    """Return the parts; what is no list counts as one part that nobody knows."""
    parts = message.get("parts") or []
    return parts if isinstance(parts, list) else [parts]


def read_json(text: str) -> Any:
    """Return the value of JSON text; what is no JSON is a text."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
