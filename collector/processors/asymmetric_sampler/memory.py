"""The decisions of one journal: in a table, and in a file, so that a restart flips none.

    look-ahead ─observe─▶ table ─pending─▶ save ─▶ file        before the look-ahead confirms what it read
    lanes ─early keeps──▶   │
          ◀──which is kept──┘

The table is used by threads of the look-ahead and of every lane, one at a time; the file by one at a time.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from collector.processors.asymmetric_sampler.decisions import Decisions

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from collector.processors.asymmetric_sampler.file import DecisionFile


class Memory:
    """What is known of traces."""

    def __init__(self, file: DecisionFile, salt: bytes, *, max_traces: int, policy: str) -> None:
        """`salt` is the id of the journal, `policy` the version that decides from now on."""
        self._file = file
        self.salt = salt
        self._policy = policy
        self._versions: list[str] = []
        self._decisions = Decisions.empty(max_traces)
        self._pending: list[NDArray[np.void]] = []
        self._lock, self._saving = threading.Lock(), threading.Lock()
        self.policy = 0
        """Number of the present version."""
        self.free_before: Callable[[], int] = lambda: 0
        """The first sequence that some required lane has not delivered: who was last seen before may go."""

    def load(self, read_before: int, *, mark: int) -> None:
        """Read the file; `read_before` is the first sequence that the look-ahead has not confirmed.

        `mark` is the highest that a cursor of the journal has. What is missing of the file cannot be known again: all
        that was read by then is kept early, also when it still waits after the next restart. Raises OSError.
        """
        stored = self._file.load(mark)
        versions = stored.versions
        with self._lock:
            self._versions = versions
            if self._policy not in versions:
                versions.append(self._policy)
            self.policy = versions.index(self._policy)
            self._decisions.add(stored.rows)
            if read_before:
                # Something of them may wait up to there: when they were last seen is saved only with what changes.
                seen = self._decisions.rows["last"]
                np.maximum(seen, np.uint64(read_before - 1), out=seen)
            forgotten_through = min(stored.forgotten_through, read_before - 1) if stored.is_whole else read_before - 1
            self._decisions.forgotten_through = max(self._decisions.forgotten_through, forgotten_through)
        self._file.rewrite(versions, self._decisions.rows, self.forgotten_through)

    def fits(self, found: NDArray[np.void]) -> bool:
        """Say whether these facts have room without forgetting what waits."""
        with self._lock:
            new = self._decisions.missing(found)
            return new == 0 or self._decisions.fits(new, self.free_before())

    def observe(self, found: NDArray[np.void]) -> int:
        """Take facts; return how many traces are kept that were not. `save` makes it durable."""
        with self._lock:
            before = self._decisions.find(found["key"])
            new = self._decisions.add(found)
            if len(new):
                self._pending.append(new)
            return int(np.count_nonzero(np.isin(new["key"], found["key"][before < 0], assume_unique=True)))

    def look_up(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.bool_], NDArray[np.uint8], NDArray[np.float64]]:
        """Return for each key whether its trace is kept, and its flags and rate."""
        with self._lock:
            at = self._decisions.find(keys)
            kept = at >= 0
            flags, rate = np.zeros(len(keys), np.uint8), np.zeros(len(keys))
            flags[kept], rate[kept] = self._decisions.rows["flags"][at[kept]], self._decisions.rows["rate"][at[kept]]
            return kept, flags, rate

    @property
    def forgotten_through(self) -> int:
        """The last sequence of which not every decision is known any more; -1 where all are."""
        return self._decisions.forgotten_through

    @property
    def mark(self) -> int:
        """What a cursor must keep, written when `save` has returned: the number of the last durable frame."""
        return self._file.number

    def save(self) -> None:
        """Return when all that was observed is on the medium. Raises OSError; call again."""
        with self._saving:
            with self._lock:
                pending, self._pending = self._pending, []
                forgotten_through = self.forgotten_through
            if not pending:
                return
            rows = np.concatenate(pending)
            try:
                if not self._file.append(self._versions, rows, forgotten_through):
                    with self._lock:
                        everything, forgotten_through = self._decisions.rows.copy(), self.forgotten_through
                    self._file.rewrite(self._versions, everything, forgotten_through)
            except OSError:
                with self._lock:
                    self._pending.insert(0, rows)
                raise

    def status(self) -> dict[str, Any]:
        """Return counts."""
        with self._lock:
            rows = self._decisions.rows
            return {
                "remembered_traces": len(rows),
                "max_traces": self._decisions.max_traces,
                "forgotten_traces": self._decisions.forgotten,
                "by_policy": {
                    version: n
                    for i, version in enumerate(self._versions)
                    if (n := int(np.count_nonzero(rows["policy"] == i)))
                },
                "file_bytes": self._file.size_bytes,
            }
