"""The journal: what was acknowledged is on disk, in order, until it is delivered.

Invariants
  * `append` returns after the record, and the name of its file, are synced; one sync serves a whole group.
  * Nothing acknowledged is ever removed before every reader has confirmed it (stored, or kept in quarantine), but for
    what a reader skips that has a limit on how far it may be behind: that is counted, and costs that reader alone.
  * The cut of a batch is on disk before the batch is handed out; a replay hands out the same batch with the same token.
  * Full or ill, the journal refuses before it accepts; it never accepts and drops.

One process owns a journal (flock); inside it, one event loop. Layout of the files: layout.py, cursor.py, quarantine.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from collector.journal import head as heads
from collector.journal.cutter import Cutter, Limits, Losses
from collector.journal.erase import Scrubbed
from collector.journal.fs import Fs
from collector.journal.head import Head
from collector.journal.layout import TYPE_REQUEST, pack_flags
from collector.journal.lock import DirectoryLock
from collector.journal.quarantine import Quarantine
from collector.journal.reader import Durable, Reader
from collector.journal.recover import Recovered, recover
from collector.journal.replay import Replays
from collector.journal.reserve import Reserve
from collector.journal.seal import trim_all
from collector.journal.segment import MAX_OVERHEAD_BYTES, Committed, Entry, Segment, Writer
from collector.journal.serve import serve
from collector.journal.spares import Spares
from schema.errors import ConfigError, Reason, Refused, Retryable
from schema.failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from collector.journal.cursor import Cursor
    from collector.journal.options import JournalOptions, ReaderOptions
    from schema.component import Signal

log = logging.getLogger(__name__)

GROUP_BYTES: Final = 1 << 20
GROUP_WAITERS: Final = 64
FULL_AT: Final = 0.8
"""Part of the budget at which requests are refused; the rest is room for what is under way."""
REPLAY_UP_TO: Final = 0.5
"""Part of the budget that a replay may fill; senders have the rest."""
MAX_TENANT_BYTES: Final = 255
MAX_SYNC_FAILURES: Final = 2
RETRY_WHEN_FULL_S: Final = 5.0
RETRY_WHEN_ILL_S: Final = 1.0


@dataclass(slots=True)
class _Waiting:
    entry: Entry
    done: asyncio.Future[int]


class Journal:
    """A journal that is open. Made by `open`; every method belongs to the loop that opened it."""

    def __init__(
        self,
        options: JournalOptions,
        fs: Fs,
        now_unix_ns: Callable[[], int],
        lock: DirectoryLock,
        *,
        recovered: Recovered,
        spares: Spares,
        quarantine: Quarantine,
    ) -> None:
        self.options = options
        self.id = recovered.journal_id
        self._fs = fs
        self._now_unix_ns = now_unix_ns
        self._lock = lock
        self._quarantine = quarantine
        self._reserve = Reserve(fs, options.directory)
        self._scrubbed_before = recovered.scrubbed_before
        self._spares = spares
        self._writer = Writer(
            fs,
            options.directory,
            self.id,
            next_sequence=recovered.next_sequence,
            next_segment=recovered.next_segment,
            segment_bytes=options.segment_bytes,
            sync=options.sync,
            spares=spares,
        )
        self._durable = Durable(recovered.segments, recovered.next_sequence)
        self._segment_bytes = sum(s.end for s in recovered.segments)
        self._losses = Losses()
        self._readers = {r.name: self._make_reader(r, recovered.cursors[r.name]) for r in options.readers}
        self._replays = Replays(fs, quarantine, self._durable, self, tuple(self._readers))
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = self._pending_bytes = 0
        self._arrived, self._group_full = asyncio.Event(), asyncio.Event()
        self._closing = self._stalled = False
        self._sync_failures = 0
        self.failed = asyncio.Event()
        """Set when syncs fail again and again: the disk cannot be trusted and the process should end."""
        self.on_durable: Callable[[Entry], None] | None = None
        """Called with each record that is durable now, before its sender is told."""
        self._committer = ThreadPoolExecutor(1, "journal-commit")
        self._commits: asyncio.Task[None] | None = None
        self._requests: asyncio.Task[None] | None = None

    def _make_reader(self, options: ReaderOptions, cursor: Cursor) -> Reader:
        return Reader(
            options,
            cursor,
            self._durable,
            fs=self._fs,
            directory=self.options.directory,
            cutter=Cutter(
                options.name if options.is_addressed else None,
                self._fs,
                self._quarantine,
                self.id,
                now_unix_ns=self._now_unix_ns,
                losses=self._losses,
            ),
            limits=Limits(self.options.batch_bytes, self.options.batch_records),
            linger_s=self.options.batch_linger_s,
            quarantine=self._quarantine,
            now_unix_ns=self._now_unix_ns,
            reserve=self._reserve,
            on_moved=self._remove_delivered,
        )

    @classmethod
    async def open(
        cls, options: JournalOptions, *, fs: Fs | None = None, now_unix_ns: Callable[[], int] = time.time_ns
    ) -> Journal:
        """Take the directory, recover what is in it, and be ready for `append` and its readers.

        Raises:
            ConfigError: the directory cannot be used, is in use, or holds another format; nothing was changed.

        """
        fs = fs or Fs()
        directory = options.directory
        try:
            fs.make_directory(directory)
            lock = DirectoryLock.take(directory)
        except OSError as e:
            raise ConfigError(
                f"the journal directory {directory} cannot be used: {e.strerror or e}. "
                "Make it writable, or name another as service.journal.directory."
            ) from None
        try:
            reserve = Reserve(fs, directory)
            names = [r.name for r in options.readers]
            work = partial(recover, fs, directory, now_unix_ns, names)
            state = await asyncio.to_thread(reserve.spend_for, work)
            await asyncio.to_thread(reserve.restore)
            spares = Spares(fs, directory, options.segment_bytes, state.scrubbed_before)
            await asyncio.to_thread(spares.find)
            quarantine = Quarantine(fs, directory, state.journal_id, options.quarantine_max_bytes)
            await asyncio.to_thread(quarantine.look)
        except OSError as e:
            lock.release()
            raise ConfigError(f"the journal in {directory} cannot be read: {e}") from None
        except BaseException:
            lock.release()
            raise
        journal = cls(options, fs, now_unix_ns, lock, recovered=state, spares=spares, quarantine=quarantine)
        try:
            await asyncio.to_thread(reserve.spend_for, journal._replays.recover)
        except OSError as e:
            lock.release()
            raise ConfigError(f"the quarantine in {directory} cannot be brought into order: {e}") from None
        await journal._remove_delivered()
        journal._commits = asyncio.create_task(journal._commit_loop(), name="journal-commit")
        journal._requests = asyncio.create_task(serve(journal, fs, directory, quarantine), name="journal-requests")
        return journal

    # -- in ------------------------------------------------------------------------------------------------------

    async def append(
        self,
        tenant: str,
        signal: Signal,
        body: bytes | memoryview,
        *,
        encoding: Literal["protobuf", "json"],
        gzip: bool,
        members: int,
    ) -> int:
        """Return the record's sequence once it is durable; `members` is how many spans or log records it holds.

        Raises:
            Refused: nothing was kept.

        """
        entry = Entry(tenant.encode(), pack_flags(signal, encoding, gzip=gzip), self._now_unix_ns(), members, body)
        if self.refuses(tenant):
            raise Refused(
                Reason.UNAVAILABLE,
                f"the quarantine is full ({self.options.quarantine_max_bytes} bytes), with requests of this tenant "
                "that could not be stored; they must be replayed or purged first",
                retry_after_s=RETRY_WHEN_FULL_S,
            )
        return await self._append(entry)

    async def _append(self, entry: Entry) -> int:
        (waiting,) = self.enqueue((entry,))
        return await waiting

    def enqueue(self, entries: Sequence[Entry]) -> list[asyncio.Future[int]]:
        """Take all of them, or none; each future gives the sequence of its record once that is durable.

        Raises:
            Refused: none was taken; or, later, by a future: that one was not kept.

        """
        self._admit(entries)
        failpoint("journal.before_append")
        loop = asyncio.get_running_loop()
        taken = [_Waiting(entry, loop.create_future()) for entry in entries]
        size_bytes = sum(e.size_bytes for e in entries)
        self._waiting += taken
        self._waiting_bytes += size_bytes
        self._pending_bytes += size_bytes
        self._arrived.set()
        if self._waiting_bytes >= GROUP_BYTES or len(self._waiting) >= GROUP_WAITERS:
            self._group_full.set()
        return [w.done for w in taken]

    def refuses(self, tenant: str) -> bool:
        """Say whether new data of this tenant is refused, because what it sent has filled the quarantine."""
        return self._quarantine.offends(tenant)

    def _admit(self, entries: Sequence[Entry]) -> None:
        self.require_calm()
        largest = self.options.segment_bytes - MAX_OVERHEAD_BYTES
        size_bytes = 0
        for entry in entries:
            if entry.kind == TYPE_REQUEST and len(entry.tenant) > MAX_TENANT_BYTES:
                raise Refused(Reason.BAD_DATA, f"the tenant's name has more than {MAX_TENANT_BYTES} bytes")
            if len(entry.body) > largest:
                raise Refused(
                    Reason.TOO_LARGE,
                    f"the body has {len(entry.body)} bytes; a segment of the journal holds {largest}; "
                    "send smaller batches",
                )
            size_bytes += entry.size_bytes
        if self._pending_bytes + size_bytes > self.options.max_pending_bytes:
            raise Refused(
                Reason.UNAVAILABLE, "too much is waiting for the disk; try again", retry_after_s=RETRY_WHEN_ILL_S
            )
        if self.used_bytes + size_bytes > FULL_AT * self.options.max_bytes:
            raise Refused(
                Reason.UNAVAILABLE,
                f"the journal is full: {self.used_bytes} of {self.options.max_bytes} bytes wait for delivery",
                retry_after_s=RETRY_WHEN_FULL_S,
            )

    def require_calm(self) -> None:
        """Raise Refused where nothing can be taken now, or nobody knows yet what of a group is kept."""
        if self._closing:
            raise Refused(Reason.UNAVAILABLE, "the service is shutting down", retry_after_s=RETRY_WHEN_ILL_S)
        if self._stalled:
            raise Refused(Reason.UNAVAILABLE, "the disk is too slow; try again", retry_after_s=RETRY_WHEN_FULL_S)

    @property
    def replay_room_bytes(self) -> int:
        """Bytes that a replay may append now."""
        free = int(REPLAY_UP_TO * self.options.max_bytes) - self.used_bytes
        return min(free, self.options.max_pending_bytes - self._pending_bytes)

    @property
    def replay_body_bytes(self) -> int:
        """The longest body that a replay may append when all is delivered but the newest segment."""
        options = self.options
        free = int(REPLAY_UP_TO * options.max_bytes) - options.segment_bytes
        return min(free, options.max_pending_bytes, options.segment_bytes) - MAX_OVERHEAD_BYTES

    @property
    def next_sequence(self) -> int:
        """The first sequence that is not durable yet."""
        return self._durable.next_sequence

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments there are, oldest first."""
        return self._durable.segments

    @property
    def used_bytes(self) -> int:
        """Bytes of records on disk and on their way there."""
        return self._segment_bytes + self._pending_bytes

    async def _commit_loop(self) -> None:
        while True:
            await self._arrived.wait()
            if not self._waiting:
                # Only `close` wakes the loop with nothing to write.
                return
            if not self._closing:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.options.group_linger_s):
                        await self._group_full.wait()
            group, self._waiting, self._waiting_bytes = self._waiting, [], 0
            if not self._closing:
                self._arrived.clear()
                self._group_full.clear()
            await self._commit(group)

    async def _commit(self, group: Sequence[_Waiting]) -> None:
        entries = [w.entry for w in group]
        commit = partial(self._writer.commit, entries, now_unix_ns=self._now_unix_ns())
        loop = asyncio.get_running_loop()
        deadline = loop.call_later(self.options.append_timeout_s, self._stall, group)
        try:
            committed = await loop.run_in_executor(self._committer, commit)
        except BaseException:
            # A fault of ours, not of the disk. Whether the group is on disk is unknown: it must not be acknowledged,
            # and nothing more may be written behind it.
            self.failed.set()
            self._closing = True
            _refuse((*group, *self._waiting), "the journal failed", RETRY_WHEN_ILL_S)
            raise
        finally:
            deadline.cancel()
            self._stalled = False
        self._pending_bytes -= sum(e.size_bytes for e in entries)
        self._settle_group(group, committed)

    def _stall(self, group: Sequence[_Waiting]) -> None:
        """Refuse who waits for a sync that does not end: the group may be kept all the same, the others are not."""
        self._stalled = True
        log.error("the disk has not synced for %s s; requests are refused", self.options.append_timeout_s)
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        self._pending_bytes -= sum(w.entry.size_bytes for w in waiting)
        if not self._closing:
            self._arrived.clear()
            self._group_full.clear()
        _refuse((*group, *waiting), "the disk is too slow; try again", RETRY_WHEN_FULL_S)

    def _settle_group(self, group: Sequence[_Waiting], committed: Committed) -> None:
        self._merge(committed.segments)
        first = self._durable.next_sequence
        self._durable.next_sequence += committed.durable
        arrived_bytes = 0
        for sequence, waiting in enumerate(group[: committed.durable], first):
            arrived_bytes += waiting.entry.size_bytes
            if self.on_durable is not None:
                self.on_durable(waiting.entry)
            if not waiting.done.done():
                waiting.done.set_result(sequence)
        if committed.durable:
            self._sync_failures = 0
            for reader in self._readers.values():
                reader.notify(arrived_bytes)
        if committed.error is None:
            return
        log.error("the journal could not write: %s; %d requests refused", committed.error, len(group))
        self._sync_failures += 1
        if self._sync_failures >= MAX_SYNC_FAILURES and not committed.is_full:
            self.failed.set()
        _refuse(
            group[committed.durable :],
            f"the journal could not write: {committed.error.strerror or committed.error}",
            RETRY_WHEN_FULL_S if committed.is_full else RETRY_WHEN_ILL_S,
        )

    # -- out -----------------------------------------------------------------------------------------------------

    def reader(self, name: str) -> Reader:
        """Return the reader of a name that the options declare; KeyError for another."""
        return self._readers[name]

    async def _remove_delivered(self) -> None:
        if delivered := self._delivered():
            await asyncio.to_thread(self._remove, delivered)
            await asyncio.to_thread(self._reserve.restore)

    def _merge(self, touched: Sequence[Segment]) -> None:
        merged = {s.number: s for s in (*self._durable.segments, *touched)}
        self._keep_segments(tuple(merged[n] for n in sorted(merged)))

    def _keep_segments(self, segments: tuple[Segment, ...]) -> None:
        self._durable.segments = segments
        self._segment_bytes = sum(s.end for s in segments)

    @property
    def _confirmed(self) -> int:
        """First sequence that some reader has not confirmed."""
        return min(r.position.sequence for r in self._readers.values())

    def _delivered(self) -> list[Segment]:
        """Take the segments that hold nothing unconfirmed off the list; the newest always stays."""
        segments, confirmed = self._durable.segments, self._confirmed
        if self._replays.held_from is not None:
            confirmed = min(confirmed, self._replays.held_from)
        delivered = [s for s, following in itertools.pairwise(segments) if following.first_sequence <= confirmed]
        self._keep_segments(segments[len(delivered) :])
        return delivered

    def _remove(self, segments: Sequence[Segment]) -> None:
        for segment in segments:
            try:
                self._spares.give(segment.path, segment.number)
            except OSError as e:
                # It is delivered: after a restart it is found before the cursors and removed then.
                log.warning("the delivered segment %s cannot be removed: %s", segment.path, e)

    async def replay(self, key: str) -> int:
        """Append again what is in quarantine under an id, and take it out; return how many requests.

        Raises:
            ConfigError, Corrupt, Refused: as `Replays.replay`; what is not in the journal is in quarantine.
            Retryable: the disk fails now; call again.

        """
        try:
            return await self._replays.replay(key)
        except OSError as e:
            raise Retryable(f"{key} cannot be replayed: {e}") from e
        finally:
            await self._remove_delivered()

    async def scrub(self) -> dict[str, Any]:
        """Remove every file that holds only what is confirmed, also what is kept to be written over.

        From now on a segment that holds anything of before is removed when it is confirmed, and not kept. Returns the
        values of `Scrubbed`.

        Raises:
            Retryable: the disk fails now; call again.

        """
        loop = asyncio.get_running_loop()
        try:
            rotated = await loop.run_in_executor(
                self._committer, partial(self._writer.rotate, now_unix_ns=self._now_unix_ns())
            )
            self._merge(rotated)
            scrubbed_before = rotated[-1].number
            await asyncio.to_thread(self._store_head, scrubbed_before)
            self._scrubbed_before = scrubbed_before
            removed = await asyncio.to_thread(self._spares.scrub, scrubbed_before)
            delivered = self._delivered()
            await asyncio.to_thread(self._remove, delivered)
            await asyncio.to_thread(trim_all, self._fs, self._durable.segments[:-1], self.id)
        except OSError as e:
            raise Retryable(f"the journal cannot be scrubbed: {e}") from e
        return asdict(Scrubbed(self._confirmed, self._durable.next_sequence, removed + len(delivered)))

    def _store_head(self, scrubbed_before: int) -> None:
        head = Head(self.id.hex(), self._durable.next_sequence, self._writer.next_segment, scrubbed_before)
        heads.store(self._fs, self.options.directory, head)

    # -- around --------------------------------------------------------------------------------------------------

    def refuse(self) -> None:
        """Refuse requests from now on; those that wait are still committed."""
        self._closing = True
        self._group_full.set()

    def drain(self) -> None:
        """Let readers return None once everything durable has been handed out, without lingering."""
        self._durable.draining = True
        for reader in self._readers.values():
            reader.notify()

    async def close(self) -> None:
        """Commit what waits, seal the segment, release the directory. Safe twice."""
        self.refuse()
        self._arrived.set()
        if self._commits is not None:
            if self._requests is not None:
                self._requests.cancel()
                await asyncio.gather(self._requests, return_exceptions=True)
            commits, self._commits = self._commits, None
            await asyncio.gather(commits, return_exceptions=True)
            await asyncio.get_running_loop().run_in_executor(self._committer, self._writer.close)
            for reader in self._readers.values():
                await reader.close()
            with contextlib.suppress(OSError):  # it only helps to see that the last segment is gone
                await asyncio.to_thread(self._store_head, self._scrubbed_before)
        self._committer.shutdown()
        self._lock.release()

    def status(self) -> dict[str, Any]:
        """Return counts for health checks and pages."""
        return {
            "id": self.id.hex(),
            "directory": str(self.options.directory),
            "next_sequence": self._durable.next_sequence,
            "confirmed_sequence": self._confirmed,
            "backlog_records": self._durable.next_sequence - self._confirmed,
            "segments": len(self._durable.segments),
            "used_bytes": self.used_bytes,
            "max_bytes": self.options.max_bytes,
            "damaged_bytes": self._losses.damaged_bytes,
            "lost_records": self._losses.lost_records,
            "quarantine_bytes": self._quarantine.used_bytes,
            "quarantine_max_bytes": self.options.quarantine_max_bytes,
            "failed": self.failed.is_set(),
            "readers": {name: reader.status() for name, reader in self._readers.items()},
        }


def _refuse(group: Sequence[_Waiting], message: str, retry_after_s: float) -> None:
    for waiting in group:
        if not waiting.done.done():
            waiting.done.set_exception(Refused(Reason.UNAVAILABLE, message, retry_after_s=retry_after_s))
