"""Several collectors before several servers: they start at once, share out traces, and one is killed.

Takes half a minute where much else runs: with --faults, or when this file is named.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from exporters.clickhouse.connect import connect
from tests.clickhouse.otlp import span, spans_record
from tests.deploy.conftest import Pair, drop
from tests.fixtures_clickhouse import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.thorough, pytest.mark.server]
DEADLINE_S: Final = 90.0
CONFIG: Final = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
processors: {{normalise: , failure: , sample: }}
exporters: {{clickhouse: {{dsn: "{dsn}"}}}}
service:
  data_dir: "{data}"
  pipelines:
    traces: {{receivers: [otlp], processors: [normalise, failure, sample], exporters: [clickhouse]}}
"""
COUNTS: Final = "SELECT count() AS traces, sum(span_count) AS spans, min(span_count) AS least FROM traces"


def start(folder: Path, dsn: str, port: int) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    (folder / "collector.yaml").write_text(CONFIG.format(port=port, dsn=dsn, data=folder / "data"))
    command = [str(Path(sys.executable).with_name("evalgate-collector")), "run", "--config"]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen([*command, str(folder / "collector.yaml")], stdout=log, stderr=log, env=os.environ)


def sent(port: int, body: bytes) -> bool:
    """Tell whether a request was acknowledged."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        try:
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


def until(is_so: Callable[[], bool], folder: Path) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        if is_so():
            return
        time.sleep(0.1)
    pytest.fail("\n".join(path.read_text(errors="replace")[-3000:] for path in folder.glob("*/log")))


def test_two_collectors_make_the_schema_at_once_and_store_what_each_acknowledged_once(
    two_servers: tuple[int, int], tmp_path: Path
) -> None:
    pair = Pair(two_servers, f"c_{uuid.uuid4().hex}")
    ports = (free_port(), free_port())
    running = [start(tmp_path / str(i), pair.dsn(i), ports[i]) for i in range(2)]
    try:
        for half, port in enumerate(ports):  # a trace goes through both
            body = spans_record([span(t, 2 * t + half, parent=2 * t * half) for t in range(1, 41)]).body
            until(lambda port=port, body=body: sent(port, body), tmp_path)  # type: ignore[misc]
        running[0].send_signal(signal.SIGKILL)
        running[0].wait(10)
        running[0] = start(tmp_path / "0", pair.dsn(0), ports[0])

        def is_all_there() -> bool:
            with connect(pair.dsn(1), create_database=True) as db:
                found = db.rows("SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name = 'traces'")
                return bool(found) and db.rows(COUNTS) == [{"traces": 40, "spans": 80, "least": 2}]

        until(is_all_there, tmp_path)
        with connect(pair.dsn(0)) as db:
            until(lambda: db.rows("SELECT sum(count) AS n FROM ledger")[0]["n"] == 80, tmp_path)
            assert db.rows("SELECT count() AS n FROM spans") == [{"n": 80}]
    finally:
        for process in running:
            process.kill()
            process.wait(10)
        drop(pair)
