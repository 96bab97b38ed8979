"""OTLP/JSON to protobuf messages.

The JSON mapping of OTLP differs from protobuf's own in three ways: trace and span ids are hex, not base64; enums are
integers; unknown fields are ignored. Source: OTLP specification, "JSON Protobuf Encoding".
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schema.errors import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schema.component import Signal

MAX_DEPTH = 64
"""Nesting of brackets that is still read; the limit of docs/limits, far above any real payload."""

REQUESTS: dict[Signal, type[ExportTraceServiceRequest | ExportLogsServiceRequest]] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
}
STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
OPENING, CLOSING = np.frombuffer(b"[{", np.uint8), np.frombuffer(b"]}", np.uint8)
ID_FIELDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")


def to_message(body: bytes, signal: Signal) -> Any:
    """Return the request message of an OTLP/JSON body.

    Raises:
        Refused: BAD_DATA, saying which part is wrong.

    """
    if (depth := _depth(body)) > MAX_DEPTH:
        raise Refused(Reason.BAD_DATA, f"JSON is nested {depth} deep; the limit is {MAX_DEPTH}")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as e:
        raise Refused(Reason.BAD_DATA, f"the body is not valid JSON: {e}") from None
    if not isinstance(document, dict):
        raise Refused(Reason.BAD_DATA, f"the body is JSON, but a {type(document).__name__} and not an object")
    try:
        for item in _with_ids(document):
            _hex_to_base64(item)
        return json_format.ParseDict(document, REQUESTS[signal](), ignore_unknown_fields=True)
    except (json_format.ParseError, TypeError, AttributeError, RecursionError, ValueError) as e:
        raise Refused(
            Reason.BAD_DATA, f"the body is JSON, but not an OTLP {signal} request: {_first_line(e)}"
        ) from None


def _depth(body: bytes) -> int:
    """Return how deep brackets nest outside strings, without parsing."""
    marks = np.frombuffer(STRING.sub(b"", body), np.uint8)
    steps = np.isin(marks, OPENING).astype(np.int32) - np.isin(marks, CLOSING)
    return int(steps.cumsum().max(initial=0))


def _with_ids(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every span, link and log record of a request."""
    for resource in _list(document, "resourceSpans", "resource_spans"):
        for scope in _list(resource, "scopeSpans", "scope_spans"):
            for span in _list(scope, "spans"):
                yield span
                yield from _list(span, "links")
    for resource in _list(document, "resourceLogs", "resource_logs"):
        for scope in _list(resource, "scopeLogs", "scope_logs"):
            yield from _list(scope, "logRecords", "log_records")


def _list(document: Any, *names: str) -> list[Any]:
    if not isinstance(document, dict):
        raise TypeError(f"an object was expected, not {document!r:.40}")
    for name in names:
        if (value := document.get(name)) is not None:
            if not isinstance(value, list):
                raise TypeError(f"{name} must be an array")
            return value
    return []


def _hex_to_base64(item: dict[str, Any]) -> None:
    if not isinstance(item, dict):
        raise TypeError(f"an object was expected, not {item!r:.40}")
    for name in ID_FIELDS:
        if value := item.get(name):
            try:
                item[name] = base64.b64encode(bytes.fromhex(value)).decode("ascii")
            except (ValueError, TypeError, binascii.Error):
                raise ValueError(f"{name} must be hex, not {str(value)[:40]!r}") from None


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
