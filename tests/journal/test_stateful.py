"""Whatever happens in whatever order: acknowledged is delivered, in order, with a token that never means two things."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from collector.journal import Batch, Journal, JournalOptions
from schema.errors import Refused, Retryable
from tests.journal.conftest import READER
from tests.journal.disk import SimFs

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")
SEGMENT_BYTES = 128 << 10


class JournalMachine(RuleBasedStateMachine):
    """A journal beside a plain list of what it acknowledged."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.options = JournalOptions(
            Path(self.folder.name) / "journal",
            max_bytes=64 * SEGMENT_BYTES,
            segment_bytes=SEGMENT_BYTES,
            group_linger_s=0,
            batch_linger_s=0,
            batch_records=3,
        )
        self.fs = SimFs()
        self.loop = asyncio.new_event_loop()
        self.acknowledged: list[bytes] = []
        self.delivered = 0
        """How many of them were confirmed."""
        self.perhaps_delivered = 0
        """As `delivered`, should a confirmation that failed have reached the disk: it had begun, so both are right."""
        self.tokens: dict[str, tuple[bytes, ...]] = {}
        self.batch: Batch | None = None
        self.number = 0

    def run(self, work: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, 20))

    @initialize()
    def start(self) -> None:
        self.journal = self.run(Journal.open(self.options, fs=self.fs))

    @rule(sizes=st.lists(st.sampled_from([0, 10, 20_000, 60_000]), min_size=1, max_size=4))
    def append(self, sizes: list[int]) -> None:
        bodies = []
        for size in sizes:
            self.number += 1
            bodies.append(b"%d:" % self.number + bytes(size))

        async def work() -> list[int | BaseException]:
            return await asyncio.gather(
                *(self.journal.append("t", "traces", b, encoding="protobuf", gzip=False, members=1) for b in bodies),
                return_exceptions=True,
            )

        for body, result in zip(bodies, self.run(work()), strict=True):
            if isinstance(result, int):
                self.acknowledged.append(body)
                assert result == len(self.acknowledged), "sequences are dense"
            else:
                assert isinstance(result, Refused)

    @rule(operation=st.sampled_from(["sync", "write", "create", "write_file", "replace", "sync_directory"]))
    def break_disk(self, operation: str) -> None:
        self.fs.failing[operation] = errno.EIO

    @rule()
    def mend_disk(self) -> None:
        self.fs.failing.clear()

    @precondition(lambda self: self.batch is None and self.delivered < len(self.acknowledged))
    @rule()
    def take(self) -> None:
        try:
            batch = self.run(self.journal.reader(READER).next_batch())
        except Retryable:
            return
        assert batch is not None
        bodies = tuple(r.body for r in batch.records)
        assert list(bodies) == self.acknowledged[self.delivered : self.delivered + len(bodies)]
        assert self.tokens.setdefault(batch.token, bodies) == bodies
        starting_here = [t for t, b in self.tokens.items() if b[0] == bodies[0]]
        assert starting_here == [batch.token], "a batch is never cut in two ways"
        self.batch = batch

    @precondition(lambda self: self.batch is not None)
    @rule()
    def confirm(self) -> None:
        assert self.batch is not None
        try:
            self.run(self.journal.reader(READER).confirm(self.batch))
        except Retryable:
            self.perhaps_delivered = self.delivered + len(self.batch.records)
            return
        self.delivered += len(self.batch.records)
        self.batch = None

    @rule()
    def stop_and_start(self) -> None:
        self.fs.failing.clear()
        self.run(self.journal.close())
        self._start_again()

    @rule(seed=st.none() | st.integers(0, 2**32))
    def cut_power(self, seed: int | None) -> None:
        self.fs.failing.clear()
        self._end_process()
        random = None if seed is None else Random(seed)  # noqa: S311 - hypothesis repeats what it found
        self.fs.cut_power(self.options.directory, random)
        self._start_again()

    def _end_process(self) -> None:
        """Leave everything as a process does that is killed."""
        tasks = {t for t in (self.journal._commits, self.journal._requests) if t is not None}
        for task in tasks:
            task.cancel()
        self.run(asyncio.wait(tasks))
        self.journal._committer.shutdown()
        if self.journal._writer._fd is not None:
            self.fs.close(self.journal._writer._fd)
        self.journal._lock.release()

    def _start_again(self) -> None:
        self.batch = None
        self.journal = self.run(Journal.open(self.options, fs=self.fs))
        confirmed = self.journal.status()["confirmed_sequence"] - 1
        assert confirmed in (self.delivered, max(self.delivered, self.perhaps_delivered))
        self.delivered = self.perhaps_delivered = confirmed

    @invariant()
    def nothing_is_lost_or_damaged(self) -> None:
        if hasattr(self, "journal"):
            status = self.journal.status()
            assert status["backlog_records"] == len(self.acknowledged) - self.delivered
            assert (status["damaged_bytes"], status["lost_records"]) == (0, 0)

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.fs.failing.clear()
            self.run(self.journal.close())
        self.loop.close()
        self.folder.cleanup()


JournalMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestJournal = JournalMachine.TestCase
