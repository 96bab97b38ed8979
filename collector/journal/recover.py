"""Bring a journal directory into order at start. It succeeds, or names the file and what to do; it never guesses.

A torn tail is cut off only at the end of the last segment, and kept in quarantine. The last segment is sealed, so that
every start writes a new one. The cursor is moved forward never, and backward only to what still exists.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from collector.journal import cursor as cursors
from collector.journal.cursor import Cursor
from collector.journal.quarantine import Quarantine
from collector.journal.reader import Position, settle
from collector.journal.segment import Segment, SegmentFile, find_segments, recover_last, seal_recovered
from schema.errors import ConfigError, Corrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from collector.journal.fs import Fs

log = logging.getLogger(__name__)

JOURNAL_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Recovered:
    """A journal as it stands before the first append."""

    journal_id: bytes
    segments: tuple[Segment, ...]
    next_sequence: int
    next_segment: int
    position: Position
    cut: int | None


def recover(fs: Fs, directory: Path, now_unix_ns: Callable[[], int]) -> Recovered:
    """Read the segments and the cursor, and put right what a crash left.

    Raises:
        ConfigError: another format, or a segment of another journal.
        OSError: the directory cannot be read or written.

    """
    try:
        cursor = cursors.load(directory)
    except Corrupt as e:
        log.error("%s", e)  # noqa: TRY400 - the message is whole; there is nothing to trace
        cursor = None
    found = find_segments(fs, directory)
    journal_id = _journal_id(cursor, found)
    segments = [f.segment for f in found]
    next_sequence = cursor.next if cursor else 1
    next_segment = max(cursor.segment if cursor else 0, segments[-1].number if segments else 0) + 1
    empty: Segment | None = None
    records = 0
    if segments:
        last = recover_last(fs, segments[-1], journal_id)
        records = last.records
        if last.torn:
            kept = Quarantine(fs, directory, journal_id).keep_bytes(
                last.torn,
                segment=last.segment.path.name,
                sequence=last.next_sequence,
                offset=last.tail.offset,
                reason=f"torn tail: {last.tail.message}",
                at_unix_ns=now_unix_ns(),
            )
            log.warning(
                "%s: %d bytes behind the last whole record, at byte %d, are cut off and kept in %s",
                last.segment.path,
                len(last.torn),
                last.tail.offset,
                kept,
            )
        next_sequence = max(next_sequence, last.next_sequence)
        if last.records:
            seal_recovered(fs, last, journal_id)
            segments[-1] = last.segment
        else:
            empty = segments.pop()
    position = _position(cursor, segments, next_sequence, next_segment)
    cut = cursor.cut if cursor and cursor.next == position.sequence else None
    # The cursor carries the id and the next sequence across the removal of the last file that says them.
    cursors.store(fs, directory, Cursor(journal_id.hex(), position.sequence, position.segment, position.offset, cut))
    if empty is not None:
        fs.unlink(empty.path)
    log.info(
        "journal %s: %d segments, %d records in the last, %d records to deliver",
        directory,
        len(segments),
        records,
        next_sequence - position.sequence,
    )
    return Recovered(journal_id, tuple(segments), next_sequence, next_segment, position, cut)


def _journal_id(cursor: Cursor | None, found: Sequence[SegmentFile]) -> bytes:
    journal_id = bytes.fromhex(cursor.journal) if cursor else None
    for file in found:
        if file.journal_id is None:
            log.error("%s: %s; its records are read by their own checksums", file.segment.path, file.problem)
        elif journal_id is None:
            journal_id = file.journal_id
        elif file.journal_id != journal_id:
            raise ConfigError(
                f"{file.segment.path} belongs to another journal ({file.journal_id.hex()}, not {journal_id.hex()}). "
                "Move it to a directory of its own and start a collector on that."
            )
    return journal_id or os.urandom(JOURNAL_ID_BYTES)


def _position(cursor: Cursor | None, segments: Sequence[Segment], next_sequence: int, next_segment: int) -> Position:
    if not segments:
        return Position(next_sequence, next_segment)
    if cursor is None:
        return Position(segments[0].first_sequence, segments[0].number)
    position = settle(Position(cursor.next, cursor.segment, cursor.offset), segments)
    return replace(position, sequence=min(position.sequence, next_sequence))
