"""OTLP/JSON to protobuf messages.

The JSON mapping of OTLP differs from protobuf's own in three ways: trace and span ids are hex, not base64; enums are
integers; unknown fields are ignored. Source: OTLP specification, "JSON Protobuf Encoding". Errors name the field and
never quote its value: it may be content.
"""

from __future__ import annotations

import base64
import binascii
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode.json_fields import Unusual, fill
from schema.errors import Limit, Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from schema.component import Signal

MAX_DEPTH = 64
"""Nesting of brackets that is still read, far above any real payload."""
OBJECT_BYTES, ITEM_BYTES = 100, 300
"""What an object or array of a body, and what a member of one, take while they are read: as Python's and as
protobuf's, at most (measured)."""
MEMBER_LEVEL = 7
"""Nesting of spans and log records, the request being level 1; their list is one above."""

REQUESTS: Mapping[Signal, type[ExportTraceServiceRequest | ExportLogsServiceRequest]] = MappingProxyType(
    {"traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest}
)
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
OPENING = b"[{"
NO_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))
FAILED_FIELD = re.compile(r"Failed to parse (\w{1,64}) field: ")
JSON_TYPES = MappingProxyType(
    {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
)
ID_FIELDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")


def to_message(
    body: bytes,
    signal: Signal,
    *,
    max_members: int | None = None,
    max_objects: int | None = None,
    reserve: Callable[[int], None] | None = None,
) -> Any:
    """Return the request message of an OTLP/JSON body.

    What is not given is not limited, so that whatever was accepted once is read again. `reserve` is called with the
    memory that reading takes, before it is taken, and may raise.

    Raises:
        Refused: BAD_DATA, saying which part is wrong, or that there are more members than `max_members` or more
            objects and arrays than `max_objects`.

    """
    check_shape(body, signal, max_members=max_members, max_objects=max_objects, reserve=reserve)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as e:
        raise Refused(Reason.BAD_DATA, f"the body is not valid JSON: {e}") from None
    if not isinstance(document, dict):
        raise Refused(Reason.BAD_DATA, f"the body is JSON, but a {type(document).__name__} and not an object")
    try:
        members = [member for group in _groups(document) for member in group]
        message = REQUESTS[signal]()
        try:
            fill(message, document, signal)
        except Unusual:
            message = by_library(document, members, signal)
    except (json_format.ParseError, TypeError, AttributeError, RecursionError, ValueError) as e:
        raise Refused(Reason.BAD_DATA, f"the body is JSON, but not an OTLP {signal} request: {_where(e)}") from None
    return message


def check_shape(
    body: bytes,
    signal: Signal,
    *,
    max_members: int | None = None,
    max_objects: int | None = None,
    reserve: Callable[[int], None] | None = None,
) -> None:
    """Refuse JSON that nests too deep or holds too much, before it is parsed; arguments as of `to_message`."""
    shape = _Shape(body)
    shape.check(signal, max_members, max_objects)
    if reserve is not None:
        reserve(shape.n_objects * OBJECT_BYTES + shape.n_commas * ITEM_BYTES + _text_bytes(body))


def by_library(document: dict[str, Any], members: list[Any], signal: Signal) -> Any:
    """Return the message as protobuf's own reading of JSON makes it; the document is changed for it."""
    for member in members:
        _hex_to_base64(member)
        for link in _list(member, "links"):
            _hex_to_base64(link)
    return json_format.ParseDict(document, REQUESTS[signal](), ignore_unknown_fields=True)


class _Shape:
    """The brackets and commas of a body outside of its strings: what can be said before anything is parsed."""

    def __init__(self, body: bytes) -> None:
        structure = STRING.sub(b"", body)
        brackets = structure.translate(None, NO_BRACKETS)
        self._marks = np.frombuffer(brackets, np.uint8)
        self.n_objects = brackets.count(b"{") + brackets.count(b"[")
        self.n_commas = structure.count(b",")

    def check(self, signal: Signal, max_members: int | None, max_objects: int | None) -> None:
        """Refuse what nests too deep, opens too many brackets or has room for too many members.

        All else is the parser's to judge.
        """
        n, marks = self.n_objects, self._marks
        if max_objects is not None and n > max_objects:
            raise Refused(
                Reason.BAD_DATA,
                f"JSON holds {n} objects and arrays; the limit is {max_objects}; send smaller batches",
                limit=Limit.JSON_OBJECTS,
            )
        if len(marks) > 2 * n:  # more close than open: not JSON
            return
        opens = (marks == OPENING[0]) | (marks == OPENING[1])
        levels = np.where(opens, np.int8(1), np.int8(-1)).cumsum(dtype=np.int32)
        if (depth := int(levels.max(initial=0))) > MAX_DEPTH:
            raise Refused(
                Reason.BAD_DATA, f"JSON is nested {depth} deep; the limit is {MAX_DEPTH}", limit=Limit.JSON_DEPTH
            )
        if max_members is not None and (members := self._members(opens, levels)) > max_members:
            what = "spans" if signal == "traces" else "log records"
            raise Refused(
                Reason.BAD_DATA,
                f"the request holds {members} {what}; the limit is {max_members}; send smaller batches",
                limit=Limit.SPANS,
            )

    def _members(self, opens: NDArray[np.bool_], levels: NDArray[np.int32]) -> int:
        """Return how many objects stand in arrays where spans and log records stand: at least as many as there are."""
        lists = np.flatnonzero(opens & (levels == MEMBER_LEVEL - 1))
        members = np.flatnonzero(opens & (levels == MEMBER_LEVEL))
        if not len(lists):
            return 0
        owner = lists[np.searchsorted(lists, members) - 1]
        return int(np.count_nonzero(self._marks[owner] == OPENING[0]))


def _text_bytes(body: bytes) -> int:
    """Return what the texts of a body take as Python's and as protobuf's: one character beyond ASCII widens a text."""
    return len(body) * (2 if body.isascii() and b"\\u" not in body else 6)


def _groups(document: dict[str, Any]) -> Iterator[list[Any]]:
    """Yield the lists of spans and of log records of a request."""
    for resource in _list(document, "resourceSpans", "resource_spans"):
        for scope in _list(resource, "scopeSpans", "scope_spans"):
            yield _list(scope, "spans")
    for resource in _list(document, "resourceLogs", "resource_logs"):
        for scope in _list(resource, "scopeLogs", "scope_logs"):
            yield _list(scope, "logRecords", "log_records")


def _list(document: Any, *names: str) -> list[Any]:
    if not isinstance(document, dict):
        raise _NotOtlp(f"an object was expected, not {_json_type(document)}")
    for name in names:
        if (value := document.get(name)) is not None:
            if not isinstance(value, list):
                raise _NotOtlp(f"{name} must be an array, not {_json_type(value)}")
            return value
    return []


def _hex_to_base64(item: dict[str, Any]) -> None:
    if not isinstance(item, dict):
        raise _NotOtlp(f"an object was expected, not {_json_type(item)}")
    for name in ID_FIELDS:
        if value := item.get(name):
            try:
                item[name] = base64.b64encode(bytes.fromhex(value)).decode("ascii")
            except (ValueError, TypeError, binascii.Error):
                length = f"{len(value)} characters" if isinstance(value, str) else _json_type(value)
                raise _NotOtlp(f"{name} must be hex, not {length} of something else") from None


class _NotOtlp(ValueError):
    """What we found ourselves; its text quotes no value."""


def _json_type(value: Any) -> str:
    return JSON_TYPES.get(type(value), "null")


def _where(error: BaseException) -> str:
    """Return the path of the field that did not parse, as protobuf's message names it."""
    if isinstance(error, _NotOtlp):
        return str(error)
    path = ".".join(FAILED_FIELD.findall(str(error)))
    return f"{path} has a value of the wrong kind" if path else "its structure is another"
