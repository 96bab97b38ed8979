"""The database behind one small class, embedded or served: `connect(dsn) -> Database`.

Everything goes through clickhouse-connect, so the same SQL and the same Python run on chdb in this process, on
another process's embedded database (its HTTP interface, found through the lock file) and on a ClickHouse server.
"""

from __future__ import annotations

import os
import re
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import urlsplit

import clickhouse_connect
import urllib3

from exporters.clickhouse.cluster import SETTINGS as CLUSTER_SETTINGS
from exporters.clickhouse.cluster import Place, local_database, place_of, places
from exporters.clickhouse.dsn import EMBEDDED_DATABASE, IDENTIFIER, EmbeddedDsn, ServerDsn, parse_dsn
from exporters.clickhouse.faults import DRIVER_FAULTS, classify
from exporters.clickhouse.lock import DatabaseLock
from exporters.clickhouse.native import encode
from exporters.clickhouse.push import EmbeddedInserts
from exporters.clickhouse.send import Sender
from schema.errors import ConfigError, DatabaseOwned, Retryable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    import pyarrow as pa
    from clickhouse_connect.driver.client import Client

INSERT_SETTINGS: dict[str, Any] = {
    "async_insert": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    # What cannot be cast must fail, not become 0 or "".
    "insert_null_as_default": 0,
    # One INSERT is one block: a failure half-way must leave nothing behind.
    "max_insert_threads": 1,
    "min_insert_block_size_rows": 100_000_000,
    "min_insert_block_size_bytes": 4 << 30,
}
CONNECT_TIMEOUT_S = 10
QUERY_TIMEOUT_S = 300
OWNER_USER = "evalgate"
"""The user under which this machine's other processes speak to the owner of an embedded database."""

UNKNOWN_DATABASE = 81
TOKEN = re.compile(r"[A-Za-z0-9_.:/+=-]{1,400}")
PLACEHOLDER = re.compile(r"\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*:")


class Inserts(Protocol):
    """The way of blocks into the database."""

    def insert(self, statement: str, settings: Mapping[str, object], body: Iterable[memoryview]) -> None:
        """Insert a block of format Native, whole or not at all; `statement` ends before its FORMAT."""

    def ping(self) -> None:
        """Return when the database answers."""

    def close(self) -> None:
        """Close what is open. Safe to call twice."""


