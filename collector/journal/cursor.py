"""The side-car that says how far the journal has been delivered, and how the batch now under way was cut.

One line of text in the file `cursor`:

    EGCUR1 <crc32c of the JSON, 8 hex digits> {"journal": id, "next": n, "segment": s, "offset": o, "cut": last or null}

Every record before sequence `next` is confirmed: stored, or quarantined. `segment` and `offset` say where `next` lies.
`cut` is the last sequence of the batch that begins at `next`; it is on disk before the first insert of that batch, so
that a replay cuts the same batch and the database recognises its token.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import orjson

from collector.journal.layout import crc32c
from schema.errors import Corrupt

if TYPE_CHECKING:
    from pathlib import Path

    from collector.journal.fs import Fs

FILE = "cursor"
MAGIC = b"EGCUR1"


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in the journal."""

    journal: str
    """Id of the journal, hex."""
    next: int
    """Sequence of the first record that is not confirmed."""
    segment: int
    """Sequence of the segment in which it lies, or will lie."""
    offset: int
    """Offset there; 0 means the first record."""
    cut: int | None = None
    """Last sequence of the batch under way."""


def store(fs: Fs, directory: Path, cursor: Cursor) -> None:
    """Make the cursor durable. Raises OSError; the old cursor is still there then."""
    body = orjson.dumps(asdict(cursor))
    fs.write_file(directory / FILE, b"%s %08x %s\n" % (MAGIC, crc32c(body), body))


def load(directory: Path) -> Cursor | None:
    """Return the stored cursor, or None when there is none yet.

    Raises:
        Corrupt: it is unreadable; replay from the oldest segment, never from the end.

    """
    path = directory / FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    magic, _, rest = data.rstrip(b"\n").partition(b" ")
    crc, _, body = rest.partition(b" ")
    if magic != MAGIC or crc != b"%08x" % crc32c(body):
        raise Corrupt(path, 0, "the cursor fails its checksum; delivery begins again at the oldest segment")
    values: dict[str, Any] = orjson.loads(body)
    return Cursor(**values)
