"""Look at the tables before the first INSERT: what is missing, what is of another type, what keeps no promise.

What is missing is added where the schema is ours to make (`create_schema`); everything else is named.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporters.clickhouse.migrate import SINGLE, load, make_front
from schema.errors import ConfigError, Permanent, Retryable

if TYPE_CHECKING:
    from exporters.clickhouse.connect import Database

log = logging.getLogger(__name__)

TABLES: Final = ("spans", "events", "feedback", "ledger")
"""That a batch is written to."""
NAMED: Final = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)")
CREATE: Final = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)\s*\(\n(.*?)\n\)\nENGINE", re.DOTALL)
COLUMN: Final = re.compile(
    r"^    (?P<name>[a-z_][a-z0-9_]*) (?P<type>(?:(?! CODEC\(| ALIAS | DEFAULT ).)+?),?"
    r"(?P<rest> CODEC.*| ALIAS .*| DEFAULT .*)?$"
)
NESTED: Final = re.compile(r"^        (?P<name>[a-z_]+) (?P<type>.+?),?$")
SETTING: Final = re.compile(r"(\w+) = (\d+)")

Columns = dict[str, str]


@dataclass(frozen=True, slots=True)
class Findings:
    """What is not as it was made."""

    missing_tables: tuple[str, ...] = ()
    missing_columns: tuple[tuple[str, str, str], ...] = ()
    """Table, column, type."""
    other_types: tuple[tuple[str, str, str, str], ...] = ()
    """Table, column, the type that is there, the type it was made with."""
    weak_settings: tuple[tuple[str, str], ...] = ()
    """Table, and the settings it lacks as ALTER TABLE … MODIFY SETTING takes them."""

    def __bool__(self) -> bool:
        return bool(self.missing_tables or self.missing_columns or self.other_types or self.weak_settings)


def expected() -> dict[str, Columns]:
    """Return the columns of the tables that a batch is written to, with their types, as migrations make them."""
    found: dict[str, Columns] = {}
    for migration in load():
        for statement in migration.statements:
            for table, body in CREATE.findall(statement):
                if table in TABLES:
                    found[table] = _columns(body)
    return found


def _columns(body: str) -> Columns:
    columns: Columns = {}
    group = ""
    for line in body.split("\n"):
        if match := COLUMN.match(line):
            group = match["name"] if match["type"] == "Nested" else ""
            if not group and " ALIAS " not in (match["rest"] or ""):
                columns[match["name"]] = match["type"]
        elif group and (match := NESTED.match(line)):
            columns[f"{group}.{match['name']}"] = f"Array({match['type']})"
    return columns


def named() -> tuple[str, ...]:
    """Return the tables that migrations make, in order."""
    return tuple(table for migration in load() for s in migration.statements for table in NAMED.findall(s))


def look(db: Database) -> Findings:
    """Compare the tables with what migrations make. Raises Retryable, Permanent."""
    there: dict[str, Columns] = {}
    for row in db.rows("SELECT table, name, type FROM system.columns WHERE database = currentDatabase()"):
        there.setdefault(row["table"], {})[row["name"]] = row["type"]
    wanted = expected()
    missing = [
        (t, c, kind) for t, columns in wanted.items() if t in there for c, kind in columns.items() if c not in there[t]
    ]
    other = [
        (t, c, there[t][c], kind)
        for t, columns in wanted.items()
        for c, kind in columns.items()
        if there.get(t, {}).get(c, kind) != kind
    ]
    return Findings(tuple(t for t in named() if t not in there), tuple(missing), tuple(other), tuple(_weak(db)))


def _weak(db: Database) -> list[tuple[str, str]]:
    """Return the tables with settings under which a stored block could be lost with the power, or stored twice."""
    promised = dict(SETTING.findall(SINGLE["durable"]))
    engines = (
        "SELECT name, engine, engine_full FROM system.tables "
        "WHERE database = currentDatabase() AND name IN {tables:Array(String)}"
    )
    found = []
    for row in db.rows(engines, {"tables": [*TABLES, "trace_parts"]}):
        has = dict(SETTING.findall(row["engine_full"].partition("SETTINGS")[2]))
        if row["engine"] == "Distributed":  # holds nothing
            continue
        lacks = [f"{k} = {v}" for k, v in promised.items() if int(has.get(k, 0)) < int(v)]
        if row["engine"].startswith("Replicated"):
            lacks = [s for s in lacks if not s.startswith("non_replicated")]
        if lacks:
            found.append((row["name"], ", ".join(lacks)))
    return sorted(found)


def put_right(db: Database, *, create_schema: bool) -> Findings:
    """Look, add what is missing, and say what is not as it should be; return what was found.

    Without `create_schema` nothing is changed.

    Raises:
        ConfigError: a table or column is missing and may not be added; it is named.
        Retryable, Permanent: ClickHouse refused.

    """
    if not db.cluster or not create_schema:
        return _put_right(db, create_schema=create_schema)
    with db.servers() as servers:
        of_each = [_put_right(s, create_schema=create_schema) for s in servers]
    if any(f.missing_tables or f.missing_columns for f in of_each):
        make_front(db)
    return next((f for f in of_each if f), Findings())


def _put_right(db: Database, *, create_schema: bool) -> Findings:
    found = look(db)
    lost = [f"table {t}" for t in found.missing_tables] + [f"column {t}.{c}" for t, c, _ in found.missing_columns]
    if lost and not create_schema:
        raise ConfigError(
            f"{db.url} lacks {', '.join(lost)}, and create_schema is off: add them, or set create_schema: true"
        )
    for table, column, kind in found.missing_columns:
        db.command(f"ALTER TABLE `{table}` ADD COLUMN IF NOT EXISTS `{column}` {kind}")
    if found.missing_tables:
        for migration in load():
            for statement in migration.statements:
                db.command(statement)
    if lost:
        log.warning("%s lacked %s: added, empty", db.url, ", ".join(lost))
    for table, column, has, wants in found.other_types:
        log.error(
            "%s: column %s.%s is %s and was made as %s. What does not fit waits or goes to quarantine: "
            "ALTER TABLE %s MODIFY COLUMN %s %s",
            *(db.url, table, column, has, wants, table, column, wants),
        )
    for table, settings in found.weak_settings:
        what = f"{db.url}: table {table} lacks {settings}: blocks can be lost with the power, or stored twice"
        statement = f"ALTER TABLE `{table}` MODIFY SETTING {settings}"
        if create_schema and _done(db, statement):
            log.warning("%s: set", what)
        else:
            log.error("%s: %s", what, statement)
    return found


def _done(db: Database, statement: str) -> bool:
    """Run a statement that a user may not be allowed to run."""
    try:
        db.command(statement)
    except (Permanent, Retryable) as e:
        log.warning("%s", e)
        return False
    return True
