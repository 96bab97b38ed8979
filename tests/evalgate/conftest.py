"""A project folder, and a database of the real schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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


@pytest.fixture(scope="session")
def embedded_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the one folder that chdb may open in this process."""
    return tmp_path_factory.mktemp("chdb") / "db"


@pytest.fixture
def dsn(embedded_folder: Path, request: pytest.FixtureRequest) -> str:
    """Name an embedded database of this test alone."""
    name = "".join(c if c.isalnum() else "_" for c in request.node.name)[:80]
    return f"chdb://{embedded_folder}?database=t_{name}_{abs(hash(request.node.nodeid)) % 10**6}"


@pytest.fixture
def database(dsn: str) -> Iterator[Database]:
    with connect(dsn) as db:
        migrate(db)
        yield db


@pytest.fixture
def traffic(database: Database) -> Traffic:
    return Traffic(database)
