"""A collector as a process of its own: its folder, its ports, its log."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import yaml

from exporters.clickhouse.connect import connect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

READY_S = 30.0
"""What every fault test allows for a start."""
PORTS = range(12_000, 31_000)
"""Below the ephemeral ports: a client that tries again and again would otherwise meet itself on a port just freed."""
BIN = Path(sys.executable).parent

Tree = dict[str, Any]


def base_config(folder: Path, dsn: str, ports: Mapping[str, int]) -> Tree:
    """Return a configuration like the default one, for a small disk and for quick turns."""
    pipeline = {"receivers": ["otlp"], "processors": ["redact", "normalise", "cost", "failure", "sample", "limits"]}
    pipeline["exporters"] = ["clickhouse"]
    extensions: Tree = {
        "health_check": {"endpoint": f"127.0.0.1:{ports['health']}"},
        "settle": {"quiet_s": 0.2, "interval_s": 0.2},
    }
    if dsn.startswith("chdb:"):
        extensions["clickhouse_http"] = {"endpoint": f"127.0.0.1:{ports['clickhouse']}"}
    return {
        "receivers": {
            "otlp": {
                "protocols": {
                    "grpc": {"endpoint": f"127.0.0.1:{ports['grpc']}"},
                    "http": {"endpoint": f"127.0.0.1:{ports['http']}"},
                }
            }
        },
        "processors": dict.fromkeys(pipeline["processors"]),
        "exporters": {"clickhouse": {"dsn": dsn}},
        "extensions": extensions,
        "service": {
            "data_dir": str(folder / "data"),
            "shutdown_timeout_s": 10,
            "extensions": list(extensions),
            "journal": {"max_bytes": 64 << 20, "segment_bytes": 1 << 20, "batch_linger_s": 0.02},
            "telemetry": {"logs": {"level": "info"}},
            "pipelines": {"traces": pipeline, "logs": dict(pipeline)},
        },
    }


def merged(base: Tree, over: Mapping[str, Any]) -> Tree:
    """Return `base` with `over` in it: tables are merged, everything else is replaced."""
    out = dict(base)
    for key, value in over.items():
        below = out.get(key)
        out[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return out


def take_ports(names: Sequence[str]) -> dict[str, int]:
    """Return ports that nobody listens on, by name."""
    found: dict[str, int] = {}
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        found[names[len(found)]] = port
        if len(found) == len(names):
            return found
    raise RuntimeError("no port is free")


class Collector:
    """A collector that can be started again and again on the same folder and the same ports."""

    def __init__(
        self,
        folder: Path,
        *,
        dsn: str | None = None,
        config: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        workers: int = 1,
        wrap: Sequence[str] = (),
    ) -> None:
        """`config` is merged into `base_config`; `wrap` is a command that runs the collector, such as `unshare`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.dsn = dsn or f"chdb://{folder}/db"
        self.ports = take_ports(("grpc", "http", "health", "clickhouse"))
        self.config = merged(base_config(folder, self.dsn, self.ports), config or {})
        self.environment = {**os.environ, **(environment or {})}
        self.workers = workers
        self.wrap = list(wrap)
        self.starts = self.kills = 0
        self._uncounted = False
        """Whether the end of the process that was started last is not counted among the kills yet."""
        self.process: subprocess.Popen[bytes] | None = None
        self.ready: Tree = {}

    @property
    def http(self) -> str:
        """`host:port` of OTLP/HTTP."""
        return f"127.0.0.1:{self.ports['http']}"

    @property
    def grpc(self) -> str:
        """`host:port` of OTLP/gRPC."""
        return f"127.0.0.1:{self.ports['grpc']}"

    @property
    def data_dir(self) -> Path:
        """The data directory."""
        return Path(self.config["service"]["data_dir"])

    @property
    def journal(self) -> Path:
        """The journal's directory; with workers, that of their journals."""
        return Path(self.config["service"]["journal"].get("directory", self.data_dir / "journal"))

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        return self._running().pid

    @property
    def log(self) -> str:
        """Everything that all starts wrote to standard error."""
        path = self.folder / "stderr"
        return path.read_text(errors="replace") if path.exists() else ""

    # -- start ---------------------------------------------------------------------------------------------------

    def start(self, *, failpoints: str = "", environment: Mapping[str, str] | None = None, wait: bool = True) -> Self:
        """Start, and return once it listens.

        Both arguments hold for this start alone. Without `wait` it may not listen yet, or have ended.
        """
        assert self.process is None or self.process.poll() is not None, "it runs already"
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(self.config))
        self._ready_file.unlink(missing_ok=True)
        command = [*self.wrap, str(BIN / "evalgate-collector"), "run", "--config", str(path)]
        command += ["--ready-file", str(self._ready_file)]
        if self.workers > 1:
            command += ["--workers", str(self.workers)]
        variables = {**self.environment, "EVALGATE_FAILPOINTS": failpoints, **(environment or {})}
        with (self.folder / "stderr").open("ab") as err:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=err, stderr=err, env=variables
            )
        self.starts += 1
        self._uncounted = True
        return self.wait_ready() if wait else self

    def wait_ready(self, *, timeout_s: float = READY_S) -> Self:
        """Return once it listens.

        Raises:
            AssertionError: it ended, or took longer; holds the end of its log.

        """
        deadline_s = time.monotonic() + timeout_s
        while not self._ready_file.exists():
            code = self._running().poll()
            assert code is None, f"the collector ended with {code}:\n{self.log[-3000:]}"
            assert time.monotonic() < deadline_s, f"not ready within {timeout_s:.0f} s:\n{self.log[-3000:]}"
            time.sleep(0.01)
        self.ready = json.loads(self._ready_file.read_text())
        return self

    @property
    def _ready_file(self) -> Path:
        return self.folder / "ready.json"

    def _running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, "it was never started"
        return self.process

    # -- end -----------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """End it with SIGKILL, and wait for the end."""
        self._running().kill()
        self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._running().send_signal(number)

    def wait(self, timeout_s: float = READY_S) -> int:
        """Return the exit code, once it ended. -9 after a kill, a failpoint's too."""
        code = self._running().wait(timeout_s)
        self.kills += self._uncounted and code == -signal.SIGKILL
        self._uncounted = False
        return code

    def terminate(self, timeout_s: float = READY_S) -> int:
        """SIGTERM; return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave no process behind; with workers, they end with their parent."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()

    # -- look ----------------------------------------------------------------------------------------------------

    def health(self) -> tuple[int, Tree]:
        """Return the answer of `health_check`: its HTTP status and the state in counts. Raises OSError."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["health"], timeout=10)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except http.client.HTTPException as e:
            raise ConnectionError(str(e)) from e
        finally:
            connection.close()

    def status(self) -> Tree:
        """Return the state in counts. Raises OSError where nothing listens."""
        return self.health()[1]

    def rows(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[Tree]:
        """Ask the database; an embedded one answers through this process, which must run."""
        with connect(self.dsn) as database:
            return database.rows(sql, parameters)

    def rss_bytes(self) -> int:
        """Return the memory of the process that is resident."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def open_files(self) -> int:
        """Return how many descriptors the process has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


class Launch(Protocol):
    """The fixture `launch`: makes a `Collector` that is not started, and leaves no process behind."""

    def __call__(
        self,
        *,
        name: str = "collector",
        dsn: str | None = None,
        config: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        workers: int = 1,
        wrap: Sequence[str] = (),
    ) -> Collector:
        """Make one; `name` is its folder, for tests that have several."""
