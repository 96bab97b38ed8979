"""A replay from quarantine puts each record back once: wherever it is ended, however full the journal is."""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

import pytest

from collector.journal import Journal, JournalOptions, ReaderOptions, Record, requests
from collector.journal import progress as notes
from collector.journal.erase import erase_kept
from collector.journal.fs import Fs
from collector.journal.quarantine import Quarantine, find
from collector.journal.release import purge
from collector.ledger.outbox import Outbox
from schema.errors import ConfigError, Corrupt, Refused, Retryable
from schema.ledger import CRASHED, State
from tests.journal.conftest import FaultyFs
from tests.journal.disk import Disk, Event, SimFs, UnsyncedFs, put
from tests.journal.test_journal import go

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from collector.journal import Reader
    from collector.journal.quarantine import Kept
    from tests.journal.disk import Image

SEGMENT_BYTES = 80 << 10
BODY_BYTES = 8_000
READERS = ("main", "tee")


def small(directory: Path, **values: int) -> JournalOptions:
    """Return options of a journal in which a replay has room for some 25 requests."""
    return JournalOptions(
        directory,
        max_bytes=values.get("max_bytes", 6 * SEGMENT_BYTES),
        segment_bytes=SEGMENT_BYTES,
        group_linger_s=0,
        batch_linger_s=0,
        batch_records=7,
        readers=tuple(ReaderOptions(name) for name in READERS),
    )


def body(n: int) -> bytes:
    return b"%d:" % n + Random(n).randbytes(BODY_BYTES)  # noqa: S311 - the same each time


async def append(journal: Journal, *bodies: bytes) -> None:
    await asyncio.gather(
        *(journal.append("acme", "logs", b, encoding="protobuf", gzip=False, members=3) for b in bodies)
    )


async def set_aside(journal: Journal, count: int) -> None:
    """Put so many requests into one file of quarantine, as the reader `main` does with what it cannot store."""
    records: list[Record] = []
    while len(records) < count:
        batch = await journal.reader("main").next_batch()
        assert batch is not None
        records += list(batch.records)
        await journal.reader("main").confirm(batch)
    await journal.reader("main").quarantine(records, "it said no", word=CRASHED)
    await drain(journal.reader("tee"))


async def drain(reader: Reader, *, batches: int = 1 << 30) -> list[bytes]:
    """Return what a reader of a journal that drains is given, and confirm it."""
    found: list[bytes] = []
    while batches and (batch := await reader.next_batch()) is not None:
        found += [r.body for r in batch.records]
        await reader.confirm(batch)
        batches -= 1
    return found


async def opened(options: JournalOptions, fs: Fs | None = None) -> Journal:
    """Return a journal whose readers say when there is nothing more."""
    journal = await Journal.open(options, fs=fs or UnsyncedFs())
    journal.drain()
    return journal


def the_one(directory: Path) -> Kept:
    (kept,) = find(directory / "quarantine")
    return kept


def out_of_quarantine(directory: Path) -> int:
    """Return how many members the ledger is told to have left quarantine, each group once."""
    outbox = Outbox(directory)
    entries = [e for token in outbox.waiting() for e in outbox.entries(token) or ()]
    return -sum(e.count for e in entries if e.state is State.QUARANTINED)


# -- room ------------------------------------------------------------------------------------------------------------


def test_a_file_larger_than_the_room_is_replayed_in_steps_and_each_record_once(tmp_path: Path) -> None:
    async def work() -> None:
        directory = tmp_path / "journal"
        journal = await opened(small(directory))
        await append(journal, *map(body, range(20)))
        await set_aside(journal, 20)
        await append(journal, *map(body, range(100, 118)))
        key = the_one(directory).id
        with pytest.raises(Refused, match="still to be replayed") as refused:
            await journal.replay(key)
        assert refused.value.retry_after_s
        with pytest.raises(Refused):
            await journal.replay(key)  # once more: a segment that was delivered has gone since
        some = journal.next_sequence
        assert 39 < some < 59, "a part is in the journal"
        for _ in range(20):
            with pytest.raises(Refused):
                await journal.replay(key)
        assert journal.next_sequence == some, "nobody reads: nothing more goes in, however often it is asked"
        assert journal.used_bytes <= 0.5 * journal.options.max_bytes, "senders still have room"
        stored, tries = [], 0
        while find(directory / "quarantine"):
            stored += await drain(journal.reader("main"), batches=1)
            await drain(journal.reader("tee"))
            try:
                assert await journal.replay(key) == 20
            except Refused:
                tries += 1
                assert tries < 40
        stored += await drain(journal.reader("main"))
        assert Counter(stored) == Counter(map(body, [*range(20), *range(100, 118)]))
        assert journal.next_sequence == 59
        assert out_of_quarantine(directory) == 60
        assert list((directory / "quarantine").iterdir()) == []
        await append(journal, *map(body, range(3)))
        await drain(journal.reader("main"))
        await drain(journal.reader("tee"))
        assert len(journal.segments) == 1, "no segment is held any more"
        await journal.close()

    go(work())


