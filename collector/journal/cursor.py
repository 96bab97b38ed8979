"""The side-cars that say how far each reader has come, and how its batch now under way was cut.

A file `<name of the reader, percent-encoded>.cursor` for each:

    EGCUR2 <crc32c> {"journal": id, "reader": name, "next": n, "segment": s, "offset": o,
                     "cut": last or null, "attempts": a, "skipped_records": r, "skipped_members": m, "mark": k}

Every record before sequence `next` is confirmed by this reader: stored, or quarantined. `segment` and `offset` say
where `next` lies. `cut` is the last sequence of the batch that begins at `next`; it is on disk before that batch is
handed out for the first time, so that a replay cuts the same batch and the database recognises its token. `attempts` is
how many times it was handed out, counted before each time, so that one that ended the process counts too. `mark` is a
number of whoever keeps a file of its own beside the journal: that file held at least so much when the cursor was
written.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from collector.journal import sidecar
from schema.errors import Corrupt

if TYPE_CHECKING:
    from pathlib import Path

    from collector.journal.fs import Fs

SUFFIX: Final = ".cursor"
MAGIC: Final = b"EGCUR2"
LONGEST_NAME: Final = 120
"""Characters of a file name; longer ones end with a hash instead."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far one reader is."""

    journal: str
    """Id of the journal, hex."""
    reader: str
    next: int
    """Sequence of the first record that is not confirmed."""
    segment: int
    """Sequence of the segment in which it lies, or will lie."""
    offset: int
    """Offset there; 0 means the first record."""
    cut: int | None = None
    """Last sequence of the batch under way."""
    attempts: int = 0
    """How many times that batch was handed out."""
    skipped_records: int = 0
    """That this reader went without, because it was too far behind."""
    skipped_members: int = 0
    mark: int = 0
    """What else was durable by then (`Reader.mark`); it only rises."""


def path_of(directory: Path, reader: str) -> Path:
    """Return the file of a reader's cursor: no name leads out of the directory, or to another's file."""
    safe = quote(reader, safe="")
    if len(safe) > LONGEST_NAME:
        safe = f"{safe[:LONGEST_NAME]}-{hashlib.sha256(reader.encode()).hexdigest()[:16]}"
    return directory / f"{safe}{SUFFIX}"


def store(fs: Fs, directory: Path, cursor: Cursor) -> None:
    """Make the cursor durable. Raises OSError; the old cursor, or the new, is there then."""
    sidecar.store(fs, path_of(directory, cursor.reader), MAGIC, asdict(cursor))


def load(path: Path) -> Cursor | None:
    """Return the cursor in a file, or None when there is none yet.

    Raises:
        Corrupt: it is unreadable; its reader begins again at the oldest segment, never at the end.

    """
    try:
        values = sidecar.load(path, MAGIC)
        return Cursor(**values) if values is not None else None
    except (Corrupt, TypeError) as e:
        why = e if isinstance(e, TypeError) else "the cursor fails its checksum"
        raise Corrupt(path, 0, f"{why}; delivery begins again at the oldest segment") from None


def load_all(directory: Path) -> list[Cursor]:
    """Return every cursor that can be read."""
    found: list[Cursor] = []
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        with contextlib.suppress(Corrupt):
            if (cursor := load(path)) is not None:
                found.append(cursor)
    return found
