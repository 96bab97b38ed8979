"""A journal's reader and exporters that do as they are told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collector.delivery import Lane
from collector.journal import Batch, Record
from collector.journal.batch import Position
from schema.errors import Permanent, Retryable
from tests.collector.conftest import logs_request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schema.batch import SpanBatch
    from schema.component import Rejected, Request


@dataclass
class Batches:
    """A reader of prepared batches."""

    waiting: list[Batch]
    confirmed: list[Batch] = field(default_factory=list)
    skipped: list[Batch] = field(default_factory=list)
    absolved: list[Batch] = field(default_factory=list)
    set_aside: list[tuple[tuple[int, ...], str]] = field(default_factory=list)
    kept: list[Record] = field(default_factory=list)
    faults: int = 0
    """How often `confirm` fails first."""
    behind: Callable[[], bool] = lambda: False

    @property
    def is_behind(self) -> bool:
        return self.behind()

    async def next_batch(self) -> Batch | None:
        return self.waiting.pop(0) if self.waiting else None

    async def confirm(self, batch: Batch) -> None:
        if self.faults:
            self.faults -= 1
            raise Retryable("disk full")
        self.confirmed.append(batch)

    async def skip(self, batch: Batch) -> None:
        self.skipped.append(batch)

    async def absolve(self, batch: Batch) -> None:
        self.absolved.append(batch)

    async def quarantine(self, records: Sequence[Record], reason: str, *, word: str | None = None) -> Path:  # noqa: ARG002 - as it is given
        self.set_aside.append((tuple(r.sequence for r in records), reason))
        self.kept += records
        return Path("kept")


@dataclass
class Scripted:
    """An exporter that raises what it is told to, then stores."""

    faults: list[Exception] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    stored: list[SpanBatch] = field(default_factory=list)

    async def start(self) -> None:
        if self.faults:
            raise self.faults.pop(0)

    async def export(self, batch: SpanBatch, token: str) -> Rejected | None:
        self.tokens.append(token)
        if self.faults:
            raise self.faults.pop(0)
        self.stored.append(batch)
        return None

    async def shutdown(self) -> None:
        pass


@dataclass
class Picky(Scripted):
    """Takes no batch with a span of this name, and no token twice."""

    poison: str = "poison"

    async def export(self, batch: SpanBatch, token: str) -> Rejected | None:
        self.tokens.append(token)
        if self.poison in batch.name.to_pylist():
            raise Permanent("a word that cannot be stored")
        self.stored.append(batch)
        return None


@dataclass
class Requests:
    """An exporter of requests that refuses those which hold a word."""

    poison: bytes = b"poison"
    got: list[tuple[str, list[bytes]]] = field(default_factory=list)
    masked: list[tuple[str, SpanBatch]] = field(default_factory=list)

    async def start(self) -> None:
        pass

    async def export_requests(self, requests: Sequence[Request], token: str) -> None:
        bodies = [bytes(r.body) for r in requests]
        if any(self.poison in b for b in bodies):
            raise Permanent("400 Bad Request")
        self.got.append((token, bodies))

    async def export(self, batch: SpanBatch, token: str) -> None:
        self.masked.append((token, batch))

    async def shutdown(self) -> None:
        pass


def batch(*bodies: bytes, first: int = 1, attempt: int = 1) -> Batch:
    records = tuple(
        Record(first + i, "default", "logs" if b == logs_request() else "traces", "protobuf", False, 1, b, 1)  # noqa: FBT003
        for i, b in enumerate(bodies)
    )
    return Batch(records, f"token-{first}", Position(first + len(bodies), 1), attempt)


def deliver(source: Batches, exporter: Any, **options: Any) -> tuple[Lane, list[float]]:
    """Run a lane to the end of its batches; return it and how long it slept each time."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    lane = Lane("e", source, exporter, **{"jitter": lambda: 1.0, "sleep": sleep, **options})
    asyncio.run(lane.run())
    return lane, slept
