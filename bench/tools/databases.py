"""What stands behind the collectors: a sink that keeps nothing, or a real ClickHouse server."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import urllib.request
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.tools.machine import ROOT
from bench.tools.targets import Failed, await_start, free_port, spawn
from exporters.clickhouse.connect import connect
from tests.tools.fetch_chserver import library

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE: Final = "bench"
PEER_TABLE: Final = (Path(__file__).parent / "otel_traces.sql").read_text
COUNT_OURS: Final = (
    "SELECT count() AS n, uniqExact(trace_id, span_id) AS spans, uniqExact(trace_id) AS traces FROM spans"
)
COUNT_PEER: Final = (
    "SELECT count() AS n, uniqExact(TraceId, SpanId) AS spans, uniqExact(TraceId) AS traces FROM otel_traces"
)
BYTES_ON_DISK: Final = "SELECT sum(bytes_on_disk) AS n FROM system.parts WHERE active AND database = currentDatabase()"


@dataclass(frozen=True, slots=True)
class Rows:
    """What a database holds."""

    rows: int
    spans: int
    """Distinct ids; less than `rows` when something was stored twice."""
    traces: int
    bytes_on_disk: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A ClickHouse HTTP endpoint in a process of its own."""

    pid: int
    url: str
    """With the database: what a DSN is."""
    real: bool

    def insert_bytes(self) -> int | None:
        """Return how many bytes of INSERTs the sink took so far; None of a real server."""
        if self.real:
            return None
        with urllib.request.urlopen(self.url.rpartition("/")[0] + "/counts", timeout=10) as answer:  # noqa: S310 - loopback
            return int(json.load(answer)["insert_bytes"])

    def rows(self, *, peer: bool) -> Rows | None:
        """Count what is stored; None of the sink."""
        if not self.real:
            return None
        with connect(self.url) as db:
            found = db.rows(COUNT_PEER if peer else COUNT_OURS)[0]
            return Rows(found["n"], found["spans"], found["traces"], db.rows(BYTES_ON_DISK)[0]["n"])

    def prepare(self, *, peer: bool) -> None:
        """Make a database with nothing in it; the peer's table is made here, ours makes its own."""
        if not self.real:
            return
        with connect(self.url.rpartition("/")[0] + "/default") as db:
            db.command(f"DROP DATABASE IF EXISTS {DATABASE} SYNC")
            db.command(f"CREATE DATABASE {DATABASE}")
        if peer:
            with connect(self.url) as db:
                db.command(PEER_TABLE())


@contextmanager
def sink(folder: Path, cpus: str = "") -> Iterator[Endpoint]:
    """Run the sink."""
    process, log = spawn([sys.executable, "-m", "bench.tools.sink"], folder, cpus, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        line = process.stdout.readline()
        if not line:
            raise Failed(f"the sink ended: {log.read_text(errors='replace')[-2000:]}")
        yield Endpoint(process.pid, f"http://127.0.0.1:{int(line)}/{DATABASE}", real=False)
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def server(folder: Path, cpus: str = "") -> Iterator[Endpoint]:
    """Run a real ClickHouse server over an empty folder; its library is fetched once."""
    port, tcp = free_port(), free_port()
    script = ROOT / "tests" / "tools" / "chserver.py"
    command = [sys.executable, str(script), "--lib", str(library()), "--path", str(folder / "clickhouse")]
    process, log = spawn([*command, "--http-port", str(port), "--tcp-port", str(tcp)], folder, cpus)
    try:
        await_start(process, log, lambda: _pings(port))
        yield Endpoint(process.pid, f"http://127.0.0.1:{port}/{DATABASE}", real=True)
    finally:
        process.kill()
        process.wait()


def _pings(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().read() == b"Ok.\n"
        except (OSError, http.client.HTTPException):
            return False
