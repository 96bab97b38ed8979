"""One pass over an attribute table picks for every column and span the attribute that fills it; then columns are read.

    pick ─▶ row[slot, span] of the attribute, rank[slot, span] of its key
      read_figures, read_flags ─▶ values and validity bits
      measure_texts ─▶ offsets, validity bits ─▶ copy_texts ─▶ data, for all columns of text at once

A slot is a column that keys may fill: a text, a figure or a flag. `scalars.fill` is the same in NumPy, slot by slot;
what it would read with Python (a number or a flag that came as text) is marked in `odd` and left to it.

Conventions are those of `collector.decode.kernels`. `buf` may be read from `start` to `start + length` of a text.
"""
# ruff: noqa: PLR0917, PLR1714, SIM109, SIM110 - kernels take their arrays by position; plain loops are the fast ones

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from schema.compile import inlined, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Rows = NDArray[np.int32]
    Bytes = NDArray[np.uint8]
    Doubles = NDArray[np.float64]

Int: TypeAlias = Any
"""An int64; uncompiled, Python's and NumPy's integers mix."""

TEXT, FIGURE, FLAG = range(3)
"""What a slot holds."""
NO_RANK = 255
MAX_DIGITS = 18
"""Of a figure in a text that is read here: more may not fit an int64."""
TWO_TO_63 = 9223372036854775808.0
QUOTE = 34
HIGH_BITS = -0x7F7F7F7F7F7F7F80

# Types of a value: schema.anyvalue.ValueType.
STRING, BOOL, INT, DOUBLE = 1, 2, 3, 4

UNUSABLE, USABLE, ODD = range(3)


@inlined
def is_count(double: Any) -> bool:
    """Tell whether a double is a count that an int64 holds."""
    return bool(double >= 0.0 and double < TWO_TO_63 and np.floor(double) == double)


@inlined
def digits(buf: Bytes, start: Int, length: Int) -> bool:
    """Tell whether a text is nothing but a few digits."""
    if length < 1 or length > MAX_DIGITS:
        return False
    for at in range(start, start + length):
        if buf[at] < 48 or buf[at] > 57:
            return False
    return True


@inlined
def judge(buf: Bytes, sort: Int, kind: Int, number: Int, double: Any, start: Int, length: Int) -> Int:
    """Return whether a slot of this sort can use a value: UNUSABLE, USABLE, or ODD where Python has to say."""
    if kind == STRING:
        if length == 0:
            return UNUSABLE
        if sort == TEXT or (sort == FIGURE and digits(buf, start, length)):
            return USABLE
        return ODD
    if sort == TEXT:
        return USABLE if kind == INT or kind == BOOL else UNUSABLE
    if sort == FIGURE:
        usable = number >= 0 if kind == INT else kind == DOUBLE and is_count(double)
        return USABLE if usable else UNUSABLE
    return USABLE if kind == BOOL else UNUSABLE


@kernel
def pick(
    buf: Bytes,
    owner: Rows,
    key: Rows,
    kinds: Bytes,
    number: Ints,
    double: Doubles,
    start: Ints,
    length: Ints,
    span_of_owner: Ints,
    first: Rows,
    slot: Rows,
    rank: Bytes,
    sort: Bytes,
    row: Any,
    best: Any,
    odd: Bytes,
) -> None:
    """Write for each slot and span the attribute of the best rank, the first of equals; -1 and NO_RANK stand there.

    Key k fills the slots `slot[first[k]:first[k + 1]]`, with `rank` there. `row` is int32[slots, spans], `best` uint8.
    `span_of_owner` says for which span an owner speaks, -1 for none; empty, owners are spans. `odd` marks slots.
    """
    for at in range(len(owner)):
        begin, end = first[key[at]], first[key[at] + 1]
        if begin == end:
            continue
        span = np.int64(owner[at])
        if len(span_of_owner) > 0:
            span = span_of_owner[span]
            if span < 0:
                continue
        for i in range(begin, end):
            s = slot[i]
            if rank[i] >= best[s, span]:
                continue
            usable = judge(buf, sort[s], kinds[at], number[at], double[at], start[at], length[at])
            if usable == USABLE:
                best[s, span] = rank[i]
                row[s, span] = at
            elif usable == ODD:
                odd[s] = 1


