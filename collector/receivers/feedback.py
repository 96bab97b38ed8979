"""Feedback that arrives by `POST /v1/feedback`, also long after its trace.

Each entry becomes an OpenTelemetry log event `gen_ai.evaluation.result`, the convention's own carrier, so that it is
journalled, replayed and stored by the one path that log records take:

    {"trace_id": "4bf9…", "name": "thumbs", "value": false, "comment": "wrong policy"}
    [{"response_id": "chatcmpl-…", "name": "stars", "value": 2}, …]

Source of the event: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-events/ (gen_ai.evaluation.result).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from collector.decode.otlp_json import check_shape
from schema.errors import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

EVENT: Final = "gen_ai.evaluation.result"
SCOPE: Final = "otel-evalgate.feedback"
TEXTS: Final = {
    "name": "gen_ai.evaluation.name",
    "label": "gen_ai.evaluation.score.label",
    "comment": "gen_ai.evaluation.explanation",
    "response_id": "gen_ai.response.id",
    "session_id": "session.id",
    "user_id": "user.id",
}
FIELDS: Final = {*TEXTS, "trace_id", "span_id", "value"}
TARGETS: Final = ("trace_id", "span_id", "response_id", "session_id")
MAX_ENTRIES: Final = 1_000
MAX_TEXT_CHARS: Final = 16_384
MAX_FEEDBACK_BYTES: Final = 1 << 20
"""Of one body: 1000 entries with a comment of 800 characters each."""
MAX_OBJECTS: Final = 2 * MAX_ENTRIES
"""No field is an object or an array, so it is twice what is needed: a few entries too many are told their limit."""


def to_logs_request(
    body: bytes,
    *,
    now_unix_ns: int,
    max_objects: int = MAX_OBJECTS,
    reserve: Callable[[int], None] | None = None,
) -> ExportLogsServiceRequest:
    """Return the log events of a feedback body: one object, or an array of them.

    Objects and arrays are counted before the JSON is parsed; `reserve` is called with the memory that takes, before it
    is taken, and may raise.

    Raises:
        Refused: BAD_DATA naming the entry and the field, or that there is too much of something; nothing of the body
            is taken then.

    """
    check_shape(body, "logs", max_objects=min(max_objects, MAX_OBJECTS), reserve=reserve)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as e:
        raise Refused(Reason.BAD_DATA, f"feedback must be JSON: {e}") from None
    entries = document if isinstance(document, list) else [document]
    if len(entries) > MAX_ENTRIES:
        raise Refused(Reason.BAD_DATA, f"{len(entries)} entries in one request; the limit is {MAX_ENTRIES}")
    request = ExportLogsServiceRequest()
    if entries:
        records = request.resource_logs.add().scope_logs.add(scope={"name": SCOPE}).log_records
        for index, entry in enumerate(entries):
            try:
                _fill(records.add(time_unix_nano=now_unix_ns, observed_time_unix_nano=now_unix_ns), entry)
            except ValueError as e:
                raise Refused(Reason.BAD_DATA, f"feedback entry {index}: {e}") from None
    return request


def _fill(record: LogRecord, entry: Any) -> None:
    if not isinstance(entry, dict):
        raise ValueError(f"an object was expected, not {type(entry).__name__}")  # noqa: TRY004 - all are bad data
    if unknown := sorted(entry.keys() - FIELDS):
        raise ValueError(f"unknown field {unknown[0][:60]!r}; known are {', '.join(sorted(FIELDS))}")
    given = {k: v for k, v in entry.items() if v is not None}
    if not given.keys() & set(TARGETS):
        raise ValueError(f"it names no target; give one of {', '.join(TARGETS)}")
    if "span_id" in given and "trace_id" not in given:
        raise ValueError("a span_id needs its trace_id")
    if not given.keys() & {"value", "label", "comment"}:
        raise ValueError("it says nothing; give a value, a label or a comment")
    record.event_name = EVENT
    record.trace_id = _hex_id(given, "trace_id", 16)
    record.span_id = _hex_id(given, "span_id", 8)
    given.setdefault("name", "user_feedback")
    for field, key in TEXTS.items():
        if field in given:
            record.attributes.add(key=key).value.string_value = _text(given, field)
    if "value" in given:
        _value(record.attributes.add(key="gen_ai.evaluation.score.value").value, given["value"])


def _hex_id(given: dict[str, Any], field: str, width: int) -> bytes:
    value = given.get(field)
    if value is None:
        return b""
    if not isinstance(value, str) or not re.fullmatch(rf"[0-9a-fA-F]{{{2 * width}}}", value) or not int(value, 16):
        raise ValueError(f"{field} must be {2 * width} hex digits, not all zero")
    return bytes.fromhex(value)


def _text(given: dict[str, Any], field: str) -> str:
    value = given[field]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{field} must be a text that is not empty")
    if len(value) > MAX_TEXT_CHARS:
        raise ValueError(f"{field} has {len(value)} characters; the limit is {MAX_TEXT_CHARS}")
    return value


def _value(target: Any, value: Any) -> None:
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int) and -(2**63) <= value < 2**63:
        target.int_value = value
    elif isinstance(value, float) and math.isfinite(value):
        target.double_value = value
    elif isinstance(value, str) and len(value) <= MAX_TEXT_CHARS:
        target.string_value = value
    else:
        raise ValueError("value must be true, false, a number or a short text")
