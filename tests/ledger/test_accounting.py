"""What waits in the journal is known at any time, also after a restart; what never comes back is lost, and said so."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from collector.journal import Journal, JournalOptions
from collector.journal.options import ReaderOptions
from collector.ledger import Outbox
from collector.ledger.accounting import Accounting
from schema.ledger import Entry, LedgerSignal, State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from collector.delivery.lane import Source
    from schema.component import Signal

READERS = (ReaderOptions("db"), ReaderOptions("tee"))


@dataclass(slots=True)
class Table:
    """A ledger in memory."""

    tokens: set[str] = field(default_factory=set)
    sums: Counter[tuple[str, LedgerSignal, State, str]] = field(default_factory=Counter)
    requests: Counter[tuple[str, LedgerSignal, State, str]] = field(default_factory=Counter)

    async def book(self, entries: Sequence[Entry], token: str) -> None:
        if token not in self.tokens:
            self.tokens.add(token)
            for e in entries:
                if e.count:
                    self.sums[e.tenant, e.signal, e.state, e.reason] += e.count
                if e.uncounted_requests:
                    self.requests[e.tenant, e.signal, e.state, e.reason] += e.uncounted_requests


async def opened(folder: Path) -> tuple[Journal, Accounting, Source]:
    journal = await Journal.open(
        JournalOptions(folder, max_bytes=8 << 20, segment_bytes=1 << 20, batch_linger_s=0, readers=READERS)
    )
    accounting = Accounting(journal, "db")
    return journal, accounting, accounting.watched(journal.reader("db"))


async def append(journal: Journal, tenant: str, signal: Signal, members: int) -> None:
    await journal.append(tenant, signal, b"x" * 100, encoding="protobuf", gzip=False, members=members)


def waiting(accounting: Accounting) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = accounting.status()["in_journal"]
    return found


async def deliver(source: Source) -> None:
    batch = await source.next_batch()
    assert batch is not None
    await source.confirm(batch)


def test_what_is_appended_waits_until_the_database_has_it(tmp_path: Path) -> None:
    async def work() -> None:
        journal, accounting, source = await opened(tmp_path)
        await accounting.survey()
        await append(journal, "a", "traces", 5)
        await append(journal, "b", "logs", 2)
        assert waiting(accounting) == {"a": {"traces": 5}, "b": {"logs": 2}}
        await deliver(source)
        assert waiting(accounting) == {}
        await append(journal, "a", "traces", 1)
        assert waiting(accounting) == {"a": {"traces": 1}}
        await journal.close()

    asyncio.run(work())


def test_a_restart_finds_what_waits_and_another_reader_s_lag_counts_for_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        journal, _, source = await opened(tmp_path)
        await append(journal, "a", "traces", 3)
        await deliver(source)
        await append(journal, "a", "traces", 5)
        await journal.close()

        journal, accounting, source = await opened(tmp_path)
        await append(journal, "a", "traces", 7)
        await accounting.survey()
        assert waiting(accounting) == {"a": {"traces": 12}}
        while waiting(accounting):
            await deliver(source)
        table = Table()
        accounting.start([table])
        await accounting.stop(10)
        assert table.sums == {}
        await journal.close()

    asyncio.run(work())


def test_what_was_acknowledged_and_never_comes_back_is_booked_as_lost(tmp_path: Path) -> None:
    async def work() -> None:
        journal, accounting, source = await opened(tmp_path)
        await accounting.survey()
        await append(journal, "a", "traces", 5)
        await append(journal, "a", "traces", 2)
        (path,) = (s.path for s in journal.segments)
        damaged = bytearray(path.read_bytes())
        damaged[damaged.index(b"x" * 100)] ^= 1
        path.write_bytes(damaged)
        await deliver(source)
        assert waiting(accounting) == {}
        table = Table()
        accounting.start([table])
        await accounting.stop(10)
        assert table.sums == {("a", "traces", State.LOST, "damaged"): 5}
        await journal.close()

    asyncio.run(work())


def test_what_was_damaged_before_the_start_is_lost_and_nobody_knows_what_it_held(tmp_path: Path) -> None:
    async def work() -> None:
        journal, _, _ = await opened(tmp_path)
        for members in (5, 3, 2):
            await append(journal, "a", "traces", members)
        (path,) = (s.path for s in journal.segments)
        await journal.close()
        data = bytearray(path.read_bytes())
        data[data.index(b"x" * 100)] ^= 1
        path.write_bytes(data)

        journal, accounting, source = await opened(tmp_path)
        await accounting.survey()
        assert waiting(accounting) == {"a": {"traces": 5}}
        await deliver(source)
        table = Table()
        accounting.start([table])
        await accounting.stop(10)
        assert table.sums == {}
        assert table.requests == {("", "traces", State.LOST, "damaged"): 1}
        await journal.close()

    asyncio.run(work())


def test_what_is_replayed_for_another_exporter_alone_does_not_wait(tmp_path: Path) -> None:
    async def work() -> None:
        journal, accounting, source = await opened(tmp_path)
        await accounting.survey()
        await append(journal, "a", "traces", 4)
        tee = journal.reader("tee")
        batch = await tee.next_batch()
        assert batch is not None
        await tee.quarantine(batch.records, "refused")
        await tee.confirm(batch)
        (kept,) = (p.name.removesuffix(".seg") for p in (tmp_path / "quarantine").glob("*.seg"))
        await journal.replay(kept)
        assert waiting(accounting) == {"a": {"traces": 4}}
        await deliver(source)
        assert waiting(accounting) == {}
        await journal.close()

    asyncio.run(work())


def test_replay_and_purge_take_back_what_was_quarantined(tmp_path: Path) -> None:
    async def work() -> None:
        journal, accounting, source = await opened(tmp_path)
        await accounting.survey()
        await append(journal, "a", "traces", 4)
        batch = await source.next_batch()
        assert batch is not None
        await source.quarantine(batch.records, "cannot be read", word="unreadable")
        await source.confirm(batch)
        (kept,) = (p.name.removesuffix(".seg") for p in (tmp_path / "quarantine").glob("*.seg"))
        await journal.replay(kept)
        assert waiting(accounting) == {"a": {"traces": 4}}
        table = Table()
        accounting.start([table])
        await accounting.stop(10)
        assert table.sums == {("a", "traces", State.QUARANTINED, "unreadable"): -4}
        await journal.close()

    asyncio.run(work())


def test_stopping_writes_what_was_counted_and_does_not_wait_for_a_dead_database(tmp_path: Path) -> None:
    class Down(Table):
        async def book(self, entries: Sequence[Entry], token: str) -> None:  # noqa: ARG002 - as it is given
            await asyncio.Event().wait()

    async def work() -> None:
        journal, accounting, _ = await opened(tmp_path)
        accounting.start([Down()])
        accounting.tally("a", "traces", State.REFUSED, "bad_data", uncounted_requests=1)
        async with asyncio.timeout(30):
            await accounting.stop(0)
            await accounting.stop(0)
        assert len(Outbox(tmp_path).waiting()) == 1
        await journal.close()

    asyncio.run(work())


@pytest.mark.parametrize("count", [1, 1000])
def test_the_counts_of_tenants_and_signals_are_apart(tmp_path: Path, count: int) -> None:
    async def work() -> None:
        journal, accounting, _ = await opened(tmp_path)
        await asyncio.gather(*(append(journal, f"t{n % 7}", ("traces", "logs")[n % 2], n) for n in range(count)))
        wanted: Counter[tuple[str, str]] = Counter()
        for n in range(count):
            wanted[f"t{n % 7}", ("traces", "logs")[n % 2]] += n
        found = {(t, s): n for t, signals in waiting(accounting).items() for s, n in signals.items()}
        assert found == {k: n for k, n in wanted.items() if n}
        await journal.close()

    asyncio.run(work())
