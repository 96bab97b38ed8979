"""Batches through a lane into a real server, for faults of the way and of the database that need no collector."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from collector.delivery import Lane
from collector.journal import Batch
from collector.journal.batch import Position
from exporters.clickhouse.connect import connect
from exporters.clickhouse.exporter import ClickHouseExporter
from tests.clickhouse.otlp import NOON, span, spans_record
from tests.delivery.fakes import Batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.journal import Record

INSERT = b"INSERT+INTO+%60spans%60"
"""In the head of the request that stores spans."""
COUNTS = (
    "SELECT (SELECT count() FROM spans) AS spans, (SELECT uniqExact(trace_id, span_id) FROM spans) AS ids, "
    "(SELECT sum(span_count) FROM traces) AS of_traces, "
    "(SELECT sum(count) FROM ledger WHERE state = 'stored') AS booked"
)


def through(dsn: str, port: int) -> str:
    """Return a DSN whose server is reached through another port of this machine."""
    return urlunsplit(urlsplit(dsn)._replace(netloc=f"127.0.0.1:{port}"))


def server_port(dsn: str) -> int:
    """Return the port of a DSN."""
    return urlsplit(dsn).port or 8123


def record(first: int, n: int, *, received: int = NOON, **rest: Any) -> Record:
    """Return a request of `n` spans with ids from `first` on."""
    return spans_record([span(i, i, **rest) for i in range(first, first + n)], received=received)


def batch(number: int, *records: Record) -> Batch:
    """Return a batch of these records."""
    numbered = tuple(
        type(r)(number * 1000 + i, r.tenant, r.signal, r.encoding, r.gzip, r.received_unix_ns, r.body, len(records))
        for i, r in enumerate(records)
    )
    return Batch(numbered, f"batch-{number}", Position(1, 1))


@dataclass
class Delivery:
    """A lane into a database; `run` delivers batches, waiting for nothing between tries."""

    dsn: str
    waits: list[float] = field(default_factory=list)
    on_wait: Callable[[int], None] = lambda _: None
    """Called before each wait with its number, from 1: puts things right."""
    lane: Lane | None = None

    def run(self, *batches: Batch, before: str = "") -> tuple[Lane, Batches]:
        """Deliver; return the lane and what became of its source. `before` is run behind the start."""
        source = Batches(list(batches))
        exporter = ClickHouseExporter(self.dsn)
        lane = self.lane = Lane("clickhouse", source, exporter, jitter=lambda: 1.0, sleep=self._wait)

        async def work() -> None:
            await lane.start_exporter()
            if before:
                assert exporter.database is not None
                exporter.database.command(before)
            try:
                await lane.run()
            finally:
                await exporter.shutdown()

        asyncio.run(work())
        return lane, source

    async def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.on_wait(len(self.waits))


def counts(dsn: str) -> dict[str, int]:
    """Return what the tables hold."""
    with connect(dsn) as db:
        return {k: int(v) for k, v in db.rows(COUNTS)[0].items()}


def whole(n: int) -> dict[str, int]:
    """Return what they hold where `n` spans are stored once."""
    return {"spans": n, "ids": n, "of_traces": n, "booked": n}
