"""A disk that loses what was not synced, journals on it, and segments made by hand."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from collector.journal import JournalOptions, Record
from collector.journal.fs import Fs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from collector.journal.layout import Buffer

NOON_NS = 1_795_000_000 * 10**9
SEGMENT_BYTES = 256 << 10
READER = "delivery"


class FaultyFs(Fs):
    """The real file system, until told otherwise; and a memory of what a power cut would leave."""

    def __init__(self) -> None:
        self.failing: dict[str, int] = {}
        """Operation → errno that it raises from now on."""
        self.paths: dict[int, Path] = {}
        self.synced: dict[Path, bytes] = {}
        """Content of each file, by its name now, at its last sync."""
        self.named: set[Path] = set()
        """Names that were there when their directory was synced."""
        self.replaced: dict[Path, bytes] = {}
        """What stood under a name before a rename that its directory has not been synced after."""
        self.syncs = 0

    def _maybe_fail(self, operation: str) -> None:
        if code := self.failing.get(operation):
            raise OSError(code, errno.errorcode[code])

    def create(self, path: Path, size_bytes: int) -> int:
        self._maybe_fail("create")
        fd = super().create(path, size_bytes)
        self.paths[fd] = path
        return fd

    def open(self, path: Path, *, writable: bool = False) -> int:
        fd = super().open(path, writable=writable)
        self.paths[fd] = path
        return fd

    def close(self, fd: int) -> None:
        # The number is used again, for another file.
        self.paths.pop(fd, None)
        super().close(fd)

    def write(self, fd: int, pieces: Sequence[Buffer], offset: int) -> None:
        if "write" in self.failing:
            # A short write comes before the error of a full disk.
            data = b"".join(pieces)
            super().write(fd, (data[: len(data) // 2],), offset)
        self._maybe_fail("write")
        super().write(fd, pieces, offset)

    def sync(self, fd: int) -> None:
        self._maybe_fail("sync")
        super().sync(fd)
        self.syncs += 1
        if path := self.paths.get(fd):
            self.synced[path] = path.read_bytes()

    def sync_directory(self, path: Path) -> None:
        self._maybe_fail("sync_directory")
        super().sync_directory(path)
        self.named |= set(path.iterdir())
        self.replaced = {p: data for p, data in self.replaced.items() if p.parent != path}

    def open_new(self, path: Path) -> int:
        fd = super().open_new(path)
        self.paths[fd] = path
        return fd

    def replace(self, source: Path, target: Path) -> None:
        self._maybe_fail("replace")
        super().replace(source, target)
        if target in self.named:
            self.replaced.setdefault(target, self.synced.get(target, b""))
        self.synced[target] = self.synced.pop(source, b"")
        self.paths = {fd: target if path == source else path for fd, path in self.paths.items()}

    def write_file(self, path: Path, data: bytes) -> None:
        self._maybe_fail("write_file")
        super().write_file(path, data)

    def cut_power(self, directory: Path) -> None:
        """Leave on disk only what was synced: contents and names."""
        for path in directory.rglob("*"):
            if path.is_dir() or path.name == "lock":
                continue
            if path not in self.named:
                path.unlink()
            else:
                path.write_bytes(self.replaced.get(path, self.synced.get(path, b"")))
        self.replaced.clear()


@pytest.fixture
def fs() -> FaultyFs:
    return FaultyFs()


@pytest.fixture
def options(tmp_path: Path) -> JournalOptions:
    return JournalOptions(
        tmp_path / "journal",
        max_bytes=8 * SEGMENT_BYTES,
        segment_bytes=SEGMENT_BYTES,
        group_linger_s=0.001,
        batch_linger_s=0.0,
    )


def record(sequence: int, body: bytes, *, tenant: str = "default") -> Record:
    return Record(sequence, tenant, "traces", "protobuf", gzip=False, received_unix_ns=NOON_NS + sequence, body=body)


def numbered(*bodies: bytes, first: int = 1) -> list[Record]:
    return [replace(record(first + i, body)) for i, body in enumerate(bodies)]
