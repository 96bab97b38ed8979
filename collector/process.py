"""Run a service as a process: signals, log lines, the file that says it is ready.

The first SIGTERM or SIGINT stops receiving and drains within the deadline; the second ends the draining. Both ways the
exit code is 0, because nothing is lost: what is not delivered stays in the journal.
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
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import uvloop

from collector.memory import forget_pandas, forget_scipy, keep_memory
from collector.ready import announced, ready_document
from collector.service import Service
from collector.workers.plan import journal_folder, leftovers
from schema import failpoints

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.config import Config
    from schema.batch import SpanBatch

SWITCH_INTERVAL_S: Final = 0.0005
"""How long a thread keeps the GIL from others. Python's 5 ms, at each of the ten changes of threads that a request
takes while a batch is prepared, is what an acknowledgement waits for."""
NICER: Final = 4
"""By how much; such a thread gets four tenths of the time of another."""
COMPILING: Final = frozenset({"kernels", "validation-kernel"})
"""Names of the threads that compile."""
COLLECT_AFTER: Final = (10_000, 10, 100)
"""When garbage is collected, in each generation. Python's 700, 10, 10 looks at all modules and kernels again every few
batches, which costs a span 0.7 µs (measured)."""
LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


def run(
    config: Config,
    *,
    ready_file: Path | None = None,
    on_ready: Callable[[Service], None] | None = None,
    on_stored: Callable[[SpanBatch], None] | None = None,
) -> None:
    """Run until a signal ends it.

    Raises:
        ConfigError: it cannot start.
        ServiceFailed: it could not go on.

    """
    log_to_stderr(config)
    failpoints.armed()
    tune()
    service = Service(config, on_stored=on_stored, leftovers=leftovers(journal_folder(config), 1))
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(service, ready_file, on_ready))


async def _serve(service: Service, ready_file: Path | None, on_ready: Callable[[Service], None] | None) -> None:
    stop, hurry = asyncio.Event(), asyncio.Event()

    def interrupted() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, interrupted)
    await service.start()
    try:
        with announced(ready_document(service.endpoints(), service.data_dir, service.dsn), ready_file):
            if on_ready is not None:
                on_ready(service)
            await service.wait(stop)
    finally:
        await service.stop(hurry=hurry)
    leave_if_compiling()


def leave_if_compiling(code: int = 0) -> None:
    """End the process now where a thread still compiles kernels: all is closed, and nobody waits for what it makes.

    Python would wait for the thread, which takes half a minute with an empty cache.
    """
    if any(thread.name in COMPILING for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def tune() -> None:
    """Set what holds for the whole process and serves every part of it."""
    keep_memory()
    forget_pandas()
    forget_scipy()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*COLLECT_AFTER)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return the loop of a collector. What it hands to threads of no pool of their own is work that can wait.

    That is decoding, processing, inserting; receivers and the journal have threads of their own, and acknowledge.
    """
    loop = uvloop.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="background", initializer=_give_way))
    return loop


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
