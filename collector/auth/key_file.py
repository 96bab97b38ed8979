"""The keys of a collector, in a file of its data directory: no database is needed, and every worker reads the same.

    DATA_DIR/keys.json    {"version": 1, "keys": [{"id", "sha256", "tenant", "scopes", "name", "created_unix_s",
                          "expires_unix_s", "revoked_unix_s"}, ...]}; mode 0600, replaced whole
    DATA_DIR/keys.lock    flock(LOCK_EX) while it is changed

What root makes here gets the owner of the folder: a collector that runs as a user of its own must read it.

A revoked key stays in the list: who looks sees when it was revoked, and its id is not used again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from collector.auth.key import Key
from schema.errors import ConfigError
from schema.identity import MAX_TENANTS, Scope, check_tenant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NAME: Final = "keys.json"
VERSION: Final = 1
MAX_FILE_BYTES: Final = 64 << 20
MAX_NAME_CHARS: Final = 200

Stamp = tuple[int, int, int]
"""Inode, size and time of change: another one, another content."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The file; every method reads or writes it anew."""

    path: Path

    def stamp(self) -> Stamp | None:
        """Return what tells one version of the file from another, None where there is no file."""
        try:
            found = os.stat(self.path)  # noqa: PTH116 - asked once a second on the path of requests
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def read(self) -> dict[str, Key]:
        """Return all keys by id, also those that are revoked or expired; none where there is no file.

        Raises:
            ConfigError: it cannot be read, or is not such a file. Nothing of it is used then.

        """
        try:
            with self.path.open("rb") as f:
                if _is_open(os.fstat(f.fileno())):
                    raise ConfigError(
                        f"the key file {self.path} can be read by other users of this machine: chmod 600 {self.path}"
                    )
                content = f.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return {}
        except OSError as e:
            raise ConfigError(f"the key file {self.path} cannot be read: {e.strerror}") from None
        try:
            document = json.loads(content)
            if document["version"] != VERSION:
                raise ConfigError(
                    f"the key file {self.path} has version {document['version']!r}, this program knows {VERSION}"
                )
            keys = [_key(entry) for entry in document["keys"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            # The parser's own words would quote the file.
            raise ConfigError(
                f"the key file {self.path} is damaged: restore it from a backup, or remove it and make new keys"
            ) from None
        return {key.key_id: key for key in keys}

    def add(self, key: Key) -> None:
        """Keep a new key.

        Raises:
            ConfigError: there are too many tenants, or the file cannot be read or written.

        """
        with self._changing() as keys:
            tenants = {k.tenant for k in keys.values()} | {key.tenant}
            if len(tenants) > MAX_TENANTS:
                raise ConfigError(f"there are keys of {MAX_TENANTS} tenants, the most one collector has")
            if key.key_id in keys:  # 62 bits of chance
                raise ConfigError("this id is taken: try again")
            keys[key.key_id] = key

    def revoke(self, key_id: str, *, now_unix_s: int) -> Key:
        """Revoke a key for good and return it; one that is revoked stays as it is.

        Raises:
            ConfigError: there is no such key, or the file cannot be read or written.

        """
        with self._changing() as keys:
            key = keys.get(key_id)
            if key is None:
                raise ConfigError(f"there is no key {key_id[:40]!r}. List them: evalgate-collector keys list")
            if key.revoked_unix_s is None:
                keys[key_id] = key = replace(key, revoked_unix_s=now_unix_s)
        return key

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Key]]:
        """Lend the keys to be changed; they are written when the block ends well."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # as the journal, which comes after
            fd = self._lock()
        except OSError as e:
            raise ConfigError(f"the key file {self.path} cannot be changed: {e.strerror}") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            keys = self.read()
            before = dict(keys)
            yield keys
            if keys != before:
                self._write(keys)
        finally:
            os.close(fd)

    def _lock(self) -> int:
        """Open the file to lock. One that is there stays its owner's: it may be a link that somebody laid."""
        path = self.path.with_suffix(".lock")
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._hand_over(fd)
        return fd

    def _hand_over(self, fd: int) -> None:
        """Give a file that was made just now to the owner of the folder, where root made it."""
        if os.geteuid() == 0:
            folder = self.path.parent.stat()
            os.fchown(fd, folder.st_uid, folder.st_gid)

    def _write(self, keys: Mapping[str, Key]) -> None:
        """Replace the file: after a crash it is the old one or the new one."""
        document = {"version": VERSION, "keys": [_entry(k) for k in keys.values()]}
        try:
            fd, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=".keys-")  # mode 0600
            try:
                with os.fdopen(fd, "wb") as f:
                    self._hand_over(fd)
                    f.write(json.dumps(document, indent=1).encode("utf-8"))
                    f.flush()
                    os.fsync(f.fileno())
                os.replace(temporary, self.path)  # noqa: PTH105 - mkstemp gives a text
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)  # noqa: PTH108 - as above
                raise
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as e:
            raise ConfigError(f"the key file {self.path} cannot be written: {e.strerror}") from None


def _is_open(file: os.stat_result) -> bool:
    """Tell whether others than its reader can read a file, or change it.

    One that is somebody else's may be read by a group, as otherwise it could not be read here at all: so Kubernetes
    shows Secrets (root, with the group of the pod) and systemd credentials (root, with an access list, whose mask is
    shown in place of the group).
    """
    allowed = 0o700 if file.st_uid == os.geteuid() else 0o740
    return bool(file.st_mode & 0o777 & ~allowed)


def _entry(key: Key) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "sha256": key.sha256,
        "tenant": key.tenant,
        "scopes": sorted(key.scopes),
        "name": key.name,
        "created_unix_s": key.created_unix_s,
        "expires_unix_s": key.expires_unix_s,
        "revoked_unix_s": key.revoked_unix_s,
    }


def _key(entry: Mapping[str, Any]) -> Key:
    sha256 = entry["sha256"]
    if not isinstance(sha256, str) or len(bytes.fromhex(sha256)) != 32:
        raise ValueError("sha256")
    return Key(
        key_id=str(entry["id"]),
        sha256=sha256.lower(),
        tenant=check_tenant(entry["tenant"]),
        scopes=frozenset(Scope(s) for s in entry["scopes"]),
        name=str(entry["name"])[:MAX_NAME_CHARS],
        created_unix_s=int(entry["created_unix_s"]),
        expires_unix_s=_moment(entry["expires_unix_s"]),
        revoked_unix_s=_moment(entry["revoked_unix_s"]),
    )


def _moment(value: object) -> int | None:
    if value is not None and not isinstance(value, int):
        raise ValueError("time")
    return value
