"""How far the lanes may read: up to what was received so long ago that its decision is due.

    ─── delivered ───┬──── due ────┬───────────── waits ─────────────┬── not read by the look-ahead yet ───
                  lanes         released                          look-ahead

What is due is released when the look-ahead has read all that was received by then: being slow decides nothing less.
Where too much waits, the oldest of it is released before it is due: what is in it is kept, whatever it is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from collector.journal import Reader


@dataclass(frozen=True, slots=True)
class Waiting:
    """A batch that the look-ahead has read."""

    end: int
    """Sequence behind it."""
    due_s: float
    """On the clock of the hold."""
    due_unix_ns: int
    """What was received until then counts."""
    size_bytes: int


class Hold:
    """Holds the readers of all lanes. Belongs to one event loop, but for `is_early`."""

    def __init__(
        self,
        readers: Mapping[str, Reader],
        required: frozenset[str],
        *,
        max_bytes: int,
        now_s: Callable[[], float],
        arrived: Callable[[], int],
    ) -> None:
        """`arrived` returns the first sequence of the journal that is not there yet."""
        self._readers = readers
        self._required = [readers[n] for n in sorted(required)] or list(readers.values())
        self._max_bytes = max_bytes
        self._now_s = now_s
        self._arrived_by_now = arrived
        self._waiting: deque[Waiting] = deque()
        self._waiting_bytes = 0
        self.released = 0
        """First sequence that is not released."""
        self.read = 0
        """First sequence that was not pushed."""
        self._read_unix_ns = 0
        """When the last of what was pushed was received."""
        self._early: tuple[tuple[int, int], ...] = ()
        """Ranges of sequences that were released before they were due: first, and the one behind."""
        self._arrived, self._moved = asyncio.Event(), asyncio.Event()
        for reader in readers.values():
            reader.hold(0)

    @property
    def delivered(self) -> int:
        """The first sequence that some required lane has not delivered."""
        return min(r.position.sequence for r in self._required)

    def push(self, waiting: Waiting, received_unix_ns: int) -> None:
        """Let what lies before the end of a batch wait until it is due; it was received up to then."""
        self._waiting.append(waiting)
        self._read_unix_ns = max(self._read_unix_ns, received_unix_ns)
        self._waiting_bytes += waiting.size_bytes
        self.read = waiting.end
        while self._waiting_bytes > self._max_bytes:
            self._release_early()
        self._arrived.set()

    def _release_early(self) -> None:
        first = self.released
        self._pop()
        if self.released > first:
            oldest = min(r.position.sequence for r in self._readers.values())
            last = self._early[-1] if self._early else None
            added = (last[0], self.released) if last and last[1] == first else (first, self.released)
            kept = self._early[:-1] if last and last[1] == first else self._early
            self._early = (*(e for e in kept if e[1] > oldest), added)
        self._tell()

    def _pop(self) -> None:
        gone = self._waiting.popleft()
        self._waiting_bytes -= gone.size_bytes
        self.released = max(self.released, gone.end)

    def _tell(self) -> None:
        for reader in self._readers.values():
            reader.hold(self.released)

    def is_early(self, sequence: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return of sequences whether they were released before they were due. Any thread may ask."""
        early = np.zeros(len(sequence), np.bool_)
        for first, behind in self._early:
            early |= (sequence >= np.uint64(first)) & (sequence < np.uint64(behind))
        return early

    # -- room ----------------------------------------------------------------------------------------------------

    def make_room(self) -> bool:
        """Let the lanes have more, where they have all that was released; return whether anything waits."""
        if self.delivered >= self.released and self._waiting:
            self._release_early()
        return self.delivered < self.released or bool(self._waiting)

    def moved(self) -> None:
        """Hear that a lane has delivered something."""
        self._moved.set()

    async def until_moved(self) -> None:
        """Return when a lane has delivered something since this was last asked."""
        await self._moved.wait()
        self._moved.clear()

    # -- time ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Release what is due, until cancelled."""
        while True:
            self.release_due()
            self._arrived.clear()
            pause_s = self._waiting[0].due_s - self._now_s() if self._waiting else None
            if pause_s is not None and pause_s <= 0:
                pause_s = None  # it is due: only what the look-ahead reads can release it
            try:
                async with asyncio.timeout(pause_s):
                    await self._arrived.wait()
            except TimeoutError:
                pass

    def release_due(self) -> None:
        """Release what is due by now, if all that counts for it was read."""
        before, now_s = self.released, self._now_s()
        while self._waiting and self._waiting[0].due_s <= now_s:
            if self._read_unix_ns < self._waiting[0].due_unix_ns and self.read < self._arrived_by_now():
                break
            self._pop()
        if self.released != before:
            self._tell()

    def finish(self, *, decide: bool) -> None:
        """End: nothing more will be released; with `decide` all that was read is, first."""
        while decide and self._waiting:
            self._pop()
        for reader in self._readers.values():
            reader.hold(self.released, is_final=True)

    def status(self) -> dict[str, Any]:
        """Return counts."""
        return {"waiting_bytes": self._waiting_bytes, "max_wait_bytes": self._max_bytes, "released": self.released}
