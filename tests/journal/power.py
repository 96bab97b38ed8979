"""A journal at work on a disk that forgets, and what must hold wherever its power is cut.

The oracle is what the outside knows at that moment: which requests were acknowledged, which batches were confirmed by
which reader, what was put into quarantine. A start on what the disk kept must deliver to each reader

    every acknowledged request that it had not begun to confirm, byte for byte, in order, once
    nothing that it had confirmed, and nothing that was never sent

and must find in quarantine whole what was put there before it was confirmed.
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

from collector.journal import Journal, JournalOptions, ReaderOptions
from collector.journal.quarantine import FOLDER, find, read_records
from tests.journal.disk import Disk, Event, SimFs, UnsyncedFs, put

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.journal import Reader, Record
    from tests.journal.disk import Image

READERS = ("main", "tee")
SEGMENT_BYTES = 80 << 10
"""A little more than what a journal keeps free for the longest name of a tenant."""


def options_of(directory: Path) -> JournalOptions:
    """Return options that make for many segments."""
    return JournalOptions(
        directory,
        max_bytes=64 * SEGMENT_BYTES,
        segment_bytes=SEGMENT_BYTES,
        group_linger_s=0,
        batch_linger_s=0,
        batch_records=5,
        readers=tuple(ReaderOptions(name) for name in READERS),
    )


@dataclass(slots=True)
class Known:
    """What the outside knows."""

    sent: set[bytes] = field(default_factory=set)
    acked: dict[int, bytes] = field(default_factory=dict)
    confirming: dict[str, int] = field(default_factory=lambda: dict.fromkeys(READERS, 0))
    """By reader: the last sequence of the batch whose confirmation had begun."""
    confirmed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(READERS, 0))
    aside: set[int] = field(default_factory=set)
    """Sequences in quarantine."""
    version: int = 0
    """Another where something was learnt."""

    def learn(self, mark: object) -> None:
        """Take one mark of a trace."""
        self.version += mark is not None
        match mark:
            case ("sent", bytes(body)):
                self.sent.add(body)
            case ("acked", int(sequence), bytes(body)):
                self.acked[sequence] = body
            case ("confirming", str(reader), int(last)):
                self.confirming[reader] = last
            case ("confirmed", str(reader), int(last)):
                self.confirmed[reader] = last
            case ("aside", int(sequence)):
                self.aside.add(sequence)


class Lost(AssertionError):
    """The promise was broken."""


def traced(fs: SimFs, directory: Path, *, seed: int, steps: int) -> list[Event]:
    """Let a journal work for some steps; return what it did to the disk, with marks of what the outside knew."""
    asyncio.run(_work(fs, directory, Random(seed), steps))  # noqa: S311 - a run that can be repeated
    return fs.trace


async def _work(fs: SimFs, directory: Path, random: Random, steps: int) -> None:
    options = options_of(directory)
    journal = await Journal.open(options, fs=fs)
    count = 0
    for _ in range(steps):
        bodies = []
        for _ in range(random.randrange(1, 4)):
            count += 1
            bodies.append(b"%d:" % count + random.randbytes(random.choice((0, 40, 3_000, 9_000))))
        await asyncio.gather(*(_append(journal, fs, body) for body in bodies))
        await _deliver(journal.reader("main"), fs, random)
        if random.random() < 0.2:
            for _ in range(12):
                await _deliver(journal.reader("tee"), fs, random)
        if random.random() < 0.1:
            await journal.close()
            journal = await Journal.open(options, fs=fs)
        elif random.random() < 0.05:
            await journal.scrub()
    await journal.close()


async def _append(journal: Journal, fs: SimFs, body: bytes) -> None:
    fs.mark(("sent", body))
    sequence = await journal.append("t", "traces", body, encoding="protobuf", gzip=False, members=1)
    fs.mark(("acked", sequence, body))


async def _deliver(reader: Reader, fs: SimFs, random: Random) -> None:
    if not reader.status()["backlog_records"]:
        return
    batch = await reader.next_batch()
    assert batch is not None
    if random.random() < 0.3:
        return  # it stays under way, and is handed out again
    last = batch.records[-1].sequence
    if random.random() < 0.2:
        await reader.quarantine(batch.records[:1], "poison")
        fs.mark(("aside", batch.records[0].sequence))
    fs.mark(("confirming", reader.options.name, last))
    await reader.confirm(batch)
    fs.mark(("confirmed", reader.options.name, last))


def kills(trace: list[Event], about: tuple[str, ...]) -> Iterator[tuple[str, Image, Known]]:
    """Yield what kill -9 leaves behind each system call on files of some endings, and in the middle of each write.

    What was written stays, synced or not. The name says what the last call was.
    """
    disk, known = Disk(), Known()
    paths: dict[int, str] = {}
    for event in trace:
        if event.path is not None and event.do == "name":
            paths[event.file] = event.path.name
        name = event.path.name if event.path is not None else paths.get(event.file, "")
        if event.do == "write" and name.endswith(about):
            half = Event("write", event.file, event.offset, event.data[: len(event.data) // 2])
            disk.apply(half)
            yield f"write half of {name}", disk.written(), known
        disk.apply(event)
        known.learn(event.mark)
        if event.do != "mark" and (name.endswith(about) or event.do == "sync_directory"):
            yield f"{event.do} {name}", disk.written(), known


def crashes(
    trace: list[Event], *, every: int = 1, seeds: tuple[int | None, ...] = (None,)
) -> Iterator[tuple[int, Image, Known]]:
    """Yield what a power cut leaves behind every so many system calls, and what was known then.

    A seed of None: nothing that was not synced is left.
    """
    disk, known = Disk(), Known()
    for number, event in enumerate(trace):
        disk.apply(event)
        known.learn(event.mark)
        if event.do != "mark" and number % every == 0:
            for seed in seeds:
                random = None if seed is None else Random(f"{seed}-{number}")  # noqa: S311 - as above
                yield number, disk.image(random), known


def check(image: Image, known: Known, source: Path, target: Path) -> int:
    """Start on what is left, and hold it to the promise; return how many requests were still to be delivered.

    Raises:
        Lost: it is broken.

    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    put(image, source, target)
    directory = target / "journal"
    delivered = asyncio.run(_deliver_all(directory))
    for reader, found in delivered.items():
        owed = {s: b for s, b in known.acked.items() if s > known.confirming[reader]}
        missing = sorted(owed.keys() - found.keys())
        if missing:
            raise Lost(f"{reader} never gets {len(missing)} acknowledged requests: {missing[:5]}")
        if wrong := sorted(s for s, b in owed.items() if found[s] != b):
            raise Lost(f"{reader} gets other bytes than were sent: {wrong[:5]}")
        if again := sorted(s for s in found if s <= known.confirmed[reader]):
            raise Lost(f"{reader} gets again what it had confirmed: {again[:5]}")
        if forged := sorted(s for s, b in found.items() if b not in known.sent):
            raise Lost(f"{reader} gets what nobody sent: {forged[:5]}")
    kept = {r.sequence for k in find(directory / FOLDER) if k.path and k.kind == "records" for r in _read(k.path)}
    if gone := sorted(known.aside - kept):
        raise Lost(f"{gone} are in quarantine no more")
    return sum(map(len, delivered.values()))


def _read(path: Path) -> list[Record]:
    return read_records(UnsyncedFs(), path)


async def _deliver_all(directory: Path) -> dict[str, dict[int, bytes]]:
    journal = await Journal.open(options_of(directory), fs=UnsyncedFs())
    journal.drain()
    delivered: dict[str, dict[int, bytes]] = {}
    for name in READERS:
        found: dict[int, bytes] = {}
        reader = journal.reader(name)
        while (batch := await reader.next_batch()) is not None:
            found |= {r.sequence: r.body for r in batch.records}
            await reader.confirm(batch)
        if any(b <= a for a, b in pairwise(found)):
            raise Lost(f"{name} gets requests out of order")
        delivered[name] = found
    await journal.close()
    return delivered