class Database:
    """An open connection. Usable from several threads; calls on one embedded connection run one after another.

    Every method raises Retryable (no way to the database, or it is overloaded) or Permanent (the statement or the
    rows are wrong), with ClickHouse's own words.
    """

    def __init__(
        self,
        client: Client,
        url: str,
        inserts: Inserts,
        *,
        lock: DatabaseLock | None = None,
        cluster: ServerDsn | None = None,
    ) -> None:
        self._client = client
        self._inserts = inserts
        self._lock = lock
        self._cluster = cluster
        self._insert_settings = {**INSERT_SETTINGS, **(CLUSTER_SETTINGS if cluster else {})}
        self.url = url
        """Where this connection goes; never holds a password."""

    @property
    def lock(self) -> DatabaseLock | None:
        """Return this process's share of the embedded database; None when another process or a server has it."""
        return self._lock

    @property
    def embedded(self) -> bool:
        """Tell whether the engine runs in this process."""
        return self._lock is not None

    @property
    def cluster(self) -> str:
        """Return the name of the cluster that this connection speaks for; empty where it is one server."""
        return self._cluster.cluster if self._cluster else ""

    def places(self) -> tuple[Place, ...]:
        """Return the servers of the cluster, replicas of one shard together; none where it is one server.

        Raises:
            ConfigError: a server knows no such cluster, or is not in it.

        """
        target = self._cluster
        if target is None:
            return ()
        if not target.nodes:
            return places(self, target.cluster, target.port)
        found = []
        for host, port in target.nodes:
            with self._at(host, port, "system") as server:
                found.append(place_of(server, target.cluster, host, port))
        return tuple(sorted(found, key=lambda p: (p.shard, p.replica)))

    @contextmanager
    def servers(self, *, answering: bool = False, create_database: bool = False) -> Iterator[tuple[Database, ...]]:
        """Open the database with the rows on every server, or the one that answers for all; else it is this one.

        What is no read and no INSERT is said to each server by itself: ALTER, DROP, OPTIMIZE.
        """
        with self._opened(self.places(), answering=answering, create_database=create_database) as opened:
            yield opened

    @contextmanager
    def shards(self) -> Iterator[tuple[Database, ...]]:
        """Open the databases that have the rows, each row in exactly one of them; where there is no cluster, this one.

        All rows of a trace are in the same one, so what is done trace by trace can be done there as on a single server.
        """
        first: dict[int, Place] = {}
        for place in self.places():
            first.setdefault(place.shard, place)
        with self._opened(tuple(first.values())) as opened:
            yield opened

    @contextmanager
    def _opened(
        self, at: Sequence[Place], *, answering: bool = False, create_database: bool = False
    ) -> Iterator[tuple[Database, ...]]:
        if self._cluster is None:
            yield (self,)
            return
        name = self._cluster.database if answering else local_database(self._cluster.database)
        with ExitStack() as stack:
            yield tuple(
                stack.enter_context(self._at(p.host, p.port, name, create_database=create_database)) for p in at
            )

    def _at(self, host: str, port: int, database: str, *, create_database: bool = False) -> Database:
        assert self._cluster is not None  # noqa: S101 - asked by its callers
        target = replace(self._cluster, host=host, port=port, database=database, cluster="", nodes=())
        return _served(target, str(target), create_database=create_database)

    def rows(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        """Return all rows; `{name:Type}` in the SQL is bound by the server. Times are aware, in UTC or their zone."""
        with self._faults():
            result = self._client.query(sql, parameters=_bound(sql, parameters))
            return [dict(row) for row in result.named_results()]

    def arrow(self, sql: str, parameters: Mapping[str, object] | None = None) -> pa.Table:
        """Return all rows as one Arrow table; binding as in `rows`."""
        with self._faults():
            return self._client.query_arrow(sql, parameters=_bound(sql, parameters), use_strings=True)

    def raw(
        self,
        sql: str | bytes,
        *,
        parameters: Mapping[str, object] | None = None,
        settings: Mapping[str, Any] | None = None,
        form: str | None = None,
    ) -> bytes:
        """Return the bytes of the answer in ClickHouse's format `form`; nothing is parsed on the way."""
        with self._faults():
            return self._client.raw_query(
                sql,  # type: ignore[arg-type]  # the embedded backend takes bytes, as data may follow the statement
                parameters=dict(parameters or {}),
                settings=dict(settings or {}),
                fmt=form,
            )

    def command(self, sql: str, parameters: Mapping[str, object] | None = None) -> None:
        """Run one statement that has no result."""
        with self._faults():
            self._client.command(sql, parameters=_bound(sql, parameters))

    def insert_rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows that all have the same keys. Never deduplicated: two equal rows are two rows."""
        if not rows:
            return
        columns = list(rows[0])
        for name in (table, *columns):
            _identifier(name)
        if any(row.keys() != rows[0].keys() for row in rows):
            raise ValueError(f"rows for {table} differ in their columns; the first has {columns}")
        data = [[row[c] for c in columns] for row in rows]
        # Without a token of its own, a block equal to an earlier one is dropped, insert_deduplicate = 0 or not.
        settings = {**self._insert_settings, "insert_deduplication_token": f"rows/{uuid.uuid4()}"}
        with self._faults():
            self._client.insert(table, data, column_names=columns, settings=settings)

    def insert_arrow(self, table: str, batch: pa.RecordBatch | pa.Table, token: str) -> None:
        """Insert columns as one block; the same token on the same table is stored once, its views included.

        Rows of one call should have one receive date: ClickHouse deduplicates per partition. Errors of this method
        never quote data.
        """
        if batch.num_rows == 0:
            return
        if not TOKEN.fullmatch(token):
            raise ValueError("a deduplication token is 1 to 400 characters of A-Z a-z 0-9 _ . : / + = -")
        for name in (table, *batch.schema.names):
            _identifier(name, dotted=True)
        settings = {**self._insert_settings, "insert_deduplicate": 1, "insert_deduplication_token": f"{token}/{table}"}
        columns = ", ".join(f"`{name}`" for name in batch.schema.names)
        with self._faults(quote=False):
            self._inserts.insert(f"INSERT INTO `{table}` ({columns})", settings, encode(batch))

    def ping(self) -> None:
        """Return when the database answers, which costs it nothing."""
        with self._faults():
            self._inserts.ping()

    def close(self) -> None:
        """Give the connection back; the last one of this process frees the embedded database. Safe to call twice."""
        self._inserts.close()
        self._client.close()
        if self._lock is not None:
            self._lock.release()

    def _faults(self, *, quote: bool = True) -> _Faults:
        return _Faults(self.url, quote=quote)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Faults:
    """Turns the driver's errors into Retryable and Permanent."""

    def __init__(self, where: str, *, quote: bool) -> None:
        self._where = where
        self._quote = quote

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, DRIVER_FAULTS):
            raise classify(error, self._where, quote=self._quote) from (error if self._quote else None)


