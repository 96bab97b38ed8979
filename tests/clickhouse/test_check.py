"""The look at the tables before the first INSERT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporters.clickhouse.check import TABLES, expected, look, put_right
from schema.errors import ConfigError

if TYPE_CHECKING:
    from exporters.clickhouse.connect import Database

SETTINGS = "SELECT engine_full AS made FROM system.tables WHERE database = currentDatabase() AND name = 'spans'"


def test_what_migrations_make_is_what_is_expected(db: Database) -> None:
    there: dict[str, dict[str, str]] = {}
    for row in db.rows("SELECT table, name, type, default_kind FROM system.columns WHERE database = currentDatabase()"):
        if row["table"] in TABLES and row["default_kind"] != "ALIAS":
            there.setdefault(row["table"], {})[row["name"]] = row["type"]
    assert expected() == there
    assert not look(db)


def test_a_table_and_a_column_that_are_missing_are_made_again_and_named(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    for table in ("feedback", "insert_splits"):
        db.command(f"DROP TABLE {table} SYNC")
    db.command("ALTER TABLE spans DROP COLUMN trace_state")
    found = put_right(db, create_schema=True)
    assert found.missing_tables == ("feedback", "insert_splits")
    assert found.missing_columns == (("spans", "trace_state", "String"),)
    assert "lacked table feedback, table insert_splits, column spans.trace_state" in caplog.text
    assert not look(db)


def test_what_is_missing_is_named_where_nothing_may_be_changed(db: Database) -> None:
    db.command("DROP TABLE feedback SYNC")
    with pytest.raises(ConfigError, match=r"lacks table feedback, and create_schema is off"):
        put_right(db, create_schema=False)
    assert look(db).missing_tables == ("feedback",)


def test_a_type_that_was_changed_is_named(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    db.command("ALTER TABLE spans MODIFY COLUMN trace_state LowCardinality(String)")
    put_right(db, create_schema=True)
    assert "ALTER TABLE spans MODIFY COLUMN trace_state String" in caplog.text


def test_settings_that_keep_no_promise_are_put_back_or_named(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    db.command("ALTER TABLE spans MODIFY SETTING fsync_after_insert = 0, non_replicated_deduplication_window = 5")
    put_right(db, create_schema=False)
    lacks = "non_replicated_deduplication_window = 10000, fsync_after_insert = 1"
    assert f"table spans lacks {lacks}" in caplog.text
    assert put_right(db, create_schema=True).weak_settings == (("spans", lacks),)
    assert "fsync_after_insert = 1" in db.rows(SETTINGS)[0]["made"]
    assert not look(db)
