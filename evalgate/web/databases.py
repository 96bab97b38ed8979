"""Connections for the pages: as many as statements may run at once, opened when they are needed.

Calls on one connection of the embedded database run one after another, so each request borrows one for itself.
"""

from __future__ import annotations

import asyncio
import queue
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from exporters.clickhouse.connect import connect
from schema.errors import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from exporters.clickhouse.connect import Database

T = TypeVar("T")

RENDERERS = 2
"""Threads besides those that wait for statements: they write pages."""


class Databases:
    """A few connections and the threads that use them. `run` is for the event loop."""

    def __init__(self, dsn: str, *, concurrency: int, settings: Mapping[str, object], wait_s: float) -> None:
        """Take ClickHouse's `settings` for each statement; a request waits `wait_s` for a connection."""
        self._dsn = dsn
        self._settings = settings
        self._wait_s = wait_s
        self._free: queue.LifoQueue[Database] = queue.LifoQueue()
        self._slots = asyncio.Semaphore(concurrency)
        self._threads = ThreadPoolExecutor(concurrency + RENDERERS, "web")

    async def run(self, work: Callable[[Database], T]) -> T:
        """Call `work` in a thread, with a connection of its own for as long.

        Raises:
            Refused: UNAVAILABLE, as all of them are busy.

        """

        def lent() -> T:
            with self._lent() as database:
                return work(database)

        return await self._in_slot(lent)

    async def compute(self, work: Callable[[], T]) -> T:
        """Call `work` in a thread, so that what is received meanwhile need not wait for it."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Wait for what runs, and close everything. Safe to call twice."""
        self._threads.shutdown()
        while not self._free.empty():
            self._free.get_nowait().close()

    async def _in_slot(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(self._wait_s):
                await self._slots.acquire()
        except TimeoutError:
            raise Refused(
                Reason.UNAVAILABLE, "other pages keep the database busy at the moment; try again", retry_after_s=2.0
            ) from None
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        # Given back when the thread is done, also where the visitor went away meanwhile.
        running.add_done_callback(lambda _: self._slots.release())
        return await asyncio.shield(running)

    @contextmanager
    def _lent(self) -> Iterator[Database]:
        try:
            database = self._free.get_nowait()
        except queue.Empty:
            database = connect(self._dsn, settings=self._settings)
        try:
            yield database
        finally:
            self._free.put(database)
