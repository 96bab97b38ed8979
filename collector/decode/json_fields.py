"""Fill request messages from OTLP/JSON as exporters write it, field by field.

protobuf's own reading of JSON, in Python, costs ten times as much. It stays the one that judges: whatever is written in
another way than here (an unknown name, an enum by name, a null, bytes, a number that does not fit) raises `Unusual`,
and `collector.decode.otlp_json` begins anew with it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schema.component import Signal

    Fill = Callable[[Any, str, Any], None]
    Fields = Mapping[str, tuple[str, Fill]]

MAX_DEPTH: Final = 20
"""Nesting of values."""
EXACT: Final = 2**53
"""From here on not every integer is a double."""


class Unusual(Exception):
    """This is not how exporters write it; it may be valid all the same."""


def fill(message: Any, document: dict[str, Any], signal: Signal) -> None:
    """Fill a new request message.

    Raises:
        Unusual: ask the library, with another new message.

    """
    try:
        _fill(message, document, fields_of(signal))
    except (TypeError, ValueError, OverflowError) as e:  # a setter or `fromhex` does not like it
        raise Unusual from e


def _fill(message: Any, document: Any, fields: Fields) -> None:
    if type(document) is not dict:
        raise Unusual
    for key, value in document.items():
        found = fields.get(key)
        if found is None:
            raise Unusual
        found[1](message, found[0], value)


def _text(message: Any, name: str, value: Any) -> None:
    if type(value) is not str:
        raise Unusual
    setattr(message, name, value)


def _integer(message: Any, name: str, value: Any) -> None:
    if type(value) is str and value.isascii() and value.removeprefix("-").isdigit():
        value = int(value)
    if type(value) is not int:
        raise Unusual
    setattr(message, name, value)


def _hex(message: Any, name: str, value: Any) -> None:
    if type(value) is not str:
        raise Unusual
    setattr(message, name, bytes.fromhex(value))


def _enum(largest: int) -> Fill:
    def fill_enum(message: Any, name: str, value: Any) -> None:
        if type(value) is not int or not 0 <= value <= largest:
            raise Unusual
        setattr(message, name, value)

    return fill_enum


def _one(fields: Fields) -> Fill:
    def fill_one(message: Any, name: str, value: Any) -> None:
        inner = getattr(message, name)
        inner.SetInParent()
        _fill(inner, value, fields)

    return fill_one


def _many(fields: Fields) -> Fill:
    def fill_many(message: Any, name: str, value: Any) -> None:
        if type(value) is not list:
            raise Unusual
        add = getattr(message, name).add
        for item in value:
            _fill(add(), item, fields)

    return fill_many


def _attributes(message: Any, name: str, value: Any) -> None:
    _pairs(getattr(message, name), value, 0)


def _body(message: Any, name: str, value: Any) -> None:
    inner = getattr(message, name)
    inner.SetInParent()
    _value(inner, value, 0)


def _pairs(rows: Any, value: Any, depth: int) -> None:
    if type(value) is not list:
        raise Unusual
    for item in value:
        if type(item) is not dict:
            raise Unusual
        row = rows.add()
        for key, inner in item.items():
            if key == "key" and type(inner) is str:
                row.key = inner
            elif key == "value":
                row.value.SetInParent()
                _value(row.value, inner, depth)
            else:
                raise Unusual


def _value(message: Any, value: Any, depth: int) -> None:
    if type(value) is not dict or len(value) > 1 or depth > MAX_DEPTH:
        raise Unusual
    for key, inner in value.items():
        kind = type(inner)
        if key == "stringValue" and kind is str:
            message.string_value = inner
        elif key == "intValue":
            _integer(message, "int_value", inner)
        elif key == "boolValue" and kind is bool:
            message.bool_value = inner
        elif key == "doubleValue" and (kind is float or (kind is int and -EXACT < inner < EXACT)):
            message.double_value = inner
        elif key == "arrayValue" and kind is dict:
            message.array_value.SetInParent()
            for item in _values_of(inner):
                _value(message.array_value.values.add(), item, depth + 1)
        elif key == "kvlistValue" and kind is dict:
            message.kvlist_value.SetInParent()
            _pairs(message.kvlist_value.values, _values_of(inner), depth + 1)
        else:
            raise Unusual


def _values_of(holder: dict[str, Any]) -> list[Any]:
    values = holder.get("values", [])
    if type(values) is not list or holder.keys() - {"values"}:
        raise Unusual
    return values


@cache
def fields_of(signal: Signal) -> Fields:
    """Return the fields of a request: name in JSON → name in protobuf, and what fills it."""
    attributes: tuple[str, Fill] = ("attributes", _attributes)
    dropped: tuple[str, Fill] = ("dropped_attributes_count", _integer)
    ids: Fields = {"traceId": ("trace_id", _hex), "spanId": ("span_id", _hex)}
    resource: Fields = {"attributes": attributes, "droppedAttributesCount": dropped}
    scope: Fields = {
        "name": ("name", _text),
        "version": ("version", _text),
        "attributes": attributes,
        "droppedAttributesCount": dropped,
    }
    holder: Fields = {"resource": ("resource", _one(resource)), "schemaUrl": ("schema_url", _text)}
    inner: Fields = {"scope": ("scope", _one(scope)), "schemaUrl": ("schema_url", _text)}
    if signal == "logs":
        record: Fields = {
            **ids,
            "timeUnixNano": ("time_unix_nano", _integer),
            "observedTimeUnixNano": ("observed_time_unix_nano", _integer),
            "severityNumber": ("severity_number", _enum(24)),
            "severityText": ("severity_text", _text),
            "body": ("body", _body),
            "attributes": attributes,
            "droppedAttributesCount": dropped,
            "flags": ("flags", _integer),
            "eventName": ("event_name", _text),
        }
        groups = {**holder, "scopeLogs": ("scope_logs", _many({**inner, "logRecords": ("log_records", _many(record))}))}
        return {"resourceLogs": ("resource_logs", _many(groups))}
    event: Fields = {
        "timeUnixNano": ("time_unix_nano", _integer),
        "name": ("name", _text),
        "attributes": attributes,
        "droppedAttributesCount": dropped,
    }
    link: Fields = {
        **ids,
        "traceState": ("trace_state", _text),
        "attributes": attributes,
        "droppedAttributesCount": dropped,
        "flags": ("flags", _integer),
    }
    span: Fields = {
        **ids,
        "parentSpanId": ("parent_span_id", _hex),
        "traceState": ("trace_state", _text),
        "flags": ("flags", _integer),
        "name": ("name", _text),
        "kind": ("kind", _enum(5)),
        "startTimeUnixNano": ("start_time_unix_nano", _integer),
        "endTimeUnixNano": ("end_time_unix_nano", _integer),
        "attributes": attributes,
        "droppedAttributesCount": dropped,
        "events": ("events", _many(event)),
        "droppedEventsCount": ("dropped_events_count", _integer),
        "links": ("links", _many(link)),
        "droppedLinksCount": ("dropped_links_count", _integer),
        "status": ("status", _one({"message": ("message", _text), "code": ("code", _enum(2))})),
    }
    groups = {**holder, "scopeSpans": ("scope_spans", _many({**inner, "spans": ("spans", _many(span))}))}
    return {"resourceSpans": ("resource_spans", _many(groups))}
