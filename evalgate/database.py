"""The database of the reviewing commands. The gate needs none: nothing here is imported by it."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from evalgate.errors import BadInput
from schema.errors import EvalgateError, Retryable
from schema.identity import DEFAULT_TENANT, check_tenant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from exporters.clickhouse.fence import Fence
    from exporters.clickhouse.tenant_filter import TenantFilter

DEFAULT_PATH = Path(".evalgate/data/db")
NO_RIGHT_CODES = frozenset({164, 497})
"""READONLY and ACCESS_DENIED of ClickHouse `src/Common/ErrorCodes.cpp`."""
TENANT = "{tenant:String}"
"""What a statement that reads for a tenant must ask for."""


class Database(Protocol):
    """What the commands ask of a database; `exporters.clickhouse.connect.Database` is one."""

    @property
    def cluster(self) -> str:
        """Return the name of the cluster that the connection speaks for; empty where it is one server."""

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

    def command(self, sql: str, parameters: Mapping[str, object] | None = None) -> None:
        """Run one statement that has no result."""

    def insert_rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows that all have the same keys."""

    def shards(self) -> AbstractContextManager[tuple[Database, ...]]:
        """Open the databases that have the rows, each row in one of them: what is no read and no INSERT goes there."""


@dataclass(frozen=True, slots=True)
class TenantDatabase:
    """A database as one tenant has it: whose rows are read and written is said here, and by nobody else."""

    opened: Database
    tenant: str

    def rows(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        """Return all rows; where the statement asks for the tenant, this one is bound, whatever the parameters say."""
        bound = {**(parameters or {}), **({"tenant": self.tenant} if TENANT in sql else {})}
        return self.opened.rows(self.as_sent(sql), bound)

    def as_sent(self, sql: str) -> str:
        """Return a statement as this database takes it: several servers do not take views of a tenant in a subquery."""
        if not self.opened.cluster:
            return sql
        from exporters.clickhouse.cluster import with_views_written_out  # noqa: PLC0415 - the gate must not need it

        return with_views_written_out(sql)

    def insert_rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows of this tenant that all have the same keys."""
        self.opened.insert_rows(table, [{**row, "tenant": self.tenant} for row in rows])


def sql(package: str, name: str) -> str:
    """Return the text of a .sql file that lies in the folder `sql` of a package."""
    return files(package).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


@contextmanager
def open_database(dsn: str | None, *, writes: bool = False) -> Iterator[Database]:
    """Open the database that `--dsn` names, or the one of this folder; with `writes`, be sure that it may be written.

    The schema is brought up to date where the database is opened by this process; elsewhere that is the collector's.

    Raises:
        BadInput: there is none yet, it may be read only, or the packages that speak to it are not installed.
        EvalgateError: it does not answer, has not got our tables, or another process has it.

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
    logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())  # what it logs, its errors say again
    target = dsn or f"chdb://{Path.cwd() / DEFAULT_PATH}"
    where = parse_dsn(target)
    if isinstance(where, EmbeddedDsn) and not where.path.is_dir():
        raise BadInput(
            f"there is no database at {where.path}. Start the collector here: evalgate up. "
            "Or say where the database is: --dsn, EVALGATE_DSN"
        )
    try:
        opened = connect(target)
    except Retryable as e:
        if isinstance(where, EmbeddedDsn) or getattr(e.__cause__, "code", None) is not None:
            raise  # its own words say what to do
        raise EvalgateError(f"{e}. Is it running? If it is elsewhere: --dsn, EVALGATE_DSN") from None
    with opened as database:
        if database.embedded:
            migrate(database)
        elif missing := migrate(database, dry_run=True):
            raise EvalgateError(_unready(database.url, missing, is_served=isinstance(where, EmbeddedDsn)))
        if writes and not isinstance(where, EmbeddedDsn):
            _require_write(database, database.url)
        yield database


@contextmanager
def open_tenant(dsn: str | None, tenant: str | None, *, writes: bool = False) -> Iterator[TenantDatabase]:
    """Open a database as `open_database` does, for one tenant: the one named, else the only one there is.

    Raises:
        BadInput: that is no name of a tenant, or there are several and none is named.

    """
    with open_database(dsn, writes=writes) as database:
        yield TenantDatabase(database, choose_tenant(database, tenant))


def choose_tenant(database: Database, asked: str | None) -> str:
    """Return the tenant that is asked for, else the only one.

    Raises:
        BadInput: as `open_tenant`.

    """
    if asked:
        try:
            return check_tenant(asked)
        except ValueError as e:
            raise BadInput(f"--tenant: {e}") from None
    known = [str(row["tenant"]) for row in database.rows(sql(__package__, "tenants"))]
    if len(known) > 1:
        some = f"{', '.join(known[:10])}{', …' if len(known) > 10 else ''}"
        raise BadInput(f"there are several tenants: {some}. Say which: --tenant NAME, or EVALGATE_TENANT")
    return known[0] if known else DEFAULT_TENANT


def whose_rows(database: Database, asked: str | None) -> str | None:
    """Return the tenant that a statement of the user is confined to; None where there are no others.

    Raises:
        BadInput: as `open_tenant`.

    """
    if asked or len(database.rows(sql(__package__, "tenants"))) > 1:
        return choose_tenant(database, asked)
    return None


def confine(database: Database, tenant: str) -> TenantFilter:
    """Return what confines a statement of the user to one tenant."""
    from exporters.clickhouse.tenant_filter import tenant_filter  # noqa: PLC0415 - the gate must not need it

    return tenant_filter(database.rows, tenant, is_cluster=bool(database.cluster))


def fence(database: Database, confined: TenantFilter | None = None) -> Fence | None:
    """Return what a statement of the user must pass where the engine is chdb, in whichever process; else None.

    chdb has no users: whatever it can read, `file()` and the like, any statement can. A server has its grants, and row
    policies to keep tenants apart; `confined` is there no more than what was asked for.
    """
    from exporters.clickhouse.fence import Fence  # noqa: PLC0415 - as above

    (engine,) = database.rows(sql(__package__, "engine"))
    if not engine["is_chdb"]:
        return None

    def explain(text: str) -> str:
        return database.raw(f"EXPLAIN AST {text}", form="TSVRaw").decode()

    if confined is None:
        return Fence(engine["name"], explain)
    return Fence(engine["name"], explain, confined.tables, confined.hidden)


def _unready(url: str, missing: Sequence[str], *, is_served: bool) -> str:
    state = f"{url} lacks tables of ours ({', '.join(missing)})"
    if is_served:
        return f"{state}: its process runs an older version. Stop it, and start this one: evalgate up"
    return f"{state}. Start the collector of this version against it once: EVALGATE_DSN=… evalgate up"


def _require_write(database: Database, url: str) -> None:
    """Ask before a person does work that could not be saved."""
    try:
        database.command(sql(__package__, "may_write"))
    except EvalgateError as e:
        if getattr(e.__cause__, "code", None) not in NO_RIGHT_CODES:
            raise
        raise BadInput(
            f"{url} may be read by you, not written. If it is the address of `evalgate up`: run this in the folder of "
            "`evalgate up` without EVALGATE_DSN, or with EVALGATE_DSN=chdb:///THAT/FOLDER/.evalgate/data/db, or with "
            "http://evalgate:TOKEN@… (the token is in THAT/FOLDER/.evalgate/data/db.lock). If it is a ClickHouse "
            "server: give a user who may INSERT, http://user:password@host:port/database"
        ) from None
