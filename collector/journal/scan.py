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
    TYPE_TRAILER,
    RawRecord,
    crc32c,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.journal.fs import Fs

WINDOW_BYTES = 1 << 20


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
    zeros: never written.  torn: bytes that do not verify, with nothing good behind them.
    """

    offset: int
    how: Literal["sealed", "bound", "zeros", "torn"]
    message: str = ""


class Window:
    """Buffered positional reads of one descriptor, never beyond `end`."""

    def __init__(self, fs: Fs, fd: int, end: int) -> None:
        self._fs = fs
        self._fd = fd
        self.end = end
        self._start = 0
        self._data = b""

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes at `offset`, or fewer at the end."""
        length = max(0, min(length, self.end - offset))
        at = offset - self._start
        if at < 0 or at + length > len(self._data):
            self._data = self._fs.read(self._fd, max(length, min(WINDOW_BYTES, self.end - offset)), offset)
            self._start, at = offset, 0
        return self._data[at : at + length]


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
        if isinstance(found, str) or found.sequence < sequence:
            why = found if isinstance(found, str) else f"an older record (sequence {found.sequence}) stands here"
            following = _resync(window, offset + 1, seed=seed, sequence=sequence, before=before)
            if following is None:
                yield Tail(offset, "zeros" if _is_zero(window, offset) else "torn", why)
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


def read_record(window: Window, offset: int, *, seed: int) -> RawRecord | str:
    """Return the record at `offset`, or why there is none."""
    head = window.read(offset, RECORD_BYTES)
    if len(head) < RECORD_BYTES:
        return "the file ends inside a record header"
    crc = int.from_bytes(head[:4], "little")
    length, sequence, kind, flags, tenant_length, received = AFTER_CRC.unpack_from(head, 4)
    size = RECORD_BYTES + tenant_length + length
    # Checked before anything is allocated: the length itself may be damaged.
    if size > window.end - offset:
        return f"a record of {size} bytes would not fit into the rest of the file"
    if sequence == 0:
        return "no record stands here"
    data = window.read(offset, size)
    if len(data) < size:
        return "the file ends inside a record"
    rest = data[4:]
    if crc32c(rest, seed) != crc:
        return "the record fails its checksum"
    body_at = RECORD_BYTES - 4 + tenant_length
    return RawRecord(
        offset,
        offset + size,
        crc,
        sequence,
        kind,
        flags,
        rest[RECORD_BYTES - 4 : body_at],
        received,
        rest[body_at:],
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


def _is_zero(window: Window, offset: int) -> bool:
    while offset < window.end:
        chunk = window.read(offset, WINDOW_BYTES)
        if not chunk or chunk.count(0) != len(chunk):
            return not chunk
        offset += len(chunk)
    return True
