"""OTLP/JSON: the mapping of the specification, differentially against protobuf, and what is refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import decode
from collector.decode.otlp_json import ITEM_BYTES, MAX_DEPTH, OBJECT_BYTES, to_message
from collector.journal.record import Record
from schema.errors import Limit, Reason, Refused
from tests.decode.batches import describe
from tests.decode.requests import requests

ID_NAMES = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")


def with_hex_ids(value: Any, *, upper: bool) -> Any:
    if isinstance(value, list):
        return [with_hex_ids(v, upper=upper) for v in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for k, v in value.items():
        if k in ID_NAMES:
            text = base64.b64decode(v).hex()
            out[k] = text.upper() if upper else text
        else:
            out[k] = with_hex_ids(v, upper=upper)
    return out


def integers_as_numbers(value: Any) -> Any:
    """Turn the strings of 64-bit fields into numbers, as some senders write them."""
    if isinstance(value, list):
        return [integers_as_numbers(v) for v in value]
    if not isinstance(value, dict):
        return value
    return {
        k: int(v) if k.endswith(("UnixNano", "_unix_nano", "intValue", "int_value")) else integers_as_numbers(v)
        for k, v in value.items()
    }


def spans_body(span: Any, **more: Any) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}], **more}).encode()


def refusal(body: bytes) -> str:
    with pytest.raises(Refused) as caught:
        to_message(body, "traces")
    assert caught.value.reason is Reason.BAD_DATA
    return str(caught.value)


def record(body: bytes, signal: Any = "traces", encoding: Any = "json") -> Record:
    return Record(0, "default", signal, encoding, gzip=False, received_unix_ns=1, body=body)


@given(st.data())
def test_json_and_protobuf_of_one_request_are_the_same_batch(data: st.DataObject) -> None:
    signal: Any = data.draw(st.sampled_from(["traces", "logs"]))
    request = data.draw(requests(signal))
    document = json_format.MessageToDict(
        request, use_integers_for_enums=True, preserving_proto_field_name=data.draw(st.booleans())
    )
    document = with_hex_ids(document, upper=data.draw(st.booleans()))
    if data.draw(st.booleans()):
        document = integers_as_numbers(document)
    as_json = record(json.dumps(document).encode(), signal)
    as_protobuf = record(request.SerializeToString(), signal, "protobuf")
    assert describe(decode([as_json])) == describe(decode([as_protobuf]))


def test_unknown_fields_are_ignored_at_every_level() -> None:
    span = {
        "name": "chat",
        "new": {"deep": [1]},
        "status": {"code": 2, "why": "x"},
        "attributes": [{"key": "k", "v": 1}],
    }
    message = to_message(spans_body(span, newer=True), "traces")
    (got,) = message.resource_spans[0].scope_spans[0].spans
    assert (got.name, got.status.code, got.attributes[0].key) == ("chat", 2, "k")


def test_null_is_absent() -> None:
    message = to_message(b'{"resourceSpans": null}', "traces")
    assert message == ExportTraceServiceRequest()
    to_message(spans_body({"name": None, "parentSpanId": None, "links": None, "attributes": None}), "traces")


def test_lone_numbers_as_the_specification_allows() -> None:
    values = [
        {"intValue": 5},
        {"intValue": "-5"},
        {"intValue": str(2**63 - 1)},
        {"doubleValue": 3},
        {"doubleValue": "NaN"},
        {"doubleValue": "-Infinity"},
    ]
    span = {"kind": 3, "startTimeUnixNano": str(2**64 - 1), "attributes": [{"key": "k", "value": v} for v in values]}
    got = to_message(spans_body(span), "traces").resource_spans[0].scope_spans[0].spans[0]
    assert (got.kind, got.start_time_unix_nano) == (3, 2**64 - 1)
    assert [a.value.int_value for a in got.attributes[:3]] == [5, -5, 2**63 - 1]
    assert str([a.value.double_value for a in got.attributes[3:]]) == "[3.0, nan, -inf]"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b'{"resourceSpans": NaN}', "not valid JSON"),
        (b'{"a": "\xff"}', "not valid JSON"),
        (b'{"a": "\\ud800"}', "not valid JSON"),
        (b"[]", "a list and not an object"),
        (b"null", "a NoneType and not an object"),
        (b'{"resourceSpans": 5}', "resourceSpans must be an array, not a number"),
        (b'{"resourceSpans": [5]}', "an object was expected, not a number"),
        (b'{"resourceSpans": [{"scopeSpans": {}}]}', "scopeSpans must be an array, not an object"),
        (b'{"resourceSpans": [null]}', "an object was expected, not null"),
    ],
)
def test_what_is_not_a_request_is_refused(body: bytes, message: str) -> None:
    assert message in refusal(body)


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ({"traceId": "SECRET"}, "traceId must be hex, not 6 characters of something else"),
        ({"spanId": 7}, "spanId must be hex, not a number of something else"),
        ({"traceId": "kBMWpzZ1T6y9qJ2l8n4Q0A=="}, "traceId must be hex"),
        ({"links": [{"traceId": "zz"}]}, "traceId must be hex"),
        (
            {"startTimeUnixNano": "SECRET"},
            "resourceSpans.scopeSpans.spans.startTimeUnixNano has a value of the wrong kind",
        ),
        ({"startTimeUnixNano": str(2**64)}, "startTimeUnixNano has a value of the wrong kind"),
        ({"name": {"SECRET": 1}}, "spans.name has a value of the wrong kind"),
        ({"attributes": [{"value": {"bytesValue": "SECRET!"}}]}, "value.bytesValue has a value of the wrong kind"),
        ({"attributes": [{"value": {"intValue": str(2**63)}}]}, "value.intValue has a value of the wrong kind"),
        ({"attributes": [{"value": {"intValue": 1, "stringValue": "SECRET"}}]}, "value has a value of the wrong kind"),
        ({"events": "SECRET"}, "spans.events has a value of the wrong kind"),
    ],
)
def test_a_wrong_value_is_named_by_its_path_and_never_quoted(span: Any, message: str) -> None:
    text = refusal(spans_body(span))
    assert message in text
    assert "SECRET" not in text


def test_brackets_in_strings_do_not_nest() -> None:
    text = '[{"' * 1000 + '\\"' + "[" * 1000
    got = to_message(spans_body({"name": text}), "traces")
    assert got.resource_spans[0].scope_spans[0].spans[0].name == text


def test_the_depth_limit_is_exact() -> None:
    def deep(depth: int) -> bytes:
        return b'{"x":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"

    to_message(deep(MAX_DEPTH), "traces")
    assert f"nested {MAX_DEPTH + 1} deep" in refusal(deep(MAX_DEPTH + 1))
    assert "deep" in refusal(b"[" * 100_000)
    assert "not valid JSON" in refusal(b"]" * 100_000)
    assert "deep" in refusal(b'{"a":' * 100_000)


def test_the_number_of_objects_is_limited_where_a_limit_is_given() -> None:
    body = b'{"x":[' + b"{}," * 997 + b"{}]}"
    to_message(body, "traces", max_objects=1000)
    with pytest.raises(Refused, match="1000 objects and arrays; the limit is 999") as caught:
        to_message(body, "traces", max_objects=999)
    assert (caught.value.reason, caught.value.limit) == (Reason.BAD_DATA, Limit.JSON_OBJECTS)
    to_message(body, "traces")  # what was accepted is read again, whatever the limit is by then


@pytest.mark.parametrize("signal", ["traces", "logs"])
@pytest.mark.parametrize("last", [{"name": 5}, {}], ids=["wrong", "empty"])
def test_members_are_counted_before_anything_is_parsed(signal: Any, last: Any) -> None:
    resource, scope, member = (
        ("resourceSpans", "scopeSpans", "spans") if signal == "traces" else ("resourceLogs", "scopeLogs", "logRecords")
    )
    deep = {"key": "k", "value": {"arrayValue": {"values": [{"kvlistValue": {"values": [{}, {}]}}] * 3}}}
    owner = {"attributes": [deep, deep], "entityRefs": [{"idKeys": ["k"]}]}
    scopes = [{"scope": owner, member: [{"attributes": [deep] * 5}, last]}, {member: [last]}]
    text = json.dumps({resource: [{"resource": owner, "scopeSpans" if signal == "traces" else "scopeLogs": scopes}]})
    assert scope in text
    broken = text.encode() + b"not JSON"
    noun = "spans" if signal == "traces" else "log records"
    with pytest.raises(Refused, match=f"the request holds 3 {noun}; the limit is 2") as caught:
        to_message(broken, signal, max_members=2)
    assert caught.value.limit is Limit.SPANS
    with pytest.raises(Refused, match="not valid JSON"):
        to_message(broken, signal, max_members=3)


def test_the_memory_of_reading_is_asked_for_before_it_is_taken() -> None:
    def full(n_bytes: int) -> None:
        raise Refused(Reason.UNAVAILABLE, str(n_bytes))

    body = b'{"x":[1,2,"' + b"a," * 500 + b'"'
    for text, per_byte in ((body, 2), (body + b"\\u00e9", 6), (body + b"\xc3\xa9", 6)):
        with pytest.raises(Refused, match=f"^{2 * OBJECT_BYTES + 2 * ITEM_BYTES + per_byte * len(text)}$"):
            to_message(text, "traces", reserve=full)


def test_attribute_keys_are_data() -> None:
    keys = ["__proto__", "constructor.prototype", "__class__.__init__", "a." * 10_000, "", "'; DROP TABLE spans"]
    span = {"traceId": "aa" * 16, "attributes": [{"key": k, "value": {"stringValue": "v"}} for k in keys]}
    assert decode([record(spans_body(span))]).attributes.of(0) == dict.fromkeys(keys, "v")
