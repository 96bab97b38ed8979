"""Which texts a rule of `schema.failure` has to read: kernels that leave out those of which it surely does not hold.

They know the JSON that the normaliser writes: compact, a message's role before its parts, a part's type before its
content, every key once. Whatever looks otherwise is left in. A text is a row of an Arrow column: `data` from
`offsets[row]` to `offsets[row + 1]`. `among` says which rows are asked for, `found` gets the answers.
"""
# ruff: noqa: PLR0917, PLR1714, SIM109 - kernels take their arrays by position; a comparison is cheaper than a set

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from schema.compile import inlined, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.int32]
    Bytes = NDArray[np.uint8]

Int: TypeAlias = Any
"""An int64; uncompiled, Python's and NumPy's integers mix."""

QUOTE, BACKSLASH, OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE = 34, 92, 91, 93, 123, 125
SPACE, DELETE = 32, 127
BLANK, OTHER = 1, 2
TRIPLES = 1 << 14
"""Size of a table of triples."""


@inlined
def behind(data: Bytes, at: Int, end: Int, wanted: Bytes) -> Int:
    """Return the offset behind these bytes where they stand at `at`, else -1."""
    if at < 0 or at + len(wanted) > end:
        return -1
    for i in range(len(wanted)):
        if data[at + i] != wanted[i]:
            return -1
    return at + len(wanted)


@inlined
def end_of_word(data: Bytes, at: Int, end: Int) -> Int:
    """Return the offset of the quote that ends a string without escapes, else -1."""
    if at < 0:
        return -1
    while at < end and data[at] != QUOTE:
        if data[at] == BACKSLASH:
            return -1
        at += 1
    return at if at < end else -1


@kernel
def first_parts(
    offsets: Rows,
    data: Bytes,
    among: Bytes,
    role: Bytes,
    parts: Bytes,
    text: Bytes,
    call: Bytes,
    content: Bytes,
    found: Bytes,
) -> None:
    """Mark messages by their first part: BLANK if it is not surely more than white space, OTHER if of another type.

    `role`, `parts` and `content` are what stands before the role, before the type of the first part, and before the
    content of one; `text` and `call` are the types of a text and of a tool call. What looks otherwise is both.
    """
    for row in range(len(among)):
        if among[row] == 0:
            continue
        found[row] = BLANK | OTHER
        at, end = np.int64(offsets[row]), np.int64(offsets[row + 1])
        at = end_of_word(data, behind(data, at, end, role), end)
        at = behind(data, at, end, parts)
        last = end_of_word(data, at, end)
        if last < 0:
            continue
        if behind(data, at, last, text) == last:
            at = behind(data, last, end, content)
            if at < 0 or at >= end:
                continue
            first = data[at]
            blank = first <= SPACE or first >= DELETE or first == QUOTE or first == BACKSLASH
            found[row] = BLANK if blank else 0
        else:
            found[row] = 0 if behind(data, at, last, call) == last else OTHER


@inlined
def triple(data: Bytes, at: Int) -> Int:
    """Return a number below TRIPLES for three bytes."""
    return (np.int64(data[at]) << 7 ^ np.int64(data[at + 1]) << 4 ^ np.int64(data[at + 2])) & (TRIPLES - 1)


@kernel
def contain(offsets: Rows, data: Bytes, among: Bytes, needle: Bytes, of_needle: Bytes, found: Bytes) -> None:
    """Find texts that contain the needle.

    Wherever it is, one of the triples of bytes at every `len(needle) - 2` bytes of the text lies wholly in it. So only
    those are looked up in `of_needle`, which says of a triple whether it is in the needle, and none waits for another.
    """
    size = len(needle)
    step = size - 2
    for row in range(len(among)):
        if among[row] == 0:
            continue
        begin, end = np.int64(offsets[row]), np.int64(offsets[row + 1])
        for at in range(begin, end - 2, step):
            if of_needle[triple(data, at)] == 0:
                continue
            start: Int = max(begin, at - step + 1)
            last: Int = min(at, end - size)
            while start <= last and found[row] == 0:
                i: Int = 0
                while i < size and data[start + i] == needle[i]:
                    i += 1
                if i == size:
                    found[row] = 1
                start += 1
            if found[row] == 1:
                break


@kernel
def maybe_end_with(offsets: Rows, data: Bytes, among: Bytes, role: Bytes, wanted: Bytes, found: Bytes) -> None:
    """Find texts of messages of which the last is not surely of another role than `wanted`.

    `role` is what stands between the brace of a message and its role.
    """
    for row in range(len(among)):
        if among[row] == 0:
            continue
        at, end = np.int64(offsets[row]), np.int64(offsets[row + 1])
        depth = 0
        maybe = np.uint8(1)
        while at < end:
            byte = data[at]
            if byte == QUOTE:
                at += 1
                while at < end and data[at] != QUOTE:
                    at += 2 if data[at] == BACKSLASH else 1
            elif byte == OPEN_BRACKET or byte == OPEN_BRACE:
                depth += 1
                if byte == OPEN_BRACE and depth == 2:
                    start = behind(data, at + 1, end, role)
                    last = end_of_word(data, start, end)
                    other = last >= 0 and behind(data, start, last, wanted) != last
                    maybe = np.uint8(0) if other else np.uint8(1)
            elif byte == CLOSE_BRACKET or byte == CLOSE_BRACE:
                depth -= 1
            at += 1
        found[row] = maybe
