"""Seal a segment where its records end: the last one after a crash, and what is to hold nothing of its life before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from collector.journal.layout import (
    AFTER_CRC,
    HEADER_BYTES,
    KNOWN_FLAGS,
    RECORD_BYTES,
    TRAILER_BYTES,
    TYPE_ADDRESSED,
    TYPE_REQUEST,
    RawRecord,
    pack_trailer,
    seed,
)
from collector.journal.scan import Tail, Window, add_crc, scan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.journal.fs import Fs
    from collector.journal.segment import Segment

MOST_TORN_BYTES: Final = 4 << 20
"""Kept of a tail in which not even a header can be read."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """The last segment after a crash."""

    segment: Segment
    next_sequence: int
    records: int
    tail: Tail
    torn: bytes
    """What stood behind the last good record and may be records that do not verify; empty after a clean stop."""


def recover_last(fs: Fs, segment: Segment, journal_id: bytes) -> Recovered:
    """Find the end of the last segment, and seal it there when it is not sealed.

    Bytes behind the last good record were never acknowledged, or are damaged beyond telling: they are returned in
    `torn`, to be kept by the caller before `seal_recovered` cuts them off.
    """
    fd = fs.open(segment.path)
    try:
        window = Window(fs, fd, segment.end)
        next_sequence, records = segment.first_sequence, 0
        tail = Tail(HEADER_BYTES, "zeros")
        for item in scan(window, seed=seed(journal_id, segment.number), sequence=segment.first_sequence):
            if isinstance(item, RawRecord):
                next_sequence, records = item.sequence + 1, records + 1
            elif isinstance(item, Tail):
                tail = item
        torn = b"" if tail.how != "torn" else _torn(fs, fd, segment.end, tail.offset, next_sequence)
    finally:
        fs.close(fd)
    return Recovered(replace(segment, end=tail.offset), next_sequence, records, tail, torn)


def _torn(fs: Fs, fd: int, end: int, offset: int, sequence: int) -> bytes:
    """Return what may be records of ours behind the last good one.

    Behind those stands what the file held before it was written over: up to a whole segment, and none of it is ours.
    Headers say how far records go that their checksums do not verify. Where the first header cannot be read, a bounded
    stretch is kept.
    """
    at = offset
    while at + RECORD_BYTES <= end:
        head = fs.read(fd, RECORD_BYTES, at)
        length, found, kind, flags, tenant_length, _, _ = AFTER_CRC.unpack_from(head, 4)
        size = RECORD_BYTES + tenant_length + length
        is_ours = found == sequence and kind in (TYPE_REQUEST, TYPE_ADDRESSED) and not flags & ~KNOWN_FLAGS
        if not is_ours or size > end - at:
            break
        at, sequence = at + size, sequence + 1
    if at == offset:
        at = min(offset + MOST_TORN_BYTES, end)
    return fs.read(fd, at - offset, offset).rstrip(b"\0")


def seal_recovered(fs: Fs, recovered: Recovered, journal_id: bytes) -> None:
    """Cut a recovered segment at its end and write its trailer, so that it is never the last unsealed one again."""
    if recovered.tail.how == "sealed":
        return
    segment = recovered.segment
    start = seed(journal_id, segment.number)
    count = crcs = 0
    fd = fs.open(segment.path, writable=True)
    try:
        for item in scan(Window(fs, fd, segment.end), seed=start, sequence=segment.first_sequence):
            if isinstance(item, RawRecord):
                count, crcs = count + 1, add_crc(crcs, item.crc)
        fs.truncate(fd, segment.end)
        fs.write(fd, (pack_trailer(recovered.next_sequence, count, crcs, seed=start),), segment.end)
        fs.sync(fd)
    finally:
        fs.close(fd)


def trim_all(fs: Fs, segments: Sequence[Segment], journal_id: bytes) -> None:
    """Cut off what stands behind the trailers of sealed segments: it is of the file's life before. Raises OSError."""
    for segment in segments:
        fd = fs.open(segment.path, writable=True)
        try:
            start = seed(journal_id, segment.number)
            for item in scan(Window(fs, fd, segment.path.stat().st_size), seed=start, sequence=segment.first_sequence):
                if isinstance(item, Tail) and item.how == "sealed":
                    fs.truncate(fd, item.offset + TRAILER_BYTES)
        finally:
            fs.close(fd)
