"""Whether a tool failed, where only its result says so, or the message that a model was given."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

MAYBE_ERROR: Final = r'(?i)error|exception|fail|traceback|success|\bok\b|status_?code|\bstatus\\*"\s*:\s*[45]\d\d'
"""Whatever reports an error has one of these words: the rest need not be parsed."""
REPORT: Final = re.compile(
    r"\s*(?:"
    r"[A-Za-z_][\w.]*(?:Error|Exception)\s*[:(]"  # ValueError: ..., openai.APIError(...)
    r"|(?:an? )?(?:unexpected |internal )?(?:error|exception) (?:executing|calling|running|in tool)"
    r"|(?:tool|function)(?: call| execution)? (?:failed|error)"
    r"|traceback \(most recent call last\)"
    r")",
    re.IGNORECASE,
)
"""How a text begins that is nothing but the report of a failure, however long."""
SHORT_REPORT: Final = re.compile(
    r"\s*(?:"
    r"(?:an? )?(?:unexpected |internal )?(?:error|exception) (?:occurred|while)"
    r"|(?:error|exception)\s*[:(]"
    r"|(?:failed to|failure:)"
    r")",
    re.IGNORECASE,
)
"""How a report begins, and also a log: only what stands behind it tells."""
GOES_ON: Final = re.compile(
    r"\s|at |caused by|traceback|file \"|please|try again|retry|see |hint|details?:|for (?:more|further)|\[|\(|[`^~{}]"
    r"|[\w.]*(?:error|exception)\b",
    re.IGNORECASE,
)
"""How a further line of a report begins: indented, a frame of a stack, a cause, advice."""
MORE_LINES: Final = 1
"""So many further lines of a report may begin in another way; a log has more."""
BAD_STATUS: Final = frozenset({"error", "failed", "failure"})
BAD_CODES: Final = range(400, 600)
NO_ERROR: Final = frozenset(
    {"", "none", "null", "nil", "no", "n/a", "na", "-", "false", "0", "ok", "success", "no error"}
)
"""What stands in a field `error` where there was none."""
TRUE_MEANS_ERROR: Final = ("is_error", "isError")
FALSE_MEANS_ERROR: Final = ("success", "ok")
WRAPPED: Final = ("content", "text", "result", "output")
"""Where the envelopes of results hold what they carry: MCP and Anthropic content, a message part, a return value."""
OF_CALL: Final = frozenset({"tool_call_id", "toolCallId", "tool_use_id", "toolUseId", "call_id"})
ENVELOPE: Final = frozenset(
    {*WRAPPED, *OF_CALL, "type", "status", "structuredContent", "annotations", "_meta", "meta", "additional_kwargs"}
)
"""Keys of an envelope. An object with any other is data, and its texts are what was asked for."""
OF_STATUS: Final = frozenset(
    {"error", "message", "msg", "code", "detail", "details", "reason", "description", "hint", "timestamp", "traceback"}
    | {"error_code", "error_message", "error_type", "errorCode", "errorMessage", "errorType", "request_id", "requestId"}
) | ENVELOPE - {"type"}
"""Keys that stand beside the status of a tool. Beside others it is that of a record: a payment, a job."""
CODES: Final = ("statusCode", "status_code", "status")
BODIES: Final = frozenset({"body", "headers"})
OF_RESPONSE: Final = frozenset(
    {*CODES, *BODIES, "statusText", "statusDescription", "status_text", "reason", "message", "error", "ok", "url"}
    | {"multiValueHeaders", "isBase64Encoded", "cookies"}
)
"""Keys of an HTTP response, as functions and HTTP tools return it."""
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
        return reports_error(inner, depth + 1) if inner is not value else is_report(value)
    if isinstance(value, dict):
        return _object_reports(value, depth)
    if isinstance(value, list):
        parts = [v for v in value if isinstance(v, dict) and "type" in v]
        if not parts or len(parts) < len(value):
            return False
        # What further texts begin with is part of a longer answer.
        return reports_error(parts[0], depth + 1) or any(_flag(part) is True for part in parts)
    return False


def _object_reports(value: dict[str, Any], depth: int) -> bool:
    if (flag := _flag(value)) is not None:
        return flag
    keys = {key for key, held in value.items() if held not in (None, "", [], {})}
    status = value.get("status")
    answers_call = not keys.isdisjoint(OF_CALL)
    if isinstance(status, str) and status.lower() in BAD_STATUS and (answers_call or keys <= OF_STATUS):
        return True
    if not keys.isdisjoint(BODIES) and keys <= OF_RESPONSE and any(_is_bad_code(value.get(k)) for k in CODES):
        return True
    if _is_error(value.get("error")):
        return True
    if not (answers_call or keys <= ENVELOPE):
        return False
    return any(reports_error(value[k], depth + 1) for k in WRAPPED if k in value)


def _flag(value: dict[str, Any]) -> bool | None:
    """Return what the flags of a result say: failed, fine, or nothing."""
    if any(value.get(k) is True for k in TRUE_MEANS_ERROR) or any(value.get(k) is False for k in FALSE_MEANS_ERROR):
        return True
    if any(value.get(k) is False for k in TRUE_MEANS_ERROR) or any(value.get(k) is True for k in FALSE_MEANS_ERROR):
        return False
    return None


def _is_bad_code(code: Any) -> bool:
    return isinstance(code, int) and code in BAD_CODES


def _is_error(said: Any) -> bool:
    """Say whether what stands in a field `error` is one; a fraction is a measurement's."""
    if isinstance(said, str):
        return said.strip().rstrip(".").lower() not in NO_ERROR
    return bool(said) and not isinstance(said, float)


def is_report(text: str) -> bool:
    """Say whether a text is nothing but the report of a failure."""
    if REPORT.match(text):
        return True
    if not SHORT_REPORT.match(text):
        return False
    _, *further = text.strip().splitlines()
    return sum(1 for line in further if line and not GOES_ON.match(line)) <= MORE_LINES


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
