"""The collectors that are measured, each as a process of its own: ours, and Rotel.

A target starts in an empty folder, in front of a ClickHouse HTTP endpoint, and says where it listens and, where it can
tell, how much of what it acknowledged is not delivered yet.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import yaml

from bench.tools.rotel import agent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0
POLL_S: Final = 0.05
COLLECTOR: Final = (str(Path(sys.executable).with_name("evalgate-collector")),)


class Failed(Exception):
    """A process of the bench did not do what it must; the message holds the end of its log."""


@dataclass(slots=True)
class Running:
    """A process that listens."""

    process: subprocess.Popen[bytes]
    http: str
    """host:port."""
    grpc: str
    log: Path
    health_url: str | None = None

    @property
    def pid(self) -> int:
        """The process; its children are counted with it."""
        return self.process.pid

    def delivered(self) -> bool:
        """Tell whether everything that was acknowledged is at the database, as far as the process says."""
        return self.health_url is None or self.health()["journal"]["backlog_records"] == 0

    def health(self) -> dict[str, Any]:
        """Return what the process says of itself; {} when it says nothing."""
        if self.health_url is None:
            return {}
        with urllib.request.urlopen(self.health_url, timeout=10) as answer:  # noqa: S310 - a URL of loopback
            found: dict[str, Any] = json.load(answer)
        return found

    def stop(self) -> int:
        """End the process; return its exit code, or that of the kill when it does not end by itself."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Target(Protocol):
    """A collector that can be started."""

    @property
    def name(self) -> str:
        """How tables call it."""

    def start(self, folder: Path, database_url: str, cpus: str) -> Running:
        """Start it in an empty folder; return once it takes requests.

        Raises:
            Failed: it ended, or did not listen in time.

        """


@dataclass(frozen=True, slots=True)
class Ours:
    """The collector of this repository: journal with fsync, every processor, rows through clickhouse-connect."""

    name: str = "evalgate"
    create_schema: bool = False
    journal: Mapping[str, Any] = field(default_factory=dict)
    """Settings of service.journal beside the defaults."""

    def start(self, folder: Path, database_url: str, cpus: str) -> Running:
        """Start it with a configuration made here."""
        config, ready = folder / "collector.yaml", folder / "ready.json"
        config.write_text(yaml.safe_dump(self.config(folder, database_url), sort_keys=False))
        process, log = spawn([*COLLECTOR, "run", "--config", str(config), "--ready-file", str(ready)], folder, cpus)
        await_start(process, log, ready.exists)
        listening = json.loads(ready.read_text())
        return Running(process, listening["http"], listening["grpc"], log, listening["health_check"])

    def config(self, folder: Path, database_url: str) -> dict[str, Any]:
        """Return the configuration: that of `evalgate up`, with a server instead of the embedded database."""
        processors = ["redact", "normalise", "cost", "failure", "sample", "limits"]
        pipeline = {"receivers": ["otlp"], "processors": processors, "exporters": ["clickhouse"]}
        any_port = {"endpoint": "127.0.0.1:0"}
        return {
            "receivers": {"otlp": {"protocols": {"grpc": any_port, "http": any_port}}},
            "processors": dict.fromkeys(processors),
            "exporters": {"clickhouse": {"dsn": database_url, "create_schema": self.create_schema}},
            "extensions": {"health_check": any_port},
            "service": {
                "data_dir": str(folder / "data"),
                "extensions": ["health_check"],
                "journal": dict(self.journal),
                "pipelines": {"traces": pipeline, "logs": pipeline},
            },
        }


def embedded_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of `evalgate up`, everything in one folder, on ports that are free."""
    config = Ours(create_schema=True).config(folder, f"chdb://{folder}/db")
    config["extensions"] |= {"clickhouse_http": {"endpoint": "127.0.0.1:0"}, "settle": None}
    config["service"]["extensions"] = list(config["extensions"])
    return config


@dataclass(frozen=True, slots=True)
class Embedded:
    """The collector of this repository as `evalgate up` runs it: with its own database, read over HTTP."""

    name: str = "evalgate"

    def run(self, folder: Path, cpus: str) -> tuple[Running, str]:
        """Start it in an empty folder; return it and the URL of its ClickHouse interface.

        Raises:
            Failed: it ended, or did not listen in time.

        """
        config = embedded_config(folder)
        file, ready = folder / "collector.yaml", folder / "ready.json"
        file.write_text(yaml.safe_dump(config, sort_keys=False))
        process, log = spawn([*COLLECTOR, "run", "--config", str(file), "--ready-file", str(ready)], folder, cpus)
        await_start(process, log, ready.exists)
        listening = json.loads(ready.read_text())
        running = Running(process, listening["http"], listening["grpc"], log, listening["health_check"])
        return running, listening["clickhouse_http"]


@dataclass(frozen=True, slots=True)
class Rotel:
    """Rotel with its ClickHouse exporter: RowBinary, LZ4 or none. No journal; nothing is normalised."""

    name: str = "rotel-lz4"
    compression: str = "lz4"
    table_prefix: str = "otel"

    def start(self, folder: Path, database_url: str, cpus: str) -> Running:
        """Start it; everything else is its default."""
        http, grpc = (f"127.0.0.1:{free_port()}" for _ in range(2))
        url, _, database = database_url.rpartition("/")
        command = [
            *(str(agent()), "start", "--otlp-grpc-endpoint", grpc, "--otlp-http-endpoint", http),
            *("--exporter", "clickhouse", "--clickhouse-exporter-endpoint", url),
            *("--clickhouse-exporter-database", database),
            *("--clickhouse-exporter-table-prefix", self.table_prefix),
            *("--clickhouse-exporter-compression", self.compression),
        ]
        process, log = spawn(command, folder, cpus)
        await_start(process, log, lambda: all(listens(address) for address in (http, grpc)))
        return Running(process, http, grpc, log)


def spawn(
    command: Sequence[str],
    folder: Path,
    cpus: str = "",
    *,
    stdout: int | None = None,
    stdin: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[subprocess.Popen[bytes], Path]:
    """Start a process in a folder, on some processors only; return it and its log.

    `environment` is added to that of this process.
    """
    log = folder / f"{Path(command[0]).name}.{time.monotonic_ns()}.log"
    pin = ["taskset", "-c", cpus] if cpus else []
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*pin, *command],
            cwd=folder,
            stdin=stdin,
            stdout=out if stdout is None else stdout,
            stderr=out,
            env={**os.environ, **(environment or {})},
        )
    return process, log


def await_start(process: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool]) -> None:
    """Wait until a process is ready.

    Raises:
        Failed: it ended, or the time is up; it is killed then.

    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if ready():
            return
        time.sleep(POLL_S)
    state = "did not listen" if process.poll() is None else f"ended with {process.returncode}"
    process.kill()
    process.wait()
    raise Failed(f"{process.args!r} {state}: {log.read_text(errors='replace')[-2000:]}")


def listens(address: str) -> bool:
    """Tell whether something accepts connections at host:port."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
