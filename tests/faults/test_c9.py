"""C9: more INSERTs than the deduplication window holds come between a batch and its retry.

Injected: a window of 8 on the tables, and 10 other INSERTs between a batch that is stored and the same batch again.
Holds: the block is found in the table and left out, with a warning and a count; each span is there once, and counted
once in the ledger.
Figure: INSERTs in between, rows afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collector.decode import decode
from exporters.clickhouse.insert import insert_batch
from tests.faults.delivering import record

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporters.clickhouse.connect import Database

WINDOW = 8
SPANS = "SELECT count() AS n, uniqExact(trace_id, span_id) AS ids FROM spans"


@pytest.mark.parametrize("others", [pytest.param(WINDOW + 2, marks=pytest.mark.quick), 3])
def test_what_the_table_forgot_is_found_in_it(
    db: Database, others: int, caplog: pytest.LogCaptureFixture, record_property: Callable[[str, object], None]
) -> None:
    for table in ("spans", "trace_parts", "ledger"):
        db.command(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = {WINDOW}")
    batch = decode([record(1, 10)])
    insert_batch(db, batch, "first", again=True)
    for i in range(others):
        insert_batch(db, decode([record(100 + i, 1)]), f"other-{i}")
    again = insert_batch(db, batch, "first", again=True)
    assert db.rows(SPANS) == [{"n": 10 + others, "ids": 10 + others}]
    assert db.rows("SELECT sum(count) AS n FROM ledger") == [{"n": 10 + others}]
    assert sum(sum(rows["count"].to_pylist()) for rows in again.ledger) == (0 if others > WINDOW else 10)
    assert again.forgotten == (1 if others > WINDOW else 0)
    assert ("longer ago than it remembers" in caplog.text) == (others > WINDOW)
    record_property("figure", f"{others} INSERTs in between, window {WINDOW}: {10 + others} rows, none twice")
