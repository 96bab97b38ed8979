"""D6: a slow disk.

Injected: a sync that does not end until the test lets it; fdatasync that takes 2 s.
Holds: nothing is acknowledged before its sync; after the deadline who waits is refused with a delay, and who comes at
once, so memory is bounded; when the disk is back requests are taken, and everything acknowledged is delivered.
Figure: 0 acknowledgements before a sync; 10 s until a refusal, by default.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from collector.journal import Journal, JournalOptions
from schema.errors import Reason, Refused
from tests.faults.journals import append, deliver_all, small
from tests.journal.disk import UnsyncedFs

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE_S = 0.1


class SlowFs(UnsyncedFs):
    """Holds every sync while `slow` is set; `held` says that one is."""

    def __init__(self) -> None:
        self.slow = False
        self.held, self.go = threading.Event(), threading.Event()

    def sync(self, fd: int) -> None:  # noqa: ARG002 - as the method it stands for
        if self.slow:
            self.held.set()
            assert self.go.wait(30)


@pytest.mark.quick
def test_nothing_is_acknowledged_before_its_sync(tmp_path: Path) -> None:
    async def work() -> None:
        fs = SlowFs()
        journal = await Journal.open(small(tmp_path), fs=fs)
        await append(journal, b"opens a segment")
        fs.slow = True
        waiting = [asyncio.create_task(append(journal, b"%d" % n)) for n in range(10)]
        await asyncio.to_thread(fs.held.wait, 10)
        late = asyncio.create_task(append(journal, b"late"))
        done, _ = await asyncio.wait({*waiting, late}, timeout=DEADLINE_S)
        assert not done
        assert journal.status()["next_sequence"] == 2
        fs.go.set()
        assert [await w for w in (*waiting, late)] == list(range(2, 13))
        await journal.close()

    asyncio.run(work())


@pytest.mark.quick
def test_who_waits_too_long_is_refused_and_who_comes_too(tmp_path: Path) -> None:
    options = small(tmp_path, append_timeout_s=DEADLINE_S)

    async def work() -> list[bytes]:
        fs = SlowFs()
        journal = await Journal.open(options, fs=fs)
        await append(journal, b"before")
        fs.slow = True
        first = asyncio.create_task(append(journal, b"in the sync"))
        await asyncio.to_thread(fs.held.wait, 10)
        second = asyncio.create_task(append(journal, b"behind it"))
        results = await asyncio.gather(first, second, return_exceptions=True)
        for result in results:
            assert isinstance(result, Refused)
            assert result.reason is Reason.UNAVAILABLE
            assert result.retry_after_s
        with pytest.raises(Refused, match="too slow"):
            await append(journal, b"at once")
        assert journal.used_bytes < 3_000, "what is refused takes no room"
        fs.slow = False
        fs.go.set()
        acked = [b"before"]
        async with asyncio.timeout(10):
            while len(acked) < 2:
                try:
                    await append(journal, b"after")
                except Refused:
                    await asyncio.sleep(0)
                else:
                    acked.append(b"after")
        await journal.close()
        return acked

    acked = asyncio.run(work())
    left = asyncio.run(deliver_all(options))
    assert [b for b in left if b in acked] == acked
    assert set(left) <= {*acked, b"in the sync"}, "its write had begun: it may be there, once"
    assert len(left) == len(set(left))


@pytest.mark.quick
def test_a_disk_that_takes_two_seconds_only_takes_longer(tmp_path: Path) -> None:
    class TwoSecondsFs(UnsyncedFs):
        def __init__(self) -> None:
            self.slow = threading.Event()

        def sync(self, fd: int) -> None:  # noqa: ARG002 - as the method it stands for
            if self.slow.is_set():
                threading.Event().wait(2)

    async def work() -> None:
        fs = TwoSecondsFs()
        journal = await Journal.open(small(tmp_path), fs=fs)
        await append(journal, b"opens a segment")
        fs.slow.set()
        began_s = asyncio.get_running_loop().time()
        await append(journal, b"slow")
        assert asyncio.get_running_loop().time() - began_s >= 2
        fs.slow.clear()
        await journal.close()

    asyncio.run(work())


def test_the_default_deadline_is_ten_seconds(tmp_path: Path) -> None:
    assert JournalOptions(tmp_path, max_bytes=1).append_timeout_s == 10
