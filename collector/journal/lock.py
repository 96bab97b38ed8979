"""One process owns a journal directory: flock on the file `lock`, which also says who."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from schema.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "lock"


class DirectoryLock:
    """A lock that is held until `release`, or until the process ends however it ends."""

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd

    @classmethod
    def take(cls, directory: Path) -> DirectoryLock:
        """Take the lock.

        Raises:
            ConfigError: another process has it; it is named.
            OSError: the directory cannot be written.

        """
        path = directory / FILE
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise ConfigError(
                f"the journal in {directory} is in use by process {owner}. "
                "Stop that process, or name another directory as service.journal.directory."
            ) from None
        except OSError:
            os.close(fd)
            raise
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return cls(fd)

    def release(self) -> None:
        """Give the directory back. Safe twice."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def owner(directory: Path) -> int | None:
    """Return the pid of the process that owns a journal now, or None."""
    try:
        fd = os.open(directory / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(fd, 32, 0).strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(fd)
    return None
