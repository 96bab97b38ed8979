"""Rows that may be stored once: of two who write under one number the first has it, between processes and servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalgate.database import TenantDatabase

NUMBERS = frozenset({"number", "sequence", "change_id", "from_issue", "issue"})
FLAGS = frozenset({"stated", "undone"})
TIMES = frozenset({"at", "since"})
LISTS = frozenset({"annotation_ids"})


def append_once(database: TenantDatabase, table: str, rows: Sequence[Mapping[str, Any]], number: str) -> None:
    """Append rows as one block, or nothing where `number` of this table is taken: read what is there afterwards."""
    import pyarrow as pa  # noqa: PLC0415 - the gate must not need it

    def kind(name: str) -> pa.DataType:
        if name in NUMBERS:
            return pa.uint32()
        if name in FLAGS:
            return pa.uint8()
        if name in TIMES:
            return pa.timestamp("ns", tz="UTC")
        if name == "is_automatic":
            return pa.bool_()
        return pa.list_(pa.string()) if name in LISTS else pa.string()

    own = [{"tenant": database.tenant, **row} for row in rows]
    schema = pa.schema([(name, kind(name)) for name in own[0]])
    opened: Any = database.opened  # a connect.Database; the commands' protocol does without Arrow
    opened.insert_arrow(table, pa.Table.from_pylist(own, schema), f"{table}/{database.tenant}/{number}")
