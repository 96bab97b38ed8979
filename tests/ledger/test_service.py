"""The ledger of a whole service: nothing counted is missing after its end, and its status and metrics know of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from collector.components import Registry
from collector.config import parse
from collector.ledger import Outbox
from collector.service import Service
from exporters.clickhouse.connect import connect
from schema.component import ENTRY_POINTS
from tests.collector.conftest import spans_request
from tests.collector.test_service import config_text, post_async, until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

GARBAGE = b"\xff" * 20
ROWS = (
    "SELECT state, reason, sum(count) AS n, sum(uncounted_requests) AS requests FROM ledger GROUP BY ALL ORDER BY ALL"
)


def service(folder: Path, dsn: str) -> Service:
    text = config_text(folder, f'clickhouse: {{dsn: "{dsn}"}}', "clickhouse")
    return Service(parse(text, "c.yaml", Registry(entry_points(group=ENTRY_POINTS)), {}))


@asynccontextmanager
async def started(running: Service, *, drain_s: float | None = None) -> AsyncIterator[Service]:
    await running.start()
    try:
        yield running
    finally:
        await running.stop(drain_s=drain_s)


def rows(dsn: str) -> list[tuple[Any, ...]]:
    with connect(dsn) as db:
        return [tuple(r.values()) for r in db.rows(ROWS)]


def test_what_was_refused_a_moment_before_the_end_is_in_the_table(tmp_path: Path, embedded_dsn: str) -> None:
    async def work() -> dict[str, Any]:
        async with started(service(tmp_path, embedded_dsn)) as running:
            http = running.endpoints()["otlp"]["http"]
            assert await post_async(http, spans_request(1, 2)) == 200
            await until_async(lambda: running.status()["delivery"]["spans"] == 2)
            await until_async(lambda: running.status()["ledger"]["in_journal"] == {})
            assert await post_async(http, spans_request(1, 2)) == 200
            assert await post_async(http, GARBAGE) == 400
        return running.status()

    ledger = asyncio.run(work())["ledger"]
    assert rows(embedded_dsn) == [("duplicate", "", 2, 0), ("refused", "bad_data", 0, 1), ("stored", "", 2, 0)]
    booked = {state: r for of_signal in ledger["booked"]["default"].values() for state, r in of_signal.items()}
    assert booked["duplicate"] == {"": {"count": 2, "uncounted_requests": 0}}
    assert Outbox(tmp_path / "data" / "journal").waiting() == []


def test_while_the_database_is_away_counts_wait_beside_the_journal_for_the_next_start(
    tmp_path: Path, embedded_dsn: str
) -> None:
    async def away() -> None:
        nobody = "http://127.0.0.1:9/db"  # the port of `discard`
        async with started(service(tmp_path, nobody), drain_s=0) as running:
            http = running.endpoints()["otlp"]["http"]
            assert await post_async(http, spans_request(1)) == 200
            assert await post_async(http, GARBAGE) == 400
            assert running.status()["ledger"]["in_journal"] == {"default": {"traces": 1}}

    async def back() -> None:
        async with started(service(tmp_path, embedded_dsn)) as running:
            await until_async(lambda: running.status()["delivery"]["spans"] == 1)

    asyncio.run(away())
    assert len(Outbox(tmp_path / "data" / "journal").waiting()) == 1
    asyncio.run(back())
    assert rows(embedded_dsn) == [("refused", "bad_data", 0, 1), ("stored", "", 1, 0)]
