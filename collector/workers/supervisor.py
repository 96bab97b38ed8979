"""The parent of the workers: starts them, starts again what ended, passes signals on, speaks for the whole.

It takes no spans and opens no journal. Killed, it takes the workers with it: each sees its standard input end, and
drains. The first worker starts alone, so that a port that is taken or a database that refuses is told once.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson
import uvloop

from collector.process import ignore_hangup, log_to_stderr
from collector.ready import announced, ready_document
from collector.service import dsn_of
from collector.workers.plan import extensions_of_the_whole, journal_folder, require_sharable
from collector.workers.whole import of_the_past, together
from collector.workers.worker import Order
from schema.component import Context
from schema.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from collector.config import Config
    from schema.component import Extension

log = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
"""Between starts of a worker that keeps ending."""
STEADY_S: Final = 60.0
"""A worker that ran so long starts again after the first pause."""
GRACE_S: Final = 15.0
"""Beyond service.shutdown_timeout_s; then a worker is killed, which its journal survives."""
MAX_LINE_BYTES: Final = 4 << 20


def run(config: Config, text: str, name: str, *, ready_file: Path | None = None) -> None:
    """Run `config.service.workers` workers until a signal ends them.

    `text` and `name` are what the configuration was read from: each worker reads them again.

    Raises:
        ConfigError: they cannot start.

    """
    require_sharable(config)
    log_to_stderr(config)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Supervisor(config, text, name).run(ready_file))


@dataclass(slots=True)
class Worker:
    """One worker over all its processes."""

    number: int
    process: asyncio.subprocess.Process | None = None
    status: dict[str, Any] = field(default_factory=dict)
    """The latest, of the process that runs."""
    past: dict[str, Any] = field(default_factory=dict)
    """Counts of the processes that ended."""
    endpoints: dict[str, Any] = field(default_factory=dict)
    """Since it first listened."""
    error: str = ""
    starts: int = 0
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it listens, or ended before it ever did."""

    def hear(self, message: dict[str, Any]) -> None:
        """Take one line of what the process says."""
        if "ready" in message:
            self.endpoints = message["ready"]
            self.settled.set()
        self.status = message.get("status", self.status)
        self.error = message.get("error", self.error)

    def end(self) -> None:
        """Keep the counts of the process that ended."""
        self.past = together((self.past, of_the_past(self.status)))
        self.process, self.status = None, {}
        self.settled.set()

    def document(self) -> dict[str, Any]:
        """Return what the status of the whole says of it."""
        return {
            "number": self.number,
            "pid": self.process.pid if self.process else None,
            "starts": self.starts,
            "state": self.status.get("state", "starting") if self.process else "ended",
            "backlog_records": self.status.get("journal", {}).get("backlog_records"),
            "error": self.error,
        }


