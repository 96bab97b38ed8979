"""The exporter `clickhouse`: batches become rows, each block once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from exporters.clickhouse.check import put_right
from exporters.clickhouse.connect import Database, connect
from exporters.clickhouse.dsn import default_dsn, parse_dsn
from exporters.clickhouse.insert import Splits, insert_batch, rehearse
from exporters.clickhouse.ledger import Booked, by_day, entry_rows
from exporters.clickhouse.migrate import migrate
from exporters.clickhouse.policies import note_policy
from schema.component import ComponentConfig, Context, component
from schema.errors import ConfigError, Permanent, Retryable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema.batch import SpanBatch
    from schema.component import Rejected
    from schema.ledger import Entry
    from schema.policy import Policy


class ClickHouseConfig(ComponentConfig):
    """Where the rows go."""

    dsn: str | None = None
    """`chdb:///ABSOLUTE/PATH` or `http(s)://user:password@host:port/database`, which may end in
    `?compression=lz4` or `?compression=none`. Unset: the DSN of the service, then
    EVALGATE_DSN, then the embedded database in `db` below the data directory of the service."""

    create_schema: bool = True
    """Create the database and bring its schema up to date at start. Off: whoever runs migrations by hand."""


class ClickHouseExporter:
    """Writes spans, log records, feedback and the ledger. One batch at a time: the journal hands them out in order."""

    def __init__(self, dsn: str, *, create_schema: bool = True, policy: Policy | None = None) -> None:
        """Make it; `policy` is noted in the database at the start."""
        parse_dsn(dsn)  # a wrong DSN is an error of the configuration, before anything starts
        self._policy = policy
        self._dsn = dsn
        self._create_schema = create_schema
        self._db: Database | None = None
        self._splits: Splits | None = None
        self._tried: set[str] = set()
        """The token that was tried and is not known to be stored; empty before the first, then never."""
        self.forgotten_blocks = 0
        """Blocks that were sent again after the table had forgotten their token, and were found in it."""
        self.encode = rehearse
        """What it makes of a batch, without sending it: for the reading of suspect batches elsewhere."""
        self.booked = Booked()
        """What this process added to the ledger."""

    @property
    def database(self) -> Database | None:
        """Return the open database, for status queries; None before start."""
        return self._db

    async def start(self) -> None:
        """Connect and migrate.

        Raises:
            Retryable: the database cannot be reached now, or another process owns the embedded one.
            ConfigError: it has another schema, or the engine is not installed.

        """
        if self._db is None:
            self._db = await asyncio.to_thread(self._open)

    def _open(self) -> Database:
        db = connect(self._dsn, create_database=self._create_schema)
        try:
            missing = migrate(db, dry_run=not self._create_schema)
            _complete(missing, db.url, create_schema=self._create_schema)
            put_right(db, create_schema=self._create_schema)
            if self._policy is not None:
                note_policy(db, self._policy)
        except BaseException:
            db.close()
            raise
        return db

    async def export(self, batch: SpanBatch, token: str) -> Rejected | None:
        """Insert the batch (see `exporters.clickhouse.insert`).

        Raises:
            Retryable: not everything could be stored; call again with the same batch and token.

        """
        if self._db is None:
            raise Retryable("the exporter is not started")
        return await asyncio.to_thread(self._insert, self._db, batch, token)

    def _insert(self, db: Database, batch: SpanBatch, token: str) -> Rejected | None:
        if self._splits is None:
            self._splits = Splits(db)
        again = token in self._tried or not self._tried  # the first of this process may be another's last
        self._tried = {token}
        inserted = insert_batch(db, batch, token, self._splits, again=again)
        self.forgotten_blocks += inserted.forgotten
        self._tried = {""}
        for rows in inserted.ledger:
            self.booked.add(rows)
        return inserted.rejected

    async def probe(self) -> None:
        """Ask the server whether it is there. Raises Retryable."""
        if self._db is not None:
            await asyncio.to_thread(self._db.ping)

    async def book(self, entries: Sequence[Entry], token: str) -> None:
        """Add entries to the ledger, those of one day of receipt in one INSERT (`schema.ledger.Ledger`).

        Raises:
            Retryable: not everything could be stored; call again with the same entries and token. Also where the table
                is at fault: it is put right, and the entries wait.

        """
        if self._db is None:
            raise Retryable("the exporter is not started")
        await asyncio.to_thread(self._book, self._db, entries, token)

    def _book(self, db: Database, entries: Sequence[Entry], token: str) -> None:
        for day, of_day in by_day(entries):
            rows = entry_rows(of_day)
            try:
                db.insert_arrow("ledger", rows, f"{token}/{day}")
            except Permanent as e:
                raise Retryable(f"the table ledger: {e}") from None
            self.booked.add(rows)

    async def shutdown(self) -> None:
        """Close the connection; the embedded database is free for others then."""
        db, self._db, self._splits = self._db, None, None
        if db is not None:
            await asyncio.to_thread(db.close)


def _complete(missing: list[str], where: str, *, create_schema: bool) -> None:
    if missing and not create_schema:
        raise ConfigError(
            f"{where} lacks the migrations {', '.join(missing)} and create_schema is off: "
            "run them, or set create_schema: true"
        )


@component("exporter", "clickhouse", ClickHouseConfig)
def clickhouse(config: ClickHouseConfig, context: Context) -> ClickHouseExporter:
    """Make the exporter; nothing is opened yet."""
    return ClickHouseExporter(
        config.dsn or context.dsn or default_dsn(context.data_dir),
        create_schema=config.create_schema,
        policy=context.policy,
    )
