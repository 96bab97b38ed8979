"""Look at a journal without owning it: headers, cursor and quarantine, read only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.journal import cursor as cursors
from collector.journal import head as heads
from collector.journal import lock
from collector.journal.fs import Fs
from collector.journal.layout import HEADER_BYTES, RawRecord, seed
from collector.journal.quarantine import FOLDER
from collector.journal.scan import Damage, Window, scan
from collector.journal.segment import find_segments
from schema.errors import ConfigError, Corrupt

if TYPE_CHECKING:
    from pathlib import Path

    from collector.journal.cursor import Cursor
    from collector.journal.head import Head
    from collector.journal.segment import SegmentFile


def inspect(directory: Path) -> dict[str, Any]:
    """Return what a journal holds: segments, what waits for delivery, what is set aside, and who owns it.

    The newest segment is read through for its last record; a running collector may be ahead of the answer.

    Raises:
        ConfigError: there is no journal, or one of another format.

    """
    if not directory.is_dir():
        raise ConfigError(f"there is no journal in {directory}; name its folder with --directory, or --config FILE")
    fs = Fs()
    problems = []
    readers: dict[str, Cursor] = {}
    head: Head | None = None
    for path in sorted(directory.glob(f"*{cursors.SUFFIX}")):
        try:
            cursor = cursors.load(path)
        except Corrupt as e:
            problems.append(str(e))
        else:
            readers |= {cursor.reader: cursor} if cursor else {}
    try:
        head = heads.load(directory)
    except Corrupt as e:
        problems.append(str(e))
    segments = find_segments(fs, directory)
    first = segments[0].segment.first_sequence if segments else (head.next_sequence if head else 1)
    next_sequence, used = _end(fs, segments, first)
    confirmed = max(min((c.next for c in readers.values()), default=first), first)
    folder = directory / FOLDER
    notes = (".json", ".tmp", ".replay")
    aside = sorted(p.name for p in folder.iterdir() if not p.name.endswith(notes)) if folder.is_dir() else []
    return {
        "directory": str(directory),
        "owner_pid": lock.owner(directory),
        "id": head.journal if head else next((c.journal for c in readers.values()), None),
        "segments": len(segments),
        "used_bytes": used,
        "next_sequence": max(next_sequence, confirmed),
        "confirmed_sequence": confirmed,
        "backlog_records": max(next_sequence - confirmed, 0),
        "quarantine": aside,
        "readers": {
            name: {
                "confirmed_sequence": c.next,
                "backlog_records": max(next_sequence - c.next, 0),
                "attempts": c.attempts,
                "skipped_records": c.skipped_records,
                "skipped_members": c.skipped_members,
            }
            for name, c in sorted(readers.items())
        },
        "problems": [*problems, *(f"{s.segment.path.name}: {s.problem}" for s in segments if s.problem)],
    }


def _end(fs: Fs, segments: list[SegmentFile], first: int) -> tuple[int, int]:
    """Return the sequence after the newest record, and the bytes that records take."""
    if not segments:
        return first, 0
    newest = segments[-1]
    used = sum(s.segment.end for s in segments[:-1])
    next_sequence, end = newest.segment.first_sequence, HEADER_BYTES
    if newest.journal_id is None:
        return next_sequence, used
    fd = fs.open(newest.segment.path)
    try:
        start = seed(newest.journal_id, newest.segment.number)
        for item in scan(Window(fs, fd, newest.segment.end), seed=start, sequence=next_sequence):
            if isinstance(item, RawRecord):
                next_sequence, end = item.sequence + 1, item.end
            elif not isinstance(item, Damage):
                end = item.offset
    finally:
        fs.close(fd)
    return next_sequence, used + end
