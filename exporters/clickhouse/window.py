"""What is sent again after more INSERTs than a table remembers tokens of: found in the table itself, and left out.

A table forgets a token after `non_replicated_deduplication_window` other INSERTs. That matters only for a block that
may be stored already: of the first batch after a start, or of one whose INSERT failed before. One row tells, as a block
is stored whole or not at all. In a cluster that is so on each server for the rows that belong there: there all are
looked for, and those are left out that a server has and has forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from exporters.clickhouse.rows import plain

if TYPE_CHECKING:
    from exporters.clickhouse.connect import Database

FOUND: Final = """
SELECT _part AS part FROM spans
WHERE tenant = {tenant:String}
    AND toStartOfHour(received_at) = toStartOfHour(fromUnixTimestamp64Nano({at:Int64}, 'UTC'))
    AND received_at = fromUnixTimestamp64Nano({at:Int64}, 'UTC') AND sequence = {sequence:UInt64}
    AND trace_id = unhex({trace_id:String}) AND span_id = unhex({span_id:String})
LIMIT 1
"""
LATEST: Final = """
SELECT
    (
        SELECT max(max_block_number) FROM system.parts
        WHERE database = currentDatabase() AND table = 'spans' AND active
    ) AS latest,
    toUInt64OrZero(extract(engine_full, '_deduplication_window = (\\d+)')) AS window
FROM system.tables WHERE database = currentDatabase() AND name = 'spans'
"""


HERE: Final = """
SELECT
    concat(
        toString(toUnixTimestamp64Nano(received_at)), '/', toString(sequence), '/', hex(trace_id), '/', hex(span_id)
    ) AS key,
    _part AS part
FROM spans
WHERE tenant IN {tenants:Array(String)}
    AND toStartOfHour(received_at) >= toStartOfHour(fromUnixTimestamp64Nano({first:Int64}, 'UTC'))
    AND received_at >= fromUnixTimestamp64Nano({first:Int64}, 'UTC')
    AND received_at <= fromUnixTimestamp64Nano({last:Int64}, 'UTC')
    AND sequence BETWEEN {low:UInt64} AND {high:UInt64}
"""


def without_forgotten(db: Database, spans: pa.Table) -> pa.Table:
    """Return the rows of a block of spans that are to be sent: all, or in a cluster some, or none.

    What is left out is in the table from so long ago that its token may be forgotten. Raises Retryable, Permanent.
    """
    if not db.cluster:
        return spans.slice(0, 0) if _is_forgotten(db, spans) else spans
    keys = _keys(spans)
    forgotten: set[str] = set()
    with db.shards() as shards:
        for shard in shards:
            forgotten |= _forgotten_here(shard, spans, set(keys))
    if not forgotten:
        return spans
    return plain(spans).filter(pa.array([key not in forgotten for key in keys], pa.bool_()))


def _keys(spans: pa.Table) -> list[str]:
    received = spans["received_at"].cast(pa.int64()).to_pylist()
    ids = (spans["trace_id"].to_pylist(), spans["span_id"].to_pylist())
    return [
        f"{at}/{sequence}/{trace.hex().upper()}/{span.hex().upper()}"
        for at, sequence, trace, span in zip(received, spans["sequence"].to_pylist(), *ids, strict=True)
    ]


def _forgotten_here(shard: Database, spans: pa.Table, keys: set[str]) -> set[str]:
    """Return those of the keys that a server has, from longer ago than it remembers."""
    received = pc.min_max(spans["received_at"].cast(pa.int64())).as_py()
    sequence = pc.min_max(spans["sequence"]).as_py()
    parameters = {
        "tenants": pc.unique(spans["tenant"]).to_pylist(),
        "first": received["min"],
        "last": received["max"],
        "low": sequence["min"],
        "high": sequence["max"],
    }
    found = {row["key"]: str(row["part"]) for row in shard.rows(HERE, parameters) if row["key"] in keys}
    return set(found) if found and _is_old(shard, min(map(_first_block, found.values()))) else set()


def _is_forgotten(db: Database, spans: pa.Table) -> bool:
    row = spans.slice(0, 1)
    parameters = {
        "tenant": row["tenant"][0].as_py(),
        "at": row["received_at"][0].value,
        "sequence": row["sequence"][0].as_py(),
        "trace_id": row["trace_id"][0].as_py().hex(),
        "span_id": row["span_id"][0].as_py().hex(),
    }
    found = db.rows(FOUND, parameters)
    return bool(found) and _is_old(db, _first_block(str(found[0]["part"])))


def _first_block(part: str) -> int:
    """Return the number of the first INSERT that a part holds, from its name: partition_first_last_level."""
    return int(part.split("_")[1])


def _is_old(db: Database, first_block: int) -> bool:
    table = db.rows(LATEST)[0]
    return int(table["latest"]) - first_block >= int(table["window"])
