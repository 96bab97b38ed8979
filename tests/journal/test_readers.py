"""Several readers of one journal: each has its own cursor, cut and pace; none loses for another."""

from __future__ import annotations

import asyncio
import errno
import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from collector.journal import Journal, JournalOptions, ReaderOptions
from collector.journal.cursor import path_of
from collector.journal.cutter import DAY_NS
from schema.errors import Refused, Retryable
from tests.journal.test_journal import go, put

if TYPE_CHECKING:
    from pathlib import Path

    from collector.journal import Batch, Reader
    from tests.journal.conftest import FaultyFs

BODY = bytes(50_000)
"""Five to a segment."""


def with_readers(options: JournalOptions, *names: str, **limits: int) -> JournalOptions:
    return replace(options, readers=tuple(ReaderOptions(n, limits.get(n)) for n in (*names, *limits)))


async def take(reader: Reader) -> Batch:
    batch = await reader.next_batch()
    assert batch is not None
    return batch


async def deliver(reader: Reader, until: int) -> list[int]:
    """Deliver until a sequence; return the sequences."""
    found: list[int] = []
    while not found or found[-1] < until:
        batch = await take(reader)
        found += [r.sequence for r in batch.records]
        await reader.confirm(batch)
    return found


def test_every_reader_gets_everything_at_its_own_pace(options: JournalOptions) -> None:
    async def work() -> None:
        journal = await Journal.open(with_readers(options, "fast", "slow"))
        fast, slow = journal.reader("fast"), journal.reader("slow")
        held = None
        for n in range(1, 16):
            await put(journal, BODY)
            held = held or await take(slow)
            assert await deliver(fast, n) == [n]
        status = journal.status()
        assert status["segments"] > 2, "what the slow one has not read stays"
        assert (status["confirmed_sequence"], status["backlog_records"]) == (1, 15)
        assert status["readers"]["fast"]["backlog_records"] == 0
        assert held is not None
        await slow.confirm(held)
        assert await deliver(slow, 15) == list(range(2, 16))
        assert journal.status()["segments"] == 1
        await journal.close()

    go(work())


def test_the_same_cut_has_the_same_token_for_every_reader_and_each_keeps_its_own(options: JournalOptions) -> None:
    async def work() -> None:
        journal = await Journal.open(with_readers(options, "a", "b"))
        await put(journal, b"1", b"2")
        of_a = await take(journal.reader("a"))
        await put(journal, b"3")
        of_b = await take(journal.reader("b"))
        assert (len(of_a.records), len(of_b.records)) == (2, 3)
        await journal.close()
        journal = await Journal.open(with_readers(options, "a", "b"))
        again_a, again_b = await take(journal.reader("a")), await take(journal.reader("b"))
        assert (again_a.token, again_b.token) == (of_a.token, of_b.token)
        await journal.close()

    go(work())


def test_records_of_other_bytes_have_another_token(options: JournalOptions) -> None:
    """Also where journal, sequence, time, tenant and length are the same: a copy of a journal that went another way."""

    async def token(name: str, body: bytes) -> str:
        copy = options.directory.with_name(name)
        shutil.copytree(options.directory, copy)
        journal = await Journal.open(replace(options, directory=copy), now_unix_ns=lambda: DAY_NS)
        await put(journal, body)
        batch = await take(journal.reader("delivery"))
        assert len(batch.records) == 1
        await journal.close()
        return batch.token

    async def work() -> None:
        await (await Journal.open(options)).close()
        tokens = [await token("as it was", b"one"), await token("the same", b"one"), await token("other", b"two")]
        assert tokens[0] == tokens[1] != tokens[2]

    go(work())


