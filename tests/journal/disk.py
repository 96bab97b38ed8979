"""A disk that forgets: what a power cut leaves of everything that was written and not synced.

`SimFs` is the real file system with a model of the medium beside it. The model knows of every file what was synced and
which 512-byte sectors were written since, and of every directory which names were synced. `Disk.image` is what a power
cut leaves now:

    without a seed   nothing that was not synced
    with one         a random subset of the sectors that were not synced, each alone; each name as it was at any moment
                     since its directory was synced

That is harsher than any file system that journals its names: there, names change in order, and a rename is one step.
`trace` keeps what happened, so that the same run can be cut at each of its system calls.
"""

from __future__ import annotations

import errno
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from collector.journal.fs import Fs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from random import Random

    from collector.journal.layout import Buffer

SECTOR_BYTES = 512
DIRECTORY = -1
Image: TypeAlias = "dict[Path, bytes | None]"
"""By path: content, or None of a directory."""


class Event(NamedTuple):
    """One thing that was done to the disk, or (`mark`) that the world came to know."""

    do: Literal["create", "write", "truncate", "sync", "name", "unname", "directory", "sync_directory", "mark"]
    file: int = 0
    offset: int = 0
    data: bytes = b""
    path: Path | None = None
    mark: object = None


@dataclass(slots=True)
class _File:
    synced: bytes = b""
    data: bytearray = field(default_factory=bytearray)
    dirty: set[int] = field(default_factory=set)


