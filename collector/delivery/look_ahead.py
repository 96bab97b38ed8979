"""The look-ahead: reads what arrives at once, and decides on traces, while the lanes that forward follow later.

It is a lane itself, so what hangs, kills or cannot be read costs it no more than any other: its exporter is the memory
of decisions. Before it confirms a batch, what that says of traces is durable.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from collector.delivery.hold import Waiting
from collector.journal.records import Records
from collector.processors.asymmetric_sampler.evidence import evidence
from schema.errors import Retryable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from collector.delivery.hold import Hold
    from collector.delivery.lane import Lane
    from collector.journal import Batch, Reader, Record
    from collector.processors.asymmetric_sampler.memory import Memory
    from schema.batch import SpanBatch

NS_PER_S = 1_000_000_000


@dataclass(slots=True)
class Observer:
    """The end of the look-ahead (`schema.component.Exporter`): remembers which traces are kept."""

    memory: Memory
    hold: Hold

    async def start(self) -> None:
        """Do nothing: the memory is loaded before anything is delivered."""

    async def export(self, batch: SpanBatch, token: str) -> None:  # noqa: ARG002 - the same is observed twice at no cost
        """Take what a batch says of its traces, once there is room for it."""
        found = await asyncio.to_thread(evidence, batch, self.memory.salt, policy=self.memory.policy)
        while not self.memory.fits(found) and self.hold.make_room():
            await self.hold.until_moved()
        self.memory.observe(found)

    async def shutdown(self) -> None:
        """Do nothing."""


@dataclass(slots=True)
class Watched:
    """The reader of the look-ahead (`collector.delivery.lane.Source`): what it confirms is decided, and waits."""

    reader: Reader
    memory: Memory
    hold: Hold
    wait_s: float
    now_s: Callable[[], float]
    now_unix_ns: Callable[[], int]

    @property
    def is_behind(self) -> bool:
        """Never: it may not leave anything out."""
        return False

    async def next_batch(self) -> Batch | None:
        """Return the next batch."""
        return await self.reader.next_batch()

    async def confirm(self, batch: Batch) -> None:
        """Make what was decided durable, then confirm; the lanes get the batch when it is due."""
        try:
            await asyncio.to_thread(self.memory.save)
        except OSError as e:
            raise Retryable(f"the decisions cannot be written: {e}") from e
        await self.reader.confirm(batch)
        received_unix_ns = batch.records[len(batch.records) - 1].received_unix_ns
        # By the clock that no one sets: a jump of the other makes nothing wait longer than it should.
        ago_s = (self.now_unix_ns() - received_unix_ns) / NS_PER_S
        left_s = min(self.wait_s, max(0.0, self.wait_s - ago_s))
        due_unix_ns = received_unix_ns + int(self.wait_s * NS_PER_S)
        due = Waiting(batch.end.sequence, self.now_s() + left_s, due_unix_ns, _body_bytes(batch))
        self.hold.push(due, received_unix_ns)

    async def skip(self, batch: Batch) -> None:
        """As `confirm`."""
        await self.confirm(batch)

    async def absolve(self, batch: Batch) -> None:
        """Let the attempts so far not count."""
        await self.reader.absolve(batch)

    async def quarantine(self, records: Sequence[Record], reason: str, *, word: str | None = None) -> Path:
        """As the reader."""
        return await self.reader.quarantine(records, reason, word=word)


def _body_bytes(batch: Batch) -> int:
    records = batch.records
    return records.body_bytes if isinstance(records, Records) else sum(len(r.body) for r in records)


@dataclass(slots=True)
class LookAhead:
    """The look-ahead lane, and the time that passes between it and the others."""

    lane: Lane
    memory: Memory
    hold: Hold
    decide_at_end: bool = False

    async def run(self) -> None:
        """Read and release until the journal is drained, then let the lanes end."""
        releasing = asyncio.create_task(self.hold.run(), name="release")
        is_whole = False
        try:
            await self.lane.run()
            is_whole = True
        finally:  # lanes that are told nothing would wait for ever
            releasing.cancel()
            await asyncio.gather(releasing, return_exceptions=True)
            self.hold.release_due()
            self.hold.finish(decide=self.decide_at_end and is_whole)

    def status(self) -> dict[str, Any]:
        """Return counts of what is remembered and of what waits."""
        return {**self.memory.status(), **self.hold.status()}
