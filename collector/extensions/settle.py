"""The extension `settle`: reads traces that came in pieces again as a whole, once they are quiet (collector/settle)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from pydantic import Field

from collector.settle import Limits, Settler
from collector.settle.feedback import resolve_feedback
from exporters.clickhouse.connect import connect
from exporters.clickhouse.dsn import default_dsn, parse_dsn
from schema.component import ComponentConfig, Context, Extension, component
from schema.errors import EvalgateError, Retryable

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.settle import Outcome
    from exporters.clickhouse.connect import Database
    from schema.batch import SpanBatch

log = logging.getLogger(__name__)

FEEDBACK_INTERVAL_S = 10.0
"""Between looks for the traces of feedback that names a response or a session."""
LONGEST_PAUSE_S = 60.0
"""Between tries while the database cannot be reached or is not ready."""


class SettleConfig(ComponentConfig):
    """When traces are read again, and how large they may be."""

    enabled: bool = True
    quiet_s: float = Field(default=5.0, ge=0)
    """A trace is read when nothing of it was stored for so long. SDKs export every 5 s at most by default
    (OTEL_BSP_SCHEDULE_DELAY); what comes later is settled again."""
    interval_s: float = Field(default=2.0, gt=0)
    """Between passes."""
    max_spans_per_trace: int = Field(default=10_000, ge=1)
    """A larger trace keeps what its pieces said and gets the defect `not_settled`."""
    max_bytes_per_trace: int = Field(default=64 << 20, ge=1 << 10)
    """As above, for the size of its attributes."""


class Settle:
    """Owns the connection and the task. Several collectors on one server may all run it: they repeat each other."""

    def __init__(self, config: SettleConfig, dsn: str, process: Callable[[SpanBatch], SpanBatch]) -> None:
        parse_dsn(dsn)
        self._config = config
        self._dsn = dsn
        self._process = process
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._feedback_due_s = 0.0

    async def start(self) -> None:
        """Begin; the database is opened by the task, which waits for it as long as it takes."""
        if self._config.enabled and self._task is None:
            self._stopping.clear()
            self._task = asyncio.create_task(self._run(), name="settle")

    async def shutdown(self) -> None:
        """Finish the pass under way and end. Safe without start, and twice."""
        self._stopping.set()
        task, self._task = self._task, None
        if task is not None:
            await task

    async def _run(self) -> None:
        pause_s = self._config.interval_s
        while not self._stopping.is_set():
            try:
                await asyncio.to_thread(self._passes)
                pause_s = self._config.interval_s
            except EvalgateError as e:
                pause_s = min(max(2 * pause_s, 1.0), LONGEST_PAUSE_S)
                log.log(logging.INFO if isinstance(e, Retryable) else logging.WARNING, "settling waits: %s", e)
            except Exception:  # settling must not end for the life of the process because of one pass
                pause_s = LONGEST_PAUSE_S
                log.exception("settling failed in a way that it should not; trying again in %.0f s", pause_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    def _passes(self) -> None:
        """Settle until nothing is left or the service stops."""
        with connect(self._dsn) as db:
            settler = Settler(db, self._process, self._limits())
            while not self._stopping.is_set():
                outcome = settler.settle()
                _tell(outcome, db)
                if not outcome.more:
                    break
            if not self._stopping.is_set() and time.monotonic() >= self._feedback_due_s:
                self._feedback_due_s = time.monotonic() + min(FEEDBACK_INTERVAL_S, 5 * self._config.interval_s)
                if found := resolve_feedback(db):
                    log.info("%d pieces of feedback found their traces", found)

    def _limits(self) -> Limits:
        c = self._config
        return Limits(
            quiet_s=c.quiet_s, max_spans_per_trace=c.max_spans_per_trace, max_bytes_per_trace=c.max_bytes_per_trace
        )


def _tell(outcome: Outcome, db: Database) -> None:
    if outcome.settled:
        log.info("settled %d traces, %d spans revised (%s)", outcome.settled, outcome.revised, db.url)
    if outcome.not_settled:
        log.warning("%d traces are too large, or cannot be read, as a whole: defect not_settled", outcome.not_settled)


@component("extension", "settle", SettleConfig)
def settle(config: SettleConfig, context: Context) -> Extension:
    """Make the extension; nothing is opened yet."""
    return Settle(config, context.dsn or default_dsn(context.data_dir), context.process or (lambda batch: batch))
