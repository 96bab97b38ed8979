"""Confine statements of a user to the rows of one tenant, in an engine that has no users.

ClickHouse puts a condition on every read of a table, also below views, where `additional_table_filters` names it.
Four things make a fence of it (each was seen to leak without):

- only tables that have such a condition, and plain views over them, may be named (`Fence.tables`). A materialised view
  reads its target under a name of its own, so it may not;
- conditions of the user come after: nothing is moved to PREWHERE, and PREWHERE may not be written. Else
  `throwIf(name = 'x')` would tell by its error what rows of others hold;
- no EXPLAIN, and no count of rows that were read: they tell what an index found;
- no setting of the user can change it: `fence.check_settings` has an allow-list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exporters.clickhouse.cluster import LOCAL_SUFFIX
from schema.identity import check_tenant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

TABLES: Final = """
SELECT database, name, engine, toUInt8(name IN (
    SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'tenant'
)) AS has_tenant
FROM system.tables
WHERE database = currentDatabase()
"""
ENGINE: Final = "MergeTree"
"""What the names of the engines of tables of ours end with."""
ORDER: Final = {
    "optimize_move_to_prewhere": "0",
    "query_plan_optimize_prewhere": "0",
    "query_plan_merge_filters": "0",
    "output_format_write_statistics": "0",
}


@dataclass(frozen=True, slots=True)
class TenantFilter:
    """What confines statements to one tenant."""

    tables: frozenset[str]
    """What may be read."""
    hidden: frozenset[str]
    """What is there besides."""
    settings: Mapping[str, str]
    """What goes with each statement."""


def tenant_filter(
    rows: Callable[[str], Iterable[Mapping[str, Any]]], tenant: str, *, is_cluster: bool = False
) -> TenantFilter:
    """Return the filter of a tenant; `rows` asks the database for what tables it has now.

    On a cluster the tables with the rows are in a database beside it, and known there by their whole names.

    Raises:
        ValueError: that is no name of a tenant.

    """
    check_tenant(tenant)  # a plain word: no quote in it
    found = list(rows(TABLES))
    filtered = {t["name"] for t in found if t["engine"].endswith(ENGINE) and t["has_tenant"]}
    views = {t["name"] for t in found if t["engine"] == "View"}
    if is_cluster:
        beside = rows(TABLES.replace("currentDatabase()", f"concat(currentDatabase(), '{LOCAL_SUFFIX}')"))
        with_rows = [t for t in beside if t["engine"].endswith(ENGINE) and t["has_tenant"]]
        filtered |= {f"{t['database']}.{t['name']}" for t in with_rows}
    conditions = ", ".join(f"'{name}': 'tenant = \\'{tenant}\\''" for name in sorted(filtered))
    return TenantFilter(
        tables=frozenset(filtered | views),
        hidden=frozenset({t["name"] for t in found} - filtered - views),
        settings={"additional_table_filters": f"{{{conditions}}}", **ORDER},
    )
