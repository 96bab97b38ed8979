"""P3: a power cut between the INSERT and its confirmation.

Injected: the power is cut on a simulated disk behind every system call; a database beside it keeps what it had answered
for, since its tables sync before they answer (`fsync_after_insert`, which migrations set and nothing turns off).
Holds: what the database does not have is still in the journal; what it had and was not confirmed comes again as the
same batch under the same token, and is stored once.
Figure: some 900 power cuts, 0 acknowledged requests lost, 0 stored twice.
"""

from __future__ import annotations

import asyncio
import shutil
from random import Random
from typing import TYPE_CHECKING

import pytest

from collector.journal import Journal
from tests.faults.journals import READER, append, small
from tests.journal.disk import Disk, SimFs, UnsyncedFs, put

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.journal import JournalOptions, Reader
    from tests.journal.disk import Image

Stored = dict[str, tuple[bytes, ...]]
"""Rows by token: a second insert under a token is ignored, as the database ignores it."""


async def work(options: JournalOptions, fs: SimFs, steps: int) -> None:
    random = Random(31)  # noqa: S311 - a run that can be repeated
    journal = await Journal.open(options, fs=fs)
    for n in range(steps):
        body = b"%d:" % n + random.randbytes(random.choice((10, 4_000)))
        await append(journal, body)
        fs.mark(("acked", body))
        if random.random() < 0.5:
            await deliver(journal.reader(READER), fs, stops=random.random() < 0.3)
    await journal.close()


async def deliver(reader: Reader, fs: SimFs, *, stops: bool) -> None:
    """Insert the next batch; `stops`: it is not confirmed, and comes again."""
    batch = await reader.next_batch()
    assert batch is not None
    fs.mark(("stored", batch.token, tuple(r.body for r in batch.records)))
    if not stops:
        await reader.confirm(batch)


async def replayed(options: JournalOptions, stored: Stored) -> Stored:
    """Start on what is left, and deliver all of it into the same database."""
    stored = dict(stored)
    journal = await Journal.open(options, fs=UnsyncedFs())
    journal.drain()
    reader = journal.reader(READER)
    while (batch := await reader.next_batch()) is not None:
        stored.setdefault(batch.token, tuple(r.body for r in batch.records))
        await reader.confirm(batch)
    await journal.close()
    return stored


def check(image: Image, folder: Path, acked: list[bytes], stored: Stored) -> None:
    target = folder / "b"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    put(image, folder / "a", target)
    after = asyncio.run(replayed(small(target, batch_records=4), stored))
    rows = [body for bodies in after.values() for body in bodies]
    assert not set(acked) - set(rows), "lost"
    assert len(rows) == len(set(rows)), "stored twice"


def cut(folder: Path, steps: int, seeds: tuple[int | None, ...]) -> int:
    fs = SimFs()
    asyncio.run(work(small(folder / "a", batch_records=4), fs, steps))
    disk, cuts = Disk(), 0
    acked: list[bytes] = []
    stored: Stored = {}
    for number, event in enumerate(fs.trace):
        disk.apply(event)
        match event.mark:
            case ("acked", bytes(body)):
                acked.append(body)
            case ("stored", str(token), tuple(bodies)):
                stored.setdefault(token, bodies)
        for seed in seeds:
            random = None if seed is None else Random(f"{seed}-{number}")  # noqa: S311 - as above
            check(disk.image(random), folder, acked, stored)
            cuts += 1
    return cuts


@pytest.mark.quick
def test_a_short_run(tmp_path: Path) -> None:
    assert cut(tmp_path, 6, (None,)) > 50


def test_what_was_stored_and_not_confirmed_is_stored_once(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("figure", f"{cut(tmp_path, 40, (None, 1))} power cuts, 0 lost, 0 twice")
