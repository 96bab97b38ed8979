"""Spans are joined to their parents by hash tables over the words of their ids, and what a trace shares is spread.

    join ─▶ first, parent, trace, siblings of every span          (as `tree.read_tree` finds them by sorting)
    number_texts ─▶ the first row with the same text
    share ─▶ the row whose value a span takes                     (as `tree.shared` does)
    above_all ─▶ which rows have one of some rows below them
    fill_depths ─▶ how many rows are above some rows

Conventions are those of `collector.decode.kernels`. Ids are hostile: tables are seeded, and `join` gives up where ids
crowd together none the less.
"""
# ruff: noqa: PLR0917, SIM110 - kernels take their arrays by position; plain loops are the fast ones

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from schema.compile import inlined, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Rows = NDArray[np.int32]
    Bytes = NDArray[np.uint8]

Int: TypeAlias = Any
"""An int64; uncompiled, Python's and NumPy's integers mix."""

MAX_PROBES = 64
"""Of a hash table that is mostly empty; more are met by chance never, by design of the sender perhaps."""
MULTIPLIER = -0x61C8864680B583EB
LOW_31 = 0x7FFFFFFF
UNKNOWN = -1
"""A depth that was not asked for."""
PASSED = -2
"""A depth that is being found: whoever comes by again is in a cycle."""


@inlined
def mixed(seed: Int, a: Int, b: Int) -> Int:
    """Return 31 bits that depend on every bit of two words; see splitmix64."""
    h = (seed ^ a) * np.int64(MULTIPLIER)
    h = (h ^ (h >> 29) ^ b) * np.int64(MULTIPLIER)
    h = (h ^ (h >> 32)) * np.int64(MULTIPLIER)
    return (h >> 32) & LOW_31


@kernel
def join(
    traces: Any,
    spans: Ints,
    parents: Ints,
    seed: Int,
    slots: Rows,
    first: Ints,
    parent: Ints,
    trace: Ints,
    siblings: Ints,
) -> bool:
    """Fill the columns of a `Tree`; return False where that took too many probes.

    `traces` is int64[n, 2], the words of trace ids; `spans` and `parents` are the words of span ids, 0 for no parent.
    `slots` has a power of two of zeros, at least 4 n. Traces and families are numbered as they come.
    """
    n, mask = len(spans), np.int64(len(slots) - 1)
    count = np.int64(0)
    for row in range(n):  # traces: a slot holds the first row of one, plus 1
        if row > 0 and traces[row, 0] == traces[row - 1, 0] and traces[row, 1] == traces[row - 1, 1]:
            trace[row] = trace[row - 1]
            continue
        at = mixed(seed, traces[row, 0], traces[row, 1]) & mask
        probes = 0
        while True:
            held = np.int64(slots[at])
            if held == 0:
                slots[at] = row + 1
                trace[row] = count
                count += 1
                break
            if traces[held - 1, 0] == traces[row, 0] and traces[held - 1, 1] == traces[row, 1]:
                trace[row] = trace[held - 1]
                break
            at = (at + 1) & mask
            probes += 1
            if probes > MAX_PROBES:
                return False
    slots[:] = 0
    for row in range(n):  # spans: a slot holds the first row with an id in its trace, plus 1
        at = mixed(seed, spans[row], trace[row]) & mask
        probes = 0
        while True:
            held = np.int64(slots[at])
            if held == 0:
                slots[at] = row + 1
                first[row] = row
                break
            if spans[held - 1] == spans[row] and trace[held - 1] == trace[row]:
                first[row] = held - 1
                break
            at = (at + 1) & mask
            probes += 1
            if probes > MAX_PROBES:
                return False
    for row in range(n):
        parent[row] = -1
        if parents[row] == 0:
            continue
        at = mixed(seed, parents[row], trace[row]) & mask
        probes = 0
        while True:
            held = np.int64(slots[at])
            if held == 0:
                break
            if spans[held - 1] == parents[row] and trace[held - 1] == trace[row]:
                if held - 1 != first[row]:
                    parent[row] = held - 1
                break
            at = (at + 1) & mask
            probes += 1
            if probes > MAX_PROBES:
                return False
    slots[:] = 0
    count = np.int64(0)
    for row in range(n):  # families: a slot holds the first row with a parent's id in its trace, plus 1
        siblings[row] = -1
        if parents[row] == 0:
            continue
        at = mixed(seed, parents[row], trace[row]) & mask
        probes = 0
        while True:
            held = np.int64(slots[at])
            if held == 0:
                slots[at] = row + 1
                siblings[row] = count
                count += 1
                break
            if parents[held - 1] == parents[row] and trace[held - 1] == trace[row]:
                siblings[row] = siblings[held - 1]
                break
            at = (at + 1) & mask
            probes += 1
            if probes > MAX_PROBES:
                return False
    return True


@inlined
def is_null(bits: Bytes, row: Int) -> bool:
    """Tell whether Arrow's validity bits say null; without bits nothing is."""
    return len(bits) > 0 and not bits[row >> 3] >> (row & 7) & 1


