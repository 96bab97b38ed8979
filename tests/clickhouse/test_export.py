from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from exporters.clickhouse import clickhouse
from exporters.clickhouse.connect import Database, connect
from exporters.clickhouse.exporter import ClickHouseExporter
from exporters.clickhouse.insert import insert_batch
from exporters.clickhouse.migrate import migrate
from exporters.clickhouse.policies import note_policy
from schema.component import Context
from schema.errors import ConfigError, Permanent, Retryable
from schema.policy import Policy, SamplePolicy
from tests.clickhouse.otlp import DAY, NOON, SECOND, batch_of, logs_record, span, spans_record, with_feedback

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema.batch import SpanBatch

COUNTS = (
    "SELECT (SELECT count() FROM spans) AS spans, (SELECT count() FROM events) AS events, "
    "(SELECT count() FROM feedback) AS feedback, (SELECT sum(count) FROM ledger) AS ledger, "
    "(SELECT sum(span_count) FROM traces) AS trace_spans, (SELECT count() FROM traces) AS traces"
)


@pytest.fixture
def dsn(migrated_dsn: str) -> str:
    """Name a database as an exporter finds it that has been here before."""
    return migrated_dsn


def export(dsn: str, *batches: tuple[SpanBatch, str]) -> None:
    """Export through the component, opened and closed as the service does."""

    async def run() -> None:
        exporter = ClickHouseExporter(dsn)
        await exporter.start()
        try:
            for batch, token in batches:
                await exporter.export(batch, token)
        finally:
            await exporter.shutdown()

    asyncio.run(run())


def query(dsn: str, sql: str) -> list[dict[str, Any]]:
    with connect(dsn) as db:
        return db.rows(sql)


def traffic() -> SpanBatch:
    batch = batch_of(
        spans_record([span(1, 1), span(1, 2, parent=1), span(2, 3)]),
        spans_record([span(2, 4, parent=3)], received=NOON + DAY),
        logs_record([LogRecord(trace_id=(1).to_bytes(16, "big"), time_unix_nano=NOON)]),
        columns={"input_tokens": [None, 7, 5, 1], "counted": [False, True, True, False]},
    )
    return with_feedback(batch, {"trace_id": f"{2:032x}"})


WHOLE = {"spans": 4, "events": 1, "feedback": 1, "ledger": 5, "trace_spans": 4, "traces": 2}


def test_the_same_token_is_stored_once_views_included_also_after_a_reopen(dsn: str) -> None:
    batch = traffic()
    export(dsn, (batch, "t1"), (batch, "t1"))
    assert query(dsn, COUNTS) == [WHOLE]
    export(dsn, (batch, "t1"))
    assert query(dsn, COUNTS) == [WHOLE]
    assert query(dsn, "SELECT sum(input_tokens) AS n FROM traces") == [{"n": 12}]


def test_another_token_is_another_batch_even_of_equal_bytes(dsn: str) -> None:
    batch = traffic()
    export(dsn, (batch, "t1"), (batch, "t2"))
    assert query(dsn, "SELECT count() AS n FROM spans") == [{"n": 8}]


def test_a_retry_stores_what_the_first_try_did_not(db: Database) -> None:
    batch = traffic()
    db.command("RENAME TABLE feedback TO feedback_away")
    with pytest.raises(Retryable, match="UNKNOWN_TABLE"):
        insert_batch(db, batch, "t1")
    assert db.rows("SELECT count() AS n FROM ledger") == [{"n": 0}], "the ledger counts only what is stored"
    db.command("RENAME TABLE feedback_away TO feedback")
    insert_batch(db, batch, "t1")
    assert db.rows(COUNTS) == [WHOLE]