def connect(dsn: str, *, create_database: bool = False, settings: Mapping[str, Any] | None = None) -> Database:
    """Open the database that a DSN names (see `exporters.clickhouse.dsn`).

    An embedded database is opened in this process, or, when another process owns it and serves it, through that
    process. Its folder is created; a server's database only with `create_database`. `settings` are ClickHouse's, for
    every statement but those that carry rows: a time limit, for example.

    Raises:
        ConfigError: the DSN is wrong, names no existing database, or the embedded engine is not installed.
        DatabaseOwned: another process owns the embedded database and does not serve it.
        Retryable: no way there at the moment.
        Permanent: the server refused.

    """
    target = parse_dsn(dsn)
    if isinstance(target, ServerDsn):
        return _served(target, str(target), create_database=create_database, settings=settings)
    try:
        lock = DatabaseLock.acquire(target.path)
    except DatabaseOwned as owned:
        return _through_owner(target, owned, settings)
    try:
        return Database(_embedded_client(target, settings), str(target), EmbeddedInserts(target), lock=lock)
    except BaseException:
        lock.release()
        raise


def _through_owner(target: EmbeddedDsn, owned: DatabaseOwned, settings: Mapping[str, Any] | None) -> Database:
    from exporters.clickhouse.lock import read_owner  # noqa: PLC0415 - only on this path

    owner = read_owner(target.path)
    if owner is None:
        raise Retryable(f"the process that had {target.path} open is just ending; try again") from owned
    if owner.url is None:
        raise owned
    parts = urlsplit(owner.url)
    if parts.scheme == "https":
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # see `verify` below
    server = ServerDsn(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 8123,
        secure=parts.scheme == "https",
        verify=False,  # its certificate names the host that others know; the address is from a file of this user
        user=OWNER_USER,
        password=owner.token,
        database=target.database,
    )
    return _served(server, f"{target} (open in process {owner.pid})", create_database=False, settings=settings)


def _served(
    target: ServerDsn, url: str, *, create_database: bool, settings: Mapping[str, Any] | None = None
) -> Database:
    client = _server_client(target, settings, create_database=create_database)
    return Database(client, url, Sender(target), cluster=target if target.cluster else None)


def _why_not_loaded(error: ImportError) -> str:
    """Say what to do about an engine that cannot be imported; it cannot in a time zone that it does not know."""
    if find_spec("chdb") is None:
        return "the embedded database is not installed: pip install 'otel-evalgate[embedded]'"
    if zone := os.environ.get("TZ"):
        return f"the embedded database cannot be loaded; it may not know TZ={zone}: set TZ to a zone such as UTC"
    return f"the embedded database is installed and cannot be loaded ({error}): install it again"


def _embedded_client(target: EmbeddedDsn, settings: Mapping[str, Any] | None) -> Client:
    target.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with _Faults(str(target), quote=True):
            client = clickhouse_connect.get_client(
                interface="chdb", path=str(target.path), tz_mode="aware", settings=dict(settings or {})
            )
    except ImportError as e:
        raise ConfigError(f"{_why_not_loaded(e)}, or set EVALGATE_DSN to the URL of a ClickHouse server") from None
    try:
        client.command(f"CREATE DATABASE IF NOT EXISTS `{target.database}`")
        client.database = target.database
    except BaseException:
        client.close()
        raise
    return client


def _server_client(target: ServerDsn, settings: Mapping[str, Any] | None, *, create_database: bool) -> Client:
    if create_database:
        with _Faults(str(target), quote=True):
            client = _http(target, None, settings)
            try:
                client.command(f"CREATE DATABASE IF NOT EXISTS `{target.database}`")
            finally:
                client.close()
    try:
        with _Faults(str(target), quote=True):
            return _http(target, target.database, settings)
    except Retryable as e:
        if getattr(e.__cause__, "code", None) != UNKNOWN_DATABASE:
            raise
        raise ConfigError(
            f"the server has no database {target.database!r}: start the collector against it once "
            "(it creates the schema), or correct the DSN"
        ) from None


def _http(target: ServerDsn, database: str | None, settings: Mapping[str, Any] | None) -> Client:
    return clickhouse_connect.get_client(
        host=target.host,
        port=target.port,
        secure=target.secure,
        verify=target.verify,
        username=target.user,
        password=target.password,
        database=database,
        connect_timeout=CONNECT_TIMEOUT_S,
        send_receive_timeout=QUERY_TIMEOUT_S,
        # One connection object is used by several threads; a session would forbid that.
        autogenerate_session_id=False,
        settings={**(CLUSTER_SETTINGS if target.cluster else {}), **(settings or {})},
        tz_mode="aware",
    )


def _bound(sql: str, parameters: Mapping[str, object] | None) -> dict[str, Any] | None:
    """Return the parameters, all of them placeholders of the server: the driver would paste others into the text."""
    if not parameters:
        return None
    names = set(PLACEHOLDER.findall(sql))
    if missing := sorted(set(parameters) - names):
        raise ValueError(f"the SQL has no {{name:Type}} placeholder for: {', '.join(missing)}")
    return dict(parameters)


def _identifier(name: str, *, dotted: bool = False) -> None:
    for part in name.split(".") if dotted else (name,):
        if not IDENTIFIER.fullmatch(part):
            raise ValueError(f"{name!r} is not a name of a table or column")


__all__ = ["EMBEDDED_DATABASE", "Database", "connect"]
