"""Counts reach the ledger's table once, whatever fails on the way."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from collector.journal.fs import Fs
from collector.ledger import Books, Outbox
from collector.ledger.books import bounded
from schema.errors import Permanent, Retryable
from schema.ledger import MINUTE_NS, Entry, State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ENTRY = Entry("a", 7, "traces", State.REFUSED, "bad_data", count=3)


@dataclass(slots=True)
class Table:
    """A ledger that books a token once, and can fail before it did or after."""

    tokens: list[str] = field(default_factory=list)
    sums: Counter[tuple[State, str]] = field(default_factory=Counter)
    error_before: Exception | None = None
    error_after: Exception | None = None

    async def book(self, entries: Sequence[Entry], token: str) -> None:
        if self.error_before is not None:
            raise self.error_before
        if token not in self.tokens:
            self.tokens.append(token)
            for e in entries:
                self.sums[e.state, e.reason] += e.count
        if self.error_after is not None:
            raise self.error_after


class BrokenFs(Fs):
    """A disk that refuses to be written."""

    def write_file(self, path: Path, data: bytes) -> None:  # noqa: ARG002 - as it is given
        raise OSError(28, "No space left on device", str(path))


def books(folder: Path, fs: Fs | None = None) -> Books:
    return Books(Outbox(folder, fs), now_unix_ns=lambda: 7 * MINUTE_NS)


def refuse(kept: Books, count: int = 3) -> None:
    kept.count("a", "traces", State.REFUSED, "bad_data", count=count)


def test_counts_add_up_and_are_booked_once(tmp_path: Path) -> None:
    async def work() -> None:
        kept, table = books(tmp_path), Table()
        for _ in range(4):
            refuse(kept)
            assert await kept.write()
        assert await kept.book([table])
        assert await kept.book([table])
        assert table.sums == {(State.REFUSED, "bad_data"): 12}
        assert Outbox(tmp_path).waiting() == []

    asyncio.run(work())


def test_what_a_killed_process_had_written_is_booked_by_the_next(tmp_path: Path) -> None:
    async def work() -> None:
        table = Table()
        killed = books(tmp_path)
        refuse(killed)
        await killed.write()
        refuse(killed, 100)  # never written: the last second
        assert await books(tmp_path).book([table])
        assert table.sums == {(State.REFUSED, "bad_data"): 3}

    asyncio.run(work())


def test_a_lost_answer_counts_nothing_twice_and_nothing_joins_what_was_sent(tmp_path: Path) -> None:
    async def work() -> None:
        kept, table = books(tmp_path), Table(error_after=Retryable("no answer"))
        refuse(kept)
        await kept.write()
        assert not await kept.book([table])
        assert kept.failing == "no answer"
        refuse(kept, 5)
        await kept.write()
        table.error_after = None
        assert await books(tmp_path).book([table])  # also by another process
        assert table.sums == {(State.REFUSED, "bad_data"): 8}
        assert kept.failing

    asyncio.run(work())


def test_while_the_database_is_away_one_file_waits_and_one_grows(tmp_path: Path) -> None:
    async def work() -> None:
        kept, table = books(tmp_path), Table(error_before=Retryable("down"))
        for _ in range(20):
            refuse(kept)
            await kept.write()
            await kept.book([table])
        assert len(Outbox(tmp_path).waiting()) == 2
        table.error_before = None
        assert await kept.book([table])
        assert table.sums == {(State.REFUSED, "bad_data"): 60}
        assert not kept.failing

    asyncio.run(work())


def test_a_database_that_hangs_keeps_no_count_from_the_disk(tmp_path: Path) -> None:
    class Hung(Table):
        async def book(self, entries: Sequence[Entry], token: str) -> None:  # noqa: ARG002 - as it is given
            await asyncio.Event().wait()

    async def work() -> None:
        kept = books(tmp_path)
        refuse(kept)
        await kept.write()
        stuck = asyncio.create_task(kept.book([Hung()]))
        await asyncio.sleep(0)
        refuse(kept, 5)
        async with asyncio.timeout(10):
            await kept.write()
            await kept.close([Hung()], within_s=0.01)
        stuck.cancel()
        table = Table()
        assert await books(tmp_path).book([table])
        assert table.sums == {(State.REFUSED, "bad_data"): 8}

    asyncio.run(work())


def test_a_group_that_is_refused_for_good_stays_and_keeps_nobody_back(tmp_path: Path) -> None:
    class Picky(Table):
        async def book(self, entries: Sequence[Entry], token: str) -> None:
            if token == "odd":
                raise Permanent("no such table")
            await super().book(entries, token)

    async def work() -> None:
        outbox, table = Outbox(tmp_path), Picky()
        outbox.put("odd", [ENTRY])
        outbox.put("replay-1", [ENTRY])
        assert not await books(tmp_path).book([table])
        assert outbox.waiting() == ["odd"]
        assert table.tokens == ["replay-1"]

    asyncio.run(work())


def test_a_full_disk_keeps_the_counts_in_memory(tmp_path: Path) -> None:
    async def work() -> None:
        outbox = Outbox(tmp_path, BrokenFs())
        kept, table = Books(outbox), Table()
        refuse(kept)
        assert not await kept.write()
        outbox._fs = Fs()
        assert await kept.write()
        await kept.book([table])
        assert table.sums == {(State.REFUSED, "bad_data"): 3}

    asyncio.run(work())


def test_it_writes_and_books_by_itself_and_at_the_end(tmp_path: Path) -> None:
    async def work() -> None:
        turn = asyncio.Event()
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            await turn.wait()
            turn.clear()

        table = Table()
        kept = Books(Outbox(tmp_path), sleep=sleep)
        refuse(kept)
        running = asyncio.create_task(kept.run([table]))
        async with asyncio.timeout(10):
            while not (table.sums and {1.0, 2.0} <= set(slept)):  # it writes, it books
                turn.set()
                await asyncio.sleep(0.001)
        refuse(kept)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await kept.close([table], within_s=10)
        assert table.sums == {(State.REFUSED, "bad_data"): 6}

    asyncio.run(work())


def test_a_damaged_file_is_set_aside_and_the_rest_is_booked(tmp_path: Path) -> None:
    async def work() -> None:
        outbox, table = Outbox(tmp_path), Table()
        outbox.put("good", [ENTRY])
        for n, text in enumerate((b"", b"{", b"[[1]]", b'[["a",1,"metrics","stored","",1,0]]', b"[5]")):
            (outbox.folder / f"bad-{n}.json").write_bytes(text)
        assert await books(tmp_path).book([table])
        assert table.tokens == ["good"]
        assert len(list(outbox.folder.glob("*.bad"))) == 5

    asyncio.run(work())


@pytest.mark.parametrize("token", ["", "../x", "a/b", "a\nb", ".hidden", "x" * 121])
def test_a_token_never_becomes_a_path(tmp_path: Path, token: str) -> None:
    with pytest.raises(ValueError, match="a token is"):
        Outbox(tmp_path).put(token, [ENTRY])


def test_too_many_entries_become_coarser_and_add_up_to_the_same() -> None:
    many = [Entry("a", minute, "traces", State.REFUSED, count=1) for minute in range(3000)]
    assert len(bounded(many, 3000)) == 3000
    assert [e.count for e in bounded(many, 100)] == [60] * 50
    assert [e.count for e in bounded(many, 5)] == [1440, 1440, 120]
