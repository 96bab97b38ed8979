"""D7: a journal that ends anywhere.

Injected: the last segment is cut off at every byte of its last three records and of its trailer.
Holds: a start delivers exactly the records that are whole, in order, and a second start the same; what is missing after
a clean stop is named as lost.
Figure: every one of 479 places.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from collector.journal import Journal
from collector.journal.layout import HEADER_BYTES, RECORD_BYTES
from tests.faults.journals import append, copy_of, deliver_all, drained, fill, small
from tests.journal.disk import UnsyncedFs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.journal import JournalOptions

BODIES = [b"first", b"second" * 5, b"third" * 20, b"fourth" * 20, b"fifth" * 20]
TENANT = "t"


def ends() -> list[int]:
    """Return where each record ends in the file."""
    at, found = HEADER_BYTES, []
    for body in BODIES:
        at += RECORD_BYTES + len(TENANT) + len(body)
        found.append(at)
    return found


def whole_before(cut: int) -> list[bytes]:
    return [body for body, end in zip(BODIES, ends(), strict=True) if end <= cut]


def truncate_at(folder: Path, cuts: range) -> int:
    source = small(folder / "a")
    asyncio.run(fill(source, BODIES))
    (name,) = [p.name for p in source.directory.glob("*.seg")]
    for cut in cuts:
        options = copy_of(source, folder / "b")
        path = options.directory / name
        path.write_bytes(path.read_bytes()[:cut])
        assert asyncio.run(deliver_all(options, keep=True)) == whole_before(cut), f"cut at byte {cut}"
        assert asyncio.run(deliver_all(options)) == whole_before(cut), f"cut at byte {cut}, second start"
    return len(cuts)


@pytest.mark.quick
def test_some_places(tmp_path: Path) -> None:
    truncate_at(tmp_path, range(ends()[1], ends()[-1] + 60, 23))


def test_every_place(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    count = truncate_at(tmp_path, range(ends()[1], ends()[-1] + 60))
    record_property("figure", f"cut at {count} places, every whole record delivered")


@pytest.mark.quick
def test_the_journal_goes_on_behind_the_cut(tmp_path: Path) -> None:
    source = small(tmp_path / "a")
    asyncio.run(fill(source, BODIES))
    (path,) = source.directory.glob("*.seg")
    path.write_bytes(path.read_bytes()[: ends()[-1] - 3])
    asyncio.run(fill(source, [b"after"]))
    assert asyncio.run(deliver_all(source)) == [*BODIES[:-1], b"after"]


async def next_sequence(options: JournalOptions) -> tuple[int, int]:
    """Return the sequence that comes next, and how many records are named as lost."""
    journal = await Journal.open(options, fs=UnsyncedFs())
    journal.drain()
    await drained(journal)
    found = journal.status()
    await journal.close()
    return found["next_sequence"], found["lost_records"]


async def killed(options: JournalOptions) -> None:
    journal = await Journal.open(options, fs=UnsyncedFs())
    for body in BODIES:
        await append(journal, body)
    journal._lock.release()
    journal._committer.shutdown()


@pytest.mark.quick
def test_a_sequence_that_was_cut_off_by_a_crash_is_given_again(tmp_path: Path) -> None:
    """It was never acknowledged, and what is behind it must be dense."""
    source = small(tmp_path / "a")
    asyncio.run(killed(source))
    (path,) = source.directory.glob("*.seg")
    path.write_bytes(path.read_bytes()[: ends()[-1] - 3])
    assert asyncio.run(next_sequence(source)) == (len(BODIES), 0)


@pytest.mark.quick
def test_what_is_cut_off_after_a_clean_stop_is_named_as_lost(tmp_path: Path) -> None:
    source = small(tmp_path / "a")
    asyncio.run(fill(source, BODIES))
    (path,) = source.directory.glob("*.seg")
    path.write_bytes(path.read_bytes()[: ends()[-1] - 3])
    assert asyncio.run(next_sequence(source)) == (len(BODIES) + 1, 1)
