from __future__ import annotations

import asyncio
import time
from pathlib import Path

from collector.extensions.settle import settle
from exporters.clickhouse.connect import connect
from exporters.clickhouse.insert import insert_batch
from exporters.clickhouse.migrate import migrate
from schema.component import Context
from tests.clickhouse.otlp import batch_of, span, spans_record
from tests.settle.cut import process

DEADLINE_S = 30
CHILD = "SELECT session_id FROM settled_spans WHERE parent_span_id != toFixedString('', 8) AND session_id = 's'"


def test_the_extension_settles_while_it_runs_and_waits_for_a_database_that_is_not_ready(embedded_dsn: str) -> None:
    config = settle.config.model_validate({"quiet_s": 0, "interval_s": 0.02})
    extension = settle(config, Context("settle", Path("/nonexistent"), dsn=embedded_dsn, process=process))

    async def run() -> list[dict[str, object]]:
        with connect(embedded_dsn) as db:
            await extension.start()  # before there is any table
            migrate(db)
            root = span(1, 1, attributes={"session.id": "s"})
            for number, one in enumerate([span(1, 2, parent=1), root]):
                insert_batch(db, process(batch_of(spans_record([one]))), f"t/{number}")
            deadline = time.monotonic() + DEADLINE_S
            rows: list[dict[str, object]] = []
            while not rows and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
                rows = db.rows(CHILD)
            await extension.shutdown()
            await extension.shutdown()
            return rows

    assert asyncio.run(run()) == [{"session_id": "s"}]


def test_switched_off_it_opens_nothing() -> None:
    extension = settle(settle.config(enabled=False), Context("settle", Path("/x"), dsn="chdb:///nonexistent/db"))

    async def run() -> None:
        await extension.start()
        await extension.shutdown()

    asyncio.run(run())
    assert not Path("/nonexistent").exists()
