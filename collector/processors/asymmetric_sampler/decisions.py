"""Which traces are kept, and why: a bounded table, by key. What is in it is never lowered.

    key u64 │ last u64 │ rate f64 │ flags u8 │ policy u16      27 bytes a trace, sorted by key
            │          │          │          └ index into the versions of the policy that decided
            │          │          └ FAILING, BASELINE, EARLY
            │          └ the highest at which a span says that its trace is in the baseline
            └ last sequence of the journal at which it was seen

A trace that is not kept is not in the table: undecided traces take no memory. When the table is full, who was seen
longest ago goes; the caller says up to where that is harmless (`free_before`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAILING: Final = 1
BASELINE: Final = 2
EARLY: Final = 4
"""Kept before its time was over, because there was no room to wait."""

FACT: Final = np.dtype([("key", "<u8"), ("last", "<u8"), ("rate", "<f8"), ("flags", "u1"), ("policy", "<u2")])
EVICT_PART: Final = 16
"""At least this part of the table is freed at once: finding the oldest looks at all."""


def facts(
    key: NDArray[np.uint64],
    last: NDArray[np.uint64],
    rate: NDArray[np.float64],
    flags: NDArray[np.uint8],
    *,
    policy: int = 0,
) -> NDArray[np.void]:
    """Return one fact for each key, sorted: the last sequence, the highest rate, all flags of it."""
    if not len(key):
        return np.empty(0, FACT)
    order = np.argsort(key, kind="stable")
    keys = key[order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    found = np.empty(len(starts), FACT)
    found["key"] = keys[starts]
    found["last"] = np.maximum.reduceat(last[order], starts)
    found["rate"] = np.maximum.reduceat(rate[order], starts)
    found["flags"] = np.bitwise_or.reduceat(flags[order], starts)
    found["policy"] = policy
    return found


@dataclass(slots=True)
class Decisions:
    """The table. One thread at a time."""

    max_traces: int
    rows: NDArray[np.void]
    """Of FACT, sorted by key."""
    forgotten_through: int = -1
    """The highest `last` of who went: of what lies there and before, not every decision is known any more."""
    forgotten: int = 0
    """Traces that went."""

    @classmethod
    def empty(cls, max_traces: int) -> Decisions:
        """Return a table without traces."""
        return cls(max_traces, np.empty(0, FACT))

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the row of each key, -1 where it is not kept."""
        if not len(self.rows):
            return np.full(len(keys), -1, np.int64)
        known = self.rows["key"]
        at = np.minimum(known.searchsorted(keys), len(known) - 1)
        return np.where(known[at] == keys, at, -1)

    def missing(self, found: NDArray[np.void]) -> int:
        """Return how many of these facts would be new."""
        return int(np.count_nonzero((self.find(found["key"]) < 0) & (found["flags"] > 0)))

    def fits(self, new: int, free_before: int) -> bool:
        """Say whether so many new traces have room, if who was last seen before `free_before` may go."""
        room = self.max_traces - len(self.rows)
        return new <= room or new <= room + int(np.count_nonzero(self.rows["last"] < np.uint64(max(0, free_before))))

    def add(self, found: NDArray[np.void]) -> NDArray[np.void]:
        """Take facts, sorted and one for each key; return what is new in the table or was raised, as it is there now.

        Who has no flag and is not there stays out. Where there is no room, who was seen longest ago goes, whoever that
        is: `forgotten_through` says so. Of more new ones than the table holds, the last seen are taken.
        """
        at = self.find(found["key"])
        there = at >= 0
        raised = self._raise(at[there], found[there])
        new = found[~there & (found["flags"] > 0)]
        if len(new) > self.max_traces:
            kept = np.argsort(new["last"], kind="stable")[-self.max_traces :]
            self._forget(np.delete(new, kept))
            new = new[np.sort(kept)]
        over = len(self.rows) + len(new) - self.max_traces
        if over > 0:
            self._evict(min(len(self.rows), max(over, self.max_traces // EVICT_PART)))
        if len(new):
            self.rows = np.insert(self.rows, self.rows["key"].searchsorted(new["key"]), new)
        return np.concatenate((raised, new))

    def _raise(self, at: NDArray[np.int64], found: NDArray[np.void]) -> NDArray[np.void]:
        """Raise what is there; return the rows of which more than the time changed."""
        rows = self.rows
        before = rows[at]
        rows["last"][at] = np.maximum(before["last"], found["last"])
        rows["rate"][at] = np.maximum(before["rate"], found["rate"])
        rows["flags"][at] = before["flags"] | found["flags"]
        after = rows[at]
        changed = (after["rate"] > before["rate"]) | (after["flags"] != before["flags"])
        return np.asarray(after[changed])

    def _evict(self, n: int) -> None:
        oldest = np.argpartition(self.rows["last"], n - 1)[:n]
        self._forget(self.rows[oldest])
        self.rows = np.delete(self.rows, oldest)

    def _forget(self, rows: NDArray[np.void]) -> None:
        self.forgotten += len(rows)
        self.forgotten_through = max(self.forgotten_through, int(rows["last"].max()))


@dataclass(slots=True)
class Recent:
    """Keys of the traces that were left out last, 8 bytes each: at least the last `most`/2, at most `most`."""

    most: int
    young: NDArray[np.uint64]
    old: NDArray[np.uint64]

    @classmethod
    def empty(cls, most: int) -> Recent:
        """Return no keys."""
        return cls(most, np.empty(0, np.uint64), np.empty(0, np.uint64))

    def __len__(self) -> int:
        return len(self.young) + len(self.old)

    def add(self, keys: NDArray[np.uint64]) -> None:
        """Take distinct keys."""
        keys = keys[~_among(keys, self.young)][: max(1, self.most // 2)]
        if len(self.young) + len(keys) > self.most // 2:
            self.young, self.old = np.empty(0, np.uint64), self.young
        self.young = np.sort(np.concatenate((self.young, keys)))

    def take(self, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return which of these distinct keys were left out before, and forget those."""
        found = keys[_among(keys, self.young) | _among(keys, self.old)]
        if len(found):
            self.young, self.old = (side[~_among(side, np.sort(found))] for side in (self.young, self.old))
        return found


def _among(keys: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which keys are in a sorted array."""
    if not len(known):
        return np.zeros(len(keys), np.bool_)
    at = np.minimum(known.searchsorted(keys), len(known) - 1)
    found: NDArray[np.bool_] = known[at] == keys
    return found
