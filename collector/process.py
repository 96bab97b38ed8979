"""Run a service as a process: signals, log lines, the file that says it is ready.

The first SIGTERM or SIGINT refuses requests and drains within the deadline; the second ends the draining. Both ways the
exit code is 0, because nothing is lost: what is not delivered stays in the journal. SIGHUP changes nothing: the
configuration is read at the start. `evalgate up` ends with its terminal, so there it is as SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvloop

from collector.memory import forget_pandas, forget_scipy, keep_memory
from collector.ready import announced, ready_document
from collector.service import Service
from collector.workers.plan import journal_folder, leftovers
from schema import failpoints
from schema.errors import EvalgateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.config import Config
    from schema.batch import SpanBatch

log = logging.getLogger(__name__)

SWITCH_INTERVAL_S: Final = 0.0005
"""How long a thread keeps the GIL from others. Python's 5 ms, at each of the ten changes of threads that a request
takes while a batch is prepared, is what an acknowledgement waits for."""
NICER: Final = 4
"""By how much; such a thread gets four tenths of the time of another."""
COMPILING: Final = ("kernels", "validation-kernel")
"""Names of the threads that compile."""
BACKGROUND: Final = "background"
"""How the names of the threads begin that wait for databases."""
LAST_MOMENT_S: Final = 1.0
ERROR: Final = 2
"""The exit code of a service that could not start or go on."""
COLLECT_AFTER: Final = (10_000, 10, 100)
"""When garbage is collected, in each generation. Python's 700, 10, 10 looks at all modules and kernels again every few
batches, which costs a span 0.7 µs (measured)."""
LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


QUIET: Final = ("urllib3.connectionpool", "clickhouse_connect.driver._backend.http_sync")
"""Loggers that tell of each failed attempt what our own line, right behind theirs, tells with what to do."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """What a command is told, with the service, on its way."""

    ready: Callable[[Service], None] = field(default=lambda _: None)
    """Everything listens."""
    stopping: Callable[[Service], None] = field(default=lambda _: None)
    """Requests are refused from now on; the journal drains."""
    stopped: Callable[[Service], None] = field(default=lambda _: None)
    """Everything is released; also after a start that failed."""


def run(
    config: Config,
    *,
    ready_file: Path | None = None,
    listeners: Listeners | None = None,
    on_stored: Callable[[SpanBatch], None] | None = None,
    with_terminal: bool = False,
) -> None:
    """Run until a signal ends it; `with_terminal`: the end of the terminal, SIGHUP, is one.

    Raises:
        ConfigError: it cannot start.
        ServiceFailed: it could not go on.

    """
    log_to_stderr(config)
    failpoints.armed()
    tune()
    service = Service(config, on_stored=on_stored, leftovers=leftovers(journal_folder(config), 1))
    background = Background()
    with asyncio.Runner(loop_factory=background.new_event_loop) as runner:
        try:
            runner.run(_serve(service, ready_file, listeners or Listeners(), with_terminal=with_terminal))
        except EvalgateError as e:
            background.end(ERROR, str(e))
            raise
        background.end()


async def _serve(service: Service, ready_file: Path | None, listeners: Listeners, *, with_terminal: bool) -> None:
    stop, hurry = asyncio.Event(), asyncio.Event()

    def interrupted() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, interrupted)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        loop.add_signal_handler(signal.SIGHUP, interrupted if with_terminal else ignore_hangup)
    try:
        await service.start()
        with announced(ready_document(service.endpoints(), service.data_dir, service.dsn), ready_file):
            listeners.ready(service)
            await service.wait(stop)
            listeners.stopping(service)
    finally:
        await service.stop(hurry=hurry)
        listeners.stopped(service)


def ignore_hangup() -> None:
    """Say what SIGHUP does not do."""
    log.warning("SIGHUP is ignored: the configuration is read at the start; to change it, start again")


def tune() -> None:
    """Set what holds for the whole process and serves every part of it."""
    keep_memory()
    forget_pandas()
    forget_scipy()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*COLLECT_AFTER)


class Background:
    """The threads for work that can wait: decoding, processing, inserting.

    Receivers and the journal have threads of their own, and acknowledge.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(thread_name_prefix=BACKGROUND, initializer=_give_way)

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of a collector, which hands to these threads what belongs to no other pool."""
        loop = uvloop.new_event_loop()
        loop.set_default_executor(self._executor)
        return loop

    def end(self, code: int = 0, error: str = "") -> None:
        """Give the threads a moment to end. Where one is held up for longer, end the process now, with this code.

        All is closed then. The loop and the interpreter would wait for a dead database for minutes, and half a minute
        for a thread that compiles with an empty cache.
        """
        self._executor.shutdown(wait=False, cancel_futures=True)
        end_s = time.monotonic() + LAST_MOMENT_S
        for thread in threading.enumerate():
            if thread.name.startswith(BACKGROUND):
                thread.join(max(0.0, end_s - time.monotonic()))
        if any(thread.name.startswith((BACKGROUND, *COMPILING)) for thread in threading.enumerate()):
            for line in error.splitlines():
                sys.stderr.write(f"{Path(sys.argv[0]).name}: {line}\n")
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _give_way() -> None:
    """Let this thread have a processor a little later than the others where there is not one for each."""
    if sys.platform == "linux":  # elsewhere this is about the whole process
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + NICER)


def log_to_stderr(config: Config, *, prefix: str = "") -> None:
    """Send log lines of the configured level to standard error."""
    logging.basicConfig(
        level=LEVELS[config.service.telemetry.logs.level],
        stream=sys.stderr,
        format=f"%(asctime)s %(levelname)s {prefix}%(name)s: %(message)s",
    )
    if not log.isEnabledFor(logging.DEBUG):
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.ERROR)
