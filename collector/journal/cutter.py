"""Cut batches from the journal: from a position, forward, bounded, never across a UTC date of receipt."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from xxhash import xxh3_128

from collector.journal.batch import Position
from collector.journal.layout import FLAG_GZIP, HEADER_BYTES, RawRecord
from collector.journal.records import Records
from collector.journal.scan import Damage, Tail
from collector.journal.segment import read_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from collector.journal.fs import Fs
    from collector.journal.quarantine import Quarantine
    from collector.journal.segment import Segment

log = logging.getLogger(__name__)

DAY_NS: Final = 86_400 * 10**9
GZIP_TRAILER_BYTES: Final = 8
MAX_GUESSED_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a batch grows."""

    max_bytes: int
    """Of bodies; a gzip body counts as what it says it inflates to."""
    max_records: int


@dataclass(slots=True)
class _Taken:
    """What a batch has so far."""

    raw: list[RawRecord] = field(default_factory=list)
    size_bytes: int = 0
    digest: xxh3_128 = field(default_factory=xxh3_128)
    """Of the heads of the records as they stand on disk: each has the checksum of its whole record, which verified."""

    def add(self, record: RawRecord, limits: Limits | None) -> bool:
        """Take a record if it may join: within the limits, and of the same UTC date of receipt.

        The database partitions by that date, and one insert must touch one partition to be atomic. Without limits
        every record joins.
        """
        size_bytes = self.size_bytes + weight(record.raw_body, gzip=bool(record.flags & FLAG_GZIP))
        if limits is not None and self.raw:
            day = self.raw[0].received_unix_ns // DAY_NS
            if size_bytes > limits.max_bytes or len(self.raw) == limits.max_records:
                return False
            if record.received_unix_ns // DAY_NS != day:
                return False
        self.raw.append(record)
        self.size_bytes = size_bytes
        self.digest.update(record.head)
        return True


@dataclass(slots=True)
class Losses:
    """What was found damaged or missing since the start: several readers come upon the same, it counts once."""

    damaged: dict[tuple[int, int], int] = field(default_factory=dict)
    """Bytes, by segment and offset."""
    lost: dict[int, int] = field(default_factory=dict)
    """Last sequence of a gap, by its first."""

    @property
    def damaged_bytes(self) -> int:
        """Bytes that do not verify."""
        return sum(self.damaged.values())

    @property
    def lost_records(self) -> int:
        """Sequences that no segment has."""
        return sum(last - first + 1 for first, last in self.lost.items())


