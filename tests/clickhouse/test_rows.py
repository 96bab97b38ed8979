from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from exporters.clickhouse.ledger import ledger_rows
from exporters.clickhouse.maps import attribute_maps, attribute_texts
from exporters.clickhouse.rows import QUOTED, blocks, event_rows, ledger_blocks, span_rows
from exporters.clickhouse.times import LATEST_UNIX_NS, span_times
from schema.anyvalue import ValueType, to_text
from schema.batch import AttributeTable
from schema.span import CANONICAL
from tests.clickhouse.otlp import (
    DAY,
    NOON,
    SECOND,
    attributes,
    batch_of,
    logs_record,
    record,
    span,
    spans_record,
    value,
    with_feedback,
)

ANY = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        st.binary(max_size=20),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(["a", "b", "z", "Ä", "gen_ai.usage"])


@given(st.lists(st.dictionaries(KEYS, ANY, max_size=4), max_size=4))
def test_a_map_holds_the_text_of_each_attribute_under_its_key_in_sorted_order(given_attributes: list[Any]) -> None:
    batch = batch_of(spans_record([span(1, i + 1, attributes=a) for i, a in enumerate(given_attributes)]))
    maps = attribute_maps(batch.attributes, len(batch)).to_pylist()
    for row, pairs in enumerate(maps):
        wanted = batch.attributes.of(row)
        assert pairs == [(k, to_text(wanted[k])) for k in sorted(wanted)]


def test_of_equal_keys_the_last_wins() -> None:
    one = span(1, 1)
    one.attributes.extend(attributes({"k": "first"}))
    one.attributes.extend(attributes({"k": "last"}))
    batch = batch_of(spans_record([one]))
    assert attribute_maps(batch.attributes, 1).to_pylist() == [[("k", "last")]]


def test_texts_are_read_from_a_buffer_whose_values_overlap_or_stand_in_any_order() -> None:
    def table(start: list[int], length: list[int]) -> AttributeTable:
        n = len(start)
        return AttributeTable(
            owner=np.arange(n, dtype=np.int32),
            key=np.zeros(n, np.int32),
            type=np.full(n, ValueType.STRING, np.uint8),
            number=np.zeros(n, np.int64),
            start=np.array(start, np.int64),
            length=np.array(length, np.int64),
            keys=("k",),
            buffer=b"0123456789",
        )

    assert attribute_texts(table([7, 0, 3, 0], [3, 2, 0, 0])).to_pylist() == ["789", "01", "", ""]
    assert attribute_texts(table([0, 2, 1], [5, 2, 8])).to_pylist() == ["01234", "23", "12345678"]
    assert attribute_texts(table([], [])).to_pylist() == []


def test_a_span_becomes_a_row_with_everything_the_sender_said() -> None:
    one = span(
        0xAB,
        7,
        parent=3,
        name="chat",
        kind=Span.SPAN_KIND_CLIENT,
        trace_state="ot=th:8",
        flags=257,
        status=Status(code=Status.STATUS_CODE_ERROR, message="boom"),
        attributes={"n": 1, "l": [1, "x"]},
    )
    one.events.add(name="exception", time_unix_nano=NOON + 5, attributes=attributes({"type": "E"}))
    one.links.add(trace_id=(9).to_bytes(16, "big"), span_id=(8).to_bytes(8, "big"), attributes=attributes({"a": "b"}))
    [row] = span_rows(batch_of(spans_record([one]))).to_pylist()
    assert row["trace_id"] == (0xAB).to_bytes(16, "big")
    assert (row["span_id"], row["parent_span_id"]) == ((7).to_bytes(8, "big"), (3).to_bytes(8, "big"))
    assert (row["name"], row["wire_kind"], row["trace_state"], row["flags"]) == ("chat", "client", "ot=th:8", 257)
    assert (row["status_code"], row["status_message"]) == ("error", "boom")
    assert (row["scope_name"], row["scope_version"], row["tenant"]) == ("lib", "1.2", "default")
    assert row["span_attributes"] == [("l", '[1,"x"]'), ("n", "1")]
    assert row["resource_attributes"] == [("service.name", "shop")]
    assert row["scope_attributes"] == [("kind", "test")]
    assert row["service_name"] == "shop"
    assert (row["events.name"], row["events.attributes"]) == (["exception"], [[("type", "E")]])
    assert row["links.trace_id"] == [f"{9:032x}"]
    assert row["links.attributes"] == [[("a", "b")]]
    assert (row["duration_ns"], row["time_faults"]) == (SECOND, [])


