"""C12: a batch spans midnight, and rows of 150 days come together.

Injected: a journal with requests of two days; a batch, as none is cut, of 150 days of receipt; spans whose own times
are of 150 days.
Holds: the journal cuts at midnight; each block has one partition, so none fails with code 252 and each is atomic; times
of spans make no partitions.
Figure: days, blocks, rows.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest

from collector.decode import decode
from collector.journal import Journal, JournalOptions
from exporters.clickhouse.insert import insert_batch
from exporters.clickhouse.rows import blocks
from tests.clickhouse.otlp import DAY, NOON, batch_of, span, spans_record
from tests.faults.delivering import record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from exporters.clickhouse.connect import Database

DAYS = 150


def test_a_batch_of_many_days_is_a_block_for_each(
    embedded_db: Database, record_property: Callable[[str, object], None]
) -> None:
    batch = decode([replace(record(1 + i, 1, received=NOON + i * DAY), sequence=i) for i in range(DAYS)])
    made = [b for b in blocks(batch) if b.table == "spans"]
    assert [b.rows.num_rows for b in made] == [1] * DAYS
    assert insert_batch(embedded_db, batch, "t1").rejected is None
    [stored] = embedded_db.rows("SELECT count() AS n, uniqExact(toDate(received_at)) AS days FROM spans")
    assert stored == {"n": DAYS, "days": DAYS}
    record_property("figure", f"{DAYS} days: {len(made)} blocks, {DAYS} rows")


@pytest.mark.quick
def test_times_of_spans_make_no_partitions(embedded_db: Database) -> None:
    batch = batch_of(spans_record([span(1, 1 + i, start=NOON + i * DAY, end=NOON + i * DAY) for i in range(DAYS)]))
    insert_batch(embedded_db, batch, "t1")
    [stored] = embedded_db.rows("SELECT count() AS n, uniqExact(_partition_id) AS parts FROM spans")
    assert stored == {"n": DAYS, "parts": 1}


@pytest.mark.quick
def test_the_journal_cuts_at_midnight(tmp_path: Path) -> None:
    midnight = (NOON // DAY + 1) * DAY
    times = [midnight - 2, midnight - 1, midnight, midnight + 1]
    encoding: Literal["protobuf"] = "protobuf"

    async def days() -> list[list[int]]:
        clock = list(times)
        options = JournalOptions(tmp_path, 64 << 20, segment_bytes=1 << 20, batch_linger_s=0)
        journal = await Journal.open(options, now_unix_ns=lambda: clock[0])
        found = []
        try:
            for i in range(len(times)):
                await journal.append(
                    "default", "traces", record(1 + i, 1).body, encoding=encoding, gzip=False, members=1
                )
                clock.pop(0) if len(clock) > 1 else None
            journal.drain()
            reader = journal.reader(options.readers[0].name)
            while (batch := await reader.next_batch()) is not None:
                found.append([r.received_unix_ns - midnight for r in batch.records])
                await reader.confirm(batch)
        finally:
            await journal.close()
        return found

    assert asyncio.run(days()) == [[-2, -1], [0, 1]]
