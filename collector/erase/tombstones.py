"""The list of what was erased, so that it does not come back: hashes, never ids.

    erased.jsonl    {"salt": "…"}
                    {"kind": "trace", "tenant": null, "hash": "…", "before_unix_ns": …}

An entry holds for what was received before it. Hashes are HMAC-SHA256 under the salt of the file: who has the file can
test a guess, and read nothing from it. A lane that finds a trace of an erased user adds it: what comes of that trace in
other requests goes, too.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import orjson

from collector.erase import remembered
from collector.journal.fs import Fs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from schema.erasure import Erasure

FILE: Final = "erased.jsonl"
TRACE, USER, TENANT = "trace", "user", "tenant"
CONTEXT: Final = "context"
"""Only remembered: it is a key of the database's."""
ANY_TENANT: Final = ""
LOCK: Final = "erased.lock"
Entry = tuple[str, bytes, int]
"""Kind, hash, and before when."""


@dataclass(frozen=True, slots=True)
class Naming:
    """A trace in which a span names a user."""

    tenant: str
    trace_id: str
    user: str


@dataclass(frozen=True, slots=True)
class Tombstones:
    """A list as it was read."""

    salt: bytes = b""
    before_unix_ns: dict[bytes, int] = field(default_factory=dict)
    """By hash: what was received before is erased."""
    latest_unix_ns: int = 0
    """Nothing received later is."""
    has_users: bool = False

    def covers(self, kind: str, tenant: str, key: str, received_unix_ns: int) -> bool:
        """Tell whether something that was received then is erased."""
        return any(
            received_unix_ns < self.before_unix_ns.get(hashed(self.salt, kind, whose, key), 0)
            for whose in (tenant, ANY_TENANT)
        )


def hashed(salt: bytes, kind: str, tenant: str, key: str) -> bytes:
    """Return what stands for an id in the list."""
    return hmac.digest(salt, f"{kind}\x00{tenant}\x00{key}".encode("utf-8", "surrogatepass"), hashlib.sha256)


def read(data_dir: Path) -> Tombstones:
    """Read the list; an empty one where there is none, or no line that makes sense. Raises OSError."""
    try:
        lines = (data_dir / FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return Tombstones()
    salt, has_users = b"", False
    before: dict[bytes, int] = {}
    for line in lines:
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue  # torn by a crash: whoever wrote it was not told that it is done
        if "salt" in entry:
            salt = bytes.fromhex(entry["salt"])
            continue
        key = bytes.fromhex(entry["hash"])
        before[key] = max(before.get(key, 0), entry["before_unix_ns"])
        has_users |= entry["kind"] == USER
    return Tombstones(salt, before, max(before.values(), default=0), has_users)


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Keep other processes, and other lanes of this one, from writing the list meanwhile. Raises OSError."""
    fd = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def add(data_dir: Path, erasure: Erasure, fs: Fs | None = None) -> None:
    """Put an erasure on the list, durably; of a user, remember the traces (see remembered.py). Raises OSError."""
    tenant = erasure.tenant or ANY_TENANT
    with locked(data_dir):
        salt = read(data_dir).salt or secrets.token_bytes(16)
        if erasure.user_id is not None:
            of = hashed(salt, USER, tenant, erasure.user_id)
            remembered.remember(
                data_dir, of, [*((TRACE, t) for t in erasure.trace_ids), *((CONTEXT, c) for c in erasure.contexts)]
            )
        entries = [
            (kind, hashed(salt, kind, ANY_TENANT if kind == TENANT else tenant, key), erasure.at_unix_ns)
            for kind, key in subjects(erasure)
        ]
        _append(data_dir, salt, entries, fs or Fs())


def learn(data_dir: Path, found: Iterable[Naming]) -> None:
    """Put traces of erased users on the list, durably, each remembered before. Raises OSError."""
    with locked(data_dir):
        known = read(data_dir)
        entries: list[Entry] = []
        for naming in found:
            for whose in (naming.tenant, ANY_TENANT):
                of = hashed(known.salt, USER, whose, naming.user)
                if before_unix_ns := known.before_unix_ns.get(of):
                    remembered.remember(data_dir, of, [(TRACE, naming.trace_id)])
                    entries.append((TRACE, hashed(known.salt, TRACE, naming.tenant, naming.trace_id), before_unix_ns))
        _append(data_dir, known.salt, entries, Fs())


def recall(data_dir: Path, erasure: Erasure) -> Erasure:
    """Return an erasure with what was found of its user and is perhaps not erased yet. Raises OSError."""
    salt = read(data_dir).salt
    if erasure.user_id is None or not salt:
        return erasure
    of = hashed(salt, USER, erasure.tenant or ANY_TENANT, erasure.user_id)
    found = sorted(remembered.recall(data_dir, of))
    traces, contexts = ({key for kind, key in found if kind == wanted} for wanted in (TRACE, CONTEXT))
    return replace(
        erasure,
        trace_ids=tuple(sorted({*erasure.trace_ids, *traces})),
        contexts=tuple(sorted({*erasure.contexts, *contexts})),
    )


def finish(data_dir: Path, erasure: Erasure) -> None:
    """Forget what `recall` returns. Raises OSError."""
    if erasure.user_id is None or not (data_dir / FILE).exists():
        return
    with locked(data_dir):
        of = hashed(read(data_dir).salt, USER, erasure.tenant or ANY_TENANT, erasure.user_id)
        remembered.drop(data_dir, of)


def _append(data_dir: Path, salt: bytes, entries: Iterable[Entry], fs: Fs) -> None:
    path = data_dir / FILE
    known = read(data_dir)
    lines = [] if known.salt else [orjson.dumps({"salt": salt.hex()})]
    for kind, key, before_unix_ns in entries:
        if known.before_unix_ns.get(key, 0) < before_unix_ns:
            lines.append(orjson.dumps({"kind": kind, "hash": key.hex(), "before_unix_ns": before_unix_ns}))
    if not lines:
        return
    old = path.read_bytes() if path.exists() else b""
    if old and not old.endswith(b"\n"):
        old += b"\n"
    fs.write_file(path, old + b"\n".join(lines) + b"\n")


def subjects(erasure: Erasure) -> Iterable[tuple[str, str]]:
    """Yield what an erasure puts on the list: kinds and ids."""
    if erasure.is_whole_tenant and erasure.tenant is not None:
        yield TENANT, erasure.tenant
    yield from ((TRACE, trace_id) for trace_id in erasure.trace_ids)
    if erasure.user_id is not None:
        yield USER, erasure.user_id


class Watched:
    """The list of a data folder, read again when it was changed."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._seen: tuple[int, int, int] | None = None
        self._list = Tombstones()

    def now(self) -> Tombstones:
        """Return the list as it is. Raises OSError."""
        try:
            state = (self._data_dir / FILE).stat()
        except FileNotFoundError:
            self._seen, self._list = None, Tombstones()
            return self._list
        seen = (state.st_ino, state.st_size, state.st_mtime_ns)
        if seen != self._seen:
            self._list = read(self._data_dir)
            self._seen = seen
        return self._list
