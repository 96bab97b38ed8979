"""D5: a page of the disk that cannot be read.

Injected: reads of one 4 KiB page give EIO for ever, or for two tries; or one bit of it is read as another.
Holds: a fault that passes costs nothing but time; one that stays costs the records in that page: they are named and set
aside, the others are delivered byte for byte.
Figure: each of 31 pages of a segment, of 60 records 2 lost at most.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING

import pytest

from collector.journal import Journal
from schema.errors import Retryable
from tests.faults.journals import READER, copy_of, fill, small
from tests.journal.disk import UnsyncedFs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.journal import JournalOptions

PAGE_BYTES = 4096
BODIES = [b"%d:" % n + bytes(1_900) for n in range(60)]


class BadPageFs(UnsyncedFs):
    """Cannot read one page of segments, or reads one bit of it wrong; for so many tries, then it can."""

    def __init__(self, page: int, tries: int | None, *, flips: bool = False) -> None:
        self.start = page * PAGE_BYTES
        self.tries = tries
        self.flips = flips
        self.segments: set[int] = set()

    def open(self, path: Path, *, writable: bool = False) -> int:
        fd = super().open(path, writable=writable)
        (self.segments.add if path.suffix == ".seg" and "quarantine" not in path.parts else self.segments.discard)(fd)
        return fd

    def read(self, fd: int, length: int, offset: int) -> bytes:
        inside = fd in self.segments and offset < self.start + PAGE_BYTES and offset + length > self.start
        if not inside or self.tries == 0:
            return super().read(fd, length, offset)
        if self.tries is not None:
            self.tries -= 1
        if not self.flips:
            raise OSError(errno.EIO, "Input/output error")
        data = bytearray(super().read(fd, length, offset))
        at = self.start + PAGE_BYTES // 2 - offset
        if 0 <= at < len(data):
            data[at] ^= 8
        return bytes(data)


async def deliver(options: JournalOptions, make_fs: Callable[[], BadPageFs]) -> tuple[list[bytes], int, int]:
    """Return what is delivered, how often the reader had to try again, and how many records are named as lost."""
    journal = await Journal.open(options, fs=UnsyncedFs())
    fs = make_fs()
    reader = journal.reader(READER)
    reader._cutter._fs = fs
    journal.drain()
    found: list[bytes] = []
    again = 0
    while True:
        try:
            batch = await reader.next_batch()
        except Retryable:
            again += 1
            assert again < 50
            continue
        if batch is None:
            break
        found += [r.body for r in batch.records]
        await reader.confirm(batch)
    lost = journal.status()["lost_records"]
    await journal.close()
    return found, again, lost


@pytest.mark.quick
def test_a_fault_that_passes_costs_nothing(tmp_path: Path) -> None:
    source = small(tmp_path / "a")
    asyncio.run(fill(source, BODIES))
    found, again, lost = asyncio.run(deliver(source, lambda: BadPageFs(5, 2)))
    assert (found, again, lost) == (BODIES, 2, 0)


@pytest.mark.quick
@pytest.mark.parametrize("flips", [False, True], ids=["EIO", "bit"])
def test_a_fault_that_stays_costs_what_is_in_the_page(
    tmp_path: Path, *, flips: bool, record_property: Callable[[str, object], None]
) -> None:
    source = small(tmp_path / "a", batch_records=20)
    asyncio.run(fill(source, BODIES))
    (path,) = source.directory.glob("*.seg")
    pages, worst = range(1, path.stat().st_size // PAGE_BYTES - 1), 0
    for page in pages:
        options = copy_of(source, tmp_path / "b")
        found, _, lost = asyncio.run(deliver(options, lambda page=page: BadPageFs(page, None, flips=flips)))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        missing = len(BODIES) - len(found)
        assert found == [b for b in BODIES if b in found], "in order, byte for byte"
        assert lost == missing
        assert missing <= 4, f"page {page}: no record is larger than half a page"
        assert missing == len(list(options.directory.glob("quarantine/*.lost.json"))) or lost > 0
        worst = max(worst, missing)
    record_property("figure", f"{len(pages)} pages, {worst} of {len(BODIES)} records lost at most, each named")
