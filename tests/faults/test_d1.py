"""D1: the disk is full.

Injected: a tmpfs of 8 MB under the journal is filled up by another file while requests come; a disk that gives no space
to any file from some call on.
Holds: requests are refused with a delay before the acknowledgement, and nothing acknowledged is torn; what is delivered
can still be confirmed; when space returns requests are taken again; every acknowledged one is stored once.
Figure: see the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collector.journal import Journal
from collector.journal.reserve import RESERVE_BYTES
from schema.errors import Reason, Refused
from tests.faults.harness import Producer, conserve, until
from tests.faults.journals import READER, append, deliver_all, small
from tests.journal.disk import UnsyncedFs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from collector.journal.layout import Buffer
    from tests.faults.harness import Launch

MIB = 1 << 20
BODY = bytes(20_000)


class FullFs(UnsyncedFs):
    """A disk of so many bytes. What is preallocated is taken at once, as fallocate does."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.taken: dict[Path, int] = {}
        self.paths: dict[int, Path] = {}

    def _take(self, path: Path, size_bytes: int) -> None:
        others = sum(n for p, n in self.taken.items() if p != path)
        if others + size_bytes > self.size_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.taken[path] = max(size_bytes, self.taken.get(path, 0))

    def create(self, path: Path, size_bytes: int) -> int:
        self._take(path, size_bytes)
        return self._remember(super().create(path, size_bytes), path)

    def open(self, path: Path, *, writable: bool = False) -> int:
        return self._remember(super().open(path, writable=writable), path)

    def open_new(self, path: Path) -> int:
        self._take(path, 1)
        return self._remember(super().open_new(path), path)

    def _remember(self, fd: int, path: Path) -> int:
        self.paths[fd] = path
        return fd

    def write(self, fd: int, pieces: Sequence[Buffer], offset: int) -> None:
        end = offset + sum(map(len, pieces))
        blocks = -(-end // 4096) * 4096
        path = self.paths[fd]
        if blocks > self.taken.get(path, 0):
            self._take(path, blocks)
        super().write(fd, pieces, offset)

    def replace(self, source: Path, target: Path) -> None:
        super().replace(source, target)
        self.taken[target] = self.taken.pop(source, 0)

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self.taken.pop(path, None)


async def fill_up(journal: Journal) -> tuple[int, list[Refused]]:
    """Append until three in a row are refused; return how many were acknowledged."""
    acked, refused = 0, list[Refused]()
    while len(refused) < 3:
        try:
            await append(journal, b"%d:" % acked + BODY)
        except Refused as e:
            refused.append(e)
        else:
            acked += 1
            refused.clear()
    return acked, refused


@pytest.mark.quick
def test_a_full_disk_refuses_and_still_empties_itself(tmp_path: Path) -> None:
    fs = FullFs(MIB + RESERVE_BYTES)
    options = small(tmp_path)

    async def work() -> int:
        journal = await Journal.open(options, fs=fs)
        acked, refused = await fill_up(journal)
        assert all(r.reason is Reason.UNAVAILABLE and r.retry_after_s for r in refused)
        assert not journal.failed.is_set(), "a full disk is not an ill one"
        fs.size_bytes = sum(fs.taken.values())  # and others have taken the rest
        reader = journal.reader(READER)
        batch = await reader.next_batch()
        assert batch is not None
        await reader.confirm(batch)
        found = len(batch.records)
        while found < acked:
            batch = await reader.next_batch()
            assert batch is not None
            found += len(batch.records)
            await reader.confirm(batch)
        assert await append(journal, BODY) > acked, "what is delivered makes room"
        await journal.close()
        return acked

    assert asyncio.run(work()) > 20
    assert asyncio.run(deliver_all(options)) == [BODY]


@pytest.mark.quick
def test_a_start_on_a_full_disk_delivers(tmp_path: Path) -> None:
    fs = FullFs(MIB + RESERVE_BYTES)
    options = small(tmp_path)

    async def killed() -> int:
        journal = await Journal.open(options, fs=fs)
        acked, _ = await fill_up(journal)
        journal._lock.release()
        journal._committer.shutdown()
        return acked

    acked = asyncio.run(killed())
    fs.size_bytes = sum(fs.taken.values())
    assert len(asyncio.run(deliver_all(options, fs=fs))) == acked


def on_small_disk(folder: Path, size_bytes: int) -> list[str]:
    """Return the command that runs another with a tmpfs on a folder, or skip the test."""
    folder.mkdir(parents=True)
    script = f'mount -t tmpfs -o size={size_bytes} tmpfs {folder} && exec "$@"'
    wrap = ["unshare", "-r", "-m", "sh", "-c", script, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*wrap, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mounts of one's own are allowed here")
    return wrap


def test_a_disk_that_another_file_fills_up(
    launch: Launch, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    disk = tmp_path / "disk"
    config = {"service": {"journal": {"directory": str(disk / "journal")}}}
    collector = launch(config=config, wrap=on_small_disk(disk, 8 * MIB))
    go = tmp_path / "go"  # nothing is delivered before this is there
    collector.start(failpoints=f"exporter.after_insert=pause:{go}@1+")
    with Producer(collector, payload_words=2_000) as producer:
        producer.until_acked(5)
        ballast = Path(f"/proc/{collector.pid}/root{disk}/ballast")
        with ballast.open("wb", buffering=0) as file:
            _fill(file.write)
            until(lambda: producer.answers["503"] > 3, f"requests are refused; {dict(producer.answers)}")
            refused = producer.answers["503"]
        go.touch()
        ballast.unlink()
        producer.until_acked(20)
    report = conserve(collector, producer)
    record_property("figure", f"{report}; {refused} requests refused while the disk was full")


def _fill(write: Callable[[bytes], int]) -> None:
    for size in (64 << 10, 4096):
        with contextlib.suppress(OSError):
            while True:
                write(bytes(size))
