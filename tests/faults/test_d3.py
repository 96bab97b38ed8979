"""D3: a sync fails.

Injected: fdatasync gives EIO at call n, once, for every n of a run; and from call n on.
Holds: who waits for that sync is refused with a delay, the segment is given up and a new one used; what was
acknowledged before and after is delivered, also after a power cut; two failures in a row end the process (exit code 2).
Figure: each of some 50 syncs of a run fails once.
"""

from __future__ import annotations

import asyncio
import errno
from random import Random
from typing import TYPE_CHECKING

import pytest

from collector.journal import Journal
from schema.errors import Reason, Refused
from tests.faults.journals import append, deliver_all, small
from tests.journal.disk import SimFs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.journal import JournalOptions

REQUESTS = 40


class FailingFs(SimFs):
    """Fails the sync of number `at`, and with `for_good` all after it."""

    def __init__(self, at: int, *, for_good: bool = False) -> None:
        super().__init__()
        self.at = at
        self.for_good = for_good
        self.syncs = 0
        self.armed = False

    def sync(self, fd: int) -> None:
        if self.armed:
            self.syncs += 1
            if self.syncs == self.at or (self.for_good and self.syncs > self.at):
                raise OSError(errno.EIO, "Input/output error")
        super().sync(fd)


async def run(options: JournalOptions, fs: FailingFs) -> tuple[list[bytes], list[Refused], bool]:
    """Append until the end; return what was acknowledged, the refusals, and whether the journal wants the end."""
    journal = await Journal.open(options, fs=fs)
    fs.armed = True
    acked, refused = [], []
    for n in range(REQUESTS):
        body = b"%d:" % n + bytes(9_000)
        try:
            await append(journal, body)
        except Refused as e:
            refused.append(e)
        else:
            acked.append(body)
    failed = journal.failed.is_set()
    fs.armed = False
    journal._lock.release()  # as the end of the process does
    journal._committer.shutdown()
    return acked, refused, failed


@pytest.mark.quick
def test_each_sync_fails_once(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    at = 0
    while True:
        at += 1
        options, fs = small(tmp_path / str(at)), FailingFs(at)
        acked, refused, failed = asyncio.run(run(options, fs))
        if fs.syncs < at:
            break
        assert len(refused) == 1, f"sync {at}"
        assert len(acked) == REQUESTS - 1
        assert refused[0].reason is Reason.UNAVAILABLE
        assert refused[0].retry_after_s
        assert not failed
        if at % 3 == 0:
            fs.cut_power(options.directory, None if at % 2 else Random(at))  # noqa: S311 - can be repeated
        assert [b for b in asyncio.run(deliver_all(options)) if b in acked] == acked, f"sync {at}"
    record_property("figure", f"{at - 1} syncs failed, one in each run")


@pytest.mark.quick
def test_a_disk_that_goes_on_failing_ends_the_process(tmp_path: Path) -> None:
    options, fs = small(tmp_path), FailingFs(20, for_good=True)
    acked, refused, failed = asyncio.run(run(options, fs))
    assert failed
    assert len(acked) + len(refused) == REQUESTS
    assert 0 < len(acked) < 20
    fs.cut_power(options.directory)
    assert asyncio.run(deliver_all(options)) == acked
