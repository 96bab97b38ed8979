"""Fragments of a request say together what it says, and the walk reads nothing that is not there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode.otlp_json import REQUESTS
from collector.decode.wire import MAX_FIELDS_OUTSIDE, Walk, fields, fragments
from schema.errors import Limit, Reason, Refused
from tests.decode.requests import field, requests


def walked(body: bytes, start: int, end: int) -> list[tuple[int, int, int, int]]:
    return list(fields(body, start, end, Walk(1000, "too many")))


SIGNALS: Any = st.sampled_from(["traces", "logs"])


def members(request: Any, signal: str) -> list[Any]:
    """Return the spans or log records of a request with what owns them."""
    if signal == "traces":
        return [s for r in request.resource_spans for c in r.scope_spans for s in c.spans]
    return [x for r in request.resource_logs for c in r.scope_logs for x in c.log_records]


@given(st.data(), SIGNALS, st.integers(1, 300))
def test_fragments_hold_every_member_once_and_in_order(data: st.DataObject, signal: Any, fragment_bytes: int) -> None:
    request = data.draw(requests(signal))
    body = request.SerializeToString()
    parts = [REQUESTS[signal].FromString(f) for f in fragments(body, signal, fragment_bytes=fragment_bytes)]
    assert [m.SerializeToString() for p in parts for m in members(p, signal)] == [
        m.SerializeToString() for m in members(request, signal)
    ]


@given(requests("traces"), st.integers(1, 300))
def test_fragments_joined_have_the_attributes_of_each_resource_once(request: Any, fragment_bytes: int) -> None:
    parts = list(fragments(request.SerializeToString(), "traces", fragment_bytes=fragment_bytes))
    joined = ExportTraceServiceRequest.FromString(b"".join(parts))
    assert [a.SerializeToString() for r in joined.resource_spans for a in r.resource.attributes] == [
        a.SerializeToString() for r in request.resource_spans for a in r.resource.attributes
    ]


def test_a_fragment_is_no_larger_than_asked_but_for_its_wrapping() -> None:
    span = field(2, field(5, b"x" * 90))
    body = field(1, field(1, b"") + field(2, span * 100) + field(2, span * 3)) + field(1, field(2, span)) * 50
    sizes = [len(f) for f in fragments(body, "traces", fragment_bytes=1000)]
    assert max(sizes) <= 1000 + 8
    assert len(sizes) < 2 * len(body) / 1000 + 5


def test_a_small_body_is_its_own_fragment() -> None:
    assert list(fragments(b"not even protobuf", "traces")) == [b"not even protobuf"]


def test_fields_gives_numbers_and_extents() -> None:
    body = b"\x08\x96\x01" + b"\x11" + bytes(8) + b"\x1d" + bytes(4) + field(4, b"abc")
    found = walked(body, 0, len(body))
    assert [(number, end - start) for number, start, _, end in found] == [(1, 3), (2, 9), (3, 5), (4, 5)]
    assert body[found[3][2] : found[3][3]] == b"abc"


def test_a_group_is_one_field_with_all_that_is_in_it() -> None:
    group = (
        b"\x0b" + b"\x08\x01" + b"\x12\x02ab" + b"\x1b" + b"\x1d" + bytes(4) + b"\x1c" + b"\x21" + bytes(8) + b"\x0c"
    )
    body = group + b"\x10\x05"
    assert [(n, s, e) for n, s, _, e in walked(body, 0, len(body))] == [(1, 0, len(group)), (2, len(group), len(body))]


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x0a\x80",
        b"\x80" * 11,
        b"\x00\x01",
        b"\x08",
        b"\x09\x00",
        b"\x0d\x00",
        b"\x0b\x08\x01",
        b"\x0b\x12\x7f\x0c",
        b"\x0e",
        b"\x0f",
        b"\x0c",
    ],
)
def test_malformed_bytes_are_refused_with_their_offset(body: bytes) -> None:
    with pytest.raises(Refused, match="malformed at byte") as caught:
        walked(b"prefix" + body, 6, 6 + len(body))
    assert caught.value.reason is Reason.BAD_DATA


@given(st.binary(max_size=60), st.binary(max_size=5))
def test_what_protobuf_reads_the_walk_reads_and_nothing_beyond_the_end(body: bytes, beyond: bytes) -> None:
    try:
        found = walked(body + beyond, 0, len(body))
    except Refused:
        found = []
    assert all(0 <= start < value <= end <= len(body) for _, start, value, end in found)
    try:
        ExportTraceServiceRequest.FromString(body)
    except Exception:  # noqa: BLE001 - whatever the library refuses, the walk may do as it likes
        return
    assert (found[-1][3] if found else 0) == len(body)


@pytest.mark.parametrize(
    "repeated",
    [b"\x78\x01", b"\x7b" + b"\x78\x01" * 1000 + b"\x7c", field(1, field(2, b"\x78\x01" * 200_000))],
    ids=["unknown fields", "a group", "in a scope"],
)
def test_fields_that_are_walked_one_by_one_are_limited(repeated: bytes) -> None:
    fragment_bytes = 10_000
    at_most = MAX_FIELDS_OUTSIDE // (1 if len(repeated) == 2 else len(repeated) // 2 + 1)
    list(fragments(repeated * (at_most - 1), "traces", fragment_bytes=fragment_bytes))
    with pytest.raises(Refused, match=f"more than {MAX_FIELDS_OUTSIDE} fields") as caught:
        list(fragments(repeated * (at_most + 2), "traces", fragment_bytes=fragment_bytes))
    assert caught.value.limit is Limit.FIELDS
