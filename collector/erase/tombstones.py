"""The list of what was erased, so that it does not come back: hashes, never ids.

    erased.jsonl    {"salt": "…"}
                    {"kind": "trace", "tenant": null, "hash": "…", "before_unix_ns": …}

An entry holds for what was received before it. Hashes are HMAC-SHA256 under the salt of the file: who has the file can
test a guess, and read nothing from it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson

from collector.journal.fs import Fs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from schema.erasure import Erasure

FILE: Final = "erased.jsonl"
TRACE, USER, TENANT = "trace", "user", "tenant"
ANY_TENANT: Final = ""


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


def add(data_dir: Path, erasure: Erasure, fs: Fs | None = None) -> None:
    """Put an erasure on the list, durably. Raises OSError."""
    fs = fs or Fs()
    path = data_dir / FILE
    old = path.read_bytes() if path.exists() else b""
    salt = read(data_dir).salt
    lines: list[bytes] = []
    if not salt:
        salt = secrets.token_bytes(16)
        lines.append(orjson.dumps({"salt": salt.hex()}))
    tenant = erasure.tenant or ANY_TENANT
    for kind, key in subjects(erasure):
        whose = ANY_TENANT if kind == TENANT else tenant
        entry = {"kind": kind, "hash": hashed(salt, kind, whose, key).hex(), "before_unix_ns": erasure.at_unix_ns}
        lines.append(orjson.dumps(entry))
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