def test_a_new_reader_begins_at_the_oldest_segment_and_one_that_is_gone_holds_nothing(
    options: JournalOptions, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        journal = await Journal.open(with_readers(options, "old", "gone"))
        for n in range(1, 12):
            await put(journal, BODY)
            await deliver(journal.reader("old"), n)
        await journal.close()
        unfinished = options.directory / "gone.cursor.tmp"
        unfinished.touch()
        journal = await Journal.open(with_readers(options, "old", "new"))
        assert not unfinished.exists()
        assert "gone.cursor" in caplog.text
        assert await deliver(journal.reader("new"), 11) == list(range(1, 12))
        assert journal.status()["segments"] == 1
        assert not path_of(options.directory, "gone").exists()
        with pytest.raises(KeyError):
            journal.reader("gone")
        await journal.close()

    go(work())


def test_attempts_are_counted_before_a_batch_is_handed_out(options: JournalOptions, fs: FaultyFs) -> None:
    async def attempt(journal: Journal) -> int:
        return (await take(journal.reader("one"))).attempt

    async def killed() -> int:
        journal = await Journal.open(with_readers(options, "one"))
        found = await attempt(journal)
        journal._lock.release()  # as the end of the process does
        journal._committer.shutdown()
        return found

    async def work() -> None:
        journal = await Journal.open(with_readers(options, "one"), fs=fs)
        await put(journal, b"poison")
        fs.failing["write_file"] = errno.EIO
        with pytest.raises(Retryable):
            await journal.reader("one").next_batch()
        fs.failing.clear()
        assert await attempt(journal) == 1
        await journal.close()
        assert [await killed() for _ in range(3)] == [1, 2, 3], "a clean stop does not count, a kill does"
        journal = await Journal.open(with_readers(options, "one"))
        batch = await take(journal.reader("one"))
        assert batch.attempt == 4
        await journal.reader("one").absolve(batch)
        assert await attempt(journal) == 1
        await journal.reader("one").confirm(batch)
        await put(journal, b"next")
        assert await attempt(journal) == 1
        await journal.close()

    go(work())


def test_a_mark_is_kept_with_each_cursor_and_only_rises(options: JournalOptions) -> None:
    async def reopened(mark: int | None = None) -> int:
        journal = await Journal.open(with_readers(options, "one"))
        reader = journal.reader("one")
        before = reader.marked
        if mark is not None:
            reader.mark = lambda: mark
        await put(journal, BODY)
        await reader.confirm(await take(reader))
        await journal.close()
        return before

    async def work() -> None:
        assert await reopened(7) == 0
        assert await reopened(3) == 7
        assert await reopened() == 7
        assert await reopened() == 7

    go(work())


def test_a_dead_tee_is_skipped_for_itself_alone_and_counted(options: JournalOptions) -> None:
    lag_bytes = 400_000

    async def work() -> None:
        journal = await Journal.open(with_readers(options, "main", tee=lag_bytes))
        main, tee = journal.reader("main"), journal.reader("tee")
        stuck = await _first(journal, tee)
        await deliver(main, 1)
        for n in range(2, 101):  # five times the budget of the journal
            await put(journal, BODY)
            assert await deliver(main, n) == [n]
            if tee.is_behind:
                await tee.skip(stuck)
                stuck = await take(tee)
        skipped = journal.status()["readers"]["tee"]["skipped"]
        first = stuck.records[0].sequence
        assert skipped["records"] == skipped["members"] == first - 1
        assert skipped["recent"][-1]["last_sequence"] == first - 1
        assert journal.status()["readers"]["main"]["skipped"]["records"] == 0
        await tee.confirm(stuck)
        rest = await deliver(tee, 100)
        assert [*(r.sequence for r in stuck.records), *rest] == list(range(first, 101))
        await journal.close()
        journal = await Journal.open(with_readers(options, "main", tee=lag_bytes))
        assert journal.status()["readers"]["tee"]["skipped"]["records"] == first - 1, "it is counted for good"
        await journal.close()

    go(work())


async def _first(journal: Journal, reader: Reader) -> Batch:
    await put(journal, BODY)
    return await take(reader)


def test_without_a_limit_a_reader_that_stands_still_makes_the_journal_refuse(options: JournalOptions) -> None:
    async def work() -> None:
        journal = await Journal.open(with_readers(options, "main", "required"))
        results = await asyncio.gather(*(put(journal, BODY) for _ in range(60)), return_exceptions=True)
        kept = sum(not isinstance(r, Refused) for r in results)
        await deliver(journal.reader("main"), kept)
        with pytest.raises(Refused, match="full"):
            await put(journal, BODY)
        await deliver(journal.reader("required"), kept)
        await put(journal, BODY)
        await journal.close()

    go(work())


@pytest.mark.parametrize(
    "name", ["clickhouse/eu", "../../etc/passwd", "..", ".", "", "a\0b", "é" * 300, "x.cursor", "journal", "lock"]
)
def test_no_name_of_a_reader_leads_out_of_the_folder_or_to_another_file(options: JournalOptions, name: str) -> None:
    async def work() -> None:
        journal = await Journal.open(with_readers(options, name))
        await put(journal, b"x")
        await deliver(journal.reader(name), 1)
        await journal.close()
        journal = await Journal.open(with_readers(options, name))
        assert journal.status()["backlog_records"] == 0
        await journal.close()

    go(work())
    path = path_of(options.directory, name)
    assert path.parent == options.directory
    assert json.loads(path.read_bytes().split(b" ", 2)[2])["reader"] == name
    assert sorted(_all_files(options.directory.parent)) == sorted(
        [path, *options.directory.glob("*.seg"), *(options.directory / n for n in ("journal", "lock", "reserve"))]
    )


def _all_files(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()]
