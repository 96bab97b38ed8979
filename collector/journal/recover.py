"""Bring a journal directory into order at start. It succeeds, or names the file and what to do; it never guesses.

A torn tail is cut off only at the end of the last segment, and kept in quarantine. The last segment is sealed, so that
every start writes a new one. A cursor is moved forward never, and backward only to what still exists.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from collector.journal import cursor as cursors
from collector.journal import head as heads
from collector.journal.batch import Position
from collector.journal.cursor import Cursor
from collector.journal.cutter import settle
from collector.journal.head import Head
from collector.journal.quarantine import Quarantine
from collector.journal.seal import recover_last, seal_recovered
from collector.journal.segment import Segment, SegmentFile, find_segments
from schema.errors import ConfigError, Corrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from collector.journal.fs import Fs
    from collector.journal.seal import Recovered as RecoveredSegment

log = logging.getLogger(__name__)

JOURNAL_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Recovered:
    """A journal as it stands before the first append."""

    journal_id: bytes
    segments: tuple[Segment, ...]
    next_sequence: int
    next_segment: int
    cursors: Mapping[str, Cursor]
    """Of every reader, by name."""
    scrubbed_before: int


def recover(fs: Fs, directory: Path, now_unix_ns: Callable[[], int], readers: Sequence[str]) -> Recovered:
    """Read the segments and the cursors of `readers`, and put right what a crash left.

    A reader without a cursor begins at the oldest segment; the cursors of readers that are not named are removed.

    Raises:
        ConfigError: another format, or a segment of another journal.
        OSError: the directory cannot be read or written.

    """
    head = _head(directory)
    stored = {name: _cursor(directory, name) for name in readers}
    found = find_segments(fs, directory)
    known = [Head(c.journal, c.next, c.segment + 1) for c in cursors.load_all(directory)] + ([head] if head else [])
    journal_id = _journal_id({k.journal for k in known}, found)
    segments = [f.segment for f in found]
    next_sequence = max([1, *(k.next_sequence for k in known)])
    next_segment = max([1, *(k.next_segment for k in known), *(s.number + 1 for s in segments)])
    empty: Segment | None = None
    records = 0
    if segments:
        last = _recover_last(fs, directory, segments[-1], journal_id, now_unix_ns)
        records = last.records
        next_sequence = max(next_sequence, last.next_sequence)
        if last.records:
            seal_recovered(fs, last, journal_id)
            segments[-1] = last.segment
        else:
            empty = segments.pop()
    # Before the last file goes that says them.
    scrubbed_before = head.scrubbed_before if head else 0
    heads.store(fs, directory, Head(journal_id.hex(), next_sequence, next_segment, scrubbed_before))
    settled = {}
    confirmed = min((c.next for c in stored.values() if c), default=next_sequence)
    if not segments and confirmed < next_sequence:
        why = "no segment is left"
        Quarantine(fs, directory, journal_id).note_loss(
            confirmed, next_sequence - 1, reason=why, at_unix_ns=now_unix_ns()
        )
        log.error("records %d to %d are lost: %s", confirmed, next_sequence - 1, why)
    end = Position(next_sequence, next_segment)
    for name, cursor in stored.items():
        settled[name] = _settled(cursor or Cursor(journal_id.hex(), name, 0, 0, 0), segments, end)
        if settled[name] != cursor:
            cursors.store(fs, directory, settled[name])
    _drop_others(fs, directory, readers)
    for unfinished in directory.glob("*.tmp"):
        fs.unlink(unfinished)
    if empty is not None:
        fs.unlink(empty.path)
    log.info(
        "journal %s: %d segments, %d records in the last, %d records to deliver",
        directory,
        len(segments),
        records,
        next_sequence - min(c.next for c in settled.values()),
    )
    return Recovered(journal_id, tuple(segments), next_sequence, next_segment, settled, scrubbed_before)


def _head(directory: Path) -> Head | None:
    try:
        return heads.load(directory)
    except Corrupt as e:
        log.error("%s; segments and cursors say the same", e)  # noqa: TRY400 - the message is whole
        return None


def _cursor(directory: Path, reader: str) -> Cursor | None:
    try:
        return cursors.load(cursors.path_of(directory, reader))
    except Corrupt as e:
        log.error("%s", e)  # noqa: TRY400 - the message is whole; there is nothing to trace
        return None


def _journal_id(stored: set[str], found: Sequence[SegmentFile]) -> bytes:
    """Return the one id that all files name, or a new one."""
    ids = {bytes.fromhex(journal): "a cursor" for journal in stored}
    for file in found:
        if file.journal_id is None:
            log.error("%s: %s; its records are read by their own checksums", file.segment.path, file.problem)
        else:
            ids[file.journal_id] = str(file.segment.path)
    if len(ids) > 1:
        named = ", ".join(f"{where} to {journal.hex()}" for journal, where in ids.items())
        raise ConfigError(
            f"the files of more than one journal lie here: {named}. "
            "Move one journal's files to a directory of its own and start a collector on that."
        )
    return next(iter(ids), None) or os.urandom(JOURNAL_ID_BYTES)


def _recover_last(
    fs: Fs, directory: Path, segment: Segment, journal_id: bytes, now_unix_ns: Callable[[], int]
) -> RecoveredSegment:
    """Find the end of the last segment; what is torn behind it is kept."""
    last = recover_last(fs, segment, journal_id)
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
    return last


def _settled(cursor: Cursor, segments: Sequence[Segment], end: Position) -> Cursor:
    """Return where a reader goes on: never beyond what it has not read."""
    if not segments:
        position = end
    elif not cursor.next:
        position = Position(segments[0].first_sequence, segments[0].number)
    else:
        position = settle(Position(cursor.next, cursor.segment, cursor.offset), segments)
        position = replace(position, sequence=min(position.sequence, end.sequence))
    begun = cursor.next == position.sequence and cursor.cut is not None
    return replace(
        cursor,
        next=position.sequence,
        segment=position.segment,
        offset=position.offset,
        cut=cursor.cut if begun else None,
        attempts=cursor.attempts if begun else 0,
    )


def _drop_others(fs: Fs, directory: Path, readers: Sequence[str]) -> None:
    kept = {cursors.path_of(directory, name) for name in readers}
    for path in sorted(directory.glob(f"*{cursors.SUFFIX}")):
        if path not in kept:
            log.warning("%s: nobody of that name reads the journal any more; it is removed", path)
            fs.unlink(path)
