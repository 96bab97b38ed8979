"""A database with traces of several days, and retention at a moment of the test's own."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from collector.retention import log
from collector.retention.decide import Moment
from collector.retention.expire import Retention
from collector.retention.settings import Holding, Settings
from exporters.clickhouse.connect import connect
from exporters.clickhouse.insert import insert_batch
from tests.clickhouse.otlp import DAY, batch_of, logs_record, span, spans_record, with_feedback

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from collector.retention.expire import Removed
    from exporters.clickhouse.connect import Database

NOW = datetime(2035, 3, 21, 14, 13, 20, tzinfo=UTC)
"""Long after whatever the clock of the database says: when a row is stored counts, too."""
NOON = int(NOW.timestamp()) * 10**9
TODAY = NOW.date()
WEEK = Settings(Holding(90, 7))
BASELINE: Mapping[str, Any] = {"failing": False, "baseline": True, "baseline_rate": 0.1}
PLAIN: Mapping[str, Any] = {"failing": False, "baseline": False, "baseline_rate": 0.1}
FAILING: Mapping[str, Any] = {"failing": True, "failure_reasons": ["error"], "baseline": False, "baseline_rate": 0.1}
TABLES = ("spans", "events", "trace_parts", "settlements", "span_revisions", "feedback")


def ago(days: float) -> int:
    """Return a time of receipt in a world that begins now."""
    return int(NOON - days * DAY)


def name(trace: int) -> str:
    return f"{trace:032x}"


@dataclass
class World:
    """Stores what a test says, each in an INSERT of its own, with the time of receipt that it says."""

    db: Database
    count: int = 0
    now: datetime = NOW
    began: datetime = NOW
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def ago(self, days: float) -> int:
        """Return a time of receipt, so many days before the world began."""
        return int(self.began.timestamp()) * 10**9 - int(days * DAY)

    def trace(
        self, *traces: int, days: float, tenant: str = "default", spans: int = 2, of: Mapping[str, Any] = PLAIN
    ) -> None:
        """Store traces received so many days ago; what the processors say `of` a span holds for each."""
        at = self.ago(days)
        sent = [span(t, n + 1, parent=min(n, 1), start=at, end=at + 1) for t in traces for n in range(spans)]
        self.insert(spans_record(sent, received=at, tenant=tenant), columns={k: [v] * len(sent) for k, v in of.items()})

    def logs(self, *traces: int, days: float, tenant: str = "default") -> None:
        """Store a log record of each trace; trace 0 is none."""
        of = [LogRecord(trace_id=t.to_bytes(16, "big") if t else b"", time_unix_nano=ago(days)) for t in traces]
        self.insert(logs_record(of, received=ago(days), tenant=tenant))

    def said(self, trace: int | None, *, days: float, polarity: str = "negative", tenant: str = "default") -> None:
        """Store what a user said of a trace, or of none, so many days ago."""
        empty = batch_of(logs_record([], received=ago(days), tenant=tenant))
        given = {"polarity": polarity, **({"trace_id": name(trace)} if trace else {"session_id": "s"})}
        self._insert(with_feedback(empty, given))

    def insert(self, *records: Any, columns: dict[str, list[Any]] | None = None) -> None:
        self._insert(batch_of(*records, columns=columns))

    def _insert(self, batch: Any) -> None:
        self.count += 1
        insert_batch(self.db, batch, f"{self.token}/{self.count}")

    def force(self, settings: Settings = WEEK) -> None:
        log.append_last(self.db, "settings", actor="test", body=settings.document())

    def retention(self) -> Retention:
        return Retention(self.db, "test", lambda: Moment(self.now, quiet_s=0))

    def expire(self, settings: Settings | None = WEEK) -> Removed:
        """Put settings in force and run a pass."""
        if settings is not None and log.in_force(log.read(self.db)) != settings:
            self.force(settings)
        return self.retention().run()

    def later(self, days: float) -> None:
        self.now += timedelta(days=days)

    def traces(self) -> set[int]:
        """Return the traces that are listed."""
        return {int(r["trace_id"], 16) for r in self.db.rows("SELECT trace_id FROM traces")}

    def left(self, table: str) -> set[int]:
        """Return the traces that have rows in a table."""
        column = "trace_id" if table == "feedback" else "lower(hex(trace_id))"
        return {int(r["t"], 16) for r in self.db.rows(f"SELECT DISTINCT {column} AS t FROM {table}") if r["t"]}

    def ledger(self) -> dict[str, int]:
        sql = "SELECT state, signal, sum(count) AS n FROM ledger GROUP BY state, signal HAVING n != 0"
        return {f"{r['state']} {r['signal']}": int(r["n"]) for r in self.db.rows(sql)}


def hold(world: World, traces: Iterable[int], tenant: str = "default") -> None:
    rows = [{"tenant": tenant, "trace_id": name(t), "held": True, "reason": "court", "actor": "test"} for t in traces]
    world.db.insert_rows("holds", rows)
    log.append_last(world.db, "hold", actor="test", reason="court")


@contextmanager
def emptied(dsn: str) -> Iterator[World]:
    """Lend a migrated database that other tests have used."""
    filled = (
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' "
        "AND total_rows > 0 AND name != 'migrations'"
    )
    with connect(dsn) as db:
        for row in db.rows(filled):
            db.command(f"TRUNCATE TABLE `{row['name']}`")
        yield World(db)
