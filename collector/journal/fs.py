"""The few file-system calls on which durability rests, in one place, so that tests can make each of them fail."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from collector.journal.layout import Buffer

PAGE_BYTES = 4096
PIECES_AT_ONCE = 512
"""Of one write; IOV_MAX is 1024 (POSIX says 16 at least, Linux and macOS have 1024)."""


class Fs:
    """The real file system. Every method raises OSError as the system call does."""

    def create(self, path: Path, size_bytes: int) -> int:
        """Return the descriptor of a new file of `size_bytes` allocated zero bytes, readable by its owner alone."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _allocate(fd, size_bytes)
        except OSError:
            os.close(fd)
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        return fd

    def open(self, path: Path, *, writable: bool = False) -> int:
        """Return a descriptor of an existing file."""
        return os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)

    def open_new(self, path: Path) -> int:
        """Return a descriptor of a file that is empty now, readable by its owner alone."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def replace(self, source: Path, target: Path) -> None:
        """Give a file another's name; durable once the directory is synced."""
        source.replace(target)

    def close(self, fd: int) -> None:
        """Close without a promise about what was not synced."""
        os.close(fd)

    def read(self, fd: int, length: int, offset: int) -> bytes:
        """Return up to `length` bytes; fewer only at the end of the file."""
        pieces: list[bytes] = []
        while length > 0:
            piece = os.pread(fd, length, offset)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_around(self, fd: int, length: int, offset: int) -> bytes:
        """As `read`, with zeros for the pages that the medium does not give."""
        try:
            return self.read(fd, length, offset)
        except OSError as e:
            if e.errno != errno.EIO:
                raise
        pieces: list[bytes] = []
        at, end = offset, min(offset + length, os.fstat(fd).st_size)
        while at < end:
            size_bytes = min(PAGE_BYTES - at % PAGE_BYTES, end - at)
            try:
                pieces.append(self.read(fd, size_bytes, at))
            except OSError as e:
                if e.errno != errno.EIO:
                    raise
                pieces.append(bytes(size_bytes))
            at += size_bytes
        return b"".join(pieces)

    def write(self, fd: int, pieces: Sequence[Buffer], offset: int) -> None:
        """Write all pieces, one behind the other, without joining them; a short write goes on where it ended."""
        left = deque(memoryview(piece) for piece in pieces if len(piece))
        while left:
            written = os.pwritev(fd, list(islice(left, PIECES_AT_ONCE)), offset)
            if not written:
                raise OSError(errno.EIO, "the disk takes nothing")
            offset += written
            while left and written >= len(left[0]):
                written -= len(left.popleft())
            if written:
                left[0] = left[0][written:]

    def sync(self, fd: int) -> None:
        """Return when the bytes of the file are on the medium."""
        if sys.platform == "darwin":
            # fsync on macOS stops at the drive's cache (fcntl(2), F_FULLFSYNC).
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        else:
            os.fdatasync(fd)

    def sync_directory(self, path: Path) -> None:
        """Return when the names in a directory are on the medium."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def make_directory(self, path: Path) -> None:
        """Make a directory for its owner alone, and those above it; their names are on the medium then."""
        if path.is_dir():
            return
        self.make_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        self.sync_directory(path.parent)

    def truncate(self, fd: int, size_bytes: int) -> None:
        """Cut the file; what was allocated behind is given back."""
        os.ftruncate(fd, size_bytes)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def write_file(self, path: Path, data: bytes) -> None:
        """Replace a whole file: the old content or the new is there after a crash, never a mixture.

        Temporary file, sync, rename, sync of the directory.
        """
        temporary = path.with_name(path.name + ".tmp")
        fd = self.open_new(temporary)
        try:
            self.write(fd, (data,), 0)
            self.sync(fd)
        finally:
            self.close(fd)
        self.replace(temporary, path)
        self.sync_directory(path.parent)


def _allocate(fd: int, size_bytes: int) -> None:
    """Reserve the space now, so that a full disk shows before an acknowledgement and not in it."""
    if sys.platform == "darwin":
        os.ftruncate(fd, size_bytes)
        return
    try:
        os.posix_fallocate(fd, 0, size_bytes)
    except OSError as e:
        if e.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        os.ftruncate(fd, size_bytes)
