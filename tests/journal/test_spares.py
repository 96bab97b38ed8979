"""Segments that are written over: nothing of their first life is ever read again, whatever cuts the second short."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.journal import Journal, JournalOptions
from collector.journal.layout import RECORD_BYTES, RawRecord, pack_segment, seed
from collector.journal.records import Records
from collector.journal.scan import Tail, Window, scan
from collector.journal.spares import MOST, Spares
from tests.journal.conftest import READER, SEGMENT_BYTES, FaultyFs
from tests.journal.test_journal import bodies_left, go, put, take
from tests.journal.test_layout import ID, BytesFs, read

if TYPE_CHECKING:
    from pathlib import Path

    from collector.journal.record import Record

BODY_BYTES = 50_000
"""Five to a segment."""


def body(n: int) -> bytes:
    return b"%d:" % n + bytes((n % 251,)) * BODY_BYTES


async def turn_over(journal: Journal, first: int, last: int) -> None:
    """Append and deliver, so that segments go round."""
    for n in range(first, last):
        assert await put(journal, body(n)) == [n]
        batch = await take(journal)
        assert [r.body for r in batch.records] == [body(n)]
        await journal.reader(READER).confirm(batch)


def kill(journal: Journal) -> None:
    """Leave everything as a process does that is killed."""
    journal._lock.release()
    journal._committer.shutdown()


def test_delivered_segments_are_written_over(options: JournalOptions) -> None:
    async def work() -> None:
        created: list[Path] = []

        class CountingFs(FaultyFs):
            def create(self, path: Path, size_bytes: int) -> int:
                created.append(path)
                return super().create(path, size_bytes)

        journal = await Journal.open(options, fs=CountingFs())
        await turn_over(journal, 1, 60)
        segments = journal.status()["segments"]
        assert len(created) <= MOST + segments
        assert len(list(options.directory.glob("*.spare"))) <= MOST
        assert all(p.stat().st_size == SEGMENT_BYTES for p in options.directory.glob("*.s*"))
        await journal.close()

    go(work())


@pytest.mark.parametrize("n_behind", range(1, 8))
def test_a_killed_process_leaves_only_what_it_wrote_last(options: JournalOptions, n_behind: int) -> None:
    """Records are as long as those before them in the same file: the old ones begin where the new ones end."""

    async def work() -> None:
        journal = await Journal.open(options)
        await turn_over(journal, 1, 30)
        await put(journal, *(body(n) for n in range(30, 30 + n_behind)))
        kill(journal)

    go(work())
    assert go(bodies_left(options)) == [body(n) for n in range(30, 30 + n_behind)]
    assert not (options.directory / "quarantine").exists()


@pytest.mark.parametrize("n_behind", [1, 4, 6])
def test_a_power_cut_leaves_only_what_was_synced_last(options: JournalOptions, fs: FaultyFs, n_behind: int) -> None:
    async def work() -> None:
        journal = await Journal.open(options, fs=fs)
        await turn_over(journal, 1, 30)
        await put(journal, *(body(n) for n in range(30, 30 + n_behind)))
        kill(journal)

    go(work())
    fs.cut_power(options.directory)
    assert go(bodies_left(options)) == [body(n) for n in range(30, 30 + n_behind)]
    assert not (options.directory / "quarantine").exists()


@pytest.mark.parametrize("kept_bytes", [0, 1, RECORD_BYTES - 1, RECORD_BYTES, 4096, 30_000])
def test_a_write_that_was_torn_leaves_the_records_before_it_and_none_of_the_old(
    options: JournalOptions, kept_bytes: int
) -> None:
    """Of the last record, and of the zeros behind it, only the beginning reached the disk; the rest is as it was."""

    async def work() -> tuple[Path, bytes]:
        journal = await Journal.open(options)
        await turn_over(journal, 1, 31)
        await put(journal, body(31))
        before = journal._durable.segments[-1].path.read_bytes()
        await put(journal, body(32))
        kill(journal)
        return journal._durable.segments[-1].path, before

    path, before = go(work())
    now = path.read_bytes()
    start = now.index(b"32:") - RECORD_BYTES - len("default")
    assert before[start : start + RECORD_BYTES] == bytes(RECORD_BYTES), "the end of the first was marked"
    path.write_bytes(now[: start + kept_bytes] + before[start + kept_bytes :])
    assert go(bodies_left(options)) == [body(31)]
    kept = sum(p.stat().st_size for p in options.directory.glob("quarantine/*.bad"))
    assert kept <= len(now), "the record that was torn, and not what the file held before"
    if kept_bytes >= RECORD_BYTES:
        assert kept == RECORD_BYTES + len("default") + len(body(32))


def test_where_not_even_a_header_can_be_read_a_bounded_stretch_is_kept(
    options: JournalOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.journal.seal.MOST_TORN_BYTES", 1000)

    async def work() -> Path:
        journal = await Journal.open(options)
        await turn_over(journal, 1, 31)
        await put(journal, body(31))
        kill(journal)
        return journal._durable.segments[-1].path

    path = go(work())
    data = path.read_bytes()
    end = data.index(b"31:") + len(body(31))
    path.write_bytes(data[:end] + b"\xff" * RECORD_BYTES + data[end + RECORD_BYTES :])
    assert go(bodies_left(options)) == [body(31)]
    (bad,) = options.directory.glob("quarantine/*.bad")
    assert RECORD_BYTES <= bad.stat().st_size <= 1000


@pytest.mark.parametrize("operation", ["replace", "sync_directory", "sync", "write"])
def test_a_disk_that_fails_while_a_segment_is_written_over_loses_nothing(
    options: JournalOptions, fs: FaultyFs, operation: str
) -> None:
    async def work() -> None:
        journal = await Journal.open(options, fs=fs)
        await turn_over(journal, 1, 30)
        n = 30
        for _ in range(6):  # one of them needs a new segment
            fs.failing[operation] = errno.EIO
            results = await asyncio.gather(put(journal, body(n)), return_exceptions=True)
            fs.failing.clear()
            kept.extend([body(n)] if isinstance(results[0], list) else [])
            n += 1
            await put(journal, body(n))
            kept.append(body(n))
            n += 1
        kill(journal)

    kept: list[bytes] = []
    go(work())
    fs.cut_power(options.directory)
    assert go(bodies_left(options)) == kept


def test_what_an_earlier_process_left_is_used_and_what_does_not_fit_removed(options: JournalOptions) -> None:
    options.directory.mkdir()
    for number, size in ((1, SEGMENT_BYTES), (2, SEGMENT_BYTES + 1), (3, SEGMENT_BYTES), (4, SEGMENT_BYTES)):
        (options.directory / f"{number:016d}.spare").write_bytes(bytes(size))
    spares = Spares(FaultyFs(), options.directory, SEGMENT_BYTES)
    spares.find()
    names = [path.name if (path := spares.take()) else None for _ in range(3)]
    assert names == ["0000000000000001.spare", "0000000000000003.spare", None]
    assert len(list(options.directory.iterdir())) == 2


@given(data=st.data(), marked=st.booleans())
def test_old_records_never_pass_for_new_ones(data: st.DataObject, *, marked: bool) -> None:
    """Also where the zeros that end the new ones are missing, and an old record begins exactly there."""
    sizes = st.lists(st.sampled_from([0, 5, 40]), min_size=1, max_size=6)
    old_sizes, new_sizes = data.draw(sizes), data.draw(sizes)
    old = [_record(1 + i, size, 1) for i, size in enumerate(old_sizes)]
    # Sequences that only the checksum tells apart: as if the old ones were of a later life.
    first = data.draw(st.sampled_from([1, len(old) + 1]))
    new = [_record(first + i, size, 2) for i, size in enumerate(new_sizes)]
    written = pack_segment(ID, 4, 1, new)
    end = len(written) - RECORD_BYTES - 12  # without the trailer
    behind = bytes(RECORD_BYTES) if marked else b""
    whole = written[:end] + behind + pack_segment(ID, 3, 1, old)[end + len(behind) :]
    items = read(whole, segment=4, sequence=first)
    assert [i.request() for i in items if isinstance(i, RawRecord)] == new
    assert isinstance(items[-1], Tail)
    assert items[-1].offset == end
    if marked:
        assert items[-1].how in {"zeros", "bound"}


def _record(sequence: int, size: int, life: int) -> Record:
    from tests.journal.conftest import record  # noqa: PLC0415 - the name is taken here

    return record(sequence, bytes((life,)) * size)


def test_a_batch_lies_in_one_buffer_and_bodies_are_not_copied() -> None:
    records = [_record(1 + i, 100 * i, 1) for i in range(5)]
    data = pack_segment(ID, 3, 1, records)
    window = Window(BytesFs(data), 0, len(data), 1 << 20)
    found = [i for i in scan(window, seed=seed(ID, 3), sequence=1) if isinstance(i, RawRecord)]
    batch = Records(found)
    assert list(batch) == records
    stretch = batch.stretch()
    assert stretch is not None
    buffer, starts, ends = stretch
    assert buffer is window.data
    assert [buffer[s:e] for s, e in zip(starts, ends, strict=True)] == [r.body for r in records]
    assert batch.body_bytes == sum(len(r.body) for r in records)
    other = Records([found[0], found[1]._replace(flags=found[1].flags | 1 << 3)])
    assert other.stretch() is None, "gzip must be inflated first"
    assert batch[1:] == Records(found[1:])
    assert batch.are_logs() == [False] * 5


@pytest.mark.parametrize("at_most_bytes", [1, 100, 1000, 70_000, 1 << 20])
def test_a_window_that_reads_once_says_where_to_go_on(at_most_bytes: int) -> None:
    records = [_record(1 + i, (i * 7919) % 50_000, 1) for i in range(12)]
    data = pack_segment(ID, 3, 1, records)
    found: list[RawRecord] = []
    offset, reads = 64, 0
    while True:
        window = Window(BytesFs(data), 0, len(data), at_most_bytes)
        *taken, tail = scan(window, seed=seed(ID, 3), sequence=len(found) + 1, offset=offset)
        assert all(isinstance(i, RawRecord) and i.source is taken[0].source for i in taken)  # type: ignore[union-attr]
        found += [i for i in taken if isinstance(i, RawRecord)]
        assert isinstance(tail, Tail)
        offset, reads = tail.offset, reads + 1
        if tail.how != "window":
            break
        assert taken, "one record at least"
    assert [r.request() for r in found] == records
    assert (reads == 1) == (at_most_bytes == 1 << 20)


def test_a_batch_ends_with_a_segment_of_which_it_has_half_of_its_bytes(options: JournalOptions) -> None:
    async def work(batch_bytes: int) -> list[int]:
        journal = await Journal.open(replace(options, batch_bytes=batch_bytes))
        await put(journal, *(body(n) for n in range(1, 9)))
        journal.drain()
        sizes = []
        while (batch := await journal.reader(READER).next_batch()) is not None:
            sizes.append(len(batch.records))
            await journal.reader(READER).confirm(batch)
        await journal.close()
        return sizes

    assert go(work(8 * BODY_BYTES)) == [5, 3]
    assert go(work(20 * BODY_BYTES)) == [8]
