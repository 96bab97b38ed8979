"""C3: the database is slow.

Injected: a TCP proxy that lets 150 kB/s through to a real server and delays each answer by 0.5 s, while small requests
arrive much faster than one INSERT for each could be made.
Holds: no INSERT times out or is repeated; INSERTs become few and large, never larger than a batch may be; afterwards
everything is stored once.
Figure: requests in each INSERT, first and largest.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from collector.delivery import Lane
from collector.journal import Journal, JournalOptions
from exporters.clickhouse.exporter import ClickHouseExporter
from tests.faults.delivering import counts, record, server_port, through, whole
from tests.tools.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from schema.batch import SpanBatch
    from schema.component import Rejected

pytestmark = pytest.mark.server

SLOW_S = 15.0
MOST_RECORDS = 400


class Counting(ClickHouseExporter):
    """Remembers how many requests each batch had."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self.sizes: list[int] = []

    async def export(self, batch: SpanBatch, token: str) -> Rejected | None:
        self.sizes.append(len(batch.origins.tenant))
        return await super().export(batch, token)


def test_inserts_become_larger_and_none_is_repeated(
    server_dsn: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async def work() -> tuple[int, Lane, list[int]]:
        with Proxy(server_port(server_dsn)) as proxy:
            options = JournalOptions(
                tmp_path, 64 << 20, segment_bytes=8 << 20, sync=False, batch_records=MOST_RECORDS, batch_linger_s=0.05
            )
            journal = await Journal.open(options)
            exporter = Counting(through(server_dsn, proxy.port))
            await exporter.start()
            proxy.bytes_per_s, proxy.answer_delay_s = 150_000, 0.5
            lane = Lane("clickhouse", journal.reader(options.readers[0].name), exporter)
            delivery = asyncio.create_task(lane.run())
            sent, ends_s = 0, time.monotonic() + SLOW_S
            try:
                while time.monotonic() < ends_s:
                    body = record(1 + 2 * sent, 2).body
                    await journal.append("default", "traces", body, encoding="protobuf", gzip=False, members=2)
                    sent += 1
                    await asyncio.sleep(0.01)
                proxy.bytes_per_s, proxy.answer_delay_s = None, 0.0
                journal.drain()
                await delivery
            finally:
                delivery.cancel()
                await exporter.shutdown()
                await journal.close()
            return sent, lane, exporter.sizes

    sent, lane, sizes = asyncio.run(work())
    assert lane.progress.retries == 0
    assert sum(sizes) == sent
    assert len(sizes) < sent / 5
    assert sizes[0] * 3 < max(sizes) <= MOST_RECORDS
    assert counts(server_dsn) == whole(2 * sent)
    record_property(
        "figure",
        f"{sent} requests in {len(sizes)} INSERTs: {sizes[0]} in the first, {max(sizes)} in the largest; 0 repeated",
    )
