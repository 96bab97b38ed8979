"""C1: the database is down for ten minutes at 1 000 spans a second.

Injected: an exporter that refuses for 600 s of a clock that waits move; a request of 1 000 spans arrives each second.
Holds: every request is acknowledged, the journal grows within its budget; afterwards all are delivered once, oldest
first, in larger batches.
Figure: spans that waited, bytes of the journal, tries, batches.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from collector.delivery import Lane
from collector.journal import Journal, JournalOptions
from schema.errors import Retryable
from tests.collector.conftest import spans_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from schema.batch import SpanBatch

DOWN_S = 600
SPANS = 1000
BUDGET = 256 << 20


@dataclass
class World:
    """A clock, a sender, and a database that is down at first."""

    journal: Journal
    body: bytes = spans_request(*range(1, SPANS + 1))
    now_s: float = 0.0
    acked: list[int] = field(default_factory=list)
    tries: int = 0
    stored: dict[str, list[int]] = field(default_factory=dict)
    spans: int = 0
    most_bytes: int = 0

    async def sleep(self, seconds: float) -> None:
        """Let time pass: what arrives meanwhile is journalled."""
        self.now_s += seconds
        while len(self.acked) < min(self.now_s, DOWN_S):
            self.acked.append(
                await self.journal.append("t", "traces", self.body, encoding="protobuf", gzip=False, members=SPANS)
            )
        self.most_bytes = max(self.most_bytes, self.journal.used_bytes)
        if self.now_s >= DOWN_S:
            self.journal.drain()

    async def start(self) -> None:
        """Do nothing."""

    async def export(self, batch: SpanBatch, token: str) -> None:
        """Store, once for a token, or refuse."""
        self.tries += 1
        if self.now_s < DOWN_S:
            raise Retryable("connection refused")
        if token not in self.stored:
            self.stored[token] = batch.origins.sequence.tolist()
            self.spans += len(batch)

    async def shutdown(self) -> None:
        """Do nothing."""


@pytest.mark.quick
def test_an_outage_of_ten_minutes_costs_nothing(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    async def work() -> World:
        journal = await Journal.open(
            JournalOptions(tmp_path, BUDGET, segment_bytes=8 << 20, sync=False, batch_linger_s=0)
        )
        world = World(journal)
        try:
            await world.sleep(1)
            source = journal.reader(journal.options.readers[0].name)
            lane = Lane("e", source, world, jitter=random.Random(1).random, sleep=world.sleep)  # noqa: S311 - a wait
            await lane.run()
            assert lane.progress.breaker == "closed"
        finally:
            await journal.close()
        return world

    world = asyncio.run(work())
    assert len(world.acked) == DOWN_S
    delivered = [sequence for batch in world.stored.values() for sequence in batch]
    assert delivered == world.acked, "oldest first, each once"
    assert world.spans == DOWN_S * SPANS
    assert world.most_bytes < BUDGET
    assert world.tries < 100
    assert len(world.stored) < 20
    record_property(
        "figure",
        f"{world.spans} spans waited in {world.most_bytes >> 20} MiB; {world.tries} tries in 600 s, "
        f"then {len(world.stored)} batches, 0 lost, 0 twice",
    )
