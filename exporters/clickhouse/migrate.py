"""Bring a database to the schema of this version.

`migrations/NNNN_name.sql` are applied in the order of their names; the table `migrations` remembers which were. Each
statement may be run again (IF NOT EXISTS, OR REPLACE), so a migration that was cut short is simply run again. A
statement ends with a semicolon at the end of a line.

The same text serves one server and a cluster, of which each server is migrated by itself (`cluster`).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from string import Template
from typing import TYPE_CHECKING

from exporters.clickhouse.cluster import front, is_replicated, with_replicas
from schema.errors import ConfigError, Permanent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exporters.clickhouse.connect import Database

STATEMENT_END = re.compile(r";[ \t]*$", re.MULTILINE)
COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)

SINGLE = {
    # The window is what makes a token store once, on tables and on the targets of materialised views alike; without
    # the two fsyncs a part that was acknowledged can be lost with the power.
    "durable": "non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1",
    # Of tables that hold content. A part of one INSERT is written, and synced, as a few files rather than two for each
    # of 80 columns: half the server's CPU for small spans. Merges wait for twice as many parts as by default, so a row
    # is written anew once where it was twice: 16 of 54 CPU-µs a span (measured; docs/adr/0007).
    "large": "min_bytes_for_wide_part = 268435456, merge_selector_base = 10",
}
"""What the placeholders mean."""

TABLE = """
CREATE TABLE IF NOT EXISTS migrations
(name String, checksum String, applied_at DateTime64(6, 'UTC'))
ENGINE = MergeTree ORDER BY name
"""
"""Of each server, in a cluster too: what was done here."""
EVERYWHERE = """
SELECT name, argMax(checksum, applied_at) AS checksum FROM migrations GROUP BY name
HAVING uniqExact(_shard_num) = (SELECT uniqExact(shard_num) FROM system.clusters WHERE cluster = {cluster:String})
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name, the hash of its text and its statements."""

    name: str
    checksum: str
    statements: tuple[str, ...]


def load() -> tuple[Migration, ...]:
    """Return the migrations of this version, in order."""
    files = (f for f in resources.files("exporters.clickhouse").joinpath("migrations").iterdir())
    return tuple(
        _read(f.name.removesuffix(".sql"), f.read_text("utf-8"))
        for f in sorted(files, key=lambda f: f.name)
        if f.name.endswith(".sql")
    )


def migrate(
    db: Database,
    *,
    dry_run: bool = False,
    migrations: Sequence[Migration] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[str]:
    """Apply what is missing and return its names, in order; `dry_run` only returns them.

    Raises:
        ConfigError: the database was made by a newer version, or an applied migration has another text.
        Retryable, Permanent: ClickHouse refused a statement; what was applied stays, and is skipped next time.

    """
    known = load() if migrations is None else tuple(migrations)
    if not db.cluster or dry_run:
        return _migrate(db, known, dry_run=dry_run, now=now)
    replicated = is_replicated(db.places())
    with db.servers(create_database=True) as servers:
        done = {name for s in servers for name in _migrate(s, known, replicated=replicated, now=now)}
    make_front(db, known)
    return [m.name for m in known if m.name in done]


def make_front(db: Database, known: Sequence[Migration] | None = None) -> None:
    """Make, on every server of a cluster, the database that answers for all. May be run again."""
    statements = [s for m in (load() if known is None else known) for s in m.statements]
    with db.servers() as servers, db.servers(answering=True, create_database=True) as fronts:
        for local, here in zip(servers, fronts, strict=True):
            front(statements, local, here, db.cluster)


def _migrate(
    db: Database,
    known: Sequence[Migration],
    *,
    now: Callable[[], datetime],
    dry_run: bool = False,
    replicated: bool = False,
) -> list[str]:
    applied = _applied(db)
    _check(known, applied, db.url)
    missing = [m for m in known if m.name not in applied]
    if dry_run or not missing:
        return [m.name for m in missing]
    db.command(TABLE)
    name = str(db.rows("SELECT currentDatabase() AS name")[0]["name"])
    for migration in missing:
        for number, statement in enumerate(migration.statements, 1):
            try:
                db.command(with_replicas(statement, name) if replicated else statement)
            except Permanent as e:
                raise Permanent(f"migration {migration.name}, statement {number}: {e}") from e
        db.insert_rows("migrations", [{"name": migration.name, "checksum": migration.checksum, "applied_at": now()}])
    return [m.name for m in missing]


def _applied(db: Database) -> dict[str, str]:
    exists = db.rows("SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name = 'migrations'")
    if not exists:
        return {}
    if db.cluster:
        return {r["name"]: r["checksum"] for r in db.rows(EVERYWHERE, {"cluster": db.cluster})}
    return {r["name"]: r["checksum"] for r in db.rows("SELECT name, checksum FROM migrations ORDER BY applied_at")}


def _check(known: Sequence[Migration], applied: dict[str, str], where: str) -> None:
    if newer := sorted(set(applied) - {m.name for m in known}):
        raise ConfigError(
            f"{where} has migrations that this version does not know ({', '.join(newer)}): upgrade otel-evalgate"
        )
    changed = [m.name for m in known if applied.get(m.name, m.checksum) != m.checksum]
    if changed:
        raise ConfigError(
            f"{where} was made with another text of migration {', '.join(changed)}: it belongs to a development "
            "version. Use another database, or export what you need and remove this one"
        )


def _read(name: str, text: str) -> Migration:
    statements = (s.strip() for s in STATEMENT_END.split(_fill(text)))
    return Migration(
        name,
        hashlib.sha256(text.encode("utf-8")).hexdigest(),
        tuple(s for s in statements if COMMENT.sub("", s).strip()),
    )


def _fill(text: str) -> str:
    return Template(text).substitute(SINGLE)
