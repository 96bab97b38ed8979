"""INSERTs into the embedded engine: the body is pushed in pieces, and never lies in a file.

A handle of its own, as chdb takes nothing else on a handle while an INSERT is open.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from exporters.clickhouse.stream import push

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exporters.clickhouse.dsn import EmbeddedDsn


class EmbeddedInserts:
    """The way into the embedded database of this process. Thread-safe: one INSERT at a time."""

    def __init__(self, target: EmbeddedDsn) -> None:
        """Open nothing yet: the first INSERT does. The caller owns the database's lock until `close`."""
        self._target = target
        self._mutex = threading.Lock()
        self._handle: Any = None

    def insert(self, statement: str, settings: Mapping[str, object], body: Iterable[memoryview]) -> None:
        """Insert a block; when this raises, nothing of it is stored.

        Raises:
            InsertFault: the engine refused.

        """
        pairs = ", ".join(f"{name} = {_literal(value)}" for name, value in settings.items())
        statement += f" SETTINGS {pairs}" if pairs else ""
        with self._mutex:
            push(self._open(), statement, "Native", body)

    def ping(self) -> None:
        """Return at once: it is this process."""

    def close(self) -> None:
        """Give the handle back, when the INSERT that is under way is done. Safe to call twice."""
        with self._mutex:
            handle, self._handle = self._handle, None
            if handle is not None:
                handle.close()

    def _open(self) -> Any:
        if self._handle is None:
            import chdb  # noqa: PLC0415 - half a second, and an extra

            handle = chdb.connect(str(self._target.path))  # type: ignore[no-untyped-call]  # chdb has no types
            handle.query(f"USE `{self._target.database}`")
            self._handle = handle
        return self._handle


def _literal(value: object) -> str:
    return str(value) if isinstance(value, int) else "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"
