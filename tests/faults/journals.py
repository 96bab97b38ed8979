"""Small journals for the fault tests that need no process."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from collector.journal import Journal, JournalOptions
from tests.journal.disk import UnsyncedFs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from collector.journal.fs import Fs

READER = "delivery"
SEGMENT_BYTES = 128 << 10


def small(folder: Path, **values: float | bool) -> JournalOptions:
    """Return options for a journal in a folder, without waiting for company."""
    options = JournalOptions(
        folder / "journal",
        max_bytes=64 * SEGMENT_BYTES,
        segment_bytes=SEGMENT_BYTES,
        group_linger_s=0,
        batch_linger_s=0,
    )
    return replace(options, **values)  # type: ignore[arg-type]  # mypy cannot tell which key has which type


def copy_of(options: JournalOptions, folder: Path) -> JournalOptions:
    """Return the options of a copy of a whole journal, in another folder that is emptied before."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(options.directory, folder / "journal")
    return replace(options, directory=folder / "journal")


async def fill(options: JournalOptions, bodies: Sequence[bytes], fs: Fs | None = None) -> None:
    """Open, append one after another, close."""
    journal = await Journal.open(options, fs=fs or UnsyncedFs())
    for body in bodies:
        await append(journal, body)
    await journal.close()


async def append(journal: Journal, body: bytes, tenant: str = "t") -> int:
    """Append one request of one span."""
    return await journal.append(tenant, "traces", body, encoding="protobuf", gzip=False, members=1)


async def deliver_all(options: JournalOptions, fs: Fs | None = None, *, keep: bool = False) -> list[bytes]:
    """Open, return what there is to deliver, and confirm it unless told to `keep` it; close."""
    journal = await Journal.open(options, fs=fs or UnsyncedFs())
    journal.drain()
    found = await drained(journal, keep=keep)
    await journal.close()
    return found


async def drained(journal: Journal, *, keep: bool = False) -> list[bytes]:
    """Return what a journal that drains has to deliver; the first batch alone where it is kept."""
    reader = journal.reader(READER)
    found: list[bytes] = []
    while (batch := await reader.next_batch()) is not None:
        found += [r.body for r in batch.records]
        if keep:
            break
        await reader.confirm(batch)
    return found