def test_what_never_fits_is_refused_for_good(tmp_path: Path) -> None:
    async def work() -> None:
        directory = tmp_path / "journal"
        journal = await opened(small(directory))
        await append(journal, body(1))
        await set_aside(journal, 1)
        await journal.close()
        options = small(directory, max_bytes=280 << 10)  # half of it, without a segment and what surrounds a record
        journal = await opened(replace(options, segment_bytes=72 << 10))
        asked = requests.ask(Fs(), directory, "replay", id=the_one(directory).id)
        answer = await asyncio.to_thread(requests.wait, asked, 10)
        assert answer is not None
        assert not answer["ok"]
        assert "raise service.journal.max_bytes" in answer["message"]
        assert list((directory / "requests").iterdir()) == [], "nobody asks again and again"
        assert journal.next_sequence == 2
        await journal.close()

    go(work())


def test_what_is_half_replayed_is_purged_and_erased_by_halves(tmp_path: Path) -> None:
    async def work() -> tuple[Path, int]:
        directory = tmp_path / "journal"
        journal = await opened(small(directory))
        await append(journal, *map(body, range(20)))
        await set_aside(journal, 20)
        await append(journal, *map(body, range(100, 118)))
        with pytest.raises(Refused):
            await journal.replay(the_one(directory).id)
        await journal.close()
        return directory, journal.next_sequence - 39

    directory, replayed = go(work())
    assert 0 < replayed < 20
    kept = the_one(directory)
    copy = tmp_path / "copy"
    shutil.copytree(directory, copy)
    erased = erase_kept(Fs(), Quarantine(Fs(), copy, b""), lambda _: None, at_unix_ns=1)
    assert len(erased.dropped) == 20 - replayed, "what is in the journal is erased when it is delivered"
    assert list((copy / "quarantine").iterdir()) == []
    purge(Fs(), Quarantine(Fs(), directory, b""), kept)
    assert out_of_quarantine(directory) == 60
    assert list((directory / "quarantine").iterdir()) == []


def test_a_replay_under_way_is_neither_purged_nor_erased(tmp_path: Path) -> None:
    async def work() -> None:
        directory = tmp_path / "journal"
        journal = await opened(small(directory))
        await append(journal, body(1))
        await set_aside(journal, 1)
        kept, quarantine = the_one(directory), Quarantine(Fs(), directory, b"")
        notes.store(Fs(), quarantine.folder, kept.id, notes.Progress(None, (), (0,), 1))
        for attempt in (
            lambda: purge(Fs(), quarantine, kept),
            lambda: erase_kept(Fs(), quarantine, lambda _: None, at_unix_ns=1),
        ):
            with pytest.raises(ConfigError, match="is being replayed"):
                attempt()
        notes.path_of(quarantine.folder, kept.id).write_text("nonsense")
        with pytest.raises(Corrupt, match="without the note"):
            await journal.replay(kept.id)
        await journal.close()
        journal = await opened(small(directory))
        assert the_one(directory).id == kept.id, "a start leaves alone what it cannot read"
        await journal.close()

    go(work())


# -- disks that fail -------------------------------------------------------------------------------------------------


class FailsSegments(FaultyFs):
    """A disk that does not sync segments while told so."""

    ill = False

    def sync(self, fd: int) -> None:
        if self.ill and self.paths[fd].suffix == ".seg":
            raise OSError(errno.EIO, "ill")
        super().sync(fd)

    def truncate(self, fd: int, size_bytes: int) -> None:
        if self.ill and self.paths[fd].suffix == ".seg":
            raise OSError(errno.EIO, "ill")
        super().truncate(fd, size_bytes)


@pytest.mark.parametrize("restart", [False, True])
def test_a_sync_that_failed_leaves_each_record_once(tmp_path: Path, *, restart: bool) -> None:
    # What the sync refused is on the disk all the same: in the same life nobody reads it, after a restart it counts.
    async def work() -> list[bytes]:
        fs, directory = FailsSegments(), tmp_path / "journal"
        journal = await opened(small(directory), fs)
        await append(journal, body(1), body(2))
        await set_aside(journal, 2)
        key = the_one(directory).id
        fs.ill = True
        with pytest.raises(Refused, match="could not write"):
            await journal.replay(key)
        if restart:
            copy = tmp_path / "copy"
            shutil.copytree(directory, copy)
            await journal.close()
            directory = copy
            journal = await opened(small(directory))
            assert find(directory / "quarantine") == []
        else:
            fs.ill = False
            assert await journal.replay(key) == 2
        found = await drain(journal.reader("main"))
        await journal.close()
        assert out_of_quarantine(directory) == 6
        return found

    assert Counter(go(work())) == Counter([body(1), body(2)])


