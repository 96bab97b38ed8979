"""Content in every place of a request, and where to look for it afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from exporters.clickhouse.connect import connect
from schema.errors import Permanent
from tests.faults.harness import until

if TYPE_CHECKING:
    from tests.faults.harness import Collector

TABLES = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine != 'MaterializedView'"
ROOT = Path(__file__).parents[2]


def post(collector: Collector, signal: str, message: Any) -> None:
    """Send one request and require that it is acknowledged whole."""
    request = Request(
        f"http://{collector.http}/v1/{signal}",
        data=message.SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
    )
    try:
        with urlopen(request, timeout=20) as answer:  # noqa: S310 - http, to ourselves
            assert (answer.status, answer.read()) == (200, b"")
    except HTTPError as e:
        raise AssertionError(f"{e.code}: {e.read()[:500]!r}") from None


def evalgate(collector: Collector, folder: Path, *arguments: str, code: int = 0) -> str:
    """Run a command as a person would, beside the collector; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "evalgate.cli", *arguments],
        cwd=folder,
        env={**collector.environment, "EVALGATE_DSN": collector.dsn, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == code, (arguments, done.stdout, done.stderr)
    return done.stdout + done.stderr


def everything(collector: Collector) -> dict[str, bytes]:
    """Return every row of every table of ours, and of every view that can be read as it is."""
    with connect(collector.dsn) as database:
        found = {}
        for row in database.rows(TABLES):
            try:
                found[row["name"]] = database.raw(f"SELECT * FROM `{row['name']}`", form="JSONEachRow")
            except Permanent as e:
                # It wants to be told the tenant; what it reads is among the others.
                if "tenant" not in str(e):
                    raise
    assert found.keys() >= {"spans", "events", "feedback", "trace_parts", "settled_spans"}
    return found


def await_rows(collector: Collector, spans: int, logs: int = 0) -> None:
    """Wait until so many are stored."""

    def stored() -> bool:
        (row,) = collector.rows("SELECT (SELECT count() FROM spans) AS spans, (SELECT count() FROM events) AS logs")
        return (row["spans"], row["logs"]) == (spans, logs)

    until(stored, f"{spans} spans and {logs} log records are stored")
