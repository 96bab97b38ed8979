"""Write segments: create, append with one sync per group, seal; and recover the last one after a crash."""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from collector.journal.layout import (
    HEADER_BYTES,
    NAME,
    RECORD_BYTES,
    TRAILER_BYTES,
    TYPE_REQUEST,
    RawRecord,
    SegmentHeader,
    UnknownVersion,
    pack_record,
    pack_trailer,
    seed,
    segment_name,
    unpack_header,
)
from collector.journal.reserve import NO_SPACE
from collector.journal.scan import Damage, Tail, Window, add_crc, scan
from schema.errors import ConfigError
from schema.failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from collector.journal.fs import Fs
    from collector.journal.layout import Buffer
    from collector.journal.spares import Spares

NO_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})
PAGE_BYTES: Final = 4096
"""Writes end where a page does: the disk need not be read for what stands behind them."""
MAX_OVERHEAD_BYTES: Final = HEADER_BYTES + TRAILER_BYTES + RECORD_BYTES + 0xFFFF
"""What a record costs beside its body, at most, in a segment of its own."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What is known of one segment file."""

    path: Path
    number: int
    first_sequence: int
    end: int
    """Durable bytes, counted from the start of the file; the reader goes no further."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A request on its way into the journal."""

    tenant: bytes
    flags: int
    received_unix_ns: int
    members: int
    body: Buffer
    kind: int = TYPE_REQUEST
    """TYPE_ADDRESSED: `tenant` begins with the reader that it is for."""

    @property
    def size_bytes(self) -> int:
        """Bytes on disk."""
        return RECORD_BYTES + len(self.tenant) + len(self.body)


@dataclass(frozen=True, slots=True)
class Committed:
    """The outcome of one group."""

    durable: int
    """How many of the entries are on the medium, from the first on."""
    segments: tuple[Segment, ...]
    """The segments touched, in order, as they now are; the last is the one being written."""
    error: OSError | None
    """Why the others are not."""

    @property
    def is_full(self) -> bool:
        """Say whether space, or what a process may have open, ran out: that is no sign of an ill disk."""
        return self.error is not None and self.error.errno in NO_SPACE | NO_FILES


