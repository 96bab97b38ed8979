"""Who owns an embedded database: one process, known by a lock file beside its folder.

    <folder>.lock    flock(LOCK_EX) while the database is open; mode 0600
    content          one JSON object, padded with blanks to 4096 bytes so that it changes in one write:
                     {"pid": 4711, "token": "…", "url": "http://127.0.0.1:8123" | null}

The kernel holds the truth: a free lock means no owner, whatever the content says. The token lets other processes of
the same user in through the owner's HTTP interface.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from schema.errors import DatabaseOwned

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECORD_BYTES = 4096
CONTENT_TIMEOUT_S = 1.0
"""How long to wait for an owner that has the lock but has not written who it is."""


@dataclass(frozen=True, slots=True)
class Owner:
    """What the lock file says."""

    pid: int
    token: str = field(repr=False)
    url: str | None


@dataclass(slots=True)
class _Held:
    """The one descriptor by which this process owns a database, and how many share it."""

    fd: int
    pid: int
    owner: Owner
    shares: int = 1


class _Registry:
    """The locks of this process.

    An flock belongs to the process, and chdb opens one engine per process: so this is state of the process, and its
    one instance lives in the module.
    """

    def __init__(self) -> None:
        self.mutex = threading.Lock()
        self.held: dict[Path, _Held] = {}

    def of_this_process(self, path: Path) -> _Held | None:
        """Return what is held here; what was inherited by a fork belongs to the parent."""
        held = self.held.get(path)
        return held if held is not None and held.pid == os.getpid() else None


_REGISTRY = _Registry()


def lock_path(database: Path) -> Path:
    """Return the lock file of a database folder."""
    return database.with_name(database.name + ".lock")


class DatabaseLock:
    """A share of this process's ownership of one embedded database; `release` it once done."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._released = False

    @classmethod
    def acquire(cls, database: Path, *, sleep: Callable[[float], None] = time.sleep) -> DatabaseLock:
        """Own the database, or share the ownership that this process already has.

        Raises:
            DatabaseOwned: another process owns it; carries its pid and URL.

        """
        path = lock_path(database)
        with _REGISTRY.mutex:
            if held := _REGISTRY.of_this_process(path):
                held.shares += 1
            else:
                _REGISTRY.held[path] = _take(path, database, sleep)
        return cls(path)

    @property
    def owner(self) -> Owner:
        """Return what this process wrote into the file."""
        with _REGISTRY.mutex:
            return _REGISTRY.held[self._path].owner

    def publish(self, url: str | None) -> None:
        """Tell other processes where this one answers."""
        with _REGISTRY.mutex:
            held = _REGISTRY.held[self._path]
            held.owner = replace(held.owner, url=url)
            _write(held.fd, held.owner)

    def release(self) -> None:
        """Give up this share; the last one frees the database. Safe to call twice."""
        with _REGISTRY.mutex:
            held = _REGISTRY.of_this_process(self._path)
            if self._released or held is None:
                return
            self._released = True
            held.shares -= 1
            if held.shares == 0:
                del _REGISTRY.held[self._path]
                os.ftruncate(held.fd, 0)
                os.close(held.fd)


def read_owner(database: Path) -> Owner | None:
    """Return who owns a database now, or None when nobody does."""
    path = lock_path(database)
    with _REGISTRY.mutex:
        if held := _REGISTRY.of_this_process(path):
            return held.owner
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(fd)
    else:
        return None
    finally:
        os.close(fd)


def _take(path: Path, database: Path, sleep: Callable[[float], None]) -> _Held:
    """Lock the file and say who we are; a short hold by a process that only looks is waited out."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(fd, database, sleep)
        os.fchmod(fd, 0o600)
        owner = Owner(os.getpid(), secrets.token_urlsafe(32), None)
        _write(fd, owner)
    except BaseException:
        os.close(fd)
        raise
    return _Held(fd, owner.pid, owner)


def _lock(fd: int, database: Path, sleep: Callable[[float], None]) -> None:
    deadline = time.monotonic() + CONTENT_TIMEOUT_S
    while not _try_lock(fd):
        other = _read(fd)
        if other is not None and _alive(other.pid):
            raise DatabaseOwned(database, other.pid, other.url)
        if time.monotonic() > deadline:
            raise DatabaseOwned(database, other.pid if other else 0, None)
        sleep(0.01)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read(fd: int) -> Owner | None:
    try:
        content: Any = json.loads(os.pread(fd, RECORD_BYTES, 0))
        return Owner(int(content["pid"]), str(content["token"]), content["url"])
    except (ValueError, KeyError, TypeError):
        return None


def _write(fd: int, owner: Owner) -> None:
    content = {"pid": owner.pid, "token": owner.token, "url": owner.url}
    os.pwrite(fd, json.dumps(content).encode().ljust(RECORD_BYTES), 0)
