"""The kernels against the protobuf library, which is the oracle: on real, made, odd and damaged requests."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import columns, protobuf
from collector.processors.normalise import canonical
from exporters.clickhouse.rows import event_rows, span_rows
from schema.anyvalue import ValueType
from schema.errors import Refused
from tests.decode.hostile import damaged, request, seeded, varint
from tests.decode.oracle import assert_same, differences, record
from tests.decode.requests import field, in_request, requests
from tests.decode.test_span_batch import BODIES, CORPUS, record_of_file
from tests.fuzz.inputs import saved

if TYPE_CHECKING:
    from schema.component import Signal

ROOT = Path(__file__).parents[2]
SIGNALS = st.sampled_from(["traces", "logs"])
SMALL = sorted((p for p in BODIES if p.suffix == ".pb"), key=lambda p: p.stat().st_size)
ID, SPAN_ID = field(1, b"t" * 16), field(2, b"s" * 8)


@pytest.mark.parametrize("path", BODIES, ids=lambda p: str(p.relative_to(CORPUS)))
def test_a_real_body_has_the_columns_of_the_library(path: Path) -> None:
    one = record_of_file(path)
    assert_same([one])
    assert_same([replace(one, body=gzip.compress(one.body), gzip=True)])


def test_all_real_bodies_in_one_batch_have_the_columns_of_the_library() -> None:
    assert_same([record_of_file(path, i) for i, path in enumerate(BODIES)])


@given(st.lists(st.one_of(requests("traces"), requests("logs")), max_size=4))
def test_made_requests_have_the_columns_of_the_library(messages: list[Any]) -> None:
    assert_same(
        [
            record(m.SerializeToString(), "traces" if isinstance(m, ExportTraceServiceRequest) else "logs", sequence=i)
            for i, m in enumerate(messages)
        ]
    )


@given(st.lists(st.tuples(SIGNALS, st.integers(0, 2**32)), min_size=1, max_size=3), st.sampled_from([0.0, 0.1, 0.5]))
def test_odd_wire_is_read_or_refused_as_by_the_library(made: list[tuple[Signal, int]], odd: float) -> None:
    assert_same(
        [record(request(signal, seeded(seed), odd=odd), signal, sequence=i) for i, (signal, seed) in enumerate(made)]
    )


@given(st.sampled_from(SMALL[: len(SMALL) // 2]), st.integers(0, 2**32))
def test_a_damaged_real_body_is_read_or_refused_as_by_the_library(path: Path, seed: int) -> None:
    good = record_of_file(path)
    assert_same([good, replace(good, body=damaged(good.body, seeded(seed)), sequence=9)])


@pytest.mark.parametrize("path", [SMALL[0], next(p for p in SMALL if ".logs." in p.name)], ids=lambda p: p.name)
def test_a_body_cut_at_any_byte_is_read_or_refused_as_by_the_library(path: Path) -> None:
    whole = record_of_file(path)
    for end in range(0, len(whole.body), 1 + len(whole.body) // 1500):
        assert_same([replace(whole, body=whole.body[:end])])


def test_what_a_fuzzer_saved_is_read_or_refused_as_by_the_library() -> None:
    inputs = list(saved())
    assert len(inputs) > 50
    for signal, body in inputs:
        assert_same([record(body, signal)])


def span(fields: bytes) -> bytes:
    return in_request(field(2, ID + SPAN_ID + fields))


def attribute(value: bytes, key: bytes = b"k") -> bytes:
    return span(field(9, field(1, key) + field(2, value)))


ODD = {
    "a name twice": span(field(5, b"a") + field(5, b"b")),
    "a status in two pieces": span(field(15, field(2, b"why")) + field(15, b"\x18\x02")),
    "a status that is emptied by nothing": span(field(15, b"\x18\x02") + field(15, b"")),
    "a resource in two pieces": field(1, field(1, field(1, field(1, b"a"))) + field(1, field(1, field(1, b"b")))),
    "a resource after its spans": field(1, field(2, field(2, ID)) + field(1, field(1, field(1, b"a")))),
    "a scope in two pieces": in_request(field(1, field(1, b"n")) + field(2, ID) + field(1, field(2, b"v"))),
    "a scope after its spans": in_request(field(2, ID) + field(1, field(1, b"n") + field(3, field(1, b"a")))),
    "an attribute's value in two pieces": span(field(9, field(2, field(1, b"a")) + field(2, b"\x18\x05"))),
    "an array in two pieces": attribute(field(5, field(1, b"\x18\x01")) + field(5, field(1, b"\x18\x02"))),
    "a kvlist in two pieces": attribute(field(6, field(1, field(1, b"a"))) + field(6, field(1, field(1, b"b")))),
    "a oneof set twice": attribute(field(1, b"a") + b"\x18\x05"),
    "a oneof set to and fro": attribute(
        field(5, field(1, b"\x18\x01")) + b"\x18\x05" + field(5, field(1, b"\x18\x02"))
    ),
    "a key twice": span(field(9, field(1, b"a") + field(1, b"b"))),
    "a key behind its value": span(field(9, field(2, b"\x18\x05") + field(1, b"a"))),
    "no key": span(field(9, field(2, b"\x18\x05"))),
    "no value": span(field(9, field(1, b"a"))),
    "a value of nothing": attribute(b""),
    "an index of a string": attribute(b"\x40\x05"),
    "an index instead of a string": attribute(field(1, b"a") + b"\x40\x05"),
    "a group": span(b"\x9b\x06\x08\x01\x9c\x06"),
    "a group of groups": span(b"\x9b\x06" * 50 + b"\x9c\x06" * 50),
    "a group too deep": span(b"\x9b\x06" * 200 + b"\x9c\x06" * 200),
    "a group of another end": span(b"\x9b\x06\x08\x01\xa4\x06"),
    "an end without a group": span(b"\x9c\x06"),
    "field number 0": span(b"\x00\x01"),
    "field number 0 of bytes": span(b"\x02\x00"),
    "a tag longer than needed": span(b"\xb0\x00\x03"),
    "a tag of five bytes": span(b"\xb0\x80\x80\x80\x00\x03"),
    "a tag of six bytes": span(b"\xb0\x80\x80\x80\x80\x00\x03"),
    "a field number of 29 bits": span(varint((2**29 - 1) << 3) + b"\x01"),
    "a field number of 30 bits": span(varint(2**29 << 3) + b"\x01"),
    "a length of four bytes": span(b"\x2a\x83\x80\x80\x00abc"),
    "a length of five bytes": span(b"\x2a\x83\x80\x80\x80\x00abc"),
    "a length of six bytes": span(b"\x2a\x83\x80\x80\x80\x80\x00abc"),
    "a length beyond the end": span(b"\x2a\x7f"),
    "a length of 2^31": span(b"\x2a\x80\x80\x80\x80\x08"),
    "a length of 2^64-1": span(b"\x2a" + varint(2**64 - 1)),
    "a kind of 2^32+3": span(b"\x30" + varint(2**32 + 3)),
    "a negative kind": span(b"\x30" + varint(2**64 - 1)),
    "a kind of 300": span(b"\x30" + varint(300)),
    "a number of ten bytes": attribute(b"\x18" + varint(2**64 - 1)),
    "a number of ten bytes, the last too large": attribute(b"\x18" + b"\xff" * 9 + b"\x7f"),
    "a number of eleven bytes": attribute(b"\x18" + b"\xff" * 10 + b"\x01"),
    "a bool of 2^32": attribute(b"\x10" + varint(2**32)),
    "a wrong wire type": span(b"\x28\x05" + field(7, b"12345678") + field(16, b"1234")),
    "a wrong wire type of attributes": span(b"\x48\x05"),
    "a trace id of 15 bytes": in_request(field(2, field(1, b"t" * 15) + SPAN_ID)),
    "a trace id, then one of no bytes": in_request(field(2, ID + field(1, b""))),
    "a name that is not UTF-8": span(field(5, b"a\xff")),
    "a name that is not UTF-8, then one that is": span(field(5, b"a\xff") + field(5, b"b")),
    "a key that is not UTF-8": attribute(b"", key=b"\xff"),
    "a nested string that is not UTF-8": attribute(field(5, field(1, field(1, b"\xed\xa0\x80")))),
    "a nested key that is not UTF-8": attribute(field(6, field(1, field(1, b"\xff")))),
    "bytes that are not UTF-8": attribute(field(7, b"\xff")),
    "an unknown field that is not UTF-8": span(field(99, b"\xff")),
    "a schema that is not UTF-8": field(1, field(3, b"\xff")),
    "an entity that is not UTF-8": field(1, field(1, field(3, field(3, b"\xff")))),
    "an entity": field(1, field(1, field(3, field(2, b"service") + field(3, b"service.name")))),
    "an unknown field of an entity": field(1, field(1, field(3, field(5, b"\xff")))),
    "a state that is not UTF-8": span(field(3, b"\xc0\x80")),
    "a status that is not UTF-8": span(field(15, field(2, b"\xff"))),
    "an event that is not UTF-8": span(field(11, field(2, b"\xff"))),
    "a link that is not UTF-8": span(field(13, field(3, b"\xff"))),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_span_is_read_or_refused_as_by_the_library(name: str) -> None:
    assert_same([record(span(field(5, b"before"))), record(ODD[name], sequence=1), record(span(b""), sequence=2)])


LOG = {
    "a body twice": field(5, field(1, b"a")) + field(5, b"\x18\x01"),
    "an empty body": field(5, b""),
    "a nested body": field(5, field(6, field(1, field(1, b"k") + field(2, field(1, b"v"))))),
    "a body that is not UTF-8": field(5, field(1, b"\xff")),
    "a text that is not UTF-8": field(3, b"\xff"),
    "an event name that is no string": field(6, field(1, b"event.name") + field(2, b"\x18\x05")),
    "two event names": field(6, field(1, b"event.name") + field(2, field(1, b"a"))) * 2,
    "an empty event name, then one": field(6, field(1, b"event.name") + field(2, field(1, b"")))
    + field(6, field(1, b"event.name") + field(2, field(1, b"a"))),
    "an event name of both kinds": field(6, field(1, b"event.name") + field(2, field(1, b"a"))) + field(12, b"b"),
    "a severity of 2^40": b"\x10" + varint(2**40 + 9),
}


@pytest.mark.parametrize("name", LOG)
def test_an_odd_log_record_is_read_or_refused_as_by_the_library(name: str) -> None:
    assert_same([record(in_request(field(2, LOG[name])), "logs"), record(in_request(field(2, b"")), "logs")])


@pytest.mark.parametrize("depth", [1, 10, 18, 19, 20, 21, 40, 45, 46, 47, 48, 49, 50, 60, 200])
@pytest.mark.parametrize("wrap", [lambda v: field(5, field(1, v)), lambda v: field(6, field(1, field(2, v)))])
def test_nesting_is_read_or_refused_as_by_the_library(depth: int, wrap: Any) -> None:
    value = field(1, b"deep")
    for _ in range(depth):
        value = wrap(value)
    assert_same([record(attribute(value))])


def test_log_records_are_joined_to_the_last_span_of_their_ids() -> None:
    traces = in_request(
        b"".join(field(2, field(1, t * 16) + field(2, s * 8)) for t, s in ((b"a", b"b"), (b"a", b"c")) * 2)
    )
    logs = in_request(
        b"".join(field(2, field(9, t * 16) + field(10, s * 8)) for t, s in ((b"a", b"c"), (b"a", b"b"), (b"b", b"b")))
    )
    records = [record(logs, "logs"), record(traces, sequence=1)]
    assert_same(records)
    assert columns.decode(records).logs.span_row.tolist() == [3, 2, -1]


def test_strings_are_not_copied_but_lie_in_the_joined_requests() -> None:
    body = attribute(field(1, b"the content"))
    table = columns.decode([record(body), record(body, sequence=1)]).attributes
    assert table.start.tolist() == [body.index(b"the content"), len(body) + body.index(b"the content")]
    assert table.buffer.startswith(body + body)


def test_more_members_attributes_events_and_links_than_expected_are_all_there() -> None:
    many = span((field(9, b"") * 7 + field(11, field(3, b"") * 5) + field(13, field(4, b"") * 5)) * 300)
    assert_same([record(many + in_request(field(2, b"") * 3000) + in_request(b"") * 2000 + field(1, b"") * 2000)])
    assert_same([record(in_request(field(2, field(6, b"") * 900) * 4 + field(1, field(3, b"") * 900)), "logs")])


def test_a_million_keys_of_one_request_are_told_apart() -> None:
    keys = [b"%x" % i for i in range(100_000)]
    table = columns.decode([record(span(b"".join(field(9, field(1, k)) for k in keys)))]).attributes
    assert table.keys == tuple(k.decode() for k in keys)
    assert np.array_equal(table.key, np.arange(len(keys)))


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_as_many_keys_as_expected_and_one_more(more: int) -> None:
    n = columns.EXPECTED_KEYS + more
    body = span(b"".join(field(9, field(1, b"%x" % i)) for i in [*range(n), 0]))
    assert_same([record(body), record(span(field(5, b"behind")), sequence=1)])


def test_keys_that_collide_are_left_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []

    def decode(records: Any) -> Any:
        left.append(len(records))
        return protobuf_decode(records)

    protobuf_decode = protobuf.decode
    monkeypatch.setattr(protobuf, "decode", decode)
    keys = colliding(seed=7, count=200)
    body = span(b"".join(field(9, field(1, k)) for k in keys))
    batch = columns.decode([record(body)], seed=lambda: 7)
    assert left == [1]
    assert batch.attributes.keys == tuple(k.decode() for k in keys)
    columns.decode([record(body)], seed=lambda: 8)
    assert left == [1], "another seed spreads them"


def colliding(seed: int, count: int) -> list[bytes]:
    """Return keys of seven characters whose hash under this seed ends in twelve zeros: half a table of slots."""
    values = np.random.default_rng(1).integers(ord("a"), ord("z") + 1, (4_000_000, 8), np.uint8)
    values[:, 7] = 0
    words = values.view(np.int64).ravel()
    mixed = ((seed ^ 7) ^ words) * np.int64(-0x61C8864680B583EB)
    mixed ^= mixed >> 29
    chosen = np.unique(words[mixed & 0xFFF == 0])[:count]
    assert len(chosen) == count
    return [w.tobytes()[:7] for w in chosen]


def test_the_first_damaged_record_is_the_one_that_is_named() -> None:
    for bad in (record(b"\xff", sequence=3), replace(record(b"{", sequence=3), encoding="json")):
        with pytest.raises(Refused, match="journal record 3: "):
            columns.decode([record(b""), bad, replace(record(b"[", sequence=4), encoding="json"), record(b"\x07")])


def test_an_empty_value_is_an_attribute_without_one() -> None:
    table = columns.decode([record(attribute(b""))]).attributes
    assert table.type.tolist() == [ValueType.EMPTY]


@pytest.mark.parametrize(
    ("switch", "arguments"),
    [
        ("NUMBA_DISABLE_JIT", ["--seconds", "4", "--files", "8"]),
        pytest.param("NUMBA_BOUNDSCHECK", ["--seconds", "4"], marks=pytest.mark.thorough),
    ],
)
def test_the_same_source_runs_with(switch: str, arguments: list[str], pytestconfig: pytest.Config) -> None:
    cache = pytestconfig.cache
    assert cache is not None
    folder = cache.mkdir(switch.lower())  # numba does not tell these apart
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.fuzz.decode", *arguments],
        cwd=ROOT,
        env={**os.environ, switch: "1", "NUMBA_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[0]) > 20, done.stdout


def test_the_made_requests_are_of_both_sorts() -> None:
    """Neither all refused nor all read: else the comparison above says little."""
    made = [request("traces", seeded(seed), odd=0.3) for seed in range(400)]
    spans = refused = 0
    for body in made:
        try:
            spans += len(columns.decode([record(body)]))
        except Refused:
            refused += 1
    assert spans > 50
    assert 50 < refused < 350
    assert ExportLogsServiceRequest.FromString(request("logs", seeded(3), odd=0)) is not None


def test_the_columns_of_the_library_lead_to_the_same_rows() -> None:
    """What comes after decoding looks only at what is compared above."""
    records = [record_of_file(path, i) for i, path in enumerate(BODIES)]
    one, other = (canonical(decode(records)) for decode in (columns.decode, protobuf.decode))
    assert list(differences(one, other)) == []
    assert span_rows(one).equals(span_rows(other))
    assert event_rows(one).equals(event_rows(other))
