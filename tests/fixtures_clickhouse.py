"""Databases for tests: the embedded ClickHouse and a real server, each test in a database of its own.

    db            a migrated `Database` without rows; the test runs twice, on chdb and on the server
    migrated_dsn  its DSN
    dsn           the DSN of a database with nothing in it, as above
    embedded_db   a migrated `Database` on chdb alone, for what does not touch SQL
    embedded_dsn  its DSN
    server_dsn    the DSN of an empty database on the server alone
    clickhouse_server   the URL of the server

They lie in memory where there is room (`in_memory`): what they sync is no property of a test that uses them.

One process has one embedded engine, so all embedded databases of a run lie in one folder, and a test that opens
another folder in this process must not use these fixtures at the same time.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporters.clickhouse.connect import Database, connect
from exporters.clickhouse.migrate import migrate
from tests.tools.fetch_chserver import Unavailable, library, supported

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER_START_TIMEOUT_S = 60.0
TOOLS = Path(__file__).parent / "tools"
MEMORY = Path("/dev/shm")  # noqa: S108 - asked for on purpose
OURS = "evalgate-tests-"
ROOM_BYTES = 4 << 30
"""Databases of a whole run take some 100 MB for each worker; containers often have 64 MB here."""


@pytest.fixture(scope="session")
def in_memory() -> Iterator[Path | None]:
    """Return a folder in memory that lives as long as the test run, None where there is little room.

    A migration of an empty database syncs some 200 times: 0.5 s in memory and 1 to 5 on a disk (measured).
    """
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < ROOM_BYTES:
        yield None
        return
    for left in MEMORY.glob(f"{OURS}*"):  # a run that was killed
        if not Path("/proc", left.name.split("-")[-2]).exists():
            shutil.rmtree(left, ignore_errors=True)
    prefix = f"{OURS}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=MEMORY, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory, in_memory: Path | None) -> Iterator[str]:
    """Return the URL of a real ClickHouse server that lives as long as the test run."""
    try:
        lib = library()
    except Unavailable as e:
        if supported() and os.environ.get("CI") == "true":
            pytest.fail(f"the ClickHouse server for tests is missing: {e}")
        pytest.skip(str(e))
    folder = tmp_path_factory.mktemp("chserver")
    port, tcp = free_port(), free_port()
    data = in_memory or folder
    command = [sys.executable, str(TOOLS / "chserver.py"), "--lib", str(lib), "--path", str(data / "chserver")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--http-port", str(port), "--tcp-port", str(tcp)], stdout=log, stderr=log, cwd=folder
        )
    try:
        await_ping(process, port, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture(scope="session")
def embedded_folder(tmp_path_factory: pytest.TempPathFactory, in_memory: Path | None) -> Path:
    """Return the folder of all embedded databases of this process."""
    return (in_memory or tmp_path_factory.mktemp("chdb")) / "db"


@pytest.fixture
def embedded_dsn(embedded_folder: Path) -> Iterator[str]:
    """Return the DSN of an empty embedded database."""
    dsn = f"chdb://{embedded_folder}?database={_fresh_name()}"
    yield dsn
    _drop(dsn)


@pytest.fixture(params=["embedded", pytest.param("server", marks=pytest.mark.server)])
def dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the DSN of an empty database: once embedded, once on the server."""
    if request.param == "embedded":
        yield request.getfixturevalue("embedded_dsn")
        return
    yield request.getfixturevalue("server_dsn")


@pytest.fixture
def server_dsn(clickhouse_server: str) -> Iterator[str]:
    """Return the DSN of an empty database on the server."""
    dsn = f"{clickhouse_server}/{_fresh_name()}"
    connect(dsn, create_database=True).close()
    yield dsn
    _drop(dsn)


class Spare:
    """A migrated database that tests have one after the other, without rows.

    To make one anew takes 0.5 s of CPU and as long again to remove it; to empty it, 0.03 s (measured). One whose schema
    or migrations a test has changed is not used again.
    """

    def __init__(self, base: str) -> None:
        """Take a DSN that wants nothing but the name of a database."""
        self._base = base
        self._dsn: str | None = None
        self._state: object = None

    def take(self) -> str:
        if self._dsn is None:
            dsn = f"{self._base}{_fresh_name()}"
            with connect(dsn, create_database=True) as database:
                migrate(database)
                self._state = _state(database)
            self._dsn = dsn
        return self._dsn

    def give_back(self, database: Database) -> None:
        """Take it back by a connection that is still open, as the engine starts anew when the last one is closed."""
        if _state(database) == self._state:
            empty(database)
        else:
            self.remove()

    def remove(self) -> None:
        if self._dsn is not None:
            _drop(self._dsn)
            self._dsn = None


def empty(database: Database) -> None:
    """Remove every row; a table that is truncated has forgotten its tokens, too."""
    (row,) = database.rows("SELECT currentDatabase() AS name")
    database.command(f"TRUNCATE ALL TABLES FROM `{row['name']}` NOT LIKE 'migrations'")


def _state(database: Database) -> object:
    tables = (
        "SELECT name, create_table_query AS made FROM system.tables WHERE database = currentDatabase() ORDER BY name"
    )
    return database.rows(tables), database.rows("SELECT name, checksum FROM migrations ORDER BY name, checksum")


@pytest.fixture(scope="session")
def embedded_spare(embedded_folder: Path) -> Iterator[Spare]:
    """Keep a migrated embedded database for tests that give it back."""
    spare = Spare(f"chdb://{embedded_folder}?database=")
    yield spare
    spare.remove()


@pytest.fixture(scope="session")
def server_spare(clickhouse_server: str) -> Iterator[Spare]:
    """Keep one on the server."""
    spare = Spare(f"{clickhouse_server}/")
    yield spare
    spare.remove()


@pytest.fixture(params=["embedded", pytest.param("server", marks=pytest.mark.server)])
def migrated_dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the DSN of a migrated database without rows: once embedded, once on the server."""
    spare: Spare = request.getfixturevalue(f"{request.param}_spare")
    with connect(spare.take()) as database:
        yield spare.take()
        spare.give_back(database)


@pytest.fixture
def db(migrated_dsn: str) -> Iterator[Database]:
    """Return an open, migrated database: once embedded, once on the server."""
    with connect(migrated_dsn) as database:
        yield database


@pytest.fixture
def embedded_db(embedded_spare: Spare) -> Iterator[Database]:
    """Return an open, migrated embedded database."""
    with connect(embedded_spare.take()) as database:
        yield database
        embedded_spare.give_back(database)


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _fresh_name() -> str:
    return f"t_{uuid.uuid4().hex}"


def _drop(dsn: str) -> None:
    with connect(dsn, create_database=True) as database:
        name = database.rows("SELECT currentDatabase() AS name")[0]["name"]
        database.command(f"DROP DATABASE `{name}` SYNC")


def await_ping(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + SERVER_START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the ClickHouse server ended at once: {log.read_text(errors='replace')[-2000:]}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/ping")
            if connection.getresponse().read() == b"Ok.\n":
                return
        time.sleep(0.05)
    pytest.fail(f"the ClickHouse server did not answer within {SERVER_START_TIMEOUT_S} s")
