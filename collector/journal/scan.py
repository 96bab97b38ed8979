"""Read a segment from some offset on: records, damage with its coordinates, and how it ends.

What is damaged costs itself: reading goes on at the next record whose checksum verifies. Nothing is guessed about bytes
that do not verify.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from collector.journal.layout import (
    AFTER_CRC,
    HEADER_BYTES,
    RECORD_BYTES,
    TRAILER,
    TYPE_ADDRESSED,
    TYPE_TRAILER,
    RawRecord,
    crc32c,
    unpack_address,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.journal.fs import Fs

WINDOW_BYTES = 1 << 20
BEHIND_BYTES = 64
"""Read behind the end of a window that reads once, where the file has them."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that do not verify, with good records behind them."""

    offset: int
    end: int
    message: str


@dataclass(frozen=True, slots=True)
class Tail:
    """How reading ended, and where.

    sealed: a trailer; `offset` is where it begins.  bound: the asked-for end or the next segment's first sequence.
    zeros: nothing was written behind.  torn: bytes that do not verify, with nothing good behind them.
    window: what was read at once is at its end; go on here with another window.
    """

    offset: int
    how: Literal["sealed", "bound", "zeros", "torn", "window"]
    message: str = ""


class Window:
    """Positional reads of one descriptor, never beyond `end`, each of a megabyte and more.

    With `at_most_bytes` it reads once, so much or what lies at the first offset asked for: then all that it gives lies
    in one buffer.
    """

    def __init__(
        self, fs: Fs, fd: int, end: int, at_most_bytes: int | None = None, *, around_bad_pages: bool = False
    ) -> None:
        self._fs = fs
        self._around = around_bad_pages
        self._read = fs.read_around if around_bad_pages else fs.read
        self._fd = fd
        self.end = end
        self._once = at_most_bytes is not None
        self._size_bytes = at_most_bytes or WINDOW_BYTES
        self._start = 0
        self.data = b""

    def locate(self, offset: int, length: int) -> int | None:
        """Return where in `data` there now are `length` bytes of `offset`, or fewer at the end.

        None where a window that reads once does not reach.
        """
        length = max(0, min(length, self.end - offset))
        at = offset - self._start
        if at < 0 or at + length > len(self.data):
            if self._once and self.data and at != 0:
                return None
            size = max(length, min(self._size_bytes, self.end - offset))
            # A reader of words may look behind the last byte.
            self.data = self._read(self._fd, size + BEHIND_BYTES if self._once else size, offset)
            self._start, at = offset, 0
        return at

    def read(self, offset: int, length: int) -> bytes:
        """Return a copy of `length` bytes at `offset`, or fewer at the end."""
        length = max(0, min(length, self.end - offset))
        at = self.locate(offset, length)
        return b"" if at is None else self.data[at : at + length]

    def reopened(self) -> Window:
        """Return a window of the same file that reads as often as it is asked to."""
        return Window(self._fs, self._fd, self.end, around_bad_pages=self._around)


def scan(
    window: Window, *, seed: int, sequence: int, offset: int = HEADER_BYTES, before: int | None = None
) -> Iterator[RawRecord | Damage | Tail]:
    """Yield what lies from `offset` on, where a record of `sequence` or later is expected; the Tail comes last.

    `before` is the first sequence of the next segment: what has it or more was never acknowledged.
    """
    while True:
        if before is not None and sequence >= before:
            trailer = read_record(window, offset, seed=seed)
            sealed = isinstance(trailer, RawRecord) and trailer.kind == TYPE_TRAILER
            yield Tail(offset, "sealed" if sealed else "bound")
            return
        if offset >= window.end:
            yield Tail(offset, "bound")
            return
        found = read_record(window, offset, seed=seed)
        if found is None:
            yield Tail(offset, "window")
            return
        if isinstance(found, str) or found.sequence < sequence:
            why = found if isinstance(found, str) else f"an older record (sequence {found.sequence}) stands here"
            window = window.reopened()
            following = _resync(window, offset + 1, seed=seed, sequence=sequence, before=before)
            if following is None:
                yield Tail(offset, "zeros" if _is_end(window, offset) else "torn", why)
                return
            yield Damage(offset, following.offset, why)
            found = following
        if found.kind == TYPE_TRAILER:
            yield Tail(found.offset, "sealed")
            return
        if before is not None and found.sequence >= before:
            yield Tail(found.offset, "bound")
            return
        yield found
        sequence, offset = found.sequence + 1, found.end


