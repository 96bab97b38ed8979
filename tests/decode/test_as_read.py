"""Requests are decoded where the journal read them: the same columns as when each comes by itself."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import columns, kernels, protobuf
from collector.journal.layout import RawRecord, pack_segment, seed
from collector.journal.records import Records
from collector.journal.scan import Window, scan
from tests.decode.hostile import damaged, request, seeded
from tests.decode.oracle import differences, outcome, record
from tests.decode.requests import field, in_request
from tests.decode.test_span_batch import BODIES, record_of_file
from tests.journal.test_layout import ID, BytesFs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.journal.record import Record
    from schema.component import Signal

SPAN = in_request(field(2, field(1, b"t" * 16) + field(2, b"s" * 8) + field(5, b"a name")))
SMALL = sorted(BODIES, key=lambda p: p.stat().st_size)[:40]


def as_read(records: Sequence[Record], *, window_bytes: int = 1 << 30, behind: bytes = b"") -> Records:
    """Write records as a segment and read them back; `behind` is what the file holds after it."""
    data = pack_segment(ID, 1, 1, records)
    window = Window(BytesFs(data + behind), 0, len(data), window_bytes)
    found = scan(window, seed=seed(ID, 1), sequence=records[0].sequence)
    return Records([r for r in found if isinstance(r, RawRecord)])


def assert_same_as_read(records: Sequence[Record], *, behind: bytes = b"") -> None:
    expected, got = outcome(protobuf.decode, records), outcome(columns.decode, as_read(records, behind=behind))
    if isinstance(expected, str) or isinstance(got, str):
        assert got == expected
    else:
        assert list(differences(got, expected)) == []


def hex_ids(request: ExportTraceServiceRequest) -> bytes:
    """Return OTLP/JSON of a request."""
    document = json_format.MessageToDict(request)
    for one in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for name in ("traceId", "spanId"):
            one[name] = base64.b64decode(one[name]).hex()
    return json.dumps(document).encode()


def numbered(records: Sequence[Record]) -> list[Record]:
    return [replace(r, sequence=i, tenant=("acme", "ключ")[i % 2]) for i, r in enumerate(records, 1)]


def test_real_bodies_have_the_columns_of_the_library() -> None:
    plain = [r for r in map(record_of_file, SMALL) if r.encoding == "protobuf"]
    assert len(plain) > 10
    assert_same_as_read(numbered(plain))
    assert_same_as_read(numbered(plain), behind=b"\xff" * kernels.PADDING)


def test_gzip_and_json_among_them_are_joined() -> None:
    made = ExportTraceServiceRequest.FromString(SPAN)
    records = [record_of_file(p) for p in SMALL]
    records[5] = replace(record(hex_ids(made)), encoding="json")
    records[3] = replace(records[3], body=gzip.compress(records[3].body), gzip=True)
    assert {r.encoding for r in records} == {"protobuf", "json"}
    assert_same_as_read(numbered(records))


@given(st.lists(st.tuples(st.sampled_from(["traces", "logs"]), st.integers(0, 2**32)), min_size=1, max_size=4))
def test_odd_and_damaged_requests_are_read_or_refused_as_by_the_library(made: list[tuple[Signal, int]]) -> None:
    records = []
    for signal, number in made:
        chance = seeded(number)
        body = request(signal, chance, odd=chance.choice((0, 0.1)))
        records.append(record(damaged(body, chance) if chance.random() < 0.2 else body, signal))
    assert_same_as_read(numbered(records), behind=b"\x80" * kernels.PADDING)


def test_plain_requests_are_not_copied() -> None:
    records = as_read(numbered([record_of_file(p) for p in SMALL if p.suffix == ".pb"]), behind=bytes(kernels.PADDING))
    assert columns.decode(records).attributes.buffer is records.raw[0].source


@pytest.mark.parametrize("behind", [b"", bytes(kernels.PADDING - 50)])
def test_where_nothing_stands_behind_the_last_request_they_are_joined(behind: bytes) -> None:
    """The trailer of a segment is shorter than what the kernels may look at."""
    records = as_read(numbered([record(b"")]), behind=behind)
    batch = columns.decode(records)
    assert batch.attributes.buffer is not records.raw[0].source
    assert len(batch) == 0
