"""What the journal still holds is known after a restart."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from collector.journal import Journal, JournalOptions
from collector.journal.fs import Fs
from collector.journal.options import ReaderOptions
from collector.journal.segment import Segment
from collector.recent import MAX_BYTES, _newest, recent_requests

if TYPE_CHECKING:
    from pathlib import Path

S = 1_000_000_000
NOW = 1_790_000_000 * S


def test_requests_of_the_window_are_found_whole_and_others_are_not(tmp_path: Path) -> None:
    async def work() -> None:
        clock = [NOW]
        options = JournalOptions(tmp_path, 8 << 20, segment_bytes=1 << 20, readers=(ReaderOptions("db"),))
        journal = await Journal.open(options, now_unix_ns=lambda: clock[0])
        for n in range(6):
            clock[0] = NOW + n * 100 * S
            await journal.append(f"t{n}", "logs", bytes([n]) * 99, encoding="json", gzip=False, members=n)
        batch = await journal.reader("db").next_batch()
        assert batch is not None
        await journal.reader("db").confirm(batch)  # delivered is no reason to forget
        await journal.close()

        journal = await Journal.open(options, now_unix_ns=lambda: clock[0])
        found = list(recent_requests(journal, 250, now_unix_ns=lambda: clock[0]))
        assert [(r.tenant, r.signal, r.encoding, r.members) for r in found] == [
            (f"t{n}", "logs", "json", n) for n in (3, 4, 5)
        ]
        assert found[0].body == bytes([3]) * 99
        assert list(recent_requests(journal, 250, now_unix_ns=lambda: NOW - 1)) == [], "the clock was set back"
        await journal.close()

    asyncio.run(work())


def test_a_disk_that_cannot_be_read_costs_the_memory_not_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Fs):
        def open(self, path: Path, *, writable: bool = False) -> int:  # noqa: ARG002 - as it is given
            raise OSError(5, "Input/output error")

    async def work() -> None:
        journal = await Journal.open(
            JournalOptions(tmp_path, 8 << 20, segment_bytes=1 << 20, readers=(ReaderOptions("db"),))
        )
        await journal.append("t", "logs", b"x", encoding="json", gzip=False, members=1)
        assert list(recent_requests(journal, 250, fs=Broken())) == []
        await journal.close()

    asyncio.run(work())
    assert "cannot be read for what was received lately" in caplog.text


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        ([], 0),
        ([1], 1),
        ([MAX_BYTES * 2], 1),
        ([1, 1, MAX_BYTES - 2], 3),
        ([1, 2, MAX_BYTES - 2], 2),
        ([5, MAX_BYTES], 1),
    ],
)
def test_only_the_newest_segments_are_read(tmp_path: Path, sizes: list[int], kept: int) -> None:
    segments = tuple(Segment(tmp_path / str(n), n, n, size) for n, size in enumerate(sizes))
    assert _newest(segments) == segments[len(segments) - kept :]
