"""Several exporters on one journal: none holds up or loses for another."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from collector.delivery import Lane, Lanes
from collector.journal import Journal, JournalOptions, ReaderOptions
from schema.errors import ConfigError, Retryable
from tests.collector.conftest import spans_request
from tests.delivery.fakes import Batches, Scripted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from schema.batch import SpanBatch

MIB = 1 << 20


@dataclass
class Dead(Scripted):
    """Never takes anything."""

    tried: asyncio.Event = field(default_factory=asyncio.Event)

    async def export(self, batch: SpanBatch, token: str) -> None:  # noqa: ARG002 - the seam's signature
        self.tokens.append(token)
        self.tried.set()
        raise Retryable("connection refused")


async def nap(_: float) -> None:
    await asyncio.sleep(0.001)


async def append(journal: Journal, *numbers: int, name: str = "work") -> None:
    for i in numbers:
        body = spans_request(i, name=name)
        await journal.append("default", "traces", body, encoding="protobuf", gzip=False, members=1)


def run(folder: Path, tee: Scripted, work: Callable[[Journal, Lanes, Scripted], object], **limits: int) -> Lanes:
    """Run a required exporter and a tee on one journal while `work` is done; then drain."""

    async def main() -> Lanes:
        readers = (ReaderOptions("db"), ReaderOptions("tee", limits.get("max_lag_bytes", 64 * MIB)))
        options = JournalOptions(
            folder, 64 * MIB, segment_bytes=MIB, sync=False, batch_linger_s=0, batch_records=10, readers=readers
        )
        journal = await Journal.open(options)
        db = Scripted()
        lanes = Lanes(
            {
                "db": Lane("db", journal.reader("db"), db, sleep=nap),
                "tee": Lane("tee", journal.reader("tee"), tee, sleep=nap, required=False),
            },
            "db",
        )
        try:
            await lanes.start()
            delivery = asyncio.create_task(lanes.run())
            async with asyncio.timeout(90):
                await work(journal, lanes, db)  # type: ignore[misc]  # a coroutine function
                journal.drain()
                await delivery
        finally:
            await journal.close()
        return lanes

    return asyncio.run(main())


def spans(exporter: Scripted) -> int:
    return sum(len(b) for b in exporter.stored)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - the caller has a deadline
        await asyncio.sleep(0.001)


def test_what_an_exporter_counts_itself_is_in_the_status() -> None:
    @dataclass
    class Counting(Scripted):
        forgotten_blocks: int = 3

    lanes = Lanes({n: Lane(n, Batches([]), e) for n, e in (("db", Counting()), ("tee", Scripted()))}, "db")
    each = lanes.status()["exporters"]
    assert each["db"]["forgotten_blocks"] == 3
    assert "forgotten_blocks" not in each["tee"]


def test_a_dead_tee_holds_up_nothing_and_the_end_does_not_wait_for_it(tmp_path: Path) -> None:
    dead = Dead()

    async def work(journal: Journal, lanes: Lanes, db: Scripted) -> None:
        await append(journal, *range(1, 101))
        await until(lambda: spans(db) == 100)
        await dead.tried.wait()
        status = lanes.status()
        assert status["exporters"]["tee"]["waiting_for"] == "exporter tee: connection refused"
        assert status["spans"] == status["exporters"]["db"]["spans"] == 100
        assert journal.status()["readers"]["tee"]["backlog_records"] == 100

    lanes = run(tmp_path, dead, work)
    assert lanes.status()["exporters"]["tee"]["batches"] == 0
    assert lanes.status()["exporters"]["tee"]["required"] is False


def test_a_tee_that_is_too_far_behind_goes_without_and_the_journal_does_not_fill_up(tmp_path: Path) -> None:
    dead = Dead()

    async def work(journal: Journal, lanes: Lanes, db: Scripted) -> None:
        await append(journal, *range(1, 41), name="x" * 100_000)
        await until(lambda: spans(db) == 40)
        await until(lambda: journal.status()["readers"]["tee"]["skipped"]["records"] > 0)
        await until(lambda: journal.used_bytes < 4 * MIB)

    run(tmp_path, dead, work, max_lag_bytes=2 * MIB)


def test_a_tee_that_comes_back_gets_what_waited(tmp_path: Path) -> None:
    tee = Scripted([Retryable("down")] * 20)

    async def work(journal: Journal, lanes: Lanes, db: Scripted) -> None:
        await append(journal, *range(1, 51))
        await until(lambda: spans(tee) == 50)

    lanes = run(tmp_path, tee, work)
    assert lanes.status()["exporters"]["tee"]["breaker"] == "closed"


def test_a_tee_that_ends_with_an_error_leaves_the_others_alone(tmp_path: Path) -> None:
    async def work(journal: Journal, lanes: Lanes, db: Scripted) -> None:
        await append(journal, *range(1, 11))
        await until(lambda: spans(db) == 10)

    tee = Scripted([Retryable("not now"), ConfigError("wrong schema")])
    assert run(tmp_path, tee, work).status()["exporters"]["tee"]["stopped_by"] == "wrong schema"


def test_a_required_exporter_that_cannot_start_ends_the_start(tmp_path: Path) -> None:
    async def main() -> None:
        lanes = Lanes({"db": Lane("db", None, Scripted([ConfigError("wrong schema")]))}, "db")  # type: ignore[arg-type]  # never read
        with pytest.raises(ConfigError, match="wrong schema"):
            await lanes.start()

    asyncio.run(main())
