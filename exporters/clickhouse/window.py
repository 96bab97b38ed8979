"""What is sent again after more INSERTs than a table remembers tokens of: found in the table itself, and left out.

A table forgets a token after `non_replicated_deduplication_window` other INSERTs. That matters only for a block that
may be stored already: of the first batch after a start, or of one whose INSERT failed before. One row tells, as a block
is stored whole or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

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


def is_stored_and_forgotten(db: Database, spans: pa.Table) -> bool:
    """Tell whether a block of spans is in the table from so long ago that its token may be forgotten.

    Raises Retryable, Permanent.
    """
    row = spans.slice(0, 1)
    parameters = {
        "tenant": row["tenant"][0].as_py(),
        "at": row["received_at"][0].value,
        "sequence": row["sequence"][0].as_py(),
        "trace_id": row["trace_id"][0].as_py().hex(),
        "span_id": row["span_id"][0].as_py().hex(),
    }
    found = db.rows(FOUND, parameters)
    if not found:
        return False
    first_block = int(str(found[0]["part"]).split("_")[1])
    table = db.rows(LATEST)[0]
    return int(table["latest"]) - first_block >= int(table["window"])