def test_events_and_links_stay_with_their_span() -> None:
    spans = [span(1, i) for i in range(1, 5)]
    for number, one in enumerate(spans):
        for k in range(number % 3):
            one.events.add(name=f"e{number}.{k}", attributes=attributes({"k": f"{number}.{k}"}))
    rows = span_rows(batch_of(spans_record(spans))).to_pylist()
    assert [r["events.name"] for r in rows] == [[], ["e1.0"], ["e2.0", "e2.1"], []]
    assert [r["events.attributes"] for r in rows][2] == [[("k", "2.0")], [("k", "2.1")]]


def test_columns_of_processors_that_did_not_run_are_null_and_lists_empty() -> None:
    [row] = span_rows(batch_of(spans_record([span(1, 1)]))).to_pylist()
    for field in CANONICAL:
        name = f"{field.name}_kept" if field.name in QUOTED else field.name
        if name != "service_name":
            assert row[name] == ([] if pa.types.is_list(field.type) else None), field.name


def test_derived_columns_are_taken_as_they_are_and_null_lists_become_empty() -> None:
    batch = batch_of(
        spans_record([span(1, 1), span(1, 2)]),
        columns={"service_name": [None, "other"], "finish_reasons": [None, ["stop"]], "input_tokens": [None, 5]},
    )
    rows = span_rows(batch).to_pylist()
    assert [r["service_name"] for r in rows] == ["shop", "other"]
    assert [r["finish_reasons"] for r in rows] == [[], ["stop"]]
    assert [r["input_tokens"] for r in rows] == [None, 5]


@pytest.mark.parametrize(
    ("start", "end", "faults", "seconds"),
    [
        (NOON, NOON + SECOND, [], 1),
        (0, NOON + SECOND, ["start_missing"], 1),
        (NOON, 0, ["end_missing"], 0),
        (NOON, NOON - 1, ["end_before_start"], 0),
        (2**64 - 1, 2**64 - 1, ["start_clamped", "end_clamped"], 0),
        (NOON, 2**63, ["end_clamped"], None),
    ],
)
def test_times_that_cannot_be_stored_are_repaired_and_flagged(
    start: int, end: int, faults: list[str], seconds: int | None
) -> None:
    as_column = [np.array([t], np.uint64) for t in (start, end, NOON)]
    times = span_times(as_column[0], as_column[1], as_column[2])
    assert times.faults.to_pylist() == [faults]
    if seconds is not None:
        assert times.duration_ns.to_pylist() == [seconds * SECOND]
    assert 0 < times.start.cast(pa.int64())[0].as_py() <= int(LATEST_UNIX_NS)
    assert 0 < times.end.cast(pa.int64())[0].as_py() <= int(LATEST_UNIX_NS)


def test_a_log_record_becomes_an_event_with_its_body_as_json() -> None:
    named = LogRecord(
        trace_id=(1).to_bytes(16, "big"),
        span_id=(2).to_bytes(8, "big"),
        time_unix_nano=NOON,
        event_name="gen_ai.choice",
        severity_number=SeverityNumber.SEVERITY_NUMBER_INFO,
        severity_text="INFO",
        body=value({"content": "hi", "n": 1}),
        attributes=attributes({"gen_ai.system": "openai"}),
    )
    text, bare = LogRecord(observed_time_unix_nano=NOON + 1, body=value("it's")), LogRecord()
    rows = event_rows(batch_of(logs_record([named, text, bare], received=NOON + 9))).to_pylist()
    assert [r["body"] for r in rows] == ['{"content":"hi","n":1}', '"it\'s"', ""]
    assert [r["time"].value - NOON for r in rows] == [0, 1, 9]
    assert [r["time_faults"] for r in rows] == [[], [], ["time_missing"]]
    assert (rows[0]["event_name"], rows[0]["severity_number"], rows[0]["service_name"]) == ("gen_ai.choice", 9, "shop")
    assert rows[0]["attributes"] == [("gen_ai.system", "openai")]


