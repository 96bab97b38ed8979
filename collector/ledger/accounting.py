"""Everything a service does for the ledger, over the life of one journal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from collector.journal.fs import Fs
from collector.ledger.books import Books
from collector.ledger.outbox import Outbox
from collector.ledger.waiting import Waiting, survey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from collector.delivery.lane import Source
    from collector.journal import Batch, Journal, Reader, Record
    from schema.ledger import Ledger

log = logging.getLogger(__name__)


class Accounting:
    """The books of one journal. `tally` works at once; `start` when the exporters are there, `stop` before they go."""

    def __init__(self, journal: Journal, reader: str, *, fs: Fs | None = None) -> None:
        """`reader` is the one that delivers to the database with the ledger."""
        self._fs = fs or Fs()
        self._journal = journal
        self._reader = reader
        self.books = Books(Outbox(journal.options.directory, self._fs))
        self.tally = self.books.count
        self._waiting = Waiting(reader, self.tally)
        self._ledgers: tuple[Ledger, ...] = ()
        self._task: asyncio.Task[None] | None = None
        self._first, self._before = journal.reader(reader).position.sequence, journal.next_sequence
        journal.on_durable = self._waiting.appended

    def watched(self, reader: Reader) -> Source:
        """Return a reader that tells what it confirms."""
        return _Watched(reader, self._waiting, lambda: int(self._journal.status()["lost_records"]))

    async def survey(self) -> None:
        """Count what the journal held at the start; before the reader confirms anything."""
        if self._first == self._before:
            counts = survey(self._fs, (), b"", self._reader, first=0, before=0)
        else:
            try:
                counts = await asyncio.to_thread(
                    survey,
                    self._fs,
                    self._journal.segments,
                    self._journal.id,
                    self._reader,
                    first=self._first,
                    before=self._before,
                )
            except OSError as e:
                log.warning("what waits in the journal is not counted: %s", e)
                return
        self._waiting.found(counts)

    def start(self, ledgers: Sequence[Ledger]) -> None:
        """Begin to write and book."""
        self._ledgers = tuple(ledgers)
        self._task = asyncio.create_task(self.books.run(self._ledgers), name="ledger")

    async def adopt(self, directory: Path) -> None:
        """Book what another start left beside its journal; what cannot be booked now stays there."""
        await Books(Outbox(directory, self._fs)).book(self._ledgers)

    async def stop(self, within_s: float) -> None:
        """Write what was counted; book it if the database answers in time, else the next start does. Safe twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.books.close(self._ledgers, within_s)

    def status(self) -> dict[str, Any]:
        """Return what the service's status says under `ledger`."""
        return {
            "in_journal": self._waiting.document(),
            "is_written": self.books.is_written,
            "failing": self.books.failing,
        }


class _Watched:
    """A reader of the journal that tells what it confirms (`collector.delivery.lane.Source`)."""

    def __init__(self, reader: Reader, waiting: Waiting, lost_records: Callable[[], int]) -> None:
        self._reader = reader
        self._waiting = waiting
        self._lost_records = lost_records

    @property
    def is_behind(self) -> bool:
        return self._reader.is_behind

    async def next_batch(self) -> Batch | None:
        return await self._reader.next_batch()

    async def confirm(self, batch: Batch) -> None:
        await self._reader.confirm(batch)
        self._gone(batch)

    async def skip(self, batch: Batch) -> None:
        await self._reader.skip(batch)
        self._gone(batch)

    async def absolve(self, batch: Batch) -> None:
        await self._reader.absolve(batch)

    async def quarantine(self, records: Sequence[Record], reason: str, *, word: str | None = None) -> Path:
        return await self._reader.quarantine(records, reason, word=word)

    def _gone(self, batch: Batch) -> None:
        self._waiting.confirmed(batch.records)
        if self._reader.is_empty:
            self._waiting.emptied(self._lost_records())
