"""Several servers as one database: each keeps the rows of some traces, any of them answers for all.

    the database of the DSN, on every server           DATABASE_local, on every server
    spans      Distributed ─────────────────────────▶  spans           MergeTree, and its materialised views
    traces     Distributed over a view ─────────────▶  traces          the view, of the traces that are here
    cases      the view, over Distributed tables

The database with the rows is made by the same migrations as that of a single server. A row goes by its trace id, so
all of a trace meets on one server, its feedback included: views of traces are read where the rows are, and only their
results travel. What is not of a trace goes by its key. docs/adr/0030 says why, docs/scaling.md what to type.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exporters.clickhouse.connect import Database

LOCAL_SUFFIX: Final = "_local"
"""Of the name of the database that has the rows."""

OF_TRACES: Final = frozenset(
    {"settled_spans", "traces", "flagged_traces", "calls", "otel_traces", "otel_traces_trace_id_ts"}
)
"""Views of which each row is made of one trace: read on the server that has it. Others are made over all servers."""

SETTINGS: Final = {
    # An INSERT is answered when every server has its rows, not when one has noted them for later.
    "distributed_foreground_insert": 1,
    # What a subquery finds is found on all servers, not on each for itself.
    "distributed_product_mode": "global",
    "prefer_global_in_and_join": 1,
}
"""Of connections to a cluster."""

SERVERS: Final = """
SELECT shard_num, replica_num, host_name, is_local FROM system.clusters
WHERE cluster = {cluster:String} ORDER BY shard_num, replica_num
"""
TABLES: Final = """
SELECT name, engine, sorting_key FROM system.tables WHERE database = {database:String} AND NOT is_temporary
"""
COLUMNS: Final = """
SELECT table, name, type, default_kind FROM system.columns WHERE database = {database:String} ORDER BY table, position
"""
VIEW: Final = re.compile(r"CREATE OR REPLACE VIEW (\w+)")
TABLE: Final = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)")
ENGINE: Final = re.compile(r"^ENGINE = (\w*MergeTree)(?:\((.*)\))?$", re.MULTILINE)
TENANT_VIEW: Final = re.compile(r"\btenant_(\w+)\(tenant = \{tenant:String\}\)")
"""As statements name the views of migration 0016."""
LATEST: Final = {"annotations": "annotations_latest"}
"""What such a view reads, where it is not what its name says."""
WINDOW: Final = re.compile(r"\bnon_replicated_deduplication_window = (\d+)")
WINDOW_S: Final = 30 * 86_400
"""How long a replicated table remembers a token; by default an hour."""


@dataclass(frozen=True, slots=True)
class Place:
    """A server of a cluster."""

    shard: int
    replica: int
    host: str
    port: int


def local_database(database: str) -> str:
    """Return the name of the database that has the rows, on each server."""
    return f"{database}{LOCAL_SUFFIX}"


def places(db: Database, cluster: str, port: int) -> tuple[Place, ...]:
    """Return the servers of a cluster as its configuration has them, each at `port`.

    Raises:
        ConfigError: the server knows no such cluster.

    """
    rows = db.rows(SERVERS, {"cluster": cluster})
    if not rows:
        known = [r["cluster"] for r in db.rows("SELECT DISTINCT cluster FROM system.clusters ORDER BY cluster")]
        raise ConfigError(
            f"{db.url}: the server knows no cluster {cluster!r}, but {', '.join(known) or 'none'}. "
            "Add it to <remote_servers> of every server (docs/scaling.md), or correct the DSN"
        )
    return tuple(Place(r["shard_num"], r["replica_num"], r["host_name"], port) for r in rows)


def place_of(server: Database, cluster: str, host: str, port: int) -> Place:
    """Return where a server stands in a cluster.

    Raises:
        ConfigError: it is not in it.

    """
    for row in server.rows(SERVERS, {"cluster": cluster}):
        if row["is_local"]:
            return Place(row["shard_num"], row["replica_num"], host, port)
    raise ConfigError(
        f"{server.url} does not find itself in the cluster {cluster!r}: correct nodes= of the DSN, or "
        "<remote_servers> of that server, where a server is known by its host and its <tcp_port>"
    )


def with_views_written_out(statement: str) -> str:
    """Return a statement with what the views of a tenant read in the place of their names.

    A server that asks another for a subquery (`IN (SELECT …)`) writes its text anew, and ClickHouse 26.7 then leaves
    out the parameter of a view: UNKNOWN_IDENTIFIER.
    """

    def written(match: re.Match[str]) -> str:
        table = LATEST.get(match[1], match[1])
        return f"(SELECT * FROM {table} WHERE tenant = {{tenant:String}})"  # noqa: S608 - a name in a statement of ours

    return TENANT_VIEW.sub(written, statement)


def is_replicated(at: Iterable[Place]) -> bool:
    """Tell whether some rows are on several servers."""
    return any(p.replica > 1 for p in at)


def with_replicas(statement: str, database: str) -> str:
    """Return a statement that makes its table a replica of those of its name on the other servers of the shard.

    They meet at a path of the table's name, and not of its UUID: each server makes its own. `{shard}` and `{replica}`
    are macros of the server's configuration.
    """
    named = TABLE.search(statement)
    if named is None:
        return statement

    def engine(match: re.Match[str]) -> str:
        path = f"'/clickhouse/tables/{{shard}}/{database}/{named[1]}', '{{replica}}'"
        return f"ENGINE = Replicated{match[1]}({path}{', ' + match[2] if match[2] else ''})"

    window = rf"replicated_deduplication_window = \1, replicated_deduplication_window_seconds = {WINDOW_S}"
    return WINDOW.sub(window, ENGINE.sub(engine, statement))


def front(statements: Iterable[str], local: Database, here: Database, cluster: str) -> None:
    """Make, on one server, the database that answers for all of them. May be run again.

    `local`: its database with the rows; `here`: the database to fill. Tables are made anew only where they differ: they
    hold nothing, but an INSERT may be under way.

    Raises:
        Retryable, Permanent: as ClickHouse does.

    """
    rows, all_rows = _name(local), _name(here)
    there, now = _columns(local, rows), _columns(here, all_rows)
    for table in local.rows(TABLES, {"database": rows}):
        name = table["name"]
        if table["engine"] == "MaterializedView" or (table["engine"] == "View" and name not in OF_TRACES):
            continue
        if there[name] == now.get(name):
            continue
        key = "" if table["engine"] == "View" else f", {sharding_key(dict(there[name]), table['sorting_key'])}"
        here.command(
            f"CREATE OR REPLACE TABLE `{all_rows}`.`{name}` AS `{rows}`.`{name}` "
            f"ENGINE = Distributed('{cluster}', '{rows}', '{name}'{key})"
        )
    for statement in statements:
        if (view := VIEW.search(statement)) and view[1] not in OF_TRACES:
            here.command(statement)


def sharding_key(columns: Mapping[str, str], sorting_key: str) -> str:
    """Return where a row of a table belongs: with its trace, whose id is bytes in some tables and hex in others."""
    kind = columns.get("trace_id")
    if kind is None:
        return f"cityHash64({sorting_key})"
    return "cityHash64(trace_id)" if kind.startswith("FixedString") else "cityHash64(unhex(trace_id))"


def _columns(db: Database, database: str) -> dict[str, tuple[tuple[str, str], ...]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for row in db.rows(COLUMNS, {"database": database}):
        found.setdefault(row["table"], []).append((row["name"], row["type"]))
    return {name: tuple(columns) for name, columns in found.items()}


def _name(db: Database) -> str:
    return str(db.rows("SELECT currentDatabase() AS name")[0]["name"])
