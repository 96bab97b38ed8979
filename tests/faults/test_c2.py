"""C2: the database is down until the journal is full.

Injected: an exporter that refuses while requests arrive until the journal of 8 MiB takes no more; then it works.
Holds: from 80 % of the budget on requests are refused with a delay; nothing acknowledged is lost; once the exporter
works, requests are taken again.
Figure: acknowledged, refused, part of the budget in use at the first refusal.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from collector.delivery import Lane
from collector.journal import Journal, JournalOptions
from schema.errors import Reason, Refused, Retryable
from tests.collector.conftest import spans_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from schema.batch import SpanBatch

BUDGET = 8 << 20
REFUSALS = 20


@dataclass
class Recovering:
    """An exporter that is down until it is told otherwise."""

    well: asyncio.Event = field(default_factory=asyncio.Event)
    stored: dict[str, list[int]] = field(default_factory=dict)

    async def start(self) -> None:
        pass

    async def export(self, batch: SpanBatch, token: str) -> None:
        if not self.well.is_set():
            raise Retryable("connection refused")
        self.stored.setdefault(token, batch.origins.sequence.tolist())

    async def shutdown(self) -> None:
        pass


@pytest.mark.quick
def test_a_full_journal_refuses_and_loses_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    body = spans_request(*range(1, 501))

    async def work() -> tuple[list[int], Recovering, float]:
        journal = await Journal.open(
            JournalOptions(tmp_path, BUDGET, segment_bytes=1 << 20, sync=False, batch_linger_s=0)
        )
        exporter, acked, refused = Recovering(), list[int](), list[Refused]()

        async def append() -> None:
            acked.append(await journal.append("t", "traces", body, encoding="protobuf", gzip=False, members=500))

        async def wait(_: float) -> None:
            await exporter.well.wait()

        lane = Lane("e", journal.reader(journal.options.readers[0].name), exporter, sleep=wait)
        delivery = asyncio.create_task(lane.run())
        try:
            used = 0.0
            while len(refused) < REFUSALS:
                try:
                    await append()
                except Refused as e:
                    used = used or journal.used_bytes / BUDGET
                    refused.append(e)
            assert {e.reason for e in refused} == {Reason.UNAVAILABLE}
            assert all(e.retry_after_s for e in refused)
            exporter.well.set()
            async with asyncio.timeout(30):
                while True:
                    try:
                        await append()
                    except Refused:
                        await asyncio.sleep(0)
                    else:
                        break
                journal.drain()
                await delivery
        finally:
            delivery.cancel()
            await journal.close()
        return acked, exporter, used

    acked, exporter, used = asyncio.run(work())
    assert [s for batch in exporter.stored.values() for s in batch] == acked
    assert 0.7 < used <= 0.8
    record_property("figure", f"{len(acked)} acknowledged, {REFUSALS} refused from {used:.0%} on, 0 lost")
