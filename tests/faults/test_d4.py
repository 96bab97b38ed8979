"""D4: writes that are short or interrupted.

Injected: every write of the process takes half of what it is given, or a single byte of its first piece; is interrupted
by signals; or says EAGAIN now and then.
Holds: records are complete or refused: what is acknowledged is delivered byte for byte, nothing else is there.
Figure: some 2 000 writes, 0 records incomplete.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from collector.journal import Journal
from collector.journal.fs import Fs
from schema.errors import Refused
from tests.faults.journals import append, deliver_all, small
from tests.journal.disk import UnsyncedFs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from collector.journal import JournalOptions

BODIES = [b"%d:" % n + bytes(n * 97 % 6_000) for n in range(60)]
REAL = os.pwritev


class Writes:
    """Stands for os.pwritev."""

    def __init__(self, takes: Callable[[int, int], int], again_every: int = 0) -> None:
        self.takes = takes
        self.again_every = again_every
        self.count = 0

    def __call__(self, fd: int, pieces: Sequence[bytes | memoryview], offset: int) -> int:
        self.count += 1
        if self.again_every and self.count % self.again_every == 0:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        data = b"".join(pieces)
        return REAL(fd, [data[: self.takes(self.count, len(data))]], offset)


async def put_all(options: JournalOptions, fs: Fs) -> list[bytes]:
    """Append everything; return what was acknowledged."""
    journal = await Journal.open(options, fs=fs)
    acked = []
    for body in BODIES:
        try:
            await append(journal, body)
        except Refused:
            continue
        acked.append(body)
    await journal.close()
    return acked


@pytest.mark.quick
@pytest.mark.parametrize("how", ["half", "byte", "again"])
def test_a_short_write_goes_on_where_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, record_property: Callable[[str, object], None]
) -> None:
    takes: dict[str, Callable[[int, int], int]] = {
        "half": lambda _, size: max(1, size // 2),
        "byte": lambda count, size: 1 if count % 2 else size,
        "again": lambda _, size: max(1, size * 2 // 3),
    }
    writes = Writes(takes[how], again_every=37 if how == "again" else 0)
    monkeypatch.setattr(os, "pwritev", writes)
    options = small(tmp_path)
    acked = asyncio.run(put_all(options, UnsyncedFs()))
    monkeypatch.undo()
    assert len(acked) > len(BODIES) // 2 if how == "again" else acked == BODIES
    assert asyncio.run(deliver_all(options)) == acked
    assert not (options.directory / "quarantine").exists()
    record_property("figure", f"{writes.count} writes")


def test_a_disk_that_takes_nothing_is_an_error_and_no_endless_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = Fs()
    fd = fs.open_new(tmp_path / "file")
    monkeypatch.setattr(os, "pwritev", lambda *_: 0)
    with pytest.raises(OSError, match="takes nothing"):
        fs.write(fd, (b"x",), 0)
    fs.close(fd)


@pytest.fixture
def interruptions() -> Iterator[threading.Event]:
    """Send this process a signal every millisecond: system calls return EINTR."""
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    yield threading.Event()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.quick
def test_signals_during_writes_cost_nothing(tmp_path: Path, interruptions: threading.Event) -> None:
    options = small(tmp_path)
    assert asyncio.run(put_all(options, Fs())) == BODIES
    assert asyncio.run(deliver_all(options)) == BODIES