@kernel
def read_figures(
    buf: Bytes,
    rows: Rows,
    kinds: Bytes,
    number: Ints,
    double: Doubles,
    start: Ints,
    length: Ints,
    values: Ints,
    bits: Bytes,
) -> Int:
    """Read the figures of the attributes at `rows` (-1: null); return how many are null."""
    nulls = np.int64(0)
    for i in range(len(rows)):
        at = rows[i]
        value = np.int64(0)
        if at < 0:
            nulls += 1
        else:
            bits[i >> 3] |= np.uint8(1 << (i & 7))
            if kinds[at] == STRING:
                for b in range(start[at], start[at] + length[at]):
                    value = value * 10 + (np.int64(buf[b]) - 48)
            elif kinds[at] == DOUBLE:
                value = np.int64(double[at])
            else:
                value = number[at]
        values[i] = value
    return nulls


@kernel
def read_flags(rows: Rows, number: Ints, values: Bytes, bits: Bytes) -> Int:
    """Read the flags of the attributes at `rows` (-1: null) as bits; return how many are null."""
    nulls = np.int64(0)
    for i in range(len(rows)):
        at = rows[i]
        if at < 0:
            nulls += 1
            continue
        bits[i >> 3] |= np.uint8(1 << (i & 7))
        if number[at] != 0:
            values[i >> 3] |= np.uint8(1 << (i & 7))
    return nulls


@kernel
def measure_texts(rows: Any, kinds: Bytes, length: Ints, offsets: Any, bits: Any, nulls: Ints) -> Int:
    """Say where the texts at `rows` (-1: null) go; return the bytes of all columns.

    `rows` is int32[columns, spans], `offsets` int32[columns, spans + 1], `bits` uint8[columns, ...]; `nulls` counts.
    """
    total = np.int64(0)
    for column in range(len(rows)):
        to = np.int64(0)
        offsets[column, 0] = 0
        for i in range(rows.shape[1]):
            at = rows[column, i]
            if at >= 0 and kinds[at] == STRING:
                bits[column, i >> 3] |= np.uint8(1 << (i & 7))
                to += length[at]
            else:
                nulls[column] += 1
            offsets[column, i + 1] = to
        total += to
    return total


@inlined
def copy(buf: Bytes, words: Ints, start: Int, size: Int, out: Bytes, out_words: Ints, to: Int) -> Int:
    """Copy bytes, eight at a time; return whether one was beyond ASCII, as a number that is then not 0."""
    seen = np.int64(0)
    if size < 8:
        for b in range(size):
            byte = buf[start + b]
            out[to + b] = byte
            seen |= np.int64(byte) & 128
        return seen
    last = size - 8
    for b in range(0, last, 8):
        word = words[start + b]
        out_words[to + b] = word
        seen |= word
    word = words[start + last]
    out_words[to + last] = word
    return (seen | word) & HIGH_BITS


@kernel
def copy_texts(
    buf: Bytes,
    words: Ints,
    rows: Any,
    kinds: Bytes,
    start: Ints,
    offsets: Any,
    base: Ints,
    out: Bytes,
    out_words: Ints,
    special: Any,
    specials: Ints,
    beyond: Ints,
) -> None:
    """Copy the texts of all columns, span by span, since those of one span lie together.

    Column c begins at `base[c]` of `out`. `special` marks, and `specials` counts, what needs Python: quoted texts, and
    what is no text. `beyond` is not 0 for columns with more than ASCII. `words` are those at every byte of `buf`, and
    `out_words` of `out`.
    """
    for i in range(rows.shape[1]):
        for column in range(len(rows)):
            at = rows[column, i]
            if at < 0:
                continue
            if kinds[at] != STRING:
                special[column, i] = 1
                specials[column] += 1
                continue
            begin, to = start[at], np.int64(offsets[column, i])
            size = np.int64(offsets[column, i + 1]) - to
            if buf[begin] == QUOTE:
                special[column, i] = 1
                specials[column] += 1
            beyond[column] |= copy(buf, words, begin, size, out, out_words, base[column] + to)
