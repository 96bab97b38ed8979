"""Run a service as a process: signals, log lines, the file that says it is ready.

The first SIGTERM or SIGINT stops receiving and drains within the deadline; the second ends the draining. Both ways the
exit code is 0, because nothing is lost: what is not delivered stays in the journal.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

import uvloop

from collector.journal.fs import Fs
from collector.service import Service
from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.config import Config
    from schema.batch import SpanBatch

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
    logging.basicConfig(
        level=LEVELS[config.service.telemetry.logs.level],
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(Service(config, on_stored=on_stored), ready_file, on_ready))


async def _serve(service: Service, ready_file: Path | None, on_ready: Callable[[Service], None] | None) -> None:
    stop, hurry = asyncio.Event(), asyncio.Event()

    def interrupted() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, interrupted)
    await service.start()
    try:
        if ready_file is not None:
            write_ready_file(ready_file, service)
        if on_ready is not None:
            on_ready(service)
        await service.wait(stop)
    finally:
        await service.stop(hurry=hurry)
        if ready_file is not None:
            _remove(ready_file)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def ready_document(service: Service) -> dict[str, Any]:
    """Return what a program needs to talk to a service: where the first of each kind listens, then everything."""
    endpoints = service.endpoints()
    document: dict[str, Any] = {"pid": os.getpid(), "data_dir": str(service.data_dir), "dsn": service.dsn}
    for value in endpoints.values():
        if isinstance(value, dict):
            for protocol, address in value.items():
                document.setdefault(protocol, address)
    for name, value in endpoints.items():
        if isinstance(value, str):
            document.setdefault(name, value)
    return {**document, "endpoints": endpoints}


def write_ready_file(path: Path, service: Service) -> None:
    """Write the document whole or not at all.

    Raises:
        ConfigError: the file cannot be written.

    """
    body = json.dumps(ready_document(service), indent=2).encode()
    try:
        Fs().write_file(path.absolute(), body)
    except OSError as e:
        raise ConfigError(f"the ready file {path} cannot be written: {e.strerror}") from None