def test_a_ledger_that_cannot_be_written_holds_the_segments(tmp_path: Path) -> None:
    class Full(Fs):
        ill = False

        def write_file(self, path: Path, data: bytes) -> None:
            if self.ill and path.parent.name == "ledger":
                raise OSError(errno.ENOSPC, "full")
            super().write_file(path, data)

    async def work() -> None:
        fs, directory = Full(), tmp_path / "journal"
        journal = await opened(small(directory), fs)
        await append(journal, *map(body, range(9)))
        await set_aside(journal, 9)
        key = the_one(directory).id
        fs.ill = True
        with pytest.raises(Retryable, match="cannot be replayed"):
            await journal.replay(key)
        stored = await drain(journal.reader("main"))
        for n in range(20):
            await append(journal, body(100 + n))
            await drain(journal.reader("main"))
            await drain(journal.reader("tee"))
        fs.ill = False
        assert await journal.replay(key) == 9
        assert Counter(stored) == Counter(map(body, range(9)))
        assert await drain(journal.reader("main")) == [], "all was delivered, and it is still known to be there"
        assert out_of_quarantine(directory) == 27
        assert len(journal.segments) == 1
        await journal.close()

    go(work())


# -- kill -9 and power cuts ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class World:
    """What the database has, and what it must have in the end."""

    rows: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    """By token: a second insert under a token is ignored."""
    acked: list[bytes] = field(default_factory=list)

    def learn(self, mark: object) -> None:
        match mark:
            case ("acked", bytes(one)):
                self.acked.append(one)
            case ("stored", str(token), tuple(bodies)):
                self.rows.setdefault(token, bodies)


def traced(directory: Path) -> tuple[list[Event], int]:
    """Replay a file that takes several steps, delivering in between; return what was done to the disk.

    Returns also at which event the replay begins.
    """
    fs = SimFs()

    async def work() -> int:
        journal = await opened(small(directory), fs)
        await append(journal, *map(body, range(20)))
        await set_aside(journal, 20)
        for n in range(100, 118):
            await append(journal, body(n))
            fs.mark(("acked", body(n)))
        begin = len(fs.trace)
        key = the_one(directory).id
        for _ in range(40):
            try:
                await journal.replay(key)
                break
            except Refused:
                batch = await journal.reader("main").next_batch()
                assert batch is not None
                fs.mark(("stored", batch.token, tuple(r.body for r in batch.records)))
                await journal.reader("main").confirm(batch)
                await drain(journal.reader("tee"))
        assert find(directory / "quarantine") == []
        await drain(journal.reader("tee"))
        await journal.close()
        return begin

    return fs.trace, asyncio.run(work())


def ends(trace: Sequence[Event], begin: int, seeds: Sequence[int | str | None]) -> Iterator[tuple[str, Image, World]]:
    """Yield what an end leaves behind each call from `begin` on; a seed of "kill": the power stays."""
    disk, world = Disk(), World()
    for number, event in enumerate(trace):
        if number >= begin and event.do == "write" and "kill" in seeds:
            disk.apply(Event("write", event.file, event.offset, event.data[: len(event.data) // 2]))
            yield f"{number}: half a write", disk.written(), world
        disk.apply(event)
        world.learn(event.mark)
        if number < begin or event.do == "mark":
            continue
        for seed in seeds:
            if seed == "kill":
                yield f"{number}: {event.do}", disk.written(), world
            else:
                random = None if seed is None else Random(f"{seed}-{number}")  # noqa: S311 - as above
                yield f"{number}: {event.do}, {seed}", disk.image(random), world


async def go_on(directory: Path, world: World) -> list[bytes]:
    """Start on what is left, replay what is still in quarantine, deliver all; return every row that was ever stored."""
    rows = dict(world.rows)
    journal = await opened(small(directory, max_bytes=64 * SEGMENT_BYTES))
    for kept in find(directory / "quarantine"):
        if kept.kind == "records":
            await journal.replay(kept.id)
    reader = journal.reader("main")
    while (batch := await reader.next_batch()) is not None:
        rows.setdefault(batch.token, tuple(r.body for r in batch.records))
        await reader.confirm(batch)
    tee = await drain(journal.reader("tee"))
    assert not {body(n) for n in range(20)} & set(tee), "another reader gets nothing of it"
    await journal.close()
    return [one for bodies in rows.values() for one in bodies]


def hold(tmp_path: Path, seeds: Sequence[int | str | None], *, every: int = 1) -> int:
    """Start on what each end leaves, or every so many of them; return how many that were."""
    source, target = tmp_path / "a", tmp_path / "b"
    trace, begin = traced(source / "journal")
    count = 0
    for what, image, world in islice(ends(trace, begin, seeds), 0, None, every):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        put(image, source, target)
        stored = Counter(asyncio.run(go_on(target / "journal", world)))
        assert stored == Counter([*map(body, range(20)), *world.acked]), what
        assert out_of_quarantine(target / "journal") == 60, what
        left = {p.name for p in (target / "journal" / "quarantine").iterdir()}
        assert not {name for name in left if not name.endswith((".bad", ".bad.json"))}, what
        count += 1
    return count


@pytest.mark.parametrize("seed", ["kill", None])
def test_no_end_within_a_replay_makes_it_twice(tmp_path: Path, seed: str | None) -> None:
    assert hold(tmp_path, [seed], every=7) > 7
