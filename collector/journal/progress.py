"""How far a replay from quarantine has come: a note beside the quarantined file, durable before each step of it.

    quarantine/<id>.replay      EGRPL1 <crc32c> {"reader": r or null, "done": […], "step": […], "from_sequence": n}

Numbers are places in the file, from 0 on. `done` are in the journal and booked. `step` may be in the journal: then they
stand there at sequence `from_sequence` or later, addressed to `reader`. All others are not.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from collector.journal import sidecar
from schema.errors import ConfigError, Corrupt

if TYPE_CHECKING:
    from pathlib import Path

    from collector.journal.fs import Fs

SUFFIX: Final = ".replay"
MAGIC: Final = b"EGRPL1"


@dataclass(frozen=True, slots=True)
class Progress:
    """What of a quarantined file is in the journal again."""

    reader: str | None
    """Who alone gets the records; None: every reader."""
    done: tuple[int, ...] = ()
    step: tuple[int, ...] = ()
    from_sequence: int = 0


def path_of(folder: Path, key: str) -> Path:
    """Return the note of a quarantined file."""
    return folder / f"{key}{SUFFIX}"


def begun(folder: Path) -> list[str]:
    """Return the ids of which a replay was begun and not ended. Raises OSError."""
    return sorted(p.stem for p in folder.glob(f"*{SUFFIX}"))


def tidy(fs: Fs, folder: Path) -> None:
    """Remove what a crash left of a note that was being written. Raises OSError."""
    for unfinished in sorted(folder.glob(f"*{SUFFIX}.tmp")):
        fs.unlink(unfinished)


def store(fs: Fs, folder: Path, key: str, progress: Progress) -> None:
    """Make it durable. Raises OSError; the old note, or the new, is there then."""
    sidecar.store(fs, path_of(folder, key), MAGIC, asdict(progress))


def load(folder: Path, key: str) -> Progress | None:
    """Return how far the replay of a file has come, or None where none was begun.

    Raises:
        Corrupt: the note is unreadable, so nobody knows what is in the journal already.
        OSError: the disk does not give it.

    """
    path = path_of(folder, key)
    try:
        values = sidecar.load(path, MAGIC)
        if values is None:
            return None
        done, step = tuple(values.pop("done")), tuple(values.pop("step"))
        return Progress(done=done, step=step, **values)
    except (Corrupt, TypeError, KeyError):
        raise Corrupt(
            path,
            0,
            f"the note says how much of {key} was replayed, and cannot be read; "
            "without the note all of it is replayed again, or purged",
        ) from None


def replayed(folder: Path, key: str) -> frozenset[int]:
    """Return which of a file's records are in the journal again: they are there, and no longer in quarantine.

    Raises:
        ConfigError: that cannot be told now, because a replay is under way or was cut short.
        Corrupt, OSError: as `load`.

    """
    progress = load(folder, key)
    if progress is None:
        return frozenset()
    if progress.step:
        raise ConfigError(
            f"{key} is being replayed, or a replay of it was cut short. Wait for it, or replay it again; "
            "where no collector runs, the next start finds out how far it came"
        )
    return frozenset(progress.done)
