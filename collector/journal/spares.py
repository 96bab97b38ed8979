"""Delivered segments that are kept to be written over: their space is allocated and has been written before.

Writing over costs a quarter of writing into a new file, and its sync has no metadata to write (measured: DESIGN, "The
journal"). A spare has a name of its own, so it is never read as a segment:

    delivered <segment>-<first>.seg ─rename, sync─▶ <segment>.spare ─new header, sync─▶ rename, sync─▶ next segment
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from collector.journal.fs import Fs

NAME: Final = re.compile(r"\d{16}\.spare")
MOST: Final = 2
"""Kept at once: a batch frees one or two while the next one or two are filled."""


class Spares:
    """The spares of one journal. `give` and `take` may run in different threads."""

    def __init__(self, fs: Fs, directory: Path, segment_bytes: int, scrubbed_before: int = 0) -> None:
        self._fs = fs
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._scrubbed_before = scrubbed_before
        """Segments of lower numbers hold what must be forgotten."""
        self._free: deque[Path] = deque()

    def find(self) -> None:
        """Keep what an earlier process left, as far as it fits; remove the rest. Raises OSError."""
        for path in sorted(self._directory.iterdir()):
            if NAME.fullmatch(path.name):
                if self._is_wanted(path, int(path.stem)):
                    self._free.append(path)
                else:
                    self._fs.unlink(path)

    def give(self, path: Path, number: int) -> None:
        """Keep a delivered segment, or remove it where there are enough or it is of another size. Raises OSError."""
        if not self._is_wanted(path, number):
            self._fs.unlink(path)
            return
        spare = self._directory / f"{number:016d}.spare"
        self._fs.replace(path, spare)
        # Before anything is written into it: after a crash nothing but the segment has the segment's name.
        self._fs.sync_directory(self._directory)
        if spare not in self._free:  # a rename that was cut short may leave both names
            self._free.append(spare)

    def take(self) -> Path | None:
        """Return a spare for good, or None."""
        return self._free.popleft() if self._free else None

    def scrub(self, before: int) -> int:
        """Remove the spares, and from now on every segment of a number below `before`; return how many.

        Raises OSError.
        """
        self._scrubbed_before = before
        removed = 0
        while (path := self.take()) is not None:
            self._fs.unlink(path)
            removed += 1
        return removed

    def _is_wanted(self, path: Path, number: int) -> bool:
        return number >= self._scrubbed_before and len(self._free) < MOST and path.stat().st_size == self._segment_bytes
