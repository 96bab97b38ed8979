from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from exporters.clickhouse.connect import Database, connect
from exporters.clickhouse.migrate import Migration, load, migrate
from schema.errors import ConfigError, Permanent
from schema.span import CANONICAL, FEEDBACK

if TYPE_CHECKING:
    import pyarrow as pa

INSERT_TARGETS = ("spans", "events", "feedback", "ledger", "trace_parts", "annotations", "case_events")


def columns_of(db: Database, table: str) -> dict[str, str]:
    rows = db.rows(
        "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {t:String}", {"t": table}
    )
    return {r["name"]: r["type"] for r in rows}


def test_a_dry_run_names_what_is_missing_and_changes_nothing(dsn: str) -> None:
    with connect(dsn, create_database=True) as db:
        names = [m.name for m in load()]
        assert migrate(db, dry_run=True) == names
        assert db.rows("SHOW TABLES") == []
        assert migrate(db) == names
        assert migrate(db, dry_run=True) == []


def test_a_second_run_applies_nothing(db: Database) -> None:
    before = db.rows("SELECT name, metadata_modification_time AS t FROM system.tables WHERE database=currentDatabase()")
    assert migrate(db) == []
    after = db.rows("SELECT name, metadata_modification_time AS t FROM system.tables WHERE database=currentDatabase()")
    assert sorted(map(str, after)) == sorted(map(str, before))


def test_a_migration_that_failed_half_way_is_run_again_whole(dsn: str) -> None:
    first = "CREATE TABLE IF NOT EXISTS a (x UInt8) ENGINE = MergeTree ORDER BY x"
    broken = Migration("0001_two", "c1", (first, "CREATE TABLE b (x Nonsense) ENGINE = MergeTree ORDER BY x"))
    repaired = Migration("0001_two", "c1", (first, "CREATE TABLE IF NOT EXISTS b (x UInt8) ENGINE = Memory"))
    with connect(dsn, create_database=True) as db:
        with pytest.raises(Permanent, match="migration 0001_two, statement 2"):
            migrate(db, migrations=[broken])
        assert migrate(db, migrations=[repaired]) == ["0001_two"]
        assert db.rows("SELECT count() AS n FROM b") == [{"n": 0}]


def test_the_moment_of_each_migration_is_kept(dsn: str) -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with connect(dsn, create_database=True) as db:
        migrate(db, now=lambda: moment)
        rows = db.rows("SELECT name, applied_at FROM migrations ORDER BY name")
        assert {r["applied_at"] for r in rows} == {moment}
        assert [r["name"] for r in rows] == [m.name for m in load()]


def test_a_database_of_a_newer_version_is_not_touched(embedded_db: Database) -> None:
    row = {"name": "9999_future", "checksum": "x", "applied_at": datetime.now(UTC)}
    embedded_db.insert_rows("migrations", [row])
    with pytest.raises(ConfigError, match=r"9999_future.*upgrade"):
        migrate(embedded_db)


def test_a_changed_migration_is_an_error_that_names_it(embedded_db: Database) -> None:
    first = load()[0]
    changed = Migration(first.name, "another", first.statements)
    with pytest.raises(ConfigError, match=first.name):
        migrate(embedded_db, migrations=[changed, *load()[1:]])


def test_every_table_that_is_inserted_into_deduplicates_and_syncs(db: Database) -> None:
    rows = db.rows("SELECT name, create_table_query AS ddl FROM system.tables WHERE database = currentDatabase()")
    ddl = {r["name"]: r["ddl"] for r in rows}
    for table in INSERT_TARGETS:
        for setting in (
            "non_replicated_deduplication_window = 10000",
            "fsync_after_insert = 1",
            "fsync_part_directory = 1",
        ):
            assert setting in ddl[table], table


def test_spans_have_every_canonical_column_and_hold_its_type(db: Database) -> None:
    columns = columns_of(db, "spans")
    assert [f.name for f in CANONICAL if f.name not in columns] == []
    for field in CANONICAL:
        assert scalar(columns[field.name]) == expected(field), field.name


def test_feedback_has_every_column_of_the_schema(db: Database) -> None:
    assert {f.name for f in FEEDBACK} - {"origin"} <= set(columns_of(db, "feedback"))


def test_otel_traces_has_the_columns_of_the_collectors_exporter(db: Database) -> None:
    # opentelemetry-collector-contrib, exporter/clickhouseexporter/internal/sqltemplates/traces_table.sql
    assert (
        columns_of(db, "otel_traces").items()
        >= {
            "Timestamp": "DateTime64(9, 'UTC')",
            "TraceId": "String",
            "SpanId": "String",
            "ParentSpanId": "String",
            "TraceState": "String",
            "SpanName": "LowCardinality(String)",
            "SpanKind": "LowCardinality(String)",
            "ServiceName": "LowCardinality(String)",
            "ResourceAttributes": "Map(LowCardinality(String), String)",
            "ScopeName": "LowCardinality(String)",
            "ScopeVersion": "String",
            "SpanAttributes": "Map(LowCardinality(String), String)",
            "Duration": "UInt64",
            "StatusCode": "LowCardinality(String)",
            "StatusMessage": "String",
            "Events.Timestamp": "Array(DateTime64(9, 'UTC'))",
            "Events.Name": "Array(LowCardinality(String))",
            "Events.Attributes": "Array(Map(LowCardinality(String), String))",
            "Links.TraceId": "Array(String)",
            "Links.SpanId": "Array(String)",
            "Links.TraceState": "Array(String)",
            "Links.Attributes": "Array(Map(LowCardinality(String), String))",
            "SampleRate": "UInt64",
        }.items()
    )


def scalar(kind: str) -> str:
    for wrapper in ("LowCardinality(", "Nullable("):
        kind = kind.replace(wrapper, "")
    return kind.replace(")", "").replace("Array(", "Array ")


def expected(field: pa.Field) -> str:
    kinds = {"string": "String", "bool": "Bool", "int64": "Int64", "double": "Float64"}
    return "Array String" if str(field.type).startswith("list") else kinds[str(field.type)]
