"""Raw statements to the embedded engine: bytes in, bytes of a ClickHouse format out.

What serves ClickHouse's HTTP interface needs the engine's own bytes, not rows: so this speaks to chdb itself. Each
handle has its own session (`USE`, `SET`); calls on one handle must not overlap, so handles are lent one at a time.
"""

from __future__ import annotations

import queue
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exporters.clickhouse.dsn import IDENTIFIER
from exporters.clickhouse.faults import InsertFault
from exporters.clickhouse.lock import DatabaseLock
from exporters.clickhouse.stream import push
from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from exporters.clickhouse.dsn import EmbeddedDsn

CODE = re.compile(r"(?:Code: (\d+)\. DB::Exception: )+")
INSERT_HEAD = re.compile(
    rb"\s*(INSERT\s+INTO\s+(?:TABLE\s+)?(?!FUNCTION\b)[^\s(]+\s*(?:\([^()]*\)\s*)?(?:SETTINGS\s[^;]*?)?)"
    rb"\b(?:FORMAT\s+(\w+)[ \t]*;?(?:\r?\n|\Z)|VALUES\b)",
    re.IGNORECASE | re.DOTALL,
)
"""The part of an INSERT before its data, and the format of the data."""


class EngineError(Exception):
    """ClickHouse refused a statement; `code` is its number."""

    def __init__(self, text: str) -> None:
        text = text[max(text.find("Code: "), 0) :].strip()
        match = CODE.match(text)
        self.code = int(match[1]) if match else 1002
        super().__init__(f"Code: {self.code}. DB::Exception: {text[match.end() :]}" if match else text)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave."""

    body: bytes = field(repr=False)
    rows_read: int
    bytes_read: int
    rows_written: int
    bytes_written: int
    elapsed_s: float


class Engine:
    """A few handles on one embedded database. Thread-safe; calls wait for a free handle."""

    def __init__(self, dsn: EmbeddedDsn, *, handles: int, settings: Mapping[str, Any]) -> None:
        """Open the handles.

        Raises:
            DatabaseOwned: another process owns the database.
            ConfigError: chdb is not installed.

        """
        try:
            import chdb  # noqa: PLC0415 - half a second, and an extra
        except ImportError:
            raise ConfigError("the embedded database is not installed: pip install 'otel-evalgate[embedded]'") from None
        self.database = dsn.database
        self.lock = DatabaseLock.acquire(dsn.path)
        self._settings = {k: str(v) for k, v in settings.items()}
        self._open = 0
        self._free: queue.LifoQueue[Any] = queue.LifoQueue()
        try:
            dsn.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for _ in range(handles):
                handle = chdb.connect(str(dsn.path))  # type: ignore[no-untyped-call]  # chdb has no types
                self._free.put(handle)
                self._open += 1
                _run(handle, f"CREATE DATABASE IF NOT EXISTS `{dsn.database}`")
                self._reset(handle, ())
        except BaseException:
            self.close()
            raise

    def execute(
        self,
        statement: str | bytes,
        form: str,
        *,
        parameters: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        database: str | None = None,
    ) -> Answer:
        """Run one statement; `form` is the format of the answer where the statement names none.

        Settings and database hold for this call alone. Bytes are an INSERT, whose data may follow it in any format.

        Raises:
            EngineError: ClickHouse refused.

        """
        with self._handle() as handle:
            try:
                if database and database != self.database:
                    _run(handle, f"USE {_name(database)}")
                if settings:
                    _run(handle, "SET " + ", ".join(f"{_name(k)} = {_literal(v)}" for k, v in settings.items()))
                if isinstance(statement, bytes) and (head := INSERT_HEAD.match(statement)) and not parameters:
                    return _insert(handle, head, statement)
                result = _run(handle, statement, form, parameters)
                return Answer(
                    bytes(result.bytes() or b""),
                    result.rows_read(),
                    result.bytes_read(),
                    result.rows_written(),
                    result.bytes_written(),
                    result.elapsed(),
                )
            finally:
                self._reset(handle, settings or ())

    def close(self) -> None:
        """Wait for running statements, then let the database go. Safe to call twice."""
        while self._open:
            self._free.get().close()
            self._open -= 1
        self.lock.release()

    @contextmanager
    def _handle(self) -> Iterator[Any]:
        handle = self._free.get()
        try:
            yield handle
        finally:
            self._free.put(handle)

    def _reset(self, handle: Any, names: Iterable[str]) -> None:
        """Bring a session back to what every call starts from."""
        foreign = [n for n in names if n not in self._settings]
        pairs = [f"{_name(n)} = DEFAULT" for n in foreign if IDENTIFIER.fullmatch(n)]
        pairs += [f"{k} = {_literal(v)}" for k, v in self._settings.items()]
        _run(handle, f"USE `{self.database}`")
        for pair in pairs:
            try:
                _run(handle, f"SET {pair}")
            except EngineError:
                if not pair.endswith("DEFAULT"):  # a name that ClickHouse never knew needs no reset
                    raise


def _run(handle: Any, statement: str | bytes, form: str = "TabSeparated", parameters: Any = None) -> Any:
    from chdb import ChdbError  # noqa: PLC0415 - imported by whoever made the handle

    try:
        return handle.query(statement, form, params=dict(parameters or {}))
    except (ChdbError, RuntimeError) as e:
        raise EngineError(str(e)) from None


def _insert(handle: Any, head: re.Match[bytes], statement: bytes) -> Answer:
    """Push the data of an INSERT to the engine as a stream.

    Data that follow a statement as text are cut at the first empty line without an error (chdb 4.4): rows would be
    lost in silence, and columns of bytes hold such lines.
    """
    form = (head[2] or b"Values").decode("ascii")
    try:
        done = push(handle, head[1].decode("utf-8"), form, (statement[head.end() :],))
    except (InsertFault, UnicodeDecodeError) as e:
        raise EngineError(str(e)) from None
    return Answer(b"", 0, 0, done.rows_written, done.bytes_written, done.elapsed)


def _name(name: str) -> str:
    if not IDENTIFIER.fullmatch(name):
        raise EngineError(f"Code: 115. DB::Exception: {name[:80]!r} is not a name. (UNKNOWN_SETTING)")
    return name


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
