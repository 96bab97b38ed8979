"""A project folder, and a database of the real schema."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from evalgate.database import TenantDatabase
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from tests.evalgate.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exporters.clickhouse.connect import Database


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter an empty project folder; the environment names no database."""
    monkeypatch.chdir(tmp_path)
    for name in ("EVALGATE_DSN", "EVALGATE_DEBUG", "GITHUB_STEP_SUMMARY", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(scope="module", params=["embedded", pytest.param("server", marks=pytest.mark.server)])
def dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """Keep one database of the real schema open for a module: once embedded, once on the server."""
    name = f"t_{uuid.uuid4().hex}"
    if request.param == "embedded":
        where = f"chdb://{request.getfixturevalue('embedded_folder')}?database={name}"
    else:
        where = f"{request.getfixturevalue('clickhouse_server')}/{name}"
    with connect(where, create_database=True) as db:
        migrate(db)
        yield where
        db.command(f"DROP DATABASE `{name}` SYNC")


@pytest.fixture
def opened(dsn: str) -> Iterator[Database]:
    """Lend the database, empty."""
    with connect(dsn) as db:
        queues = ("queue_events", "queue_items", "queue_reservations")
        clusters = ("cluster_runs", "cluster_sightings", "cluster_members", "cluster_events", "model_flags")
        for table in ("spans", "trace_parts", "feedback", "annotations", "case_events", "issue_events", "mode_changes", *clusters, *queues):
            db.command(f"TRUNCATE TABLE {table}")
        yield db


@pytest.fixture
def database(opened: Database) -> TenantDatabase:
    """Lend it as the tenant `default` has it."""
    return TenantDatabase(opened, "default")


@pytest.fixture
def traffic(database: TenantDatabase) -> Traffic:
    return Traffic(database)