class Supervisor:
    """Owns the workers' processes."""

    def __init__(self, config: Config, text: str, name: str) -> None:
        self._config = config
        self._text, self._name = text, name
        self._workers = [Worker(n) for n in range(config.service.workers)]
        self._keeping: list[asyncio.Task[None]] = []
        self._extensions: dict[str, Extension] = {}
        self._stop = asyncio.Event()
        self._started_s = time.monotonic()
        self._running = False

    async def run(self, ready_file: Path | None) -> None:
        """Start, wait for a signal, stop.

        Raises:
            ConfigError: something cannot start.

        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._tell_to_stop)
        loop.add_signal_handler(signal.SIGHUP, ignore_hangup)
        try:
            await self._start_workers()
            await self._start_extensions()
            self._running = True
            data_dir = self._config.service.data_dir.absolute()
            with announced(ready_document(self._endpoints(), data_dir, dsn_of(self._config)), ready_file):
                await self._stop.wait()
        finally:
            self._running = False
            await self._end()

    def _tell_to_stop(self) -> None:
        """Tell every worker: the first time to stop and drain, the second time not to wait for the draining."""
        self._stop.set()
        for worker in self._workers:
            if worker.process is not None and worker.process.returncode is None:
                worker.process.terminate()

    # -- start ---------------------------------------------------------------------------------------------------

    async def _start_workers(self) -> None:
        for group in (self._workers[:1], self._workers[1:]):
            self._keeping += [asyncio.create_task(self._keep(w), name=f"worker {w.number}") for w in group]
            for worker in group:
                await worker.settled.wait()
                if not worker.endpoints and not self._stop.is_set():
                    raise ConfigError(worker.error or f"worker {worker.number} ended at its start; its log says why")

    async def _start_extensions(self) -> None:
        for i, configured in extensions_of_the_whole(self._config).items():
            context = Context(configured.id, self._config.service.data_dir.absolute(), status=self.status)
            self._extensions[i] = configured.component(configured.settings, context)
            await self._extensions[i].start()

    # -- run -----------------------------------------------------------------------------------------------------

    async def _keep(self, worker: Worker) -> None:
        """Run a worker, and again when it ends, until all stop. One that never listened is not started again."""
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set():
            began_s = time.monotonic()
            code = await self._run_once(worker)
            if self._stop.is_set() or not worker.endpoints:
                return
            pause_s = FIRST_PAUSE_S if time.monotonic() - began_s > STEADY_S else pause_s
            why = f": {worker.error}" if worker.error else ""
            log.error("worker %d ended with %s%s; starting it again in %.1f s", worker.number, code, why, pause_s)
            try:
                await asyncio.wait_for(self._stop.wait(), pause_s)
            except TimeoutError:
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _run_once(self, worker: Worker) -> int:
        """Run one process of a worker to its end; return its exit code."""
        order = Order(self._text, self._name, len(self._workers), worker.number, first_start=worker.starts == 0)
        worker.starts += 1
        worker.error = ""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "collector.workers.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MAX_LINE_BYTES,
            start_new_session=True,  # a Ctrl-C on the terminal reaches the supervisor alone
        )
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        assert process.stdout is not None  # noqa: S101 - as above
        worker.process = process
        process.stdin.write(order.line())
        if self._stop.is_set():
            process.terminate()
        async for line in process.stdout:
            worker.hear(orjson.loads(line))
        code = await process.wait()
        process.stdin.close()
        worker.end()
        return code

    def status(self) -> dict[str, Any]:
        """Return the state of the whole: what one collector says of itself, and a line for each worker."""
        running = [w.status for w in self._workers if w.status]
        whole = together([*running, *(w.past for w in self._workers)])
        whole["journal"] |= {"id": None, "directory": str(journal_folder(self._config))}
        return {
            "state": "running" if self._running else "stopping" if self._stop.is_set() else "starting",
            "ready": self._running and any(s.get("ready") for s in running),
            "kernels_ready": all(s.get("kernels_ready", True) for s in running),
            "uptime_s": round(time.monotonic() - self._started_s, 3),
            "at_unix_ns": time.time_ns(),
            **whole,
            "endpoints": self._endpoints(),
            "workers": [w.document() for w in self._workers],
        }

    def _endpoints(self) -> dict[str, Any]:
        own = {i: url for i, e in self._extensions.items() if (url := getattr(e, "url", None))}
        return {**self._workers[0].endpoints, **own}

    # -- stop ----------------------------------------------------------------------------------------------------

    async def _end(self) -> None:
        """Stop every worker, let it drain within its deadline, kill what is left; then the extensions."""
        if not self._stop.is_set():
            self._tell_to_stop()
        if self._keeping:
            _, late = await asyncio.wait(self._keeping, timeout=self._config.service.shutdown_timeout_s + GRACE_S)
            for worker in self._workers:
                if late and worker.process is not None and worker.process.returncode is None:
                    log.error("worker %d does not end; killing it: its journal keeps what it had", worker.number)
                    worker.process.kill()
            await asyncio.gather(*self._keeping, return_exceptions=True)
        for extension in self._extensions.values():
            await extension.shutdown()
