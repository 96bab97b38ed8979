"""Out of quarantine into the journal again: each record once, whatever ends the process, however full the journal is.

    room for a step ─▶ note: which records, and from which sequence on they will stand ─▶ append ─▶ durable
         ▲                                                                                             │
         └── more is left ◀── ledger: no longer quarantined, under a token of this step ◀──────────────┘
                                        └─▶ nothing is left: the quarantined file goes, then the note

A step is as much of the file as there is room for: mostly all of it. A process that ends within a step leaves its note.
The next start looks from that sequence on for records that are equal in all but their sequence, before anything that is
delivered may go: what is there is done, and nothing else is. Until then no segment from that sequence on is removed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from xxhash import xxh3_128_digest

from collector.journal import progress as notes
from collector.journal.layout import RawRecord, pack_address
from collector.journal.progress import Progress
from collector.journal.quarantine import find, read_records
from collector.journal.release import book, entry_of, require_kept, require_replayable
from collector.journal.segment import Entry, read_segment
from schema.errors import Corrupt, Reason, Refused
from schema.ledger import State, entries_of, taken_back

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from collector.journal.fs import Fs
    from collector.journal.quarantine import Kept, Quarantine
    from collector.journal.reader import Durable
    from collector.journal.record import Record

log = logging.getLogger(__name__)

Identity: TypeAlias = tuple[bytes, int, int, int, int, bytes]
RETRY_S: Final = 5.0


class Target(Protocol):
    """The journal, as far as a replay needs it."""

    @property
    def id(self) -> bytes:
        """Id of the journal."""

    def enqueue(self, entries: Sequence[Entry]) -> list[asyncio.Future[int]]:
        """Append all, or raise Refused and append none; each future ends when its record is durable."""

    def require_calm(self) -> None:
        """Raise Refused where a group is being written of which nobody knows yet whether it is kept."""

    @property
    def replay_room_bytes(self) -> int:
        """Bytes that a replay may append now."""

    @property
    def replay_body_bytes(self) -> int:
        """The longest body that a replay may append when all is delivered."""


class Replays:
    """The replays of one journal, one at a time. Every method belongs to the loop that opened the journal."""

    def __init__(
        self, fs: Fs, quarantine: Quarantine, durable: Durable, target: Target, readers: Sequence[str]
    ) -> None:
        self._fs = fs
        self._quarantine = quarantine
        self._durable = durable
        self._target = target
        self._readers = readers
        self._one = asyncio.Lock()
        self._found_done: dict[str, int] = {}
        """Requests of files that were found to be in the journal whole, by id: whoever asked still waits."""
        self.held_from: int | None = None
        """Segments with this sequence or later ones are not removed."""

    async def replay(self, key: str) -> int:
        """Append the records of a quarantined file again, then remove it; return how many there were.

        Raises:
            ConfigError: there are none under that id.
            Corrupt: the file, or the note beside it, is damaged.
            Refused: the journal is full, and what fitted is in it; without a delay: it never fits.
            OSError: the disk fails.

        """
        async with self._one:
            await self._settle_all()
            if (found := self._found_done.pop(key, None)) is not None:
                return found
            kept = await asyncio.to_thread(require_kept, self._quarantine.folder, key)
            records = await asyncio.to_thread(read_records, self._fs, require_replayable(kept))
            at = await asyncio.to_thread(notes.load, self._quarantine.folder, key)
            at = at or Progress(self._reader_of(kept))
            entries = [entry_of(r, at.reader) for r in records]
            self._require_fit(key, entries)
            begun = at
            while left := sorted({*range(len(records))} - {*at.done}):
                try:
                    step = self._fitting(entries, left)
                except Refused:
                    if at is not begun:
                        await asyncio.to_thread(notes.store, self._fs, self._quarantine.folder, key, at)
                        self.held_from = None
                    raise
                at = await self._step(kept, at, records, entries, step)
            await asyncio.to_thread(self._quarantine.remove, kept)
            self.held_from = None
            return len(records)

    def recover(self) -> None:
        """Settle what a process before this one left: called before anything is removed or appended.

        Raises OSError.
        """
        notes.tidy(self._fs, self._quarantine.folder)
        kept = {k.id: k for k in find(self._quarantine.folder)}
        for key in notes.begun(self._quarantine.folder):
            self._settle(key, kept.get(key), after_start=True)
        self.held_from = None

    def _reader_of(self, kept: Kept) -> str | None:
        reader = kept.about.get("reader")
        return str(reader) if reader in self._readers and len(self._readers) > 1 else None

    def _require_fit(self, key: str, entries: Sequence[Entry]) -> None:
        most_bytes = self._target.replay_body_bytes
        largest = max((len(e.body) for e in entries), default=0)
        if largest > most_bytes:
            raise Refused(
                Reason.TOO_LARGE,
                f"{key} holds a request of {largest} bytes, and this journal has {most_bytes} for one that is "
                "replayed; raise service.journal.max_bytes and segment_bytes, or replay it while no collector runs",
            )

    def _fitting(self, entries: Sequence[Entry], left: Sequence[int]) -> tuple[int, ...]:
        """Return as many of those that are left as there is room for, from the first on; at least one.

        Raises Refused where there is none for the first.
        """
        room_bytes = self._target.replay_room_bytes
        step: list[int] = []
        for i in left:
            room_bytes -= entries[i].size_bytes
            if room_bytes < 0:
                break
            step.append(i)
        if not step:
            raise Refused(
                Reason.UNAVAILABLE,
                f"the journal has no room: {len(left)} of {len(entries)} requests are still to be replayed",
                retry_after_s=RETRY_S,
            )
        return tuple(step)

    async def _step(
        self, kept: Kept, at: Progress, records: Sequence[Record], entries: Sequence[Entry], step: tuple[int, ...]
    ) -> Progress:
        folder = self._quarantine.folder
        before = at
        # What a disk that failed may have kept of an earlier try is looked for as well.
        at = replace(at, step=tuple(sorted({*step, *at.step})), from_sequence=self._durable.next_sequence)
        self.held_from = at.from_sequence
        try:
            await asyncio.to_thread(notes.store, self._fs, folder, kept.id, at)
            appended = self._target.enqueue([entries[i] for i in step])
        except (Refused, OSError):
            # Nothing was appended: the note is as it was, or says too much, which the next try finds out.
            self.held_from = None
            await asyncio.to_thread(notes.store, self._fs, folder, kept.id, before)
            raise
        # A refusal of one leaves the note: the next try, or the next start, looks for what became of each.
        await asyncio.gather(*appended)
        return await asyncio.to_thread(self._finish_step, kept, at, records, step)

    def _finish_step(self, kept: Kept, at: Progress, records: Sequence[Record], found: Sequence[int]) -> Progress:
        """Book what is in the journal now; the next note says that it is done. Raises OSError."""
        word = kept.about.get("word")
        if word is not None and found:
            entries = taken_back(entries_of([records[i] for i in found], State.QUARANTINED, str(word)))
            book(self._fs, self._quarantine.folder.parent, f"replay-{kept.id}-{at.from_sequence}", entries)
        done = {*at.done, *found}
        return replace(at, done=tuple(sorted(done)), step=tuple(i for i in at.step if i not in done))

    async def _settle_all(self) -> None:
        """Find out what became of steps that were cut short. Raises Refused, OSError."""
        keys = await asyncio.to_thread(notes.begun, self._quarantine.folder)
        if not keys:
            return
        self._target.require_calm()
        kept = {k.id: k for k in await asyncio.to_thread(find, self._quarantine.folder)}
        for key in keys:
            await asyncio.to_thread(self._settle, key, kept.get(key))
        self.held_from = None

    def _settle(self, key: str, kept: Kept | None, *, after_start: bool = False) -> None:
        """Find out what of a file is in the journal, and end its replay where that is all."""
        folder = self._quarantine.folder
        if kept is None or kept.path is None:
            # It is replayed: the file went first.
            if kept is not None:
                self._quarantine.remove(kept)
            else:
                self._fs.unlink(notes.path_of(folder, key))
            return
        try:
            at = notes.load(folder, key)
            if at is None or not at.step:
                return
            records = read_records(self._fs, kept.path)
        except Corrupt as e:
            # Nothing is removed, and whoever asks for it is told.
            log.error("%s", e)  # noqa: TRY400 - the message is whole
            return
        self.held_from = at.from_sequence
        found = self._found(at, records)
        at = self._finish_step(kept, at, records, found)
        if len(at.done) == len(records):
            self._quarantine.remove(kept)
            self._found_done[key] = len(records)
            log.info("%s was replayed by a process that ended before it could say so", key)
            return
        # After a start there is nothing behind the last record. In a journal that has failed to write there may be,
        # which a power cut brings back: only the next start knows.
        step = () if after_start else at.step
        notes.store(self._fs, folder, key, replace(at, step=step, from_sequence=self._durable.next_sequence))

    def _found(self, at: Progress, records: Sequence[Record]) -> list[int]:
        """Return which records of a step are in the journal. Raises OSError."""
        there = Counter(self._identities(at.from_sequence))
        found = []
        for i in at.step:
            key = _identity(entry_of(records[i], at.reader))
            if there[key] > 0:
                there[key] -= 1
                found.append(i)
        return found

    def _identities(self, from_sequence: int) -> Iterator[Identity]:
        """Yield what tells a record from all others, of each that is durable, from a sequence on."""
        segments, durable = self._durable.segments, self._durable.next_sequence
        for i, segment in enumerate(segments):
            before = segments[i + 1].first_sequence if i + 1 < len(segments) else durable
            if before <= from_sequence:
                continue
            first = segment.first_sequence
            for r in read_segment(self._fs, segment, self._target.id, sequence=first, offset=0, before=before):
                if isinstance(r, RawRecord) and r.sequence >= from_sequence:
                    tenant = r.tenant if r.reader is None else pack_address(r.reader.decode(), r.tenant)
                    yield _identity(Entry(tenant, r.flags, r.received_unix_ns, r.members, r.raw_body, r.kind))


def _identity(entry: Entry) -> Identity:
    """Return what no two requests share: the nanosecond of receipt, and a hash of the body."""
    return entry.tenant, entry.kind, entry.flags, entry.received_unix_ns, entry.members, xxh3_128_digest(entry.body)
