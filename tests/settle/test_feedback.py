"""Feedback on a response or a session makes the trace failing that it speaks of."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from collector.decode import decode
from collector.extensions.settle import settle
from collector.journal.record import Record
from collector.receivers.feedback import to_logs_request
from collector.settle.feedback import resolve_feedback
from exporters.clickhouse.insert import insert_batch
from schema.component import Context
from tests.clickhouse.otlp import batch_of, span, spans_record
from tests.settle.cut import process

if TYPE_CHECKING:
    from exporters.clickhouse.connect import Database
    from tests.fixtures_clickhouse import Spare

CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}


def store(db: Database, *spans: Any, insert: str = "t/1") -> None:
    insert_batch(db, process(batch_of(spans_record(list(spans)))), insert)


def give(db: Database, body: str, *, at: datetime, insert: str = "f/1") -> None:
    ns = int(at.timestamp()) * 10**9
    request = to_logs_request(body.encode(), now_unix_ns=ns).SerializeToString()
    record = Record(9, "default", "logs", "protobuf", gzip=False, received_unix_ns=ns, body=request)
    insert_batch(db, process(decode([record])), insert)


def failing(db: Database) -> dict[str, list[str]]:
    return {r["trace_id"]: r["failure_reasons"] for r in db.rows("SELECT * FROM traces WHERE failing")}


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


def test_feedback_on_a_response_finds_its_trace_and_span(db: Database, now: datetime) -> None:
    store(db, span(1, 1, attributes={**CALL, "gen_ai.response.id": "r-1"}), span(2, 2, attributes=CALL))
    give(db, '{"response_id": "r-1", "name": "thumbs", "value": false}', at=now)
    assert failing(db) == {}
    assert resolve_feedback(db) == 1
    ((trace, reasons),) = failing(db).items()
    assert reasons == ["feedback:thumbs"]
    (row,) = db.rows("SELECT trace_id, span_id, value FROM feedback WHERE trace_id != ''")
    assert (row["trace_id"], row["value"]) == (trace, "false")
    assert row["span_id"] != ""


def test_feedback_waits_for_a_trace_that_comes_later_and_is_written_once(db: Database, now: datetime) -> None:
    give(db, '{"response_id": "late", "name": "thumbs", "value": false}', at=now)
    assert resolve_feedback(db) == 0
    store(db, span(1, 1, attributes={**CALL, "gen_ai.response.id": "late"}))
    assert resolve_feedback(db) == 1
    assert resolve_feedback(db) == 0
    assert db.rows("SELECT count() AS n FROM feedback WHERE trace_id != ''") == [{"n": 1}]


def test_feedback_on_a_session_speaks_of_its_latest_trace_at_that_time(db: Database, now: datetime) -> None:
    starts = {1: now - timedelta(hours=2), 2: now - timedelta(hours=1), 3: now + timedelta(hours=1)}
    for number, start in starts.items():
        one = span(number, number, attributes={"session.id": "s"}, start=int(start.timestamp()) * 10**9)
        store(db, one, insert=f"t/{number}")
    give(db, '{"session_id": "s", "name": "thumbs", "value": false}', at=now)
    assert resolve_feedback(db) == 1
    (trace,) = failing(db)
    (latest,) = db.rows("SELECT trace_id FROM traces WHERE start_time < now() ORDER BY start_time DESC LIMIT 1")
    assert trace == latest["trace_id"]


def test_positive_feedback_finds_its_trace_too_and_fails_nothing(db: Database, now: datetime) -> None:
    store(db, span(1, 1, attributes={**CALL, "gen_ai.response.id": "r"}))
    give(db, '{"response_id": "r", "name": "thumbs", "value": true}', at=now)
    assert resolve_feedback(db) == 1
    assert failing(db) == {}


def test_feedback_on_what_nobody_knows_waits_its_week(db: Database, now: datetime) -> None:
    give(db, '{"session_id": "nobody", "value": false}', at=now)
    assert resolve_feedback(db) == 0
    store(db, span(1, 1, attributes={"session.id": "nobody"}, start=int(now.timestamp()) * 10**9))
    assert resolve_feedback(db, now=lambda: now + timedelta(days=8)) == 0
    assert resolve_feedback(db) == 1


def test_the_extension_looks_for_them(embedded_db: Database, embedded_spare: Spare, now: datetime) -> None:
    store(embedded_db, span(1, 1, attributes={**CALL, "gen_ai.response.id": "r"}))
    give(embedded_db, '{"response_id": "r", "name": "thumbs", "value": false}', at=now)
    config = settle.config.model_validate({"quiet_s": 0, "interval_s": 0.02})
    extension = settle(config, Context("settle", Path("/nonexistent"), dsn=embedded_spare.take(), process=process))

    async def run() -> None:
        await extension.start()
        for _ in range(1500):
            await asyncio.sleep(0.02)
            if failing(embedded_db):
                break
        await extension.shutdown()

    asyncio.run(run())
    assert list(failing(embedded_db).values()) == [["feedback:thumbs"]]
