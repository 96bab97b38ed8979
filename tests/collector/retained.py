"""A database with traces of several days, and retention at a moment of the test's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from collector.retention import log
from collector.retention.decide import Moment
from collector.retention.expire import Retention
from collector.retention.settings import Holding, Settings
from exporters.clickhouse.insert import insert_batch
from tests.clickhouse.otlp import DAY, NOON, batch_of, logs_record, span, spans_record, with_feedback

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.retention.expire import Removed
    from exporters.clickhouse.connect import Database

NOW = datetime.fromtimestamp(NOON / 1e9, UTC)
TODAY = NOW.date()
WEEK = Settings(Holding(90, 7))
TABLES = ("spans", "events", "trace_parts", "settlements", "span_revisions", "feedback")


def ago(days: float) -> int:
    """Return a time of receipt."""
    return int(NOON - days * DAY)


def name(trace: int) -> str:
    return f"{trace:032x}"


@dataclass
class World:
    """Stores what a test says, each in an INSERT of its own, with the time of receipt that it says."""

    db: Database
    count: int = 0
    now: datetime = NOW
    tokens: list[str] = field(default_factory=list)

    def trace(self, *traces: int, days: float, tenant: str = "default", spans: int = 2, **columns: Any) -> None:
        """Store traces received so many days ago; `columns` of the processors hold for each span."""
        at = ago(days)
        of = [span(t, n + 1, parent=min(n, 1), start=at, end=at + 1) for t in traces for n in range(spans)]
        self.insert(
            spans_record(of, received=at, tenant=tenant), columns={k: [v] * len(of) for k, v in columns.items()}
        )

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
        insert_batch(self.db, batch, f"insert/{self.count}")

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

    def dump(self) -> dict[str, Any]:
        """Return everything that a run may change, without what names the run."""
        counts = {t: [tuple(r.values()) for r in self.db.rows(_DUMP[t])] for t in _DUMP}
        return {**counts, "ledger": self.ledger(), "kinds": [e.kind for e in log.read(self.db)]}


_DUMP = {
    "traces": "SELECT trace_id, span_count, flagged, sample_weight FROM traces ORDER BY trace_id",
    "spans": "SELECT hex(trace_id), hex(span_id), sample_weight FROM spans ORDER BY ALL",
    "events": "SELECT hex(trace_id), received_at FROM events ORDER BY ALL",
    "feedback": "SELECT trace_id, received_at FROM feedback ORDER BY ALL",
    "trace_parts": "SELECT DISTINCT hex(trace_id), received_hour FROM trace_parts ORDER BY ALL",
    "counts": "SELECT day, tenant, minute, signal, sum(count) FROM retention_counts "
    "WHERE run IN (SELECT run FROM retention_log WHERE kind = 'decided') GROUP BY ALL ORDER BY ALL",
}


def day(days: float) -> date:
    """Return the day of receipt so many days ago."""
    return datetime.fromtimestamp(ago(days) / 1e9, UTC).date()


def hold(world: World, traces: Iterable[int], tenant: str = "default") -> None:
    rows = [{"tenant": tenant, "trace_id": name(t), "held": True, "reason": "court", "actor": "test"} for t in traces]
    world.db.insert_rows("holds", rows)
    log.append_last(world.db, "hold", actor="test", reason="court")