def test_one_insert_is_one_block_however_many_rows(db: Database) -> None:
    many = pa.table(
        {
            "tenant": ["t"] * 150_000,
            "minute": pa.array([NOON // SECOND] * 150_000, pa.timestamp("s", "UTC")),
            "signal": [str(i) for i in range(150_000)],
            "state": ["stored"] * 150_000,
            "reason": [""] * 150_000,
            "count": pa.array([1] * 150_000, pa.uint64()),
        }
    )
    db.command("SYSTEM STOP MERGES ledger")
    for _ in range(2):
        db.insert_arrow("ledger", many, "t1")
    parts = "SELECT count() AS parts, sum(rows) AS n FROM system.parts WHERE database=currentDatabase() AND active"
    assert db.rows(f"{parts} AND table = 'ledger'") == [{"parts": 1, "n": 150_000}]


def test_a_time_beyond_what_clickhouse_holds_does_not_fail_the_insert(dsn: str) -> None:
    export(dsn, (batch_of(spans_record([span(1, 1, start=NOON, end=2**64 - 1)])), "t1"))
    [row] = query(dsn, "SELECT toString(end_time) AS end, time_faults FROM spans")
    assert row == {"end": "2262-04-11 23:47:16.854775807", "time_faults": ["end_clamped"]}


def test_values_arrive_as_they_left(dsn: str) -> None:
    text = "it's \\ \n\t\0 {x:String} %s 😀 ümlaut"
    sent = {"k": text, "n": -5, "f": 0.5, "b": True, "l": ["a", 1], "m": {"x": None}}
    derived: dict[str, list[Any]] = {
        "input_messages": [f'[{{"x":"{text}"}}]'],
        "tags": [[text, ""]],
        "cost_usd": [0.25],
        "streaming": [True],
    }
    export(dsn, (batch_of(spans_record([span(1, 1, name=text, attributes=sent)]), columns=derived), "t1"))
    [row] = query(dsn, "SELECT name, span_attributes AS a, input_messages, tags, cost_usd, streaming FROM spans")
    assert row["name"] == text
    wanted = {"k": text, "n": "-5", "f": "0.5", "b": "true", "l": '["a",1]', "m": '{"x":null}'}
    assert row["a"] == wanted
    assert list(row["a"]) == sorted(wanted)
    assert row["input_messages"] == derived["input_messages"][0]
    assert (row["tags"], row["cost_usd"], row["streaming"]) == ([text, ""], 0.25, True)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_a_trace_is_the_same_in_whatever_order_its_parts_come(dsn: str, order: Sequence[int]) -> None:
    root: dict[str, list[Any]] = {
        "session_id": ["s1"],
        "counted": [False],
        "baseline": [True],
        "baseline_rate": [0.1],
        "feature": ["refunds"],
        "failing": [False],
        "failure_reasons": [[]],
    }
    model: dict[str, list[Any]] = {
        "session_id": ["other"],
        "counted": [True],
        "input_tokens": [10],
        "output_tokens": [4],
        "cost_usd": [0.5],
        "error": [True],
        "agent_name": ["bob"],
        "failing": [True],
        "failure_reasons": [["error"]],
    }
    parts = [
        (batch_of(spans_record([span(7, 1, name="root")]), columns=root), "t1"),
        (
            batch_of(spans_record([span(7, 2, parent=1, start=NOON - 5 * SECOND)], received=NOON + DAY), columns=model),
            "t2",
        ),
        (with_feedback(batch_of(logs_record([LogRecord()], received=NOON - DAY)), {"trace_id": f"{7:032x}"}), "t3"),
    ]
    export(dsn, *[parts[i] for i in order])
    [trace] = query(dsn, "SELECT * FROM traces")
    assert trace.pop("start_time").timestamp() == (NOON - 5 * SECOND) / SECOND
    assert trace.pop("end_time").timestamp() == (NOON + SECOND) / SECOND
    assert trace.pop("received_at").timestamp() == NOON / SECOND
    assert trace == {
        "tenant": "default",
        "trace_id": f"{7:032x}",
        "duration_ms": 6000.0,
        "root_name": "root",
        "service_name": "shop",
        "span_count": 2,
        "error_count": 1,
        "llm_calls": 1,
        "input_tokens": 10,
        "output_tokens": 4,
        "cost_usd": 0.5,
        "session_id": "s1",
        "session_key": "s1",
        "user_id": None,
        "agent_name": "bob",
        "feature": "refunds",
        "environment": None,
        "release": None,
        "failing": True,
        "failure_reasons": ["error", "feedback:thumb"],
        "baseline": True,
        "baseline_rate": 0.1,
        "arrival_rate": None,
        "policy_versions": [],
        "frozen_weight": None,
        "flagged": True,
        "inclusion_probability": 1.0,
        "sample_weight": 1.0,
        "trace_defects": [],
        "settled": False,
    }


def test_flags_and_weights_follow_failing_then_baseline(dsn: str) -> None:
    columns: dict[str, list[Any]] = {
        "failing": [True, False, False],
        "failure_reasons": [["error"], [], []],
        "baseline": [False, True, False],
        "baseline_rate": [0.25, 0.25, 0.25],
    }
    export(dsn, (batch_of(spans_record([span(1, 1), span(2, 1), span(3, 1)]), columns=columns), "t1"))
    rows = query(dsn, "SELECT trace_id, flagged, sample_weight FROM traces ORDER BY trace_id")
    assert [(r["flagged"], r["sample_weight"]) for r in rows] == [(True, 1.0), (True, 4.0), (False, 0.0)]
    flagged = query(dsn, "SELECT trace_id FROM flagged_traces ORDER BY trace_id")
    assert [r["trace_id"] for r in flagged] == [f"{1:032x}", f"{2:032x}"]


def test_the_weight_of_a_trace_is_of_all_its_spans_and_of_samplers_before_us(dsn: str) -> None:
    """Several spans of a trace: the highest rate is its probability; what arrived is never surer than that."""
    columns: dict[str, list[Any]] = {
        "failing": [False, False, False, True, False, False],
        "failure_reasons": [[], [], [], ["error"], [], []],
        "baseline": [False, True, True, False, True, False],
        "baseline_rate": [0.1, 0.5, 0.125, 0.125, None, 0.1],
        "arrival_rate": [None, None, 0.125, 0.125, None, None],
        "policy_version": ["old", "new", "new", "new", None, "new"],
    }
    spans = [span(1, 1), span(1, 2, parent=1), span(2, 1), span(3, 1), span(4, 1), span(5, 1)]
    export(dsn, (batch_of(spans_record(spans), columns=columns), "t1"))
    rows = query(dsn, "SELECT * FROM traces ORDER BY trace_id")
    assert [(r["inclusion_probability"], r["sample_weight"]) for r in rows] == [
        (0.5, 2.0),
        (0.125, 8.0),
        (0.125, 8.0),  # it fails, and seven like it never arrived
        (0.0, 1.0),  # nobody knows a rate: it stands for itself
        (0.1, 0.0),
    ]
    assert [r["policy_versions"] for r in rows] == [["new", "old"], ["new"], ["new"], [], ["new"]]


def test_a_trace_that_fails_after_others_like_it_went_keeps_its_weight(dsn: str) -> None:
    sampled: dict[str, list[Any]] = {"baseline": [True], "baseline_rate": [0.1]}
    export(dsn, (batch_of(spans_record([span(1, 1)]), columns=sampled), "t1"))
    hour = "toStartOfHour(toDateTime(received_at, 'UTC'))"
    freeze = (
        f"INSERT INTO trace_parts (tenant, received_hour, trace_id, frozen_weight) SELECT tenant, {hour}, trace_id, "
    )
    with connect(dsn) as db:
        db.command(freeze + "10. FROM spans")
    late = with_feedback(batch_of(logs_record([LogRecord()])), {"trace_id": f"{1:032x}"})
    export(dsn, (late, "t2"))
    [row] = query(dsn, "SELECT failing, inclusion_probability, sample_weight FROM traces")
    assert row == {"failing": True, "inclusion_probability": 0.1, "sample_weight": 10.0}


def test_sample_rate_is_a_whole_number_and_right_in_sum(dsn: str) -> None:
    """What HyperDX cannot read as a whole number it counts as 1."""
    n = 400
    columns: dict[str, list[Any]] = {"arrival_rate": [0.4] * n}
    export(dsn, (batch_of(spans_record([span(i * 7919, 1) for i in range(1, n + 1)]), columns=columns), "t1"))
    rows = query(dsn, "SELECT SampleRate AS rate FROM otel_traces")
    assert {r["rate"] for r in rows} == {2, 3}
    assert abs(sum(r["rate"] for r in rows) / n - 2.5) < 0.1
    with connect(dsn) as db:
        db.command("ALTER TABLE spans UPDATE sample_weight = 10 WHERE true SETTINGS mutations_sync = 1")
    assert query(dsn, "SELECT DISTINCT SampleRate AS rate FROM otel_traces") == [{"rate": 25}]


def test_a_sample_rate_that_cannot_be_is_not_believed(dsn: str) -> None:
    said = ["4", "10000", "10001", "99999999999999999999", "x"]
    spans = [span(n, 1, attributes={"SampleRate": rate}) for n, rate in enumerate(said, 1)]
    export(dsn, (batch_of(spans_record(spans)), "t1"))
    rows = query(dsn, "SELECT SampleRate AS rate FROM otel_traces ORDER BY TraceId")
    assert [r["rate"] for r in rows] == [4, 10_000, 1, 1, 1]


def test_feedback_that_is_not_negative_or_names_no_trace_is_kept_and_flags_nothing(dsn: str) -> None:
    whole = f"{1:032x}"
    mild = [{"trace_id": whole, "polarity": polarity} for polarity in ("positive", "unknown", None)]
    lost = [{"trace_id": trace_id} for trace_id in ("", "xyz", "ab" * 15, None, "ZZ" * 16)]
    export(dsn, (with_feedback(batch_of(spans_record([span(1, 1)])), *mild, *lost), "t1"))
    assert query(dsn, "SELECT count() AS n FROM feedback") == [{"n": 8}]
    assert query(dsn, "SELECT failing, failure_reasons FROM traces") == [{"failing": False, "failure_reasons": []}]


def test_feedback_alone_makes_no_trace(dsn: str) -> None:
    batch = with_feedback(batch_of(logs_record([LogRecord()])), {"trace_id": f"{1:032x}"})
    export(dsn, (batch, "t1"))
    assert query(dsn, "SELECT * FROM traces") == []


def test_a_policy_is_noted_once_however_often_and_from_wherever_it_starts(dsn: str) -> None:
    policy, other = Policy(), Policy(sample=SamplePolicy(baseline_rate=0.5))

    async def start(*policies: Policy) -> None:
        exporters = [ClickHouseExporter(dsn, policy=p) for p in policies]
        await asyncio.gather(*(e.start() for e in exporters))
        for exporter in exporters:
            await exporter.shutdown()

    asyncio.run(start(policy))
    asyncio.run(start(policy, other, other))
    found = query(dsn, "SELECT version, body FROM sampling_policies ORDER BY first_seen")
    assert [(r["version"], r["body"]) for r in found] == [(p.version, p.body) for p in (policy, other)]


def test_two_that_find_no_policy_leave_one_row(dsn: str) -> None:
    """They looked before either wrote: the token is what makes it one."""
    with connect(dsn, create_database=True) as db:
        migrate(db)
        for _ in range(2):
            note_policy(_Forgetful(db), Policy())  # type: ignore[arg-type] # all of a database but what it knows
        assert db.rows("SELECT count() AS n FROM sampling_policies") == [{"n": 1}]


class _Forgetful:
    """A database in which nothing is found."""

    def __init__(self, db: Database) -> None:
        self.insert_arrow = db.insert_arrow

    def rows(self, _sql: str, _parameters: dict[str, object]) -> list[dict[str, Any]]:
        return [{"n": 0}]


def test_otel_traces_speaks_the_collectors_words(dsn: str) -> None:
    one = span(0xFF, 0xA, kind=3, attributes={"SampleRate": 4, "a": "b"})
    one.status.code = Status.STATUS_CODE_ERROR
    one.events.add(name="e", time_unix_nano=NOON)
    export(dsn, (batch_of(spans_record([one, span(0xFF, 0xB, parent=0xA)])), "t1"))
    [row, child] = query(dsn, f"SELECT * FROM otel_traces WHERE TraceId = '{0xFF:032x}' ORDER BY SpanId")
    assert (row["SpanId"], row["ParentSpanId"], child["ParentSpanId"]) == (f"{10:016x}", "", f"{10:016x}")
    assert (row["SpanKind"], row["StatusCode"], row["Duration"]) == ("Client", "Error", SECOND)
    assert (child["SpanKind"], child["StatusCode"], child["SampleRate"]) == ("Unspecified", "Unset", 1)
    assert (row["SampleRate"], row["SpanAttributes"]["a"], row["ServiceName"]) == (4, "b", "shop")
    assert row["Events.Name"] == ["e"]
    span_times = query(dsn, "SELECT TraceId, toUnixTimestamp(Start) AS s FROM otel_traces_trace_id_ts")
    assert span_times == [{"TraceId": f"{0xFF:032x}", "s": NOON // SECOND}]


def test_a_lookup_by_hex_id_uses_the_index(db: Database) -> None:
    ClickHouseExporter("chdb:///nowhere")._insert(db, batch_of(spans_record([span(i, 1) for i in range(1, 50)])), "t1")
    for name, column in (("otel_traces", "TraceId"), ("traces", "trace_id")):
        plan = db.rows(f"EXPLAIN indexes = 1 SELECT * FROM {name} WHERE {column} = '{1:032x}'")
        assert any("trace_id_hex" in r["explain"] for r in plan), name


def test_errors_of_inserts_never_quote_data(db: Database) -> None:
    secret = pa.table({"tenant": ["t"], "count": ["a very private word"]})
    with pytest.raises(Permanent) as caught:
        db.insert_arrow("ledger", secret, "t1")
    assert "private" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_column_is_permanent_and_named(db: Database) -> None:
    with pytest.raises(Permanent, match="nonesuch"):
        db.insert_arrow("ledger", pa.table({"nonesuch": ["t"]}), "t1")


def test_a_server_that_is_down_is_retryable() -> None:
    exporter = ClickHouseExporter("http://127.0.0.1:1/db")
    with pytest.raises(Retryable, match="cannot be reached"):
        asyncio.run(exporter.start())


def test_without_create_schema_missing_migrations_are_named(embedded_dsn: str) -> None:
    connect(embedded_dsn, create_database=True).close()
    exporter = ClickHouseExporter(embedded_dsn, create_schema=False)
    with pytest.raises(ConfigError, match=r"0001_spans.*create_schema"):
        asyncio.run(exporter.start())


def test_a_wrong_dsn_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="postgres"):
        clickhouse(clickhouse.config.model_validate({"dsn": "postgres://x/y"}), Context("clickhouse", tmp_path))


def test_shutdown_is_safe_without_start_and_twice(embedded_dsn: str) -> None:
    async def run() -> None:
        exporter = ClickHouseExporter(embedded_dsn)
        await exporter.shutdown()
        await exporter.start()
        await exporter.shutdown()
        await exporter.shutdown()

    asyncio.run(run())


def test_what_was_exported_survives_a_kill_of_the_process(tmp_path: Path) -> None:
    dsn = f"chdb://{tmp_path}/db"
    code = f"""
import os, signal
from exporters.clickhouse.connect import connect
from exporters.clickhouse.insert import insert_batch
from exporters.clickhouse.migrate import migrate
from exporters.clickhouse.policies import note_policy
from tests.clickhouse.test_export import traffic
db = connect({dsn!r})
migrate(db)
insert_batch(db, traffic(), "t1")
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2], timeout=60)
    assert killed.returncode == -9
    again = f"""
from exporters.clickhouse.connect import connect
from exporters.clickhouse.insert import insert_batch
from tests.clickhouse.test_export import COUNTS, WHOLE, traffic
with connect({dsn!r}) as db:
    assert db.rows(COUNTS) == [WHOLE], db.rows(COUNTS)
    insert_batch(db, traffic(), "t1")
    assert db.rows(COUNTS) == [WHOLE], db.rows(COUNTS)
"""
    subprocess.run([sys.executable, "-c", again], check=True, cwd=Path(__file__).parents[2], timeout=60)


def test_rows_that_are_equal_are_both_kept(db: Database) -> None:
    row = {"tenant": "t", "minute": NOON // SECOND, "signal": "s", "state": "refused", "reason": "", "count": 1}
    db.insert_rows("ledger", [row])
    db.insert_rows("ledger", [row])
    assert db.rows("SELECT sum(count) AS n FROM ledger") == [{"n": 2}]


def test_migrations_may_run_between_exports(dsn: str) -> None:
    export(dsn, (traffic(), "t1"))
    with connect(dsn) as db:
        assert migrate(db) == []
        assert db.rows(COUNTS) == [WHOLE]


def test_a_trace_of_no_session_is_a_session_of_its_own(dsn: str) -> None:
    export(dsn, (batch_of(spans_record([span(7, 1), span(8, 1)]), columns={"session_id": ["s", None]}), "t"))
    rows = query(dsn, "SELECT trace_id, session_id, session_key FROM traces ORDER BY trace_id")
    assert [(r["session_id"], r["session_key"]) for r in rows] == [("s", "s"), (None, f"{8:032x}")]