def read_record(window: Window, offset: int, *, seed: int) -> RawRecord | str | None:
    """Return the record at `offset`, or why there is none; None where the window does not reach."""
    at = window.locate(offset, RECORD_BYTES)
    if at is None:
        return None
    if min(window.end - offset, len(window.data) - at) < RECORD_BYTES:
        return "the file ends inside a record header"
    length, sequence, kind, flags, tenant_length, received, members = AFTER_CRC.unpack_from(window.data, at + 4)
    size = RECORD_BYTES + tenant_length + length
    # Checked before anything is allocated: the length itself may be damaged.
    if size > window.end - offset:
        return f"a record of {size} bytes would not fit into the rest of the file"
    if sequence == 0:
        return "no record stands here"
    at = window.locate(offset, size)
    if at is None:
        return None
    data = window.data
    if len(data) - at < size:
        return "the file ends inside a record"
    crc = int.from_bytes(data[at : at + 4], "little")
    if crc32c(memoryview(data)[at + 4 : at + size], seed) != crc:
        return "the record fails its checksum"
    body_start = at + RECORD_BYTES + tenant_length
    tenant, reader = data[at + RECORD_BYTES : body_start], None
    if kind == TYPE_ADDRESSED:
        reader, tenant = unpack_address(tenant)
    end = at + size
    return RawRecord(
        offset, offset + size, crc, sequence, kind, flags, tenant, received, members, data, body_start, end, reader
    )


def trailer_matches(trailer: RawRecord, count: int, crc_of_crcs: int) -> bool:
    """Say whether the trailer speaks of these records."""
    return trailer.body == TRAILER.pack(count, crc_of_crcs)


def add_crc(crc_of_crcs: int, crc: int) -> int:
    """Take one more record into the trailer's checksum."""
    return crc32c(struct.pack("<I", crc), crc_of_crcs)


def _resync(window: Window, offset: int, *, seed: int, sequence: int, before: int | None) -> RawRecord | None:
    """Return the next record that verifies and is not older than `sequence`."""
    # A segment cannot hold more records than this, so a plausible sequence lies close above the expected one.
    highest = sequence + (window.end - offset) // RECORD_BYTES + 1
    if before is not None:
        highest = min(highest, before)
    while offset + RECORD_BYTES <= window.end:
        chunk = window.read(offset, WINDOW_BYTES)
        if chunk.count(0) != len(chunk):
            for at in _candidates(chunk, sequence, highest):
                found = read_record(window, offset + at, seed=seed)
                if isinstance(found, RawRecord):
                    return found
        # Headers that begin in the last bytes of this chunk are seen whole in the next.
        offset += max(1, len(chunk) - RECORD_BYTES + 1)
    return None


def _candidates(chunk: bytes, lowest: int, highest: int) -> list[int]:
    """Return the offsets, ascending, where the eight bytes of a sequence field are in the range."""
    offsets: list[int] = []
    for phase in range(8):
        at = 8 + phase
        words = (len(chunk) - at) // 8
        if words <= 0:
            continue
        values = np.frombuffer(chunk, "<u8", count=words, offset=at)
        hits = np.flatnonzero((values >= np.uint64(lowest)) & (values <= np.uint64(highest)))
        offsets.extend((hits * 8 + phase).tolist())
    return sorted(o for o in offsets if o + RECORD_BYTES <= len(chunk))


def _is_end(window: Window, offset: int) -> bool:
    """Say whether the zeros stand here that are written behind the last record."""
    head = window.read(offset, RECORD_BYTES)
    return head.count(0) == len(head)
