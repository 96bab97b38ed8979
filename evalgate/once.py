"""Rows that may be stored once: of two who write under one number the first has it, between processes and servers.

A number is a deduplication token of the INSERT. ClickHouse remembers tokens of rows that were erased, and what is
numbered begins at 1 again then. So the token says, too, after which erasure it was made: the log of retention has an
entry before and after each (evalgate/erase/turn.py). Whoever writes while rows are erased finds nothing stored, and is
told to try again.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from evalgate.database import sql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from evalgate.database import TenantDatabase


def append_once(database: TenantDatabase, table: str, rows: Sequence[Mapping[str, Any]], number: str) -> None:
    """Append rows as one block, or nothing where `number` of this table is taken: read what is there afterwards."""
    import pyarrow as pa  # noqa: PLC0415 - the gate must not need it

    own = [{"tenant": database.tenant, **row} for row in rows]
    schema = pa.schema([(name, _kind(value)) for name, value in own[0].items()])
    (erased,) = database.rows(sql(__package__, "erasures"))
    token = f"{table}/{database.tenant}/{erased['entry']}/{number}"
    opened: Any = database.opened  # a connect.Database; the commands' protocol does without Arrow
    opened.insert_arrow(table, pa.Table.from_pylist(own, schema), token)


def _kind(value: object) -> pa.DataType:
    """Return the type of a column by its first value; ClickHouse makes it the column's own."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        return pa.uint32()
    if isinstance(value, datetime):
        return pa.timestamp("ns", "UTC")
    return pa.list_(pa.string()) if isinstance(value, list) else pa.string()
