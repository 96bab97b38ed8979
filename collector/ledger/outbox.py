"""Entries that wait for the ledger's table: one file for each group, durable, until the table has it.

    ledger/<token>.json     [[tenant, minute, signal, state, reason, count, uncounted_requests], …]
    ledger/<token>.bad      a file that cannot be read; nobody reads it again

The name is the token under which the group is booked, so that a group which was booked, but whose file a crash kept, is
not counted twice. Any process may put a group here: the collector that owns the journal books it.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from collector.journal.fs import Fs
from schema.ledger import Entry, State

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

log = logging.getLogger(__name__)

FOLDER: Final = "ledger"
"""Below the directory of a journal."""
TOKEN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,119}")
SUFFIX: Final = ".json"


class Outbox:
    """The folder. Every method may be called from any thread, of one token by one at a time."""

    def __init__(self, journal_directory: Path, fs: Fs | None = None) -> None:
        self.folder = journal_directory / FOLDER
        self._fs = fs or Fs()

    def put(self, token: str, entries: Iterable[Entry]) -> None:
        """Keep a group, or replace the one of that token; durable on return.

        Raises:
            OSError: it is not kept.
            ValueError: the token cannot be the name of a file.

        """
        if not TOKEN.fullmatch(token):
            raise ValueError(f"a token is letters, digits, - and _: {token[:60]!r}")
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fs.sync_directory(self.folder.parent)
        rows = [(e.tenant, e.minute, e.signal, e.state, e.reason, e.count, e.uncounted_requests) for e in entries]
        self._fs.write_file(self.folder / f"{token}{SUFFIX}", orjson.dumps(rows))

    def waiting(self) -> list[str]:
        """Return the tokens of the groups there are, oldest first. Raises OSError."""
        try:
            found = [(p.stat().st_mtime_ns, p.stem) for p in self.folder.iterdir() if p.suffix == SUFFIX]
        except FileNotFoundError:  # the folder, or a file that was booked a moment ago
            return [] if not self.folder.is_dir() else sorted(p.stem for p in self.folder.glob(f"*{SUFFIX}"))
        return [token for _, token in sorted(found)]

    def entries(self, token: str) -> tuple[Entry, ...] | None:
        """Return a group; None when it cannot be read, and then it is set aside. Raises OSError."""
        path = self.folder / f"{token}{SUFFIX}"
        try:
            return tuple(_entry(row) for row in orjson.loads(path.read_bytes()))
        except (ValueError, TypeError) as e:
            log.error("%s is not a group of the ledger (%s); it is kept as .bad and not booked", path, type(e).__name__)  # noqa: TRY400 - its trace says nothing more
            self._fs.replace(path, path.with_suffix(".bad"))
            return None

    def drop(self, token: str) -> None:
        """Forget a group that is booked. Raises OSError."""
        path = self.folder / f"{token}{SUFFIX}"
        if path.exists():
            self._fs.unlink(path)


def _entry(row: list[Any]) -> Entry:
    tenant, minute, signal, state, reason, count, uncounted_requests = row
    if not (isinstance(tenant, str) and isinstance(reason, str) and signal in ("traces", "logs", "feedback")):
        raise ValueError("not an entry")
    return Entry(tenant, int(minute), signal, State(state), reason, int(count), int(uncounted_requests))
