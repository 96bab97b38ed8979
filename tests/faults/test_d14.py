"""D14: no more files can be opened.

Injected: the limit of open files is lowered to what is open while requests come, and raised again; a journal that can
open none at all.
Holds: what is open goes on being served, or is refused with a delay; the process does not end; when files can be opened
again everything goes on, and every acknowledged request is stored once.
Figure: see the run.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
from typing import TYPE_CHECKING

import pytest

from collector.journal import Journal
from schema.errors import Reason, Refused, Retryable
from tests.faults.harness import Producer, conserve
from tests.faults.journals import READER, append, deliver_all, small
from tests.journal.disk import UnsyncedFs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.harness import Launch

BODY = bytes(50_000)


class NoFilesFs(UnsyncedFs):
    """Opens nothing while `exhausted` is set."""

    def __init__(self) -> None:
        self.exhausted = False

    def _open(self) -> None:
        if self.exhausted:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def create(self, path: Path, size_bytes: int) -> int:
        self._open()
        return super().create(path, size_bytes)

    def open(self, path: Path, *, writable: bool = False) -> int:
        self._open()
        return super().open(path, writable=writable)

    def open_new(self, path: Path) -> int:
        self._open()
        return super().open_new(path)


@pytest.mark.quick
def test_a_journal_that_can_open_no_file_refuses_and_recovers(tmp_path: Path) -> None:
    fs, options = NoFilesFs(), small(tmp_path)

    async def work() -> list[bytes]:
        journal = await Journal.open(options, fs=fs)
        acked = []
        await append(journal, b"before")
        fs.exhausted = True
        refused = []
        for n in range(6):
            body = b"%d" % n + BODY
            try:
                await append(journal, body)
            except Refused as e:
                refused.append(e)
            else:
                acked.append(body)
        assert len(refused) > 2, "the segment is full, and no other can be opened"
        assert all(e.reason is Reason.UNAVAILABLE and e.retry_after_s for e in refused)
        assert not journal.failed.is_set(), "that is no fault of the disk"
        with pytest.raises(Retryable):
            await journal.reader(READER).next_batch()
        fs.exhausted = False
        await append(journal, b"after")
        await journal.close()
        return [b"before", *acked, b"after"]

    assert asyncio.run(work()) == asyncio.run(deliver_all(options))


def test_a_process_that_can_open_no_file_recovers(
    launch: Launch, record_property: Callable[[str, object], None]
) -> None:
    collector = launch().start()
    with Producer(collector, payload_words=2_000) as producer:
        producer.until_acked(20)
        before = resource.prlimit(collector.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(collector.pid, resource.RLIMIT_NOFILE, (4, before[1]))
        producer.wait(3)  # segments fill up, and cannot be opened
        assert collector.process is not None
        assert collector.process.poll() is None, collector.log[-2000:]
        meanwhile = dict(producer.answers)
        resource.prlimit(collector.pid, resource.RLIMIT_NOFILE, before)
        producer.until_acked(20)
    report = conserve(collector, producer)
    record_property("figure", f"{report}; answers until then: {meanwhile}")