@inlined
def equal_texts(offsets: Rows, data: Bytes, a: Int, b: Int) -> bool:
    """Tell whether two rows of a text column are the same."""
    start, other = np.int64(offsets[a]), np.int64(offsets[b])
    size = offsets[a + 1] - start
    if offsets[b + 1] - other != size:
        return False
    for i in range(size):
        if data[start + i] != data[other + i]:
            return False
    return True


@inlined
def text_hash(data: Bytes, words: Ints, start: Int, size: Int, seed: Int) -> Int:
    """Return 31 bits that depend on every byte of a text."""
    h = np.int64(seed ^ size)
    if size < 8:
        word = np.int64(0)
        for i in range(size):
            word = word << 8 | np.int64(data[start + i])
        return mixed(h, word, 0)
    last = size - 8
    for i in range(0, last, 8):
        h = (h ^ words[start + i]) * np.int64(MULTIPLIER)
        h ^= h >> 32
    return mixed(h, words[start + last], 0)


@kernel
def number_texts(offsets: Rows, data: Bytes, words: Ints, bits: Bytes, seed: Int, slots: Rows, number: Ints) -> bool:
    """Write for every row the first row with the same text, -1 for null; return False where that took too many probes.

    `words` are those at every byte of `data`. `slots` has a power of two of zeros, at least 4 n.
    """
    mask = np.int64(len(slots) - 1)
    for row in range(len(number)):
        if is_null(bits, row):
            number[row] = -1
            continue
        start = np.int64(offsets[row])
        at = text_hash(data, words, start, offsets[row + 1] - start, seed) & mask
        probes = 0
        while True:
            held = np.int64(slots[at])
            if held == 0:
                slots[at] = row + 1
                number[row] = row
                break
            if equal_texts(offsets, data, held - 1, row):
                number[row] = held - 1
                break
            at = (at + 1) & mask
            probes += 1
            if probes > MAX_PROBES:
                return False
    return True


@kernel
def share(
    offsets: Rows,
    data: Bytes,
    bits: Bytes,
    precedence: Bytes,
    trace: Ints,
    parent: Ints,
    max_ancestors: Int,
    best: Rows,
    rival: Bytes,
    seen: Rows,
    source: Ints,
) -> None:
    """Write for every row the row whose value it takes, -1 for none.

    `best` (-1) and `rival` (0) have room for a trace each, `seen` (-1) for a row each.
    """
    n = len(trace)
    for row in range(n):
        if not is_null(bits, row):
            held = best[trace[row]]
            if held < 0 or precedence[row] < precedence[held]:
                best[trace[row]] = row
    for row in range(n):
        held = best[trace[row]]
        if (
            held >= 0
            and held != row
            and precedence[row] == precedence[held]
            and not is_null(bits, row)
            and not equal_texts(offsets, data, row, held)
        ):
            rival[trace[row]] = 1
    for row in range(n):
        held = np.int64(best[trace[row]])
        if rival[trace[row]] == 0:
            source[row] = held
        elif precedence[row] == precedence[held] and not is_null(bits, row):
            source[row] = row
        else:  # the nearest ancestor's
            source[row] = -1
            seen[row] = row
            above = parent[row]
            met = 1
            while above >= 0 and seen[above] != row and met <= max_ancestors:
                if precedence[above] == precedence[held] and not is_null(bits, above):
                    source[row] = above
                    break
                seen[above] = row
                met += 1
                above = parent[above]


@kernel
def above_all(rows: Ints, parent: Ints, max_ancestors: Int, seen: Rows, found: Bytes) -> None:
    """Mark the rows above each of these, as `tree.ancestors` yields them. `seen` (-1) has room for a row each."""
    for i in range(len(rows)):
        row = rows[i]
        seen[row] = row
        above = parent[row]
        met = 1
        while above >= 0 and seen[above] != row and met <= max_ancestors:
            found[above] = 1
            seen[above] = row
            met += 1
            above = parent[above]


@kernel
def nearest(rows: Ints, parent: Ints, wanted: Bytes, max_ancestors: Int, seen: Rows, found: Ints) -> None:
    """Write for each of these rows the nearest row above it that is wanted, -1 for none; `seen` as in `above_all`."""
    for i in range(len(rows)):
        row = rows[i]
        found[i] = -1
        seen[row] = row
        above = parent[row]
        met = 1
        while above >= 0 and seen[above] != row and met <= max_ancestors:
            if wanted[above] == 1:
                found[i] = above
                break
            seen[above] = row
            met += 1
            above = parent[above]


@kernel
def fill_depths(rows: Ints, parent: Ints, depth: Ints) -> None:
    """Write how many distinct rows are above each of these rows, and above those.

    `depth` (UNKNOWN) has room for a row each. Every row is passed a few times, whatever the depth: a way ends where the
    depth is known. Rows of a cycle have all others of it above them.
    """
    for i in range(len(rows)):
        at = rows[i]
        steps = np.int64(0)
        while at >= 0 and depth[at] == UNKNOWN:
            depth[at] = PASSED
            steps += 1
            at = parent[at]
        here, least = steps - 1, np.int64(0)
        if at >= 0 and depth[at] == PASSED:
            other = parent[at]
            while other != at:
                least += 1
                other = parent[other]
        elif at >= 0:
            here += depth[at] + 1
        row = rows[i]
        for _ in range(steps):
            depth[row] = max(here, least)
            here -= 1
            row = parent[row]
