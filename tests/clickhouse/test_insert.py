"""Rows that ClickHouse refuses are found, all others are stored once, whatever happens in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from exporters.clickhouse import insert as inserting
from exporters.clickhouse.insert import Splits, insert_batch, rehearse
from schema.errors import Permanent, Retryable
from schema.ledger import REJECTED
from tests.clickhouse.otlp import DAY, NOON, batch_of, logs_record, span, spans_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporters.clickhouse.connect import Database
    from schema.batch import SpanBatch

NO_POISON = "ALTER TABLE spans MODIFY COLUMN trace_state Enum8('' = 0)"
LEDGER = "SELECT signal, toString(state) AS state, reason, sum(count) AS n FROM ledger GROUP BY ALL ORDER BY ALL"


def batch_with(n: int, *poison: int, received: int = NOON) -> SpanBatch:
    """Return a batch of `n` spans, those at these rows with a word that is refused."""
    named = [span(1 + i, 1 + i, name=f"span {i}", trace_state="poison" if i in poison else "") for i in range(n)]
    return batch_of(spans_record(named, received=received))


def names(db: Database) -> list[str]:
    return sorted(r["name"] for r in db.rows("SELECT name FROM spans"))


def test_what_is_refused_is_found_and_the_rest_is_stored_counted_and_summed_up_once(db: Database) -> None:
    db.command(NO_POISON)
    batch = batch_with(64, 5, 40)
    for _ in range(2):
        inserted = insert_batch(db, batch, "t1")
        assert inserted.rejected is not None
        assert inserted.rejected.spans == (5, 40)
        assert "UNKNOWN_ELEMENT_OF_ENUM" in inserted.rejected.reason
        assert names(db) == sorted(f"span {i}" for i in range(64) if i not in (5, 40))
        assert db.rows("SELECT sum(span_count) AS n FROM traces") == [{"n": 62}]
        assert db.rows(LEDGER) == [
            {"signal": "traces", "state": "quarantined", "reason": REJECTED, "n": 2},
            {"signal": "traces", "state": "stored", "reason": "", "n": 62},
        ]


def test_rows_of_a_batch_of_two_days_are_named_as_the_batch_numbers_them(db: Database) -> None:
    db.command(NO_POISON)
    records = [
        spans_record([span(1, 1), span(1, 2, trace_state="poison")]),
        spans_record([span(2, 3), span(2, 4, trace_state="poison"), span(2, 5)], received=NOON + DAY),
        logs_record([LogRecord(time_unix_nano=NOON)]),
    ]
    inserted = insert_batch(db, batch_of(*records), "t1")
    assert inserted.rejected is not None
    assert (inserted.rejected.spans, inserted.rejected.logs) == ((1, 3), ())
    assert names(db) == ["span 1", "span 3", "span 5"]


def test_a_replay_never_stores_a_block_whole_of_which_parts_are_stored(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.command(NO_POISON)
    batch = batch_with(16, 3)
    real, calls = type(db).insert_arrow, []

    def dying(self: Database, table: str, rows: Any, token: str) -> None:
        calls.append(token)
        if len(calls) == 5:
            raise ConnectionResetError("the process ends here")
        real(self, table, rows, token)

    with monkeypatch.context() as patched:
        patched.setattr(type(db), "insert_arrow", dying)
        with pytest.raises(ConnectionResetError):
            insert_batch(db, batch, "t1")
    assert 0 < len(names(db)) < 16
    db.command("ALTER TABLE spans MODIFY COLUMN trace_state String")  # what was refused would be taken now
    assert insert_batch(db, batch, "t1", Splits(db)).rejected is None
    assert len(names(db)) == 16


def test_where_many_rows_are_refused_the_search_ends(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inserting, "MAX_SINGLES", 4)
    db.command(NO_POISON)
    real, sizes = type(db).insert_arrow, []

    def counting(self: Database, table: str, rows: pa.Table, token: str) -> None:
        sizes.append(rows.num_rows)
        real(self, table, rows, token)

    monkeypatch.setattr(type(db), "insert_arrow", counting)
    inserted = insert_batch(db, batch_with(256, *range(256)), "t1")
    assert inserted.rejected is not None
    assert inserted.rejected.spans == tuple(range(256))
    assert len(sizes) < 40


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("ALTER TABLE events DROP COLUMN severity_text", "severity_text"),
        ("RENAME TABLE events TO elsewhere", "UNKNOWN_TABLE"),
    ],
)
def test_a_table_that_somebody_changed_costs_no_row(db: Database, damage: str, says: str) -> None:
    db.command(damage)
    batch = batch_of(spans_record([span(1, 1)]), logs_record([LogRecord(time_unix_nano=NOON)]))
    with pytest.raises(Retryable, match=says):
        insert_batch(db, batch, "t1")
    assert db.rows("SELECT part FROM insert_splits") == []


def test_a_view_that_fails_is_put_right_and_nothing_is_stored_twice(db: Database) -> None:
    db.command("CREATE TABLE strict (word Enum8('' = 0)) ENGINE = MergeTree ORDER BY word")
    view = "SELECT CAST(trace_state AS Enum8('' = 0)) AS word FROM spans"
    db.command(f"CREATE MATERIALIZED VIEW to_strict TO strict AS {view}")
    with pytest.raises(Retryable):
        insert_batch(db, batch_with(8, 3), "t1")
    db.command("DROP TABLE to_strict")
    assert insert_batch(db, batch_with(8, 3), "t1").rejected is None
    assert len(names(db)) == 8


def test_the_ledger_says_rejected_of_log_records_too(db: Database) -> None:
    db.command("ALTER TABLE events MODIFY COLUMN severity_text Enum8('' = 0)")
    logs = [LogRecord(time_unix_nano=NOON + i, severity_text="poison" if i == 2 else "") for i in range(4)]
    inserted = insert_batch(db, batch_of(logs_record(logs)), "t1")
    assert inserted.rejected is not None
    assert inserted.rejected.logs == (2,)
    assert {r["state"]: r["n"] for r in db.rows(LEDGER)} == {"quarantined": 1, "stored": 3}


@dataclass
class Fussy:
    """A database that refuses what it is told to."""

    refuses: Callable[[str, pa.Table], Permanent | None]
    tokens: list[str] = field(default_factory=list)

    def insert_arrow(self, table: str, rows: pa.Table, token: str) -> None:
        self.tokens.append(f"{token}/{table}")
        if error := self.refuses(table, rows):
            raise error

    def insert_rows(self, table: str, rows: object) -> None:
        pass

    def rows(self, sql: str) -> list[dict[str, Any]]:  # noqa: ARG002 - the database's signature
        return []


def test_a_ledger_that_is_refused_waits() -> None:
    fussy: Any = Fussy(lambda table, _: Permanent("no") if table == "ledger" else None)
    with pytest.raises(Retryable, match="the table ledger"):
        insert_batch(fussy, batch_with(2), "t1")


def refusal(status: int) -> Permanent:
    error = Permanent(f"HTTP {status}")
    error.status = status
    return error


def test_a_block_that_a_proxy_finds_too_large_goes_in_halves() -> None:
    fussy: Any = Fussy(lambda table, rows: refusal(413) if table == "spans" and rows.num_rows > 4 else None)
    assert insert_batch(fussy, batch_with(16), "t1").rejected is None
    assert len(set(fussy.tokens)) == len(fussy.tokens) == 8


def test_what_a_proxy_refuses_for_another_reason_waits() -> None:
    fussy: Any = Fussy(lambda *_: refusal(404))
    with pytest.raises(Retryable, match="or the way to it"):
        insert_batch(fussy, batch_with(16), "t1")


def test_a_rehearsal_makes_all_bytes_and_sends_none() -> None:
    assert rehearse(batch_with(10)) > rehearse(batch_with(1)) > 0


SPACE = "SETTINGS parts_to_throw_insert = 1, parts_to_delay_insert = 1"


def test_what_the_table_itself_refuses_is_told(db: Database) -> None:
    db.command(f"CREATE TABLE narrow (n UInt64) ENGINE = MergeTree ORDER BY n {SPACE}")
    db.command("CREATE TABLE strict (n UInt64, CONSTRAINT small CHECK n < 10) ENGINE = MergeTree ORDER BY n")
    db.command("SYSTEM STOP MERGES narrow")
    db.insert_arrow("narrow", numbers(1), "t1")
    with pytest.raises(Retryable, match="TOO_MANY_PARTS") as caught:
        db.insert_arrow("narrow", numbers(2), "t2")
    assert caught.value.after_s == 10.0
    with pytest.raises(Permanent, match=r"VIOLATED_CONSTRAINT \(code 469\)"):
        db.insert_arrow("strict", numbers(11), "t1")
    db.insert_arrow("strict", numbers(9), "t2")
    assert db.rows("SELECT (SELECT count() FROM narrow) AS a, (SELECT count() FROM strict) AS b") == [{"a": 1, "b": 1}]


def test_a_row_that_a_constraint_refuses_is_found_and_the_rest_is_stored_once(db: Database) -> None:
    db.command("ALTER TABLE spans ADD CONSTRAINT known CHECK trace_state = ''")
    for _ in range(2):
        rejected = insert_batch(db, batch_with(16, 5), "t1").rejected
        assert rejected is not None
        assert rejected.spans == (5,)
    assert len(names(db)) == 15


@pytest.mark.parametrize("column", ["UInt8 MATERIALIZED throwIf(n > 9)", "UInt8 DEFAULT throwIf(n > 9)"])
def test_an_expression_of_a_column_that_fails_is_told(db: Database, column: str) -> None:
    db.command(f"CREATE TABLE strict (n UInt64, c {column}) ENGINE = MergeTree ORDER BY n")
    with pytest.raises((Retryable, Permanent), match="FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"):
        db.insert_arrow("strict", numbers(11), "t1")
    db.insert_arrow("strict", numbers(9), "t2")
    assert db.rows("SELECT n FROM strict") == [{"n": 9}]


def numbers(*n: int) -> pa.Table:
    return pa.table({"n": pa.array(n, pa.uint64())})
