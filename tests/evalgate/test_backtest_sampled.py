"""A back-test over time of which only what was flagged is left: it counts what is there for what is gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from collector.retention.decide import Moment
from collector.retention.expire import Retention, accept
from collector.retention.settings import Holding, Settings
from evalgate.database import TenantDatabase
from evalgate.sample.backtest import Found, Side, backtest
from evalgate.sample.compare import Change
from evalgate.sample.portions import history
from exporters.clickhouse.insert import insert_batch
from schema.policy import Policy
from schema.policy.rates import NONE
from tests.clickhouse.otlp import SECOND, batch_of, span, spans_record
from tests.evalgate.test_backtest import mixed, processing

if TYPE_CHECKING:
    from exporters.clickhouse.connect import Database

DAY = datetime(2026, 9, 10, 12, tzinfo=UTC)
LATER = DAY + timedelta(days=3)
NOW = DAY + timedelta(days=9)
ANY_TIME_S = -1e8
"""What is stored was stored just now, by the clock of the database: it is quiet all the same."""
TRACES = 2_000
RATE = 0.25


def ingest(db: Database, day: datetime, first: int, count: int) -> None:
    """Store traces, each of one call: a fifth slow, a tenth failing."""
    received = int(day.timestamp()) * SECOND
    spans = []
    for n in range(first, first + count):
        lasts = 40 if n % 5 == 0 else 1
        given: dict[str, Any] = {"gen_ai.operation.name": "chat"}
        if n % 10 == 3:
            given["gen_ai.response.finish_reasons"] = ["content_filter"]
        spans.append(span(mixed(n), n, start=received, end=received + lasts * SECOND, attributes=given))
    record = spans_record(spans, received=received)
    process = processing(Policy.model_validate({"sample": {"baseline_rate": RATE}}))
    insert_batch(db, process(batch_of(record)), f"day/{first}")


def tried(db: Database, **settings: Any) -> Found:
    database = TenantDatabase(db, "default")
    policy = Policy.model_validate(settings)
    past = history(database, DAY - timedelta(days=1), NOW)
    return backtest(database, past, Side(None, NONE), Side(policy, NONE), bytes_per_span=100.0)


POLICIES: dict[str, dict[str, Any]] = {
    "higher": {"sample": {"baseline_rate": 0.5}},
    "lower": {"sample": {"baseline_rate": 0.1}},
    "rule": {
        "failure": {"rules": [{"name": "slow", "when": "duration_ms > 30000"}]},
        "sample": {"baseline_rate": 0.25},
    },
    "less": {"failure": {"disabled": ["finish:content_filter"]}, "sample": {"baseline_rate": 0.25}},
}


def test_what_is_left_tells_of_what_is_gone(embedded_db: Database) -> None:
    ingest(embedded_db, DAY, 1, TRACES)
    ingest(embedded_db, LATER, TRACES + 1, 500)
    whole = {name: tried(embedded_db, **settings) for name, settings in POLICIES.items()}
    assert whole["higher"].whole_since == DAY
    assert whole["higher"].counted.stored == TRACES + 500
    accept(embedded_db, "test", "", Settings(Holding(90, 7)).document())
    Retention(embedded_db, "test", lambda: Moment(NOW, ANY_TIME_S)).run()
    for name, settings in POLICIES.items():
        before, after = whole[name].counted, tried(embedded_db, **settings)
        assert after.whole_since == DAY.replace(hour=0) + timedelta(days=1)
        found = after.counted
        assert found.stored < TRACES / 2 + 500
        # A quarter was kept: of N traces, sqrt(3 N) are four standard deviations and more.
        slack = (3 * before.traces) ** 0.5
        assert found.traces == pytest.approx(before.traces, abs=4 * slack)
        for figure in ("failing", "baseline", "flagged"):
            for side in ("now", "then"):
                expected, told = getattr(getattr(before, figure), side), getattr(getattr(found, figure), side)
                assert told == pytest.approx(expected, abs=4 * slack), (name, figure, side)
        assert found.bytes == pytest.approx(100 * found.traces)
    assert whole["rule"].counted.reasons["rule:slow"].gained == (TRACES + 500) / 5


def test_what_is_kept_for_a_person_stands_for_nothing(embedded_db: Database) -> None:
    ingest(embedded_db, DAY, 1, 400)
    [row] = embedded_db.rows("SELECT trace_id FROM traces WHERE NOT flagged ORDER BY trace_id LIMIT 1")
    embedded_db.command(
        "INSERT INTO annotations (tenant, annotation_id, created_at, trace_id, verdict) VALUES "
        f"('default', 'a', now64(6), '{row['trace_id']}', 'pass')"
    )
    accept(embedded_db, "test", "", Settings(Holding(90, 7)).document())
    Retention(embedded_db, "test", lambda: Moment(NOW, ANY_TIME_S)).run()
    flagged = embedded_db.rows("SELECT sum(sample_weight) AS n FROM traces WHERE flagged")[0]["n"]
    found = tried(embedded_db, sample={"baseline_rate": RATE}).counted
    assert found.stored == embedded_db.rows("SELECT count() AS n FROM traces")[0]["n"]
    assert found.traces == pytest.approx(flagged)


def test_an_embedded_database_and_a_server_say_the_same(db: Database) -> None:
    ingest(db, DAY, 1, 200)
    found = tried(db, **POLICIES["rule"])
    assert found.whole_since == DAY
    assert (found.counted.stored, found.counted.traces, found.counted.bytes) == (200, 200.0, 20_000.0)
    # A tenth is withheld, of which none is slow: 3 mod 10 is never 0 mod 5.
    assert found.counted.failing == Change(now=20, then=60, gained=40, lost=0)
    assert found.counted.reasons["finish:content_filter"] == Change(now=20, then=20)
    sampled = sum(r["n"] for r in db.rows("SELECT count() AS n FROM traces WHERE baseline AND NOT failing"))
    assert found.counted.baseline.now == sampled > found.counted.baseline.then
