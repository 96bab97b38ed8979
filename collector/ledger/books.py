"""Counts of the receivers, kept in memory for a second, in the outbox until the table has them.

After kill -9 at most the counts of the last second are missing; spans are never concerned, only how many were refused
or came twice. While the database is away one file waits for an answer and one more grows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from collector.delivery.retry import unhurried
from schema.errors import EvalgateError, Retryable
from schema.ledger import MINUTE_NS, Entry, LedgerSignal, State, merged, word

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from collector.ledger.outbox import Outbox
    from schema.ledger import Ledger

log = logging.getLogger(__name__)

WRITE_EVERY_S: Final = 1.0
BOOK_EVERY_S: Final = 2.0
MAX_ENTRIES: Final = 20_000
"""Beyond it, minutes become hours, and then days: an outage of the database must not fill the memory."""
COARSER_MINUTES: Final = (60, 1440)

Key = tuple[str, int, LedgerSignal, State, str]


class Books:
    """Counts, and books them. All but the files belongs to one event loop."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        now_unix_ns: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        new_token: Callable[[], str] = lambda: f"counts-{uuid.uuid4().hex}",
    ) -> None:
        self._outbox = outbox
        self._now_unix_ns = now_unix_ns
        self._sleep = sleep
        self._new_token = new_token
        self._counts: Counter[Key] = Counter()
        self._requests: Counter[Key] = Counter()
        self._growing: tuple[Entry, ...] = ()
        """On disk under `_token`, and never sent yet."""
        self._token = ""
        self._writing, self._booking = asyncio.Lock(), asyncio.Lock()
        self.booked_entries = 0
        self.failing: str = ""
        """Why the last try to book did not succeed; "" when it did."""

    def count(
        self,
        tenant: str,
        signal: LedgerSignal,
        state: State,
        reason: str = "",
        *,
        count: int = 0,
        uncounted_requests: int = 0,
    ) -> None:
        """Count something that was received now (`schema.ledger.Tally`)."""
        key = (tenant, self._now_unix_ns() // MINUTE_NS, signal, state, word(reason))
        self._counts[key] += count
        self._requests[key] += uncounted_requests

    @property
    def is_written(self) -> bool:
        """Whether nothing that was counted is in memory alone."""
        return not self._counts and not self._requests and not self._writing.locked()

    async def run(self, ledgers: Sequence[Ledger]) -> None:
        """Write and book until cancelled. What fails is tried again; the reason stands in `failing`."""
        async with asyncio.TaskGroup() as tasks:  # apart: a database that hangs must not keep counts from the disk
            tasks.create_task(self._write_for_ever(), name="ledger-write")
            tasks.create_task(self._book_for_ever(ledgers), name="ledger-book")

    async def _write_for_ever(self) -> None:
        while True:
            await self._sleep(WRITE_EVERY_S)
            await self.write()

    async def _book_for_ever(self, ledgers: Sequence[Ledger]) -> None:
        while True:  # what an earlier start left goes out at once
            await self.book(ledgers)
            await self._sleep(BOOK_EVERY_S)

    async def write(self) -> bool:
        """Bring what was counted into the outbox; return whether nothing is left in memory alone."""
        async with self._writing:
            return await self._write()

    async def _write(self) -> bool:
        new = self._drain()
        if not new:
            return True
        entries = bounded((*self._growing, *new))
        token = self._token or self._new_token()
        try:
            await asyncio.to_thread(self._outbox.put, token, entries)
        except OSError as e:
            log.warning("counts of the ledger cannot be written to %s: %s; trying again", self._outbox.folder, e)
            for entry in new:
                key = (entry.tenant, entry.minute, entry.signal, entry.state, entry.reason)
                self._counts[key] += entry.count
                self._requests[key] += entry.uncounted_requests
            return False
        self._growing, self._token = entries, token
        return True

    def _drain(self) -> tuple[Entry, ...]:
        counts, self._counts = self._counts, Counter()
        requests, self._requests = self._requests, Counter()
        return merged(Entry(*key, count=n, uncounted_requests=requests[key]) for key, n in counts.items())

    async def book(self, ledgers: Sequence[Ledger]) -> bool:
        """Book what is in the outbox, oldest first; return whether all of it is booked."""
        async with self._booking:
            try:
                return await self._book(ledgers)
            except OSError as e:
                return self._fail(f"{self._outbox.folder}: {e}")

    async def _book(self, ledgers: Sequence[Ledger]) -> bool:
        if not ledgers:
            return True
        waiting = await asyncio.to_thread(self._outbox.waiting)
        # The growing one last: it may go on growing while older ones wait.
        waiting.sort(key=lambda token: token == self._token)
        is_whole = True
        for token in waiting:
            async with self._writing:
                if token == self._token:  # from now on the database may have it: it must not change
                    self._growing, self._token = (), ""
                entries = await asyncio.to_thread(self._outbox.entries, token)
            if entries is None:
                continue
            try:
                for ledger in ledgers:
                    await unhurried(ledger.book(entries, token))
            except Retryable as e:
                return self._fail(str(e))
            except EvalgateError as e:  # this group is refused; others may pass
                is_whole = self._fail(str(e))
                continue
            await asyncio.to_thread(self._outbox.drop, token)
            self.booked_entries += len(entries)
        if is_whole:
            self.failing = ""
        return is_whole

    def _fail(self, why: str) -> bool:
        if why != self.failing:
            log.warning("the ledger cannot be brought up to date: %s; trying again", why)
        self.failing = why
        return False

    async def close(self, ledgers: Sequence[Ledger], within_s: float) -> None:
        """Write what was counted, and try to book it; what is not booked in time waits in the outbox."""
        await self.write()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self.book(ledgers)


def bounded(entries: Sequence[Entry], most: int = MAX_ENTRIES) -> tuple[Entry, ...]:
    """Return entries that add up to the same, of coarser times where there would be too many."""
    found = merged(entries)
    for minutes in COARSER_MINUTES:
        if len(found) <= most:
            break
        found = merged(replace(e, minute=e.minute - e.minute % minutes) for e in found)
    return found
