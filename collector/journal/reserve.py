"""A little space that is kept free for the small files: on a full disk a confirmation must still be written.

Without it a full disk stays full: segments are removed when they are confirmed, and that needs a new cursor. The file
`reserve` is given up for it, and made again when there is room.
"""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.journal.fs import Fs

FILE: Final = "reserve"
RESERVE_BYTES: Final = 256 << 10
"""Cursors, the head and notes of quarantine take one block each."""
NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

T = TypeVar("T")


class Reserve:
    """The reserve of one journal."""

    def __init__(self, fs: Fs, directory: Path) -> None:
        self._fs = fs
        self._path = directory / FILE

    def restore(self) -> None:
        """Take the space, where there is some."""
        if not self._path.exists():
            with contextlib.suppress(OSError):  # there is none: what needs it will say so
                self._fs.close(self._fs.create(self._path, RESERVE_BYTES))

    def spend_for(self, work: Callable[[], T]) -> T:
        """Do something that needs a little space; where there is none, give the reserve up and do it again.

        Raises OSError.
        """
        try:
            return work()
        except OSError as e:
            if e.errno not in NO_SPACE or not self._path.exists():
                raise
        self._fs.unlink(self._path)
        return work()
