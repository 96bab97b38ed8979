"""D2: the disk is full for everything but records.

Injected: no space for cursors, for quarantine and its notes, for the head; the log of the process goes to a device that
is full.
Holds: requests are acknowledged on, within the segment that is there; a batch that cannot be confirmed or set aside is
tried again, not lost and not delivered out of order; when space returns all of it is delivered once.
Figure: 40 requests acknowledged meanwhile, 0 lost, 0 twice.
"""

from __future__ import annotations

import asyncio
import errno
import json
from typing import TYPE_CHECKING

import pytest

from collector.journal import Journal
from collector.journal.quarantine import FOLDER, find, read_records
from schema.errors import Retryable
from tests.faults.harness import Producer, conserve
from tests.faults.journals import READER, append, deliver_all, drained, small
from tests.journal.disk import UnsyncedFs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.harness import Launch

BODIES = [b"%d" % n for n in range(40)]


class NoSmallFilesFs(UnsyncedFs):
    """Has no space for files that are written whole, while `full` is set."""

    def __init__(self) -> None:
        self.full = False

    def write_file(self, path: Path, data: bytes) -> None:
        if self.full:
            path.with_name(path.name + ".tmp").write_bytes(data[:3])
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write_file(path, data)


@pytest.mark.quick
def test_cursors_and_quarantine_wait_for_space_and_requests_do_not(tmp_path: Path) -> None:
    fs, options = NoSmallFilesFs(), small(tmp_path, batch_records=5)

    async def work() -> list[bytes]:
        journal = await Journal.open(options, fs=fs)
        reader = journal.reader(READER)
        await append(journal, b"first")
        batch = await reader.next_batch()
        assert batch is not None
        fs.full = True
        for body in BODIES:
            await append(journal, body)
        for _ in range(3):
            with pytest.raises(Retryable):
                await reader.confirm(batch)
            with pytest.raises(Retryable):
                await reader.quarantine(batch.records, "poison")
        assert journal.status()["backlog_records"] == len(BODIES) + 1
        fs.full = False
        await reader.quarantine(batch.records, "poison")
        await reader.confirm(batch)
        journal.drain()
        found = await drained(journal)
        await journal.close()
        return found

    assert asyncio.run(work()) == BODIES
    (kept,) = find(options.directory / FOLDER)
    assert kept.path is not None
    assert [r.body for r in read_records(fs, kept.path)] == [b"first"]
    assert asyncio.run(deliver_all(options)) == []


@pytest.mark.quick
def test_a_cursor_that_was_cut_short_by_a_full_disk_is_not_read(tmp_path: Path) -> None:
    fs, options = NoSmallFilesFs(), small(tmp_path)

    async def killed() -> None:
        journal = await Journal.open(options, fs=fs)
        await append(journal, b"x")
        fs.full = True
        with pytest.raises(Retryable):
            await journal.reader(READER).next_batch()
        journal._lock.release()
        journal._committer.shutdown()

    asyncio.run(killed())
    assert json.loads((options.directory / f"{READER}.cursor").read_bytes().split(b" ", 2)[2])["next"] == 1
    assert asyncio.run(deliver_all(options)) == [b"x"]


def test_a_log_that_cannot_be_written_stops_nothing(launch: Launch) -> None:
    collector = launch(wrap=["sh", "-c", 'exec "$@" 2>/dev/full', "sh"]).start()
    with Producer(collector) as producer:
        producer.until_acked(20)
    conserve(collector, producer)
    assert collector.terminate() == 0
