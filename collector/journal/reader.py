"""Cut batches from the journal: from a position, forward, bounded, never across a UTC date of receipt."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from collector.journal.layout import HEADER_BYTES, RawRecord, pack_flags
from collector.journal.scan import Damage, Tail
from collector.journal.segment import read_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from collector.journal.fs import Fs
    from collector.journal.quarantine import Quarantine
    from collector.journal.record import Record
    from collector.journal.segment import Segment

log = logging.getLogger(__name__)

DAY_NS: Final = 86_400 * 10**9
GZIP_TRAILER_BYTES: Final = 8
MAX_GUESSED_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Position:
    """Where the record of a sequence lies, or will lie; offset 0 is the first record of the segment."""

    sequence: int
    segment: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a batch grows."""

    max_bytes: int
    """Of bodies; a gzip body counts as what it says it inflates to."""
    max_records: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one UTC date of receipt that are delivered together, once."""

    records: tuple[Record, ...]
    token: str
    """The same for the same cut of the same records, on every replay."""
    end: Position
    """Behind the last record."""

    @property
    def first_sequence(self) -> int:
        """Sequence of the first record."""
        return self.records[0].sequence

    @property
    def last_sequence(self) -> int:
        """Sequence of the last record."""
        return self.records[-1].sequence


def token_of(journal_id: bytes, records: Sequence[Record]) -> str:
    """Return the token of a batch: journal, range, and a hash of the raw records.

    Never of rows made from them, which change with the normaliser.
    """
    digest = hashlib.blake2b(digest_size=16)
    for r in records:
        tenant = r.tenant.encode()
        flags = pack_flags(r.signal, r.encoding, gzip=r.gzip)
        digest.update(b"%d %d %d %d %d " % (r.sequence, r.received_unix_ns, flags, len(tenant), len(r.body)))
        digest.update(tenant)
        digest.update(r.body)
    return f"{journal_id.hex()}-{records[0].sequence}-{records[-1].sequence}-{digest.hexdigest()}"


class Reader:
    """Reads durable records in order. Used by one thread at a time."""

    def __init__(self, fs: Fs, quarantine: Quarantine, journal_id: bytes, now_unix_ns: Callable[[], int]) -> None:
        self._fs = fs
        self._quarantine = quarantine
        self._journal_id = journal_id
        self._now_unix_ns = now_unix_ns
        self.damaged_bytes = 0
        self.lost_records = 0

    def collect(
        self, position: Position, segments: Sequence[Segment], durable: int, limits: Limits, cut: int | None
    ) -> tuple[tuple[Record, ...], Position]:
        """Return the records of one batch and the position behind them.

        `durable` is the first sequence that is not on the medium yet. With `cut`, a batch that was cut before is cut
        again: up to that sequence, whatever the limits. Damage on the way goes to quarantine; no records and a new
        position mean that there was nothing but damage. Raises OSError.
        """
        taken: list[Record] = []
        size_bytes = 0
        for segment, before in _readable(segments, position, durable):
            if segment.number != position.segment:
                if taken and cut is None and segment.first_sequence > position.sequence:
                    return tuple(taken), position
                position = self._enter(segment, position)
            items = read_segment(
                self._fs,
                segment,
                self._journal_id,
                sequence=position.sequence,
                offset=position.offset,
                before=before,
            )
            for item in items:
                if isinstance(item, Damage):
                    if taken and cut is None:
                        return tuple(taken), position
                    self._keep(segment, position.sequence, item.offset, item.end, item.message)
                elif isinstance(item, Tail):
                    if position.sequence < before:
                        if taken and cut is None:
                            return tuple(taken), position
                        self._keep(segment, position.sequence, item.offset, segment.end, item.message or "records end")
                        self._lose(position.sequence, before - 1, f"{segment.path.name} ends at byte {item.offset}")
                        position = Position(before, segment.number, segment.end)
                else:
                    if cut is not None and item.sequence > cut:
                        return tuple(taken), position
                    request = item.request()
                    if request is None:
                        self._set_aside(segment, item)
                    else:
                        size_bytes += weight(request)
                        if cut is None and taken and not _belongs(request, taken, size_bytes, limits):
                            return tuple(taken), position
                        taken.append(request)
                    if item.sequence > position.sequence:
                        self._lose(position.sequence, item.sequence - 1, f"missing in {segment.path.name}")
                    position = Position(item.sequence + 1, segment.number, item.end)
        return tuple(taken), position

    def _enter(self, segment: Segment, position: Position) -> Position:
        if segment.first_sequence > position.sequence:
            self._lose(position.sequence, segment.first_sequence - 1, f"no segment before {segment.path.name} holds it")
        return Position(max(position.sequence, segment.first_sequence), segment.number, HEADER_BYTES)

    def _keep(self, segment: Segment, sequence: int, offset: int, end: int, message: str) -> None:
        fd = self._fs.open(segment.path)
        try:
            data = self._fs.read(fd, end - offset, offset)
        finally:
            self._fs.close(fd)
        path = self._quarantine.keep_bytes(
            data,
            segment=segment.path.name,
            sequence=sequence,
            offset=offset,
            reason=message,
            at_unix_ns=self._now_unix_ns(),
        )
        self.damaged_bytes += len(data)
        log.error("%s at byte %d: %s; %d bytes are kept in %s", segment.path, offset, message, len(data), path)

    def _lose(self, first: int, last: int, where: str) -> None:
        path = self._quarantine.note_loss(first, last, reason=where, at_unix_ns=self._now_unix_ns())
        self.lost_records += last - first + 1
        log.error("records %d to %d are lost: %s; noted in %s", first, last, where, path)

    def _set_aside(self, segment: Segment, item: RawRecord) -> None:
        message = f"a whole record of unknown type {item.kind}, flags {item.flags}"
        self._keep(segment, item.sequence, item.offset, item.end, message)


def _readable(segments: Sequence[Segment], position: Position, durable: int) -> list[tuple[Segment, int]]:
    """Return the segments that may hold something from `position` on, each with the sequence it ends before."""
    found = []
    for i, segment in enumerate(segments):
        before = min(segments[i + 1].first_sequence, durable) if i + 1 < len(segments) else durable
        if segment.number >= position.segment and before > position.sequence:
            found.append((segment, before))
    return found


def _belongs(request: Record, taken: Sequence[Record], size_bytes: int, limits: Limits) -> bool:
    """Say whether a record may join the batch: within the limits, and of the same UTC date of receipt.

    The database partitions by that date, and one insert must touch one partition to be atomic.
    """
    return (
        size_bytes <= limits.max_bytes
        and len(taken) < limits.max_records
        and request.received_unix_ns // DAY_NS == taken[0].received_unix_ns // DAY_NS
    )


def weight(request: Record) -> int:
    """Return what a record adds to a batch, in bytes: a gzip body says at its end what it inflates to (RFC 1952)."""
    if not request.gzip or len(request.body) < GZIP_TRAILER_BYTES:
        return len(request.body)
    return max(len(request.body), min(int.from_bytes(request.body[-4:], "little"), MAX_GUESSED_BYTES))


def settle(position: Position, segments: Sequence[Segment]) -> Position:
    """Return a stored position made to agree with the segments there are: never beyond the first unread record."""
    for segment in segments:
        if segment.number == position.segment and segment.first_sequence <= position.sequence:
            return position if HEADER_BYTES <= position.offset <= segment.end else replace(position, offset=0)
    older = [s for s in segments if s.first_sequence <= position.sequence]
    if older:
        return Position(position.sequence, older[-1].number)
    return Position(position.sequence, segments[0].number if segments else position.segment)
