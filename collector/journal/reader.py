"""One reader of the journal: its own cursor, its own batches, at its own pace.

    next_batch ─▶ deliver ─▶ confirm          what lies before every reader's cursor goes
        │             └─────▶ quarantine, then confirm
        └─ too far behind, where a limit is set: the oldest batches are skipped, for this reader alone, and counted

A reader's batch is under way from `next_batch` to `confirm`; there is one at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections import deque
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from collector.journal import cursor as cursors
from collector.journal.batch import Batch, Position
from collector.journal.layout import HEADER_BYTES
from collector.journal.records import Records
from schema.errors import Retryable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from collector.journal.cursor import Cursor
    from collector.journal.cutter import Cutter, Limits
    from collector.journal.fs import Fs
    from collector.journal.options import ReaderOptions
    from collector.journal.quarantine import Quarantine
    from collector.journal.record import Record
    from collector.journal.reserve import Reserve
    from collector.journal.segment import Segment

log = logging.getLogger(__name__)

RECENT_SKIPS: Final = 16
MOST_READ_FAILURES: Final = 3


@dataclass(slots=True)
class Durable:
    """What of the journal is on the medium. The journal changes it, its readers look at it."""

    segments: tuple[Segment, ...]
    next_sequence: int
    """First that is not durable yet."""
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Skip:
    """Records that a reader went without."""

    first_sequence: int
    last_sequence: int
    records: int
    members: int
    at_unix_ns: int


class Reader:
    """Made by the journal, one for each name; every method belongs to the loop that opened the journal."""

    def __init__(
        self,
        options: ReaderOptions,
        cursor: Cursor,
        durable: Durable,
        *,
        fs: Fs,
        directory: Path,
        cutter: Cutter,
        limits: Limits,
        linger_s: float,
        quarantine: Quarantine,
        now_unix_ns: Callable[[], int],
        reserve: Reserve,
        on_moved: Callable[[], Awaitable[None]],
    ) -> None:
        self.options = options
        self._cursor = cursor
        self._durable = durable
        self._fs = fs
        self._directory = directory
        self._cutter = cutter
        self._limits = limits
        self._linger_s = linger_s
        self._quarantine = quarantine
        self._now_unix_ns = now_unix_ns
        self._reserve = reserve
        self._on_moved = on_moved
        self._changed = asyncio.Event()
        self._unread_bytes = self.lag_bytes
        self._read_failures = 0
        self._skips: deque[Skip] = deque(maxlen=RECENT_SKIPS)
        self._held_at: int | None = None
        self._held_for_good = True
        self.mark: Callable[[], int] = lambda: 0
        """Asked before each cursor is written: a number to keep in it, `Cursor.mark`."""

    def hold(self, before: int, *, is_final: bool = False) -> None:
        """Hand out no batch with a sequence of `before` or later, until this is called again.

        When draining, the end waits for the last call, which says that it `is_final`; what is held then stays in the
        journal. A batch that was cut already is handed out as it was cut.
        """
        self._held_at, self._held_for_good = before, is_final
        self._changed.set()

    @property
    def _end(self) -> int:
        """The first sequence that may not be handed out."""
        durable = self._durable.next_sequence
        return durable if self._held_at is None or self._cursor.cut is not None else min(durable, self._held_at)

    @property
    def position(self) -> Position:
        """Where the first record lies that this reader has not confirmed."""
        return Position(self._cursor.next, self._cursor.segment, self._cursor.offset)

    @property
    def marked(self) -> int:
        """The mark in its cursor."""
        return self._cursor.mark

    @property
    def lag_bytes(self) -> int:
        """Bytes on disk that this reader has not confirmed."""
        at = self._cursor
        behind = sum(s.end - HEADER_BYTES for s in self._durable.segments if s.number > at.segment)
        here = sum(s.end - max(at.offset, HEADER_BYTES) for s in self._durable.segments if s.number == at.segment)
        return behind + max(0, here)

    @property
    def is_empty(self) -> bool:
        """Whether it has confirmed all that is durable."""
        return self._durable.next_sequence <= self._cursor.next

    @property
    def is_behind(self) -> bool:
        """Whether it is further behind than it may be: give the batch under way up with `skip`."""
        return self.options.max_lag_bytes is not None and self.lag_bytes > self.options.max_lag_bytes

    def notify(self, arrived_bytes: int = 0) -> None:
        """Say that there is more to read, or that there will be no more."""
        self._unread_bytes += arrived_bytes
        self._changed.set()

    async def next_batch(self) -> Batch | None:
        """Return the next batch, once there is one; None when draining and everything has been handed out.

        The batch before must have been confirmed or skipped, or it is handed out again.

        Raises:
            Retryable: the disk refuses to be read, or the cut cannot be made durable; call again.

        """
        while True:
            while self._end <= self._cursor.next:
                if self._durable.draining and self._held_for_good:
                    return None
                self._changed.clear()
                await self._changed.wait()
            if self._cursor.cut is None:
                await self._linger()
            try:
                batch = await self._cut_batch()
            except OSError as e:
                # After that many tries it is no passing fault of the disk: what cannot be read costs itself.
                self._read_failures += e.errno == errno.EIO
                self._cutter.around_bad_pages = self._read_failures >= MOST_READ_FAILURES
                raise Retryable(f"the journal cannot be read: {e}") from e
            self._read_failures = 0
            self._cutter.around_bad_pages = False
            if batch is not None:
                return batch

    async def _linger(self) -> None:
        """Wait for company, unless a whole batch is there already."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._linger_s):
                while self._unread_bytes < self._limits.max_bytes and not self._durable.draining:
                    self._changed.clear()
                    await self._changed.wait()

    async def _cut_batch(self) -> Batch | None:
        """Return a batch whose cut is durable, or None after stepping over what is damaged or too far behind."""
        durable, at = self._durable, self._cursor
        records, token, end = await asyncio.to_thread(
            self._cutter.collect, self.position, durable.segments, self._end, self._limits, at.cut
        )
        if not records:
            await self._move(end)
            return None
        if self.is_behind:
            await self._move(end, skipped=records)
            return None
        attempts = at.attempts + 1 if at.cut is not None else 1
        await self._store(replace(at, cut=end.sequence - 1, attempts=attempts))
        return Batch(records, token, end, attempts)

    async def confirm(self, batch: Batch) -> None:
        """Record that a batch is durable where this reader delivers to, or in quarantine.

        Raises:
            Retryable: that cannot be made durable now; call again.

        """
        await self._leave(batch, skipped=None)

    async def skip(self, batch: Batch) -> None:
        """Go on without the batch under way, because the reader is too far behind: counted, for this reader alone.

        Raises:
            Retryable: as `confirm`.

        """
        await self._leave(batch, skipped=batch.records)

    async def absolve(self, batch: Batch) -> None:
        """Let the attempts so far not count: the batch was read well, and waits for something else.

        Raises:
            Retryable: as `confirm`.

        """
        del batch
        try:
            await self._store(replace(self._cursor, attempts=0))
        except OSError as e:
            raise Retryable(f"the journal's cursor cannot be written: {e}") from e

    async def quarantine(self, records: Sequence[Record], reason: str, *, word: str | None = None) -> Path:
        """Keep records that cannot be delivered, durably. Keeping the same again replaces the same files.

        `word` is the reason under which the ledger counts them as quarantined, so that a replay can take it back; None
        where it does not count them.

        Raises:
            Retryable: they cannot be written now; call again.

        """
        try:
            path = await asyncio.to_thread(
                self._quarantine.keep_records,
                records,
                reader=self.options.name,
                reason=reason,
                word=word,
                at_unix_ns=self._now_unix_ns(),
            )
        except OSError as e:
            raise Retryable(f"the quarantine cannot be written: {e}") from e
        log.error("%d records are in quarantine: %s (%s)", len(records), reason, path)
        return path

    async def close(self) -> None:
        """Take back the attempt of a batch under way: a clean stop is no fault of the batch."""
        if self._cursor.cut is not None and self._cursor.attempts:
            with contextlib.suppress(OSError):  # then it counts: an attempt too many, never one too few
                await self._store(replace(self._cursor, attempts=self._cursor.attempts - 1))

    def status(self) -> dict[str, Any]:
        """Return counts for health checks and pages."""
        at = self._cursor
        return {
            "confirmed_sequence": at.next,
            "backlog_records": self._durable.next_sequence - at.next,
            "lag_bytes": self.lag_bytes,
            "max_lag_bytes": self.options.max_lag_bytes,
            "attempts": at.attempts,
            "skipped": {
                "records": at.skipped_records,
                "members": at.skipped_members,
                "recent": [asdict(s) for s in self._skips],
            },
        }

    async def _leave(self, batch: Batch, *, skipped: Sequence[Record] | None) -> None:
        try:
            await self._move(batch.end, skipped=skipped)
        except OSError as e:
            raise Retryable(f"the journal's cursor cannot be written: {e}") from e
        delivered = batch.records.body_bytes if isinstance(batch.records, Records) else 0
        self._unread_bytes = max(0, self._unread_bytes - delivered)
        if self._cursor.next >= self._durable.next_sequence:
            self._unread_bytes = 0

    async def _move(self, end: Position, *, skipped: Sequence[Record] | None = None) -> None:
        """Go to a position; what is `skipped` is counted. Raises OSError."""
        at = replace(self._cursor, next=end.sequence, segment=end.segment, offset=end.offset, cut=None, attempts=0)
        if skipped is None:
            await self._store(at)
        else:
            await self._store_skip(at, skipped)
        await self._on_moved()

    async def _store_skip(self, at: Cursor, skipped: Sequence[Record]) -> None:
        members = sum(skipped.members()) if isinstance(skipped, Records) else sum(r.members for r in skipped)
        skip = Skip(self._cursor.next, at.next - 1, len(skipped), members, self._now_unix_ns())
        await self._store(
            replace(
                at,
                skipped_records=at.skipped_records + skip.records,
                skipped_members=at.skipped_members + skip.members,
            )
        )
        self._skips.append(skip)
        log.error(
            "%s is more than %s bytes behind: records %d to %d, %d spans and log records, are skipped for it",
            self.options.name,
            self.options.max_lag_bytes,
            skip.first_sequence,
            skip.last_sequence,
            skip.members,
        )

    async def _store(self, cursor: Cursor) -> None:
        cursor = replace(cursor, mark=max(cursor.mark, self.mark()))
        store = partial(cursors.store, self._fs, self._directory, cursor)
        await asyncio.to_thread(self._reserve.spend_for, store)
        self._cursor = cursor
