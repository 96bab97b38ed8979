"""A project folder, and a database of the real schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from evalgate.database import TenantDatabase
from exporters.clickhouse.connect import connect
from tests.evalgate.traffic import Traffic
from tests.fixtures_clickhouse import empty

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exporters.clickhouse.connect import Database
    from tests.fixtures_clickhouse import Spare


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
    spare: Spare = request.getfixturevalue(f"{request.param}_spare")
    with connect(spare.take()) as db:
        yield spare.take()
        spare.give_back(db)


@pytest.fixture
def opened(dsn: str) -> Iterator[Database]:
    """Lend the database, empty."""
    with connect(dsn) as db:
        empty(db)
        yield db


@pytest.fixture
def database(opened: Database) -> TenantDatabase:
    """Lend it as the tenant `default` has it."""
    return TenantDatabase(opened, "default")


@pytest.fixture
def traffic(database: TenantDatabase) -> Traffic:
    return Traffic(database)
