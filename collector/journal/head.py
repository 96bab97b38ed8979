"""The file `journal`: which journal this is, and from where its numbers go on. Written at every start.

    EGJRN2 <crc32c> {"journal": id, "next_sequence": n, "next_segment": s, "scrubbed_before": s}

Segments say the same while there are any; this file carries it across the removal of the last one. Neither number is
ever used twice: a record of an earlier life of a file must not verify in a later one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from collector.journal import sidecar
from schema.errors import Corrupt

if TYPE_CHECKING:
    from pathlib import Path

    from collector.journal.fs import Fs

FILE: Final = "journal"
MAGIC: Final = b"EGJRN2"


@dataclass(frozen=True, slots=True)
class Head:
    """What a journal goes on from."""

    journal: str
    """Id of the journal, hex."""
    next_sequence: int
    """No record has this sequence or a higher one, but for those in the segments."""
    next_segment: int
    """As `next_sequence`, of segments."""
    scrubbed_before: int = 0
    """Segments of lower numbers hold what must be forgotten: they are removed, and not written over."""


def store(fs: Fs, directory: Path, head: Head) -> None:
    """Make it durable. Raises OSError."""
    sidecar.store(fs, directory / FILE, MAGIC, asdict(head))


def load(directory: Path) -> Head | None:
    """Return what is stored, or None when there is nothing yet.

    Raises:
        Corrupt: it is unreadable; segments and cursors say the same, but where all of them are gone.

    """
    try:
        values = sidecar.load(directory / FILE, MAGIC)
        return Head(**values) if values is not None else None
    except TypeError as e:
        raise Corrupt(directory / FILE, 0, str(e)) from None