class Disk:
    """The medium, and what stands before it."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._names: dict[Path, int] = {}
        self._durable: dict[Path, int] = {}
        self._since: dict[Path, list[int | None]] = {}
        """What each name meant since its directory was synced, the last last."""

    def apply(self, event: Event) -> None:
        """Do one thing."""
        match event.do:
            case "create":
                self._files[event.file] = _File(data=bytearray(event.offset))
            case "write":
                file, end = self._files[event.file], event.offset + len(event.data)
                if end > len(file.data):
                    file.data.extend(bytes(end - len(file.data)))
                file.data[event.offset : end] = event.data
                file.dirty.update(range(event.offset // SECTOR_BYTES, -(-end // SECTOR_BYTES)))
            case "truncate":
                file = self._files[event.file]
                del file.data[event.offset :]
                file.data.extend(bytes(event.offset - len(file.data)))
            case "sync":
                file = self._files[event.file]
                file.synced = bytes(file.data)
                file.dirty.clear()
            case "name" | "directory":
                self._set(event.path, DIRECTORY if event.do == "directory" else event.file)
            case "unname":
                self._set(event.path, None)
            case "sync_directory":
                for path in [p for p in {*self._durable, *self._names, *self._since} if p.parent == event.path]:
                    self._since.pop(path, None)
                    if path in self._names:
                        self._durable[path] = self._names[path]
                    else:
                        self._durable.pop(path, None)
            case "mark":
                pass

    def image(self, random: Random | None = None) -> Image:
        """Return what a power cut leaves now."""
        names: dict[Path, int] = {}
        for path in {*self._durable, *self._since}:
            states = [self._durable.get(path), *self._since.get(path, [])]
            found = states[0] if random is None else random.choice(states)
            if found is not None:
                names[path] = found
        return {
            path: None if file == DIRECTORY else self._content(self._files[file], random)
            for path, file in sorted(names.items())
            if all(p in names or p not in self._known for p in path.parents)
        }

    def written(self) -> Image:
        """Return what there is for the processes after this one, as long as the power stays."""
        return {
            path: None if file == DIRECTORY else bytes(self._files[file].data)
            for path, file in sorted(self._names.items())
        }

    @property
    def _known(self) -> set[Path]:
        return {*self._durable, *self._since}

    def _set(self, path: Path | None, file: int | None) -> None:
        assert path is not None
        if file is None:
            self._names.pop(path, None)
        else:
            self._names[path] = file
        self._since.setdefault(path, []).append(file)

    @staticmethod
    def _content(file: _File, random: Random | None) -> bytes:
        if random is None:
            return file.synced
        size = random.choice((len(file.synced), len(file.data)))
        content = bytearray(file.synced[:size].ljust(size, b"\0"))
        for sector in file.dirty:
            at = sector * SECTOR_BYTES
            if at < size and random.random() < 0.5:
                end = min(at + SECTOR_BYTES, size)
                content[at:end] = file.data[at:end].ljust(end - at, b"\0")
        return bytes(content)


class SimFs(Fs):
    """The real file system without its syncs, and a model of the disk. `failing` makes an operation raise an errno."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.trace: list[Event] = []
        self.failing: dict[str, int] = {}
        self._lock = threading.RLock()
        self._by_fd: dict[int, int] = {}
        self._by_path: dict[Path, int] = {}
        self._count = 0

    def mark(self, mark: object) -> None:
        """Note what the world has come to know."""
        self._note(Event("mark", mark=mark))

    def _note(self, event: Event) -> None:
        self.trace.append(event)
        self.disk.apply(event)

    def _maybe_fail(self, operation: str) -> None:
        if code := self.failing.get(operation):
            raise OSError(code, errno.errorcode[code])

    def _new(self, fd: int, path: Path, size_bytes: int) -> None:
        self._count += 1
        self._by_fd[fd] = self._by_path[path] = self._count
        self._note(Event("create", self._count, size_bytes))
        self._note(Event("name", self._count, path=path))

    def create(self, path: Path, size_bytes: int) -> int:
        self._maybe_fail("create")
        with self._lock:
            fd = super().create(path, size_bytes)
            self._new(fd, path, size_bytes)
            return fd

    def open(self, path: Path, *, writable: bool = False) -> int:
        with self._lock:
            fd = super().open(path, writable=writable)
            if path in self._by_path:
                self._by_fd[fd] = self._by_path[path]
            return fd

    def open_new(self, path: Path) -> int:
        with self._lock:
            existed = path in self._by_path
            fd = super().open_new(path)
            if existed:
                self._by_fd[fd] = self._by_path[path]
                self._note(Event("truncate", self._by_path[path], 0))
            else:
                self._new(fd, path, 0)
            return fd

    def close(self, fd: int) -> None:
        with self._lock:
            self._by_fd.pop(fd, None)
            super().close(fd)

    def write(self, fd: int, pieces: Sequence[Buffer], offset: int) -> None:
        data = b"".join(pieces)
        with self._lock:
            failed = "write" in self.failing
            if failed:
                data = data[: len(data) // 2]  # a short write comes before the error of a full disk
            super().write(fd, (data,), offset)
            self._note(Event("write", self._by_fd[fd], offset, data))
            if failed:
                self._maybe_fail("write")

    def sync(self, fd: int) -> None:
        self._maybe_fail("sync")
        with self._lock:
            self._note(Event("sync", self._by_fd[fd]))

    def sync_directory(self, path: Path) -> None:
        self._maybe_fail("sync_directory")
        with self._lock:
            self._note(Event("sync_directory", path=path))

    def make_directory(self, path: Path) -> None:
        if path.is_dir():
            return
        self.make_directory(path.parent)
        with self._lock:
            path.mkdir(mode=0o700, exist_ok=True)
            self._note(Event("directory", path=path))
        self.sync_directory(path.parent)

    def truncate(self, fd: int, size_bytes: int) -> None:
        with self._lock:
            super().truncate(fd, size_bytes)
            self._note(Event("truncate", self._by_fd[fd], size_bytes))

    def replace(self, source: Path, target: Path) -> None:
        self._maybe_fail("replace")
        with self._lock:
            super().replace(source, target)
            file = self._by_path[target] = self._by_path.pop(source)
            self._note(Event("name", file, path=target))
            self._note(Event("unname", path=source))

    def unlink(self, path: Path) -> None:
        self._maybe_fail("unlink")
        with self._lock:
            super().unlink(path)
            self._by_path.pop(path, None)
            self._note(Event("unname", path=path))

    def write_file(self, path: Path, data: bytes) -> None:
        self._maybe_fail("write_file")
        super().write_file(path, data)

    def cut_power(self, directory: Path, random: Random | None = None) -> None:
        """Leave on the disk what a power cut leaves; no descriptor may be open."""
        image = self.disk.image(random)
        for path in sorted(directory.rglob("*"), reverse=True):
            if path.is_dir():
                path.rmdir()
            elif path.name != "lock" or path.parent != directory:
                path.unlink()
        put(image)
        self.disk = Disk()
        self._by_fd.clear()
        self._by_path.clear()
        for path, data in image.items():
            self.adopt(path, data)

    def adopt(self, path: Path, data: bytes | None) -> None:
        """Take a file or directory that is on the medium into the model."""
        if data is None:
            self._note(Event("directory", path=path))
        else:
            self._count += 1
            self._by_path[path] = self._count
            self._note(Event("create", self._count, 0))
            self._note(Event("write", self._count, 0, data))
            self._note(Event("sync", self._count))
            self._note(Event("name", self._count, path=path))
        self._note(Event("sync_directory", path=path.parent))


def put(image: Image, source: Path | None = None, target: Path | None = None) -> None:
    """Write an image to the real disk, from below one folder to below another."""
    for path, data in image.items():
        to = path if source is None or target is None else target / path.relative_to(source)
        if data is None:
            to.mkdir(exist_ok=True, parents=True)
        else:
            to.parent.mkdir(exist_ok=True, parents=True)
            to.write_bytes(data)


class UnsyncedFs(Fs):
    """The real file system, in a hurry: for looking at what a power cut left."""

    def sync(self, fd: int) -> None:
        """Do nothing."""

    def sync_directory(self, path: Path) -> None:
        """Do nothing."""