class Cutter:
    """Reads durable records in order. Used by one thread at a time; `losses` may be shared."""

    def __init__(
        self,
        reader: str | None,
        fs: Fs,
        quarantine: Quarantine,
        journal_id: bytes,
        *,
        now_unix_ns: Callable[[], int],
        losses: Losses,
    ) -> None:
        self._reader = reader.encode() if reader is not None else None
        """None takes what is addressed to anyone."""
        self.around_bad_pages = False
        """Whether pages that the medium does not give cost only what is in them; else reading them fails."""
        self._fs = fs
        self._quarantine = quarantine
        self._journal_id = journal_id
        self._now_unix_ns = now_unix_ns
        self._losses = losses

    def collect(
        self, position: Position, segments: Sequence[Segment], durable: int, limits: Limits, cut: int | None
    ) -> tuple[Records, str, Position]:
        """Return the records of one batch, its token, and the position behind them.

        `durable` is the first sequence that is not on the medium yet. With `cut`, a batch that was cut before is cut
        again: up to that sequence, whatever the limits. Damage on the way goes to quarantine; no records and a new
        position mean that there was nothing but damage. Raises OSError.

        A batch ends with what is read at once, and with a segment of which it has half of what it may have: so its
        records lie in one buffer, but for small ones and for one that was cut otherwise before.
        """
        taken = _Taken()
        for segment, before in _readable(segments, position, durable):
            whole = False
            if segment.number != position.segment:
                whole = bool(taken.raw) and cut is None
                if whole and (segment.first_sequence > position.sequence or 2 * taken.size_bytes >= limits.max_bytes):
                    break
                position = self._enter(segment, position)
            position, whole = self._read(taken, position, segment, before=before, limits=limits, cut=cut)
            if whole:
                break
        return Records(taken.raw), self._token(taken), position

    def _read(
        self, taken: _Taken, position: Position, segment: Segment, *, before: int, limits: Limits, cut: int | None
    ) -> tuple[Position, bool]:
        """Take what one segment has for the batch; return the position, and whether the batch is whole."""
        while True:
            more = False
            for item in read_segment(
                self._fs,
                segment,
                self._journal_id,
                sequence=position.sequence,
                offset=position.offset,
                before=before,
                at_most_bytes=limits.max_bytes + limits.max_bytes // 64,
                around_bad_pages=self.around_bad_pages,
            ):
                begun = bool(taken.raw) and cut is None
                if isinstance(item, Damage):
                    if begun:
                        return position, True
                    self._keep(segment, position.sequence, item.offset, item.end, item.message)
                elif isinstance(item, Tail):
                    more = item.how == "window"
                    if begun and (more or position.sequence < before):
                        return position, True
                    if not more and position.sequence < before:
                        self._keep(segment, position.sequence, item.offset, segment.end, item.message or "records end")
                        self._lose(position.sequence, before - 1, f"{segment.path.name} ends at byte {item.offset}")
                        position = Position(before, segment.number, segment.end)
                else:
                    if cut is not None and item.sequence > cut:
                        return position, True
                    if not item.is_known:
                        self._set_aside(segment, item)
                    elif self._reader is not None and item.reader is not None and item.reader != self._reader:
                        pass  # another reader's alone
                    elif not taken.add(item, limits if cut is None else None):
                        return position, True
                    if item.sequence > position.sequence:
                        self._lose(position.sequence, item.sequence - 1, f"missing in {segment.path.name}")
                    position = Position(item.sequence + 1, segment.number, item.end)
            if not more:
                return position, False

    def _token(self, taken: _Taken) -> str:
        """Return the token of a batch: journal, range, and a hash of the heads of its raw records.

        Their checksums stand for the bodies, which are not read once more. Never of rows made from them, which change
        with the normaliser.
        """
        if not taken.raw:
            return ""
        return f"{self._journal_id.hex()}-{taken.raw[0].sequence}-{taken.raw[-1].sequence}-{taken.digest.hexdigest()}"

    def _enter(self, segment: Segment, position: Position) -> Position:
        if segment.first_sequence > position.sequence:
            self._lose(position.sequence, segment.first_sequence - 1, f"no segment before {segment.path.name} holds it")
        return Position(max(position.sequence, segment.first_sequence), segment.number, HEADER_BYTES)

    def _keep(self, segment: Segment, sequence: int, offset: int, end: int, message: str) -> None:
        fd = self._fs.open(segment.path)
        try:
            data = (self._fs.read_around if self.around_bad_pages else self._fs.read)(fd, end - offset, offset)
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
        self._losses.damaged[segment.number, offset] = len(data)
        log.error("%s at byte %d: %s; %d bytes are kept in %s", segment.path, offset, message, len(data), path)

    def _lose(self, first: int, last: int, where: str) -> None:
        path = self._quarantine.note_loss(first, last, reason=where, at_unix_ns=self._now_unix_ns())
        self._losses.lost[first] = last
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


def weight(body: bytes | memoryview, *, gzip: bool) -> int:
    """Return what a record adds to a batch, in bytes: a gzip body says at its end what it inflates to (RFC 1952)."""
    if not gzip or len(body) < GZIP_TRAILER_BYTES:
        return len(body)
    return max(len(body), min(int.from_bytes(body[-4:], "little"), MAX_GUESSED_BYTES))


def settle(position: Position, segments: Sequence[Segment]) -> Position:
    """Return a stored position made to agree with the segments there are: never beyond the first unread record."""
    for segment in segments:
        if segment.number == position.segment and segment.first_sequence <= position.sequence:
            return position if HEADER_BYTES <= position.offset <= segment.end else replace(position, offset=0)
    older = [s for s in segments if s.first_sequence <= position.sequence]
    if older:
        return Position(position.sequence, older[-1].number)
    return Position(position.sequence, segments[0].number if segments else position.segment)
