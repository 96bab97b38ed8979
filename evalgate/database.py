"""The database of the reviewing commands. The gate needs none: nothing here is imported by it."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from evalgate.errors import BadInput
from schema.errors import EvalgateError, Permanent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DEFAULT_PATH = Path(".evalgate/data/db")
TENANT = "default"
"""The one tenant of a single-tenant instance."""


class Database(Protocol):
    """What the commands ask of a database; `exporters.clickhouse.connect.Database` is one."""

    def rows(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        """Return all rows; `{name:Type}` is bound by the server."""

    def raw(
        self,
        sql: str | bytes,
        *,
        parameters: Mapping[str, object] | None = None,
        settings: Mapping[str, Any] | None = None,
        form: str | None = None,
    ) -> bytes:
        """Return the answer in one of ClickHouse's formats."""

    def insert_rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows that all have the same keys."""


def sql(package: str, name: str) -> str:
    """Return the text of a .sql file that lies in the folder `sql` of a package."""
    return files(package).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


@contextmanager
def open_database(dsn: str | None) -> Iterator[Database]:
    """Open the database that `--dsn` names, or the one of this folder.

    Raises:
        BadInput: there is none yet, or the packages that speak to it are not installed.
        EvalgateError: it does not answer, or another process has it.

    """
    try:
        from exporters.clickhouse.connect import connect  # noqa: PLC0415 - the gate must not need it
        from exporters.clickhouse.dsn import EmbeddedDsn, parse_dsn  # noqa: PLC0415
        from exporters.clickhouse.migrate import migrate  # noqa: PLC0415
    except ModuleNotFoundError as e:
        raise BadInput(
            f"this command needs a database, and {e.name} is not installed: pip install 'otel-evalgate[embedded]', "
            "or 'otel-evalgate[collector]' for a ClickHouse server"
        ) from None
    target = dsn or f"chdb://{Path.cwd() / DEFAULT_PATH}"
    where = parse_dsn(target)
    if isinstance(where, EmbeddedDsn) and not where.path.is_dir():
        raise BadInput(
            f"there is no database at {where.path}. Start the collector here: evalgate up. "
            "Or say where the database is: --dsn, EVALGATE_DSN"
        )
    with connect(target) as database:
        if database.embedded:
            migrate(database)
        try:
            yield database
        except Permanent as e:
            if "UNKNOWN_TABLE" not in str(e):
                raise
            raise EvalgateError(f"{database.url} lacks our tables; start the collector against it once: {e}") from None
