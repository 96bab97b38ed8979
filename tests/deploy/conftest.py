"""Two ClickHouse servers as one cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from tests.fixtures_clickhouse import TOOLS, await_ping, free_port
from tests.tools.fetch_chserver import library

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CLUSTER = "evalgate"
# With the server's own stand-in for Keeper, replicas can be made, and not filled.
CONFIG = """
<clickhouse>
  <remote_servers>
    <evalgate>
      <secret>between the servers</secret>
      <shard><replica><host>127.0.0.1</host><port>{0}</port></replica></shard>
      <shard><replica><host>127.0.0.1</host><port>{1}</port></replica></shard>
    </evalgate>
    <replicas>
      <shard>
        <replica><host>127.0.0.1</host><port>{0}</port></replica>
        <replica><host>127.0.0.1</host><port>{1}</port></replica>
      </shard>
    </replicas>
  </remote_servers>
  <zookeeper><implementation>testkeeper</implementation></zookeeper>
  <macros><shard>1</shard><replica>{2}</replica></macros>
</clickhouse>
"""

FILLED = """
SELECT name FROM system.tables
WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND total_rows > 0 AND name != 'migrations'
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """A database on two servers, one shard each."""

    ports: tuple[int, int]
    database: str
    cluster: str = CLUSTER

    @property
    def nodes(self) -> str:
        return ",".join(f"127.0.0.1:{p}" for p in self.ports)

    def dsn(self, entry: int = 0) -> str:
        """Return the DSN with one of the servers as the one that is spoken to."""
        return f"http://127.0.0.1:{self.ports[entry]}/{self.database}?cluster={self.cluster}&nodes={self.nodes}"

    def alone(self, server: int, database: str = "default") -> str:
        """Return the DSN of a database of one of the servers."""
        return f"http://127.0.0.1:{self.ports[server]}/{database}"


@pytest.fixture(scope="session")
def two_servers(clickhouse_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """Return the HTTP ports of two servers that know each other; skipped where `clickhouse_server` is."""
    yield from serve(tmp_path_factory.mktemp("cluster"))


def serve(folder: Path, more: str = "", environment: Mapping[str, str] = os.environ) -> Iterator[tuple[int, int]]:
    """Yield the HTTP ports of two servers that know each other; `more` is configuration of both."""
    http, tcp = (free_port(), free_port()), (free_port(), free_port())
    for i in range(2):
        (folder / f"node{i}.xml").write_text(CONFIG.format(*tcp, i).replace("</clickhouse>", f"{more}</clickhouse>"))
    started = [_start(folder, i, http[i], tcp[i], environment) for i in range(2)]
    try:
        for i, process in enumerate(started):
            await_ping(process, http[i], folder / f"log{i}")
        yield http
    finally:
        for process in started:
            process.kill()
            process.wait(10)


def _start(folder: Path, i: int, http: int, tcp: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    own = folder / f"server{i}"
    own.mkdir()
    command = [sys.executable, str(TOOLS / "chserver.py"), "--lib", str(library()), "--path", str(own / "data")]
    ports = ["--http-port", str(http), "--tcp-port", str(tcp), "--config", str(folder / f"node{i}.xml")]
    with (folder / f"log{i}").open("wb") as log:
        return subprocess.Popen([*command, *ports], stdout=log, stderr=log, cwd=own, env=environment)


@pytest.fixture(scope="session")
def migrated(two_servers: tuple[int, int]) -> Iterator[Pair]:
    """Return a database on both servers, migrated through the first."""
    yield from _made(two_servers)


@pytest.fixture
def pair(migrated: Pair) -> Iterator[Pair]:
    """Return an empty database on both servers, which many tests empty after themselves."""
    yield migrated
    empty(migrated)


@pytest.fixture
def own_pair(two_servers: tuple[int, int]) -> Iterator[Pair]:
    """Return a database on both servers of which a test may break what it likes."""
    yield from _made(two_servers)


def _made(two_servers: tuple[int, int]) -> Iterator[Pair]:
    made = Pair(two_servers, f"t_{uuid.uuid4().hex}")
    with connect(made.dsn(), create_database=True) as db:
        migrate(db)
    yield made
    drop(made)


def empty(pair: Pair) -> None:
    """Remove all rows from both servers."""
    with connect(pair.dsn()) as db, db.servers() as servers:
        for server in servers:
            for row in server.rows(FILLED):
                server.command(f"TRUNCATE TABLE `{row['name']}`")


def drop(pair: Pair) -> None:
    """Remove a database from both servers."""
    for server in range(2):
        with connect(pair.alone(server)) as db:
            db.command(f"DROP DATABASE IF EXISTS `{pair.database}` SYNC")
            db.command(f"DROP DATABASE IF EXISTS `{pair.database}_local` SYNC")