def test_the_ledger_counts_per_tenant_minute_and_signal() -> None:
    batch = batch_of(
        spans_record([span(1, 1), span(1, 2)]),
        spans_record([span(2, 1)], received=NOON + SECOND),
        spans_record([span(3, 1)], tenant="b"),
        spans_record([span(4, 1)], received=NOON + 120 * SECOND),
        logs_record([LogRecord()]),
    )
    minute = datetime(2026, 9, 21, 14, 13, tzinfo=UTC)
    rows = [(r["tenant"], r["minute"], r["signal"], r["state"], r["count"]) for r in ledger_rows(batch).to_pylist()]
    assert rows == [
        ("b", minute, "traces", "stored", 1),
        ("default", minute, "logs", "stored", 1),
        ("default", minute, "traces", "stored", 3),
        ("default", minute.replace(minute=15), "traces", "stored", 1),
    ]


def test_a_block_holds_one_day_of_receipt() -> None:
    records = [spans_record([span(1, 1), span(1, 2)]), spans_record([span(2, 1)], received=NOON + DAY)]
    batch = with_feedback(batch_of(*records), {"trace_id": f"{1:032x}"})
    made = list(blocks(batch))
    assert [(b.table, b.rows.num_rows) for b in made] == [
        ("spans", 2),
        ("spans", 1),
        ("feedback", 1),
    ]
    assert [(b.table, b.rows.num_rows) for b in ledger_blocks(batch)] == [("ledger", 1), ("ledger", 1)]
    assert [b.at if b.at is None else b.at.tolist() for b in made] == [[0, 1], [2], None]
    assert made[1].day == made[0].day + 1
    assert all(a.rows.equals(b.rows) for a, b in zip(made, blocks(batch), strict=True))


def test_an_empty_batch_has_no_blocks() -> None:
    assert list(blocks(batch_of())) == []


def test_every_capture_of_the_corpus_becomes_rows() -> None:
    corpus = Path(__file__).parents[1] / "corpus"
    files = sorted(f for f in corpus.rglob("*.otlp.pb") if ".logs." not in f.name)
    assert files
    for file in files:
        batch = batch_of(record(file.read_bytes(), "traces", NOON, "default"))
        rows = span_rows(batch)
        assert rows.num_rows == len(batch)
        for row, pairs in enumerate(rows["span_attributes"].to_pylist()):
            assert dict(pairs) == {k: to_text(v) for k, v in batch.attributes.of(row).items()}


@given(st.lists(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9)), max_size=70), max_size=6), st.data())
def test_maps_are_the_same_for_owners_that_are_alike_and_for_owners_of_many_attributes(
    owners: list[list[tuple[str, int]]], data: st.DataObject
) -> None:
    again = (
        [owners[i] for i in data.draw(st.lists(st.integers(0, max(len(owners) - 1, 0)), max_size=6))] if owners else []
    )
    owners += again
    spans = []
    for number, pairs in enumerate(owners):
        one = span(1, number + 1)
        for key, number_of in pairs:
            one.attributes.extend(attributes({key: number_of}))
        spans.append(one)
    batch = batch_of(spans_record(spans))
    wanted = [[(k, str(v)) for k, v in sorted(dict(pairs).items())] for pairs in owners]
    assert attribute_maps(batch.attributes, len(batch)).to_pylist() == wanted
    picked = np.array(
        data.draw(st.lists(st.integers(0, max(len(owners) - 1, 0)), max_size=5)) if owners else [], np.int32
    )
    assert attribute_maps(batch.attributes, len(batch), picked).to_pylist() == [wanted[i] for i in picked]


def test_attributes_of_no_owner_or_without_a_key_are_an_error() -> None:
    table = batch_of(spans_record([span(1, 1, attributes={"a": 1})])).attributes
    for broken in (replace(table, owner=table.owner + 1), replace(table, key=table.key + 1)):
        with pytest.raises(IndexError):
            attribute_maps(broken, 1)
