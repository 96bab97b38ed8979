"""Put spans together that converters cannot tell apart: the kernel.

Two spans are of one group where kind, scope, name (of tools, where a converter reads it), the facts that kernels read
of their content, and all attributes that converters read are the same, byte for byte and in order. Hashes only say
where to look. Conventions: as in `collector/decode/kernels.py`.
"""
# ruff: noqa: PLR0917 - kernels take their arrays by position

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from schema.compile import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Rows = NDArray[np.int32]
    Bytes = NDArray[np.uint8]

Int: TypeAlias = Any
"""An int64; uncompiled, Python's and NumPy's integers mix."""

UNREAD = 0
"""The class of keys that no converter reads."""
IGNORED, USED, USED_WITH_FIGURES = range(3)
"""What a class of keys is to converters on spans of a kind; with figures: beside the tokens that are known already."""
MULTIPLIER = -0x61C8864680B583EB
MAX_PROBES = 64
"""Places looked at for a group; more are met by design of the sender only, and then the span is a group of its own."""

# Columns of the table of what is known of a span besides its attributes.
KIND, SCOPE, NAME, ALONE, FACTS, FINISH_COUNT, FINISH_START, FINISH_LENGTH, FIGURE, FIGURE_2, FACT_COLUMNS = range(11)


@kernel
def mix(mixed: Int, value: Int) -> Int:
    """Return a hash with one more number in it."""
    mixed = (mixed ^ value) * MULTIPLIER
    return mixed ^ (mixed >> 29)


@kernel
def mix_bytes(words: Ints, start: Int, length: Int, mixed: Int) -> Int:
    """Return a hash with these bytes in it."""
    whole = length & ~7
    for i in range(0, whole, 8):
        mixed = mix(mixed, words[start + i])
    if whole < length:
        mixed = mix(mixed, words[start + whole] & ((np.int64(1) << (8 * (length - whole))) - 1))
    return mix(mixed, length)


@kernel
def same_bytes(words: Ints, one: Int, other: Int, length: Int) -> bool:
    """Compare two runs of bytes."""
    whole = length & ~7
    for i in range(0, whole, 8):
        if words[one + i] != words[other + i]:
            return False
    rest = length - whole
    return rest == 0 or bool((words[one + whole] ^ words[other + whole]) & ((np.int64(1) << (8 * rest)) - 1) == 0)


@kernel
def next_read(at: Int, end: Int, key: Rows, class_of_key: Bytes, read: Bytes) -> Int:
    """Return the first attribute from `at` on of a class that is read, `end` without one."""
    while at < end and read[class_of_key[key[at]]] == 0:
        at += 1
    return at


@kernel
def group_spans(
    words: Ints,
    first: Ints,
    known: Ints,
    class_of_key: Bytes,
    uses: Bytes,
    fact_of_class: Ints,
    key: Rows,
    types: Bytes,
    number: Ints,
    start: Ints,
    length: Ints,
    slots: Rows,
    hashes: Ints,
    representative: Ints,
    group: Ints,
    read: Bytes,
) -> Int:
    """Give each span the number of its group, -1 where converters read nothing; return how many groups there are.

    `uses[kind, class]` says what a class of keys is to converters on a span of that kind, `fact_of_class[class]`
    which fact stands for them where a kernel has read them. `slots` has a power of two of zeros, at least twice as many
    as spans; `representative` and `hashes` have room for as many groups; `read` is scratch, a byte per class.
    """
    groups: Int = 0
    mask = len(slots) - 1
    for row in range(known.shape[1]):
        group[row] = -1
        marked = known[ALONE, row] != 0
        figures = False
        for class_ in range(len(read)):
            use = uses[known[KIND, row], class_]
            read[class_] = IGNORED if known[FACTS, row] & fact_of_class[class_] else use
        mixed = np.int64(0)
        for column in range(FINISH_COUNT + 1):
            mixed = mix(mixed, known[column, row])
        mixed = mix_bytes(words, known[FINISH_START, row], known[FINISH_LENGTH, row], mixed)
        for i in range(first[row], first[row + 1]):
            class_ = class_of_key[key[i]]
            if class_ == UNREAD:
                continue
            marked = True
            if read[class_] == 0:
                continue
            figures = figures or read[class_] == USED_WITH_FIGURES
            mixed = mix(mix(mixed, np.int64(key[i]) << 8 | np.int64(types[i])), number[i])
            mixed = mix_bytes(words, start[i], length[i], mixed)
        if not marked:
            continue
        if figures:
            mixed = mix(mix(mixed, known[FIGURE, row]), known[FIGURE_2, row])
        place = (mixed ^ mixed >> 32) & mask
        found: Int = -1
        free: Int = -1
        for probe in range(1, MAX_PROBES):
            candidate = np.int64(slots[place]) - 1
            if candidate < 0:
                free = place
                break
            if hashes[candidate] == mixed and is_same(
                words,
                first,
                known,
                class_of_key,
                key,
                types,
                number,
                start,
                length,
                row,
                representative[candidate],
                figures,
                read,
            ):
                found = candidate
                break
            place = (place + probe) & mask
        if found < 0:
            found = groups
            groups += 1
            hashes[found] = mixed
            representative[found] = row
            if free >= 0 and known[ALONE, row] == 0:
                slots[free] = found + 1
        group[row] = found
    return groups


@kernel
def is_same(
    words: Ints,
    first: Ints,
    known: Ints,
    class_of_key: Bytes,
    key: Rows,
    types: Bytes,
    number: Ints,
    start: Ints,
    length: Ints,
    row: Int,
    other: Int,
    figures: bool,  # noqa: FBT001 - kernels take everything by position
    read: Bytes,
) -> bool:
    """Compare a span with the representative of a group, whatever their hashes say; `read` is what both read."""
    for column in range(FINISH_COUNT + 1):
        if known[column, row] != known[column, other]:
            return False
    if figures and (known[FIGURE, row] != known[FIGURE, other] or known[FIGURE_2, row] != known[FIGURE_2, other]):
        return False
    size = known[FINISH_LENGTH, row]
    if size != known[FINISH_LENGTH, other]:
        return False
    if not same_bytes(words, known[FINISH_START, row], known[FINISH_START, other], size):
        return False
    at, at_other = first[row], first[other]
    end, end_other = first[row + 1], first[other + 1]
    while True:
        at = next_read(at, end, key, class_of_key, read)
        at_other = next_read(at_other, end_other, key, class_of_key, read)
        if at == end or at_other == end_other:
            return bool(at == end and at_other == end_other)
        if key[at] != key[at_other] or types[at] != types[at_other] or number[at] != number[at_other]:
            return False
        if length[at] != length[at_other] or not same_bytes(words, start[at], start[at_other], length[at]):
            return False
        at += 1
        at_other += 1
