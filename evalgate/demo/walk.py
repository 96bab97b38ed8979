"""A walk on a terminal: commands that are shown and run, a service beside them, and promises that are checked."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from schema.errors import EvalgateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

READY_TIMEOUT_S = 60.0
VISIBLE_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0


class NotAsPromisedError(EvalgateError):
    """A step did something else than the demo says."""


@dataclass(slots=True)
class Walk:
    """The terminal, the folder and the clock of one walk."""

    console: Console
    folder: Path
    environment: Mapping[str, str]
    times: list[tuple[str, float]] = field(default_factory=list)
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    started_s: float = field(default_factory=time.monotonic)

    def step(self, title: str, text: str) -> None:
        """Begin a step."""
        self.times.append((title, time.monotonic()))
        self.console.print()
        self.console.rule(f"[bold]{len(self.times)}. {title}[/]", align="left")
        self.console.print(text)

    def run(self, command: str, *, promised: int = 0, env: Mapping[str, str] | None = None) -> None:
        """Show a command, run it on this terminal, and check its exit code."""
        code = subprocess.run(
            self._shown(command, env), cwd=self.folder, env={**self.environment, **(env or {})}, check=False
        ).returncode
        if promised:
            self.console.print(f"[dim]exit code {code}[/]")
        if code != promised:
            raise NotAsPromisedError(f"`{command}` ended with exit code {code}; {promised} was promised")

    def start(self, command: str, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """Show a command and start it."""
        words = self._shown(command, env)
        with undisturbed():  # between the fork and the list, a process would belong to nobody
            process = subprocess.Popen(
                words,
                cwd=self.folder,
                env={**self.environment, **(env or {})},
                stdin=subprocess.DEVNULL,
                text=True,
                **options,
            )
            self.started.append(process)
        return process

    def kill(self) -> None:
        """Leave nothing running."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()

    def summary(self) -> None:
        """Print how long each step took."""
        ends = [began for _, began in self.times[1:]] + [time.monotonic()]
        self.console.print()
        for (title, began), end in zip(self.times, ends, strict=True):
            self.console.print(f"[dim]{end - began:6.1f} s  {title}[/]")
        self.console.print(f"[dim]{time.monotonic() - self.started_s:6.1f} s  altogether[/]")

    def _shown(self, command: str, env: Mapping[str, str] | None) -> Sequence[str]:
        self.console.print()
        for name, value in (env or {}).items():
            self.console.print(f"[bold green]$[/] [bold]export {name}={escape(value)}[/]")
        self.console.print(f"[bold green]$[/] [bold]{escape(command)}[/]", soft_wrap=True)
        sys.stdout.flush()
        return shlex.split(command)


@dataclass(slots=True)
class Service:
    """`evalgate up`, running."""

    process: subprocess.Popen[str]
    log: Path
    ready: dict[str, Any]

    def query(self, sql: str) -> list[str]:
        """Return the lines that a query yields, over ClickHouse's HTTP interface."""
        request = urllib.request.Request(self.ready["clickhouse_http"], data=sql.encode(), method="POST")  # noqa: S310 - ours, on loopback
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=10) as answer:
            return str(answer.read(), "utf-8").splitlines()

    def count(self, sql: str) -> int:
        """Return the one number that a query yields."""
        return int(self.query(sql)[0])

    def stop(self) -> int:
        """Ask it to stop, and insist when it does not."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def start_service(walk: Walk) -> Service:
    """Start `evalgate up` and wait until everything listens and it has said where."""
    log, ready = walk.folder / "up.log", walk.folder / "ready.json"
    with log.open("w") as out:
        process = walk.start(
            "evalgate up --grpc-port 0 --http-port 0 --clickhouse-port 0 --web-port 0 --ready-file ready.json",
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_ready(process, ready, log)
    except BaseException:  # an interrupted demo leaves nothing running either
        process.kill()
        process.wait()
        raise
    walk.console.print(escape(log.read_text().rstrip()), soft_wrap=True)
    return Service(process, log, json.loads(ready.read_text()))


def _wait_until_ready(process: subprocess.Popen[str], ready: Path, log: Path) -> None:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while not (ready.exists() and "OTEL_EXPORTER_OTLP_ENDPOINT" in log.read_text()):
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise NotAsPromisedError(f"`evalgate up` did not come up\n{tail(log)}")
        time.sleep(0.05)


def wait_for(service: Service, sql: str, wanted: int) -> None:
    """Wait until a count is what it must become.

    Raises:
        NotAsPromisedError: it is more, or is not reached.

    """
    deadline_s = time.monotonic() + VISIBLE_TIMEOUT_S
    while (seen := service.count(sql)) != wanted:
        if seen > wanted or time.monotonic() > deadline_s or service.process.poll() is not None:
            raise NotAsPromisedError(f"`{sql}` says {seen}; {wanted} were sent\n{tail(service.log)}")
        time.sleep(0.1)


def tail(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text().splitlines()[-lines:])


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put off being told to stop until what is done here is done. Not by a mask: a child would inherit it."""
    put_off: list[int] = []
    before = {s: signal.signal(s, lambda number, _: put_off.append(number)) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    for number in put_off[:1]:
        signal.raise_signal(number)
