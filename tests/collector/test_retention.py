"""What retention removes, and what it keeps: on both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from collector.retention.decide import Moment
from collector.retention.expire import Retention
from collector.retention.settings import Holding, Settings
from tests.clickhouse.otlp import span, spans_record
from tests.collector.retained import BASELINE, FAILING, PLAIN, TABLES, WEEK, World, ago, emptied, hold, name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporters.clickhouse.connect import Database

YEARS_S = 20 * 365 * 86_400.0
"""Rows of tests are stored that long before the moment of their world."""


@pytest.fixture
def world(db: Database) -> World:
    return World(db)


@pytest.fixture
def embedded(kept_dsn: str) -> Iterator[World]:
    with emptied(kept_dsn) as world:
        yield world


def annotate(world: World, trace: int) -> None:
    world.db.command(
        "INSERT INTO annotations (tenant, annotation_id, created_at, trace_id, verdict) VALUES "
        f"('default', 'a{trace}', now64(6), '{name(trace)}', 'pass')"
    )


def make_case(world: World, trace: int) -> None:
    body = f'{{"provenance": {{"trace_id": "{name(trace)}"}}}}'
    row = {"tenant": "default", "case_id": f"c{trace}", "event": "created", "actor": "me", "reason": "", "body": body}
    world.db.insert_rows("case_events", [row])


def test_what_is_flagged_reviewed_or_held_outlives_the_rest(embedded: World) -> None:
    embedded.trace(1, 2, 3, 4, days=8)
    embedded.trace(5, days=8, of=FAILING)
    embedded.trace(6, days=8, of=BASELINE)
    embedded.trace(7, days=7)
    annotate(embedded, 2)
    make_case(embedded, 3)
    hold(embedded, [4])
    embedded.trace(11, days=91, of=FAILING)
    embedded.trace(12, days=91, of=BASELINE)
    embedded.trace(13, 14, days=91, of=FAILING)
    embedded.trace(15, days=90, of=FAILING)
    annotate(embedded, 13)
    hold(embedded, [14])
    removed = embedded.expire()
    assert embedded.traces() == {2, 3, 4, 5, 6, 7, 14, 15}
    assert embedded.left("spans") == embedded.left("trace_parts") == embedded.traces()
    assert (removed.traces, removed.rows) == (4, {"traces": 8})
    assert embedded.expire().runs == 0, "there is nothing left to do"


@pytest.mark.thorough
def test_tenants_have_holding_times_of_their_own(embedded: World) -> None:
    for tenant in ("default", "acme", "globex"):
        embedded.trace(1, days=10, tenant=tenant)
        embedded.trace(2, days=40, tenant=tenant, of=FAILING)
    embedded.expire(Settings(Holding(90, 7), {"acme": Holding(30, 30), "globex": Holding(100, 2)}))
    kept = {(r["tenant"], int(r["trace_id"], 16)) for r in embedded.db.rows("SELECT tenant, trace_id FROM traces")}
    assert kept == {("default", 2), ("acme", 1), ("globex", 2)}


def test_a_trace_goes_whole_or_not_at_all(world: World) -> None:
    world.trace(1, days=12)  # and more of it within the time
    world.trace(1, days=5)
    world.trace(2, days=12)  # and more of it, before
    world.trace(2, days=9)
    world.trace(3, days=12)  # a log record within the time
    world.logs(3, days=3)
    world.trace(4, days=12)  # a log record before
    world.logs(4, days=9)
    world.trace(5, days=12)  # somebody was pleased with it within the time
    world.said(5, days=1, polarity="positive")
    world.trace(6, days=12)
    world.said(6, days=9, polarity="neutral")
    for trace in (1, 2):
        row = {"tenant": "default", "trace_id": bytes.fromhex(name(trace)), "received_hour": ago(12) // 10**9}
        world.db.insert_rows("settlements", [{**row, "version": ago(11), "rows": 4, "span_count": 4}])
        span_row = {"tenant": "default", "trace_id": bytes.fromhex(name(trace)), "span_id": bytes(7) + b"\1"}
        world.db.insert_rows("span_revisions", [{**span_row, "received_at": ago(12), "version": ago(11)}])
    world.expire()
    assert world.traces() == {1, 3, 5}
    for table in TABLES:
        assert world.left(table) <= {1, 3, 5}, table
    assert world.db.rows("SELECT count() AS n FROM spans WHERE trace_id = unhex({t:String})", {"t": name(1)}) == [
        {"n": 4}
    ]


def test_a_thumbs_down_on_the_last_day_keeps_all_of_its_trace(embedded: World) -> None:
    embedded.trace(1, 2, days=13.8)
    embedded.said(1, days=13.8 - 6.9)
    embedded.expire()
    assert embedded.traces() == {1}
    embedded.later(83)
    embedded.expire()
    assert embedded.traces() == {1}, "flagged, 90 days after the last of it"
    embedded.later(2)
    embedded.expire()
    assert embedded.traces() == set()
    assert embedded.left("feedback") == set()


def test_log_records_and_feedback_of_no_trace_go_by_their_own_day(embedded: World) -> None:
    embedded.logs(0, 0, days=8)
    embedded.logs(0, days=7)
    embedded.logs(9, days=8)  # names a trace of which no span ever came
    embedded.said(None, days=8)
    embedded.said(None, days=7)
    removed = embedded.expire()
    assert removed.rows == {"logs": 3}
    assert embedded.ledger() == {"stored logs": 1, "expired logs": 3}
    left = embedded.db.rows("SELECT (SELECT count() FROM events) AS logs, (SELECT count() FROM feedback) AS said")
    assert left == [{"logs": 1, "said": 1}]


def test_the_ledger_says_expired_of_what_went_by_the_minute_of_its_receipt(embedded: World) -> None:
    embedded.trace(1, 2, days=9)
    embedded.trace(3, days=8.5)
    embedded.trace(4, days=8.5, of=FAILING)
    embedded.expire()
    assert embedded.ledger() == {"stored traces": 2, "expired traces": 6}
    rows = embedded.db.rows(
        "SELECT toUnixTimestamp(minute) AS at, sum(count) AS n FROM ledger WHERE state = 'expired' GROUP BY at"
    )
    assert {r["at"]: int(r["n"]) for r in rows} == {ago(9) // 10**9 // 60 * 60: 4, ago(8.5) // 10**9 // 60 * 60: 2}


def test_what_is_sent_again_after_it_went_is_not_stored_again(world: World) -> None:
    record = spans_record([span(1, 1)], received=ago(9))
    world.insert(record, columns={k: [v] for k, v in PLAIN.items()})
    world.expire()
    world.count = 0  # the token of the first INSERT
    world.insert(record, columns={k: [v] for k, v in PLAIN.items()})
    assert (world.left("spans"), world.ledger()) == (set(), {"expired traces": 1})


def test_what_stays_keeps_the_weight_it_had_when_the_others_went(world: World) -> None:
    world.trace(1, days=8, of=BASELINE)
    world.trace(2, days=8, of=FAILING)
    world.trace(3, days=8, of={"failing": False, "baseline": True, "baseline_rate": 0.25, "arrival_rate": 0.5})
    world.trace(4, days=8, of={"failing": True, "baseline": False, "baseline_rate": 0.25, "arrival_rate": 0.5})
    world.trace(5, days=1, of=BASELINE)
    world.trace(6, days=8)
    hold(world, [6])
    before = {r["trace_id"]: r["sample_weight"] for r in world.db.rows("SELECT trace_id, sample_weight FROM traces")}
    assert before == {name(1): 10, name(2): 1, name(3): 4, name(4): 2, name(5): 10, name(6): 0}
    world.expire()
    for trace in range(1, 7):
        world.said(trace, days=0)  # too late for others like it
    after = {r["trace_id"]: r["sample_weight"] for r in world.db.rows("SELECT trace_id, sample_weight FROM traces")}
    assert after == {**before, name(5): 1}
    spans = world.db.rows("SELECT DISTINCT lower(hex(trace_id)) AS t, sample_weight AS w FROM spans ORDER BY t")
    # Of a span among those that arrived: what samplers before us left out comes on top.
    assert [r["w"] for r in spans] == [10, 1, 2, 1, 1, 0]


def test_very_many_weights_are_rounded(embedded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.retention.mutate.MOST_WEIGHTS", 3)
    rates = [1 / (1 + n / 7) for n in range(6)]
    columns: dict[str, list[Any]] = {"failing": [False] * 6, "baseline": [True] * 6, "baseline_rate": rates}
    embedded.insert(spans_record([span(n + 1, 1) for n in range(6)], received=ago(8)), columns=columns)
    embedded.expire()
    rows = embedded.db.rows("SELECT reinterpretAsUInt128(reverse(trace_id)) AS t, sample_weight AS w FROM spans")
    assert len(rows) == 6
    wrong_by = [abs(r["w"] * rates[int(r["t"]) - 1] - 1) for r in rows]
    assert 1e-4 < max(wrong_by) < 0.012


def test_days_into_which_rows_come_just_now_wait(embedded: World) -> None:
    embedded.trace(1, days=8)
    embedded.force()
    assert Retention(embedded.db, "test", lambda: Moment(embedded.now, quiet_s=YEARS_S)).run().runs == 0
    assert embedded.expire().traces == 1


def test_without_settings_nothing_goes(embedded: World) -> None:
    embedded.trace(1, days=4000)
    assert embedded.expire(None).runs == 0
    assert embedded.expire(Settings()).runs == 0
    assert embedded.traces() == {1}


def test_more_candidates_than_one_statement_decides_on(embedded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.retention.decide.MAX_TRACES_AT_ONCE", 7)
    embedded.trace(*range(1, 31), days=8)
    embedded.trace(40, days=8, of=BASELINE)
    assert embedded.expire(WEEK).traces == 30
    assert embedded.traces() == {40}


def test_what_was_stored_late_lives_as_long_as_what_came_then(embedded: World) -> None:
    """A journal that waited for its database for weeks, or a clock that was behind."""
    embedded.trace(1, days=20)
    received = embedded.db.rows("SELECT toUnixTimestamp(max(received_at)) AS at FROM spans")[0]["at"]
    embedded.db.command("TRUNCATE TABLE trace_parts")
    embedded.db.command(
        "INSERT INTO trace_parts (tenant, received_hour, trace_id, span_count, touched_at) SELECT 'default', "
        f"toStartOfHour(toDateTime({received}, 'UTC')), unhex('{name(1)}'), 2, fromUnixTimestamp64Nano({ago(1)}, 'UTC')"
    )
    embedded.force()
    assert embedded.retention().run().runs == 0
    embedded.later(7)
    assert embedded.expire(None).traces == 1
    assert embedded.left("spans") == set()