class Writer:
    """Appends groups of entries to the newest segment. Used by one thread at a time."""

    def __init__(
        self,
        fs: Fs,
        directory: Path,
        journal_id: bytes,
        *,
        next_sequence: int,
        next_segment: int,
        segment_bytes: int,
        sync: bool,
        spares: Spares,
    ) -> None:
        self._fs = fs
        self._spares = spares
        self._directory = directory
        self._journal_id = journal_id
        self.next_sequence = next_sequence
        self.next_segment = next_segment
        self._segment_bytes = segment_bytes
        self._sync = sync
        self._fd: int | None = None
        self._segment: Segment | None = None
        self._seed = 0
        self._count = 0
        self._crcs = 0

    def commit(self, entries: Sequence[Entry], *, now_unix_ns: int) -> Committed:
        """Write entries and sync; what does not fit goes to a new segment. Never raises OSError."""
        touched: dict[int, Segment] = {}
        durable = 0
        try:
            while durable < len(entries):
                if not self._fits(entries[durable]):
                    if self._fd is not None:
                        sealed = self._seal()
                        touched[sealed.number] = sealed
                    self._create(now_unix_ns)
                taken = self._append(entries[durable:])
                durable += taken
                segment = self._current()
                touched[segment.number] = segment
        except OSError as e:
            self._abandon()
            return Committed(durable, tuple(touched.values()), e)
        return Committed(durable, tuple(touched.values()), None)

    def rotate(self, *, now_unix_ns: int) -> tuple[Segment, ...]:
        """Seal the segment being written, cut off what stands behind it, and begin a new one.

        The new one is not written over a spare: none is kept of before. Returns the segments touched, the new one last.
        Raises OSError; the next group opens a new segment then.
        """
        self._spares.scrub(self.next_segment)
        touched: list[Segment] = []
        try:
            if self._fd is not None:
                self._fs.truncate(self._fd, self._current().end + TRAILER_BYTES)
                touched.append(self._seal())
            self._create(now_unix_ns)
        except OSError:
            self._abandon()
            raise
        return (*touched, self._current())

    def close(self) -> Segment | None:
        """Seal the segment being written, or do nothing. What is acknowledged is safe without it."""
        if self._fd is None:
            return None
        try:
            self._fs.truncate(self._fd, self._current().end + TRAILER_BYTES)  # only space is given back: no sync
            return self._seal()
        except OSError:
            self._abandon()
            return None

    def _current(self) -> Segment:
        if self._segment is None:
            raise RuntimeError("no segment is open")
        return self._segment

    def _fits(self, entry: Entry) -> bool:
        return self._segment is not None and self._segment.end + entry.size_bytes + TRAILER_BYTES <= self._segment_bytes

    def _create(self, now_unix_ns: int) -> None:
        header = SegmentHeader(self._journal_id, self.next_segment, self.next_sequence, now_unix_ns)
        path = self._directory / segment_name(header.segment, header.first_sequence)
        with contextlib.suppress(FileNotFoundError):
            # Left behind by an attempt that failed before any record was in it.
            self._fs.unlink(path)
        spare = self._spares.take()
        fd = self._fs.create(path, self._segment_bytes) if spare is None else self._fs.open(spare, writable=True)
        try:
            self._write_synced(fd, [header.pack()], 0, HEADER_BYTES)
            if spare is not None:
                # Only now that no record of its first life can be taken for one of this.
                self._fs.replace(spare, path)
            if self._sync:
                self._fs.sync_directory(self._directory)
        except OSError:
            self._fs.close(fd)
            raise
        self._fd = fd
        self._segment = Segment(path, header.segment, header.first_sequence, HEADER_BYTES)
        self._seed = seed(self._journal_id, header.segment)
        self._count = self._crcs = 0
        self.next_segment += 1

    def _append(self, entries: Sequence[Entry]) -> int:
        """Write as many entries as fit, sync, and return their number."""
        segment = self._current()
        end, sequence, crcs = segment.end, self.next_sequence, self._crcs
        pieces: list[Buffer] = []
        for taken, entry in enumerate(entries):
            if taken and end + entry.size_bytes + TRAILER_BYTES > self._segment_bytes:
                break
            head, crc = pack_record(
                sequence,
                entry.kind,
                entry.flags,
                tenant=entry.tenant,
                received_unix_ns=entry.received_unix_ns,
                members=entry.members,
                body=entry.body,
                seed=self._seed,
            )
            pieces += (head, entry.body)
            crcs = add_crc(crcs, crc)
            end += entry.size_bytes
            sequence += 1
        self._write_synced(self._descriptor(), pieces, segment.end, end)
        failpoint("journal.after_sync")
        written = sequence - self.next_sequence
        self._segment = replace(segment, end=end)
        self.next_sequence, self._crcs = sequence, crcs
        self._count += written
        return written

    def _seal(self) -> Segment:
        segment = self._current()
        trailer = pack_trailer(self.next_sequence, self._count, self._crcs, seed=self._seed)
        fd = self._descriptor()
        self._write_synced(fd, [trailer], segment.end, segment.end + len(trailer))
        self._fs.close(fd)
        self._fd = self._segment = None
        return segment

    def _descriptor(self) -> int:
        if self._fd is None:
            raise RuntimeError("no segment is open")
        return self._fd

    def _write_synced(self, fd: int, pieces: list[Buffer], start: int, end: int) -> None:
        """Write what goes from `start` to `end`, and the zeros that end a segment behind it."""
        page_end = -(-(end + RECORD_BYTES) // PAGE_BYTES) * PAGE_BYTES
        zeros = bytes(min(page_end, self._segment_bytes) - end)
        self._fs.write(fd, [*pieces, zeros], start)
        failpoint("journal.before_sync")
        if self._sync:
            self._fs.sync(fd)

    def _abandon(self) -> None:
        """Give up the segment after a failed write or sync, at its last durable byte; the next group opens a new one.

        After a failed sync the page cache may say what the medium does not ("fsyncgate", PostgreSQL 2018): asking again
        proves nothing. Records written behind that byte were refused to their senders; they carry sequences that the
        next segment takes again, which is how a reader knows them.
        """
        if self._fd is None or self._segment is None:
            return
        fd, segment = self._fd, self._segment
        self._fd = self._segment = None
        with contextlib.suppress(OSError):
            self._fs.truncate(fd, segment.end)
        with contextlib.suppress(OSError):
            self._fs.close(fd)


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A segment as found on disk at start."""

    segment: Segment
    journal_id: bytes | None
    """From the header; None when the header is damaged."""
    problem: str = ""


def find_segments(fs: Fs, directory: Path) -> list[SegmentFile]:
    """Return the segments of a directory in order; `end` is the size of the file.

    Raises:
        ConfigError: a segment was written in another format.

    """
    found: list[SegmentFile] = []
    for path in sorted(directory.iterdir()):
        if not (match := NAME.fullmatch(path.name)):
            continue
        try:
            fd = fs.open(path)
        except FileNotFoundError:  # whoever owns the journal has removed it since
            continue
        try:
            head = fs.read(fd, HEADER_BYTES, 0)
            size_bytes = os.fstat(fd).st_size
        finally:
            fs.close(fd)
        segment = Segment(path, int(match[1]), int(match[2]), size_bytes)
        try:
            header = unpack_header(head)
        except UnknownVersion as e:
            raise ConfigError(f"{path}: {e}. Drain the journal with the program that wrote it, then start.") from None
        except ValueError as e:
            found.append(SegmentFile(segment, None, str(e)))
        else:
            found.append(SegmentFile(segment, header.journal_id))
    return found


def read_segment(
    fs: Fs,
    segment: Segment,
    journal_id: bytes,
    *,
    sequence: int,
    offset: int,
    before: int | None,
    at_most_bytes: int | None = None,
    around_bad_pages: bool = False,
) -> Iterator[RawRecord | Damage | Tail]:
    """Yield what a segment holds from a position on; the file is open while the iterator lives.

    With `at_most_bytes` that much is read at once, at least one record, and the Tail says where to go on. With
    `around_bad_pages` what the medium does not give is zeros, which verify as nothing.
    """
    fd = fs.open(segment.path)
    try:
        yield from scan(
            Window(fs, fd, segment.end, at_most_bytes, around_bad_pages=around_bad_pages),
            seed=seed(journal_id, segment.number),
            sequence=sequence,
            offset=offset or HEADER_BYTES,
            before=before,
        )
    finally:
        fs.close(fd)
