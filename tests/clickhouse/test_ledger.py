"""What batches and others add to the table `ledger`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from collector.decode.protobuf import decode
from exporters.clickhouse.connect import connect
from exporters.clickhouse.exporter import ClickHouseExporter
from exporters.clickhouse.ledger import ledger_rows
from schema.component import Rejected
from schema.errors import Retryable
from schema.ledger import FEEDBACK_SCOPE, MINUTE_NS, Entry, Ledger, State
from tests.clickhouse.otlp import NOON, batch_of, record, span, spans_record

if TYPE_CHECKING:
    from collections.abc import Sequence

MINUTE = NOON // MINUTE_NS
PER_DAY = 1440


def book(dsn: str, *calls: tuple[Sequence[Entry], str]) -> list[dict[str, Any]]:
    async def work() -> None:
        exporter = ClickHouseExporter(dsn)
        assert isinstance(exporter, Ledger)
        await exporter.start()
        try:
            for entries, token in calls:
                await exporter.book(entries, token)
        finally:
            await exporter.shutdown()

    asyncio.run(work())
    with connect(dsn) as db:
        return db.rows(
            "SELECT tenant, signal, state, reason, sum(count) AS n, sum(uncounted_requests) AS requests "
            "FROM ledger GROUP BY ALL ORDER BY ALL"
        )


def test_entries_are_booked_once_for_each_token_also_over_midnight(dsn: str) -> None:
    entries = [
        Entry("a", MINUTE, "traces", State.REFUSED, "bad_data", uncounted_requests=1),
        Entry("a", MINUTE + PER_DAY, "traces", State.REFUSED, "bad_data", count=5),
    ]
    wanted = {"tenant": "a", "signal": "traces", "state": "refused", "reason": "bad_data", "n": 5, "requests": 1}
    assert book(dsn, (entries, "t1"), (entries, "t1")) == [wanted]
    assert book(dsn, (entries, "t2")) == [{**wanted, "n": 10, "requests": 2}]


def test_an_exporter_knows_what_it_booked(embedded_dsn: str) -> None:
    async def work() -> Any:
        exporter = ClickHouseExporter(embedded_dsn)
        await exporter.start()
        try:
            await exporter.export(batch_of(spans_record([span(1, 1), span(1, 2)])), "t1")
            await exporter.book([Entry("a", MINUTE, "logs", State.REFUSED, "too_large", uncounted_requests=1)], "t2")
        finally:
            await exporter.shutdown()
        return exporter.booked.document()

    assert asyncio.run(work()) == {
        "default": {"traces": {"stored": {"": {"count": 2, "uncounted_requests": 0}}}},
        "a": {"logs": {"refused": {"too_large": {"count": 0, "uncounted_requests": 1}}}},
    }


def test_a_ledger_of_another_shape_is_waited_for(dsn: str) -> None:
    async def work() -> None:
        exporter = ClickHouseExporter(dsn)
        await exporter.start()
        try:
            assert exporter.database is not None
            exporter.database.command("DROP TABLE ledger SYNC")
            exporter.database.command("CREATE TABLE ledger (tenant UInt8) ENGINE = MergeTree ORDER BY tenant")
            with pytest.raises(Retryable):
                await exporter.book([Entry("a", MINUTE, "logs", State.REFUSED, count=1)], "t")
        finally:
            await exporter.shutdown()

    asyncio.run(work())


def test_a_change_of_state_takes_from_one_and_gives_to_the_other(dsn: str) -> None:
    aside = Entry("a", MINUTE, "logs", State.QUARANTINED, "unreadable", count=4)
    moved = [replace(aside, count=-4), replace(aside, state=State.PURGED, reason="", count=4)]
    found = book(dsn, ([aside], "t1"), (moved, "t2"))
    assert [(r["state"], r["n"]) for r in found if r["n"]] == [("purged", 4)]


def test_what_left_the_batch_is_booked_with_it() -> None:
    gone = Entry("default", MINUTE, "traces", State.ERASED, count=2)
    batch = replace(batch_of(spans_record([span(1, 1)])), booked=(gone,))
    assert [(r["state"], r["count"]) for r in ledger_rows(batch).to_pylist()] == [("erased", 2), ("stored", 1)]


def test_rows_that_the_database_will_never_take_are_quarantined_not_stored() -> None:
    batch = batch_of(spans_record([span(1, n) for n in range(1, 6)]), spans_record([span(2, 1)], tenant="b"))
    rows = ledger_rows(batch, Rejected("no such date", spans=(1, 5))).to_pylist()
    assert [(r["tenant"], r["state"], r["reason"], r["count"]) for r in rows] == [
        ("b", "quarantined", "rejected", 1),
        ("default", "quarantined", "rejected", 1),
        ("default", "stored", "", 4),
    ]


def test_feedback_is_told_from_other_log_records() -> None:
    request = ExportLogsServiceRequest()
    scopes = request.resource_logs.add().scope_logs
    scopes.add(scope={"name": FEEDBACK_SCOPE}).log_records.add()
    for _ in range(2):
        scopes.add(scope={"name": "lib"}).log_records.add()
    batch = decode([record(request.SerializeToString(), "logs", NOON, "default")])
    assert [(r["signal"], r["count"]) for r in ledger_rows(batch).to_pylist()] == [("feedback", 1), ("logs", 2)]
