"""I10: JSON as senders write it, and as they should not.

Injected: unknown fields, snake_case, enums by name and number, ids in base64, NaN and infinities, integers of 64 bits
 and beyond as numbers and strings, doubles for integers, duplicate keys, a byte order mark, two documents, comments.
Holds: the table of docs/otlp.md: what the mapping of OTLP allows is read exactly, what it does not is 400 or read as
 protobuf's own mapping reads it; nothing is read as something else.
Figure: 41 documents, each with its one reading or its refusal.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from collector.decode.otlp_json import to_message
from collector.decode.validate import validate
from schema.errors import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

IDS = f'"traceId":"{"aa" * 16}","spanId":"{"bb" * 8}"'


def span(fields: str) -> bytes:
    return ('{"resourceSpans":[{"scopeSpans":[{"spans":[{' + fields + "}]}]}]}").encode()


def value(text: str) -> bytes:
    return span('"attributes":[{"key":"k","value":{' + text + "}}]")


def of(name: str) -> Callable[[Any], Any]:
    return lambda s: getattr(s, name)


def number(s: Any) -> Any:
    (attribute,) = s.attributes
    kind = attribute.value.WhichOneof("value")
    return None if kind is None else getattr(attribute.value, kind)


READ: list[tuple[bytes, Callable[[Any], Any], Any]] = [
    (span('"name":"a","new":{"deep":[1,{"x":null}]}'), of("name"), "a"),
    (span('"start_time_unix_nano":"5"'), of("start_time_unix_nano"), 5),
    (span('"startTimeUnixNano":5'), of("start_time_unix_nano"), 5),
    (span('"startTimeUnixNano":9223372036854775808'), of("start_time_unix_nano"), 2**63),
    (span('"startTimeUnixNano":"18446744073709551615"'), of("start_time_unix_nano"), 2**64 - 1),
    (span('"startTimeUnixNano":1.5e18'), of("start_time_unix_nano"), 1_500_000_000_000_000_000),
    (span('"kind":3'), of("kind"), 3),
    (span('"kind":99'), of("kind"), 99),
    (span('"kind":"SPAN_KIND_CLIENT"'), of("kind"), 3),
    (span('"status":{"code":"STATUS_CODE_ERROR"}'), lambda s: s.status.code, 2),
    (span('"name":"a","name":"b"'), of("name"), "b"),
    (span('"name":null'), of("name"), ""),
    (span('"traceId":"AAbb"'), of("trace_id"), b"\xaa\xbb"),
    (span('"trace_id":"aabb"'), of("trace_id"), b"\xaa\xbb"),
    (span('"parentSpanId":""'), of("parent_span_id"), b""),
    (value('"intValue":"-9223372036854775808"'), number, -(2**63)),
    (value('"intValue":9223372036854775807'), number, 2**63 - 1),
    (value('"intValue":1.0'), number, 1),
    (value('"doubleValue":3'), number, 3.0),
    (value('"doubleValue":"Infinity"'), number, math.inf),
    (value('"doubleValue":"-Infinity"'), number, -math.inf),
    (value('"bytesValue":"AP8="'), number, b"\x00\xff"),
    (value('"boolValue":false'), number, False),
    (value('"stringValue":""'), number, ""),
    (value(""), number, None),
    (span('"name":"\\ud83d\\ude00"'), of("name"), "😀"),
]
REFUSED: list[tuple[bytes, str]] = [
    (b"\xef\xbb\xbf{}", "BOM"),
    (b"{}{}", "not valid JSON"),
    (b"// no\n{}", "not valid JSON"),
    (b"{'a':1}", "not valid JSON"),
    (b'{"a":1,}', "not valid JSON"),
    (value('"doubleValue":NaN'), "not valid JSON"),
    (value('"doubleValue":1e999'), "not valid JSON"),
    (value('"intValue":9223372036854775808'), "intValue has a value of the wrong kind"),
    (value('"intValue":1.5'), "wrong kind"),
    (value('"intValue":true'), "wrong kind"),
    (value('"boolValue":"true"'), "wrong kind"),
    (value('"intValue":1,"stringValue":"a"'), "wrong kind"),
    (span('"startTimeUnixNano":18446744073709551616'), "startTimeUnixNano has a value of the wrong kind"),
    (span('"startTimeUnixNano":-1'), "startTimeUnixNano has a value of the wrong kind"),
    (span('"traceId":"kBMWpzZ1T6y9qJ2l8n4Q0A=="'), "traceId must be hex"),
]


@pytest.mark.quick
@pytest.mark.parametrize(("body", "read", "expected"), READ)
def test_it_is_read_exactly(body: bytes, read: Callable[[Any], Any], expected: object) -> None:
    (found,) = to_message(body, "traces").resource_spans[0].scope_spans[0].spans
    got = read(found)
    assert (got, type(got)) == (expected, type(expected))


@pytest.mark.quick
def test_not_a_number_is_a_number() -> None:
    (found,) = to_message(value('"doubleValue":"NaN"'), "traces").resource_spans[0].scope_spans[0].spans
    assert math.isnan(number(found))


@pytest.mark.quick
@pytest.mark.parametrize(("body", "message"), REFUSED)
def test_it_is_refused_for_good_and_says_where(body: bytes, message: str) -> None:
    with pytest.raises(Refused, match=message) as caught:
        validate(body, "traces", encoding="json", gzip=False)
    assert caught.value.reason is Reason.BAD_DATA


@pytest.mark.quick
def test_the_same_span_in_both_encodings_of_names_is_the_same() -> None:
    camel = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{%s,"name":"n"}]}]}]}' % IDS.encode()
    snake = camel.replace(b"resourceSpans", b"resource_spans").replace(b"scopeSpans", b"scope_spans")
    snake = snake.replace(b"traceId", b"trace_id").replace(b"spanId", b"span_id")
    assert to_message(camel, "traces") == to_message(snake, "traces")
    assert validate(snake, "traces", encoding="json", gzip=False).accepted == 1
