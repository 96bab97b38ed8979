"""Attributes into sorted maps, and texts into the bytes of an INSERT: the kernels, compiled by numba.

Nothing here makes an object per attribute or text. Every extent is checked against the buffer it points into before it
is read: a fault in a table is an error, never bytes of something else.

Conventions: `words` of a buffer is the int64 at each of its bytes, as far as eight are left (numba loads it as if
aligned: x86-64 and arm64 do not mind). All arithmetic is int64: numba makes a float of int64 with uint64. Kernels
allocate nothing; their caller makes the arrays.
"""
# ruff: noqa: PLR0917 - kernels take their arrays by position

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from schema.compile import inlined, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Rows = NDArray[np.int32]
    Bytes = NDArray[np.uint8]

Number = TypeVar("Number", bound=np.generic)
Int: TypeAlias = Any
"""An int64; uncompiled, Python's and NumPy's integers mix."""

# Types of a value: schema.anyvalue.ValueType.
EMPTY, STRING, BOOL, INT, DOUBLE, ARRAY, KVLIST, BYTES = range(8)

LONG_BYTES = 64
"""Texts from here on are copied by a loop over bytes, which becomes one of vectors."""
INLINE = 12
"""Longest text that an Arrow view holds in itself."""
DIGITS = 20
"""Longest text of an int64."""
MAX_INSERTED = 64
"""Attributes of an owner that are sorted by insertion; of more that would be slow."""
MAX_PROBES = 32
"""Of the table of distinct values; one that finds no place in it counts as a new one."""
MULTIPLIER = -0x61C8864680B583EB
TRUE, FALSE = 0x65757274, 0x65736C6166
"""The words in ASCII, first letter lowest."""
EXPONENT = 0x7FF0000000000000
MANTISSA = 0x000FFFFFFFFFFFFF
UINT32 = 0xFFFFFFFF


def from_buffer(buffer: Any, kind: type[Number]) -> NDArray[Number]:
    """Return an array over a buffer, None is empty; read-only, as kernels are compiled for one kind of array."""
    array = np.frombuffer(b"" if buffer is None or len(buffer) == 0 else buffer, kind)
    array.flags.writeable = False
    return array


def words_of(raw: Bytes) -> Ints:
    """Return the int64 at each byte of a buffer, as far as eight are left, and always more than one.

    NumPy takes an array of one for contiguous, and kernels would be compiled again.
    """
    if len(raw) < 9:
        raw = np.frombuffer(raw.tobytes() + bytes(9 - len(raw)), np.uint8)
    return np.ndarray((len(raw) - 7,), "<i8", raw.data, strides=(1,))


@kernel
def place(owner: Rows, key: Rows, rank: Rows, marks: Ints, order: Rows, ends: Rows, places: Rows, ranks: Rows) -> int:
    """Sort the attributes of each owner by the rank of their key, of equal keys keep the last; return how many stay.

    `owner` ascends. `places[row]` becomes the attribute's place in the result, -1 where it is dropped, `ranks[place]`
    its rank, and `ends` the offsets of the owners in the result. Linear, whatever the input: two counting sorts.
    `marks` (ranks + owners + 2) and `order` (two of each row) are scratch.
    """
    n, owners, keys = len(owner), len(ends) - 1, len(rank)
    for i in range(keys + owners + 2):
        marks[i] = 0
    first_of_rank, first_of_owner = marks[: keys + 1], marks[keys + 1 :]
    for row in range(n):
        first_of_rank[rank[key[row]] + 1] += 1
        first_of_owner[owner[row] + 1] += 1
    for i in range(keys):
        first_of_rank[i + 1] += first_of_rank[i]
    for i in range(owners):
        first_of_owner[i + 1] += first_of_owner[i]
    by_rank, by_owner = order[:n], order[n:]
    for row in range(n):
        by_rank[first_of_rank[rank[key[row]]]] = row
        first_of_rank[rank[key[row]]] += 1
    for i in range(n):
        row = by_rank[i]
        by_owner[first_of_owner[owner[row]]] = row
        first_of_owner[owner[row]] += 1
    kept = 0
    ends[0] = 0
    at = 0
    for i in range(owners):
        while at < first_of_owner[i]:  # by now the end of the owner's attributes
            row = by_owner[at]
            at += 1
            if at < first_of_owner[i] and rank[key[by_owner[at]]] == rank[key[row]]:
                places[row] = -1
            else:
                places[row] = kept
                ranks[kept] = rank[key[row]]
                kept += 1
        ends[i + 1] = kept
    return kept


@kernel
def place_alike(owner: Rows, key: Rows, rank: Rows, order: Rows, ends: Rows, places: Rows, ranks: Rows) -> int:
    """Do what `place` does, faster where owners are alike: one with the keys of the last, in that order, is placed so.

    Returns -1, and leaves it to `place`, where an owner has more than MAX_INSERTED attributes. `order` is scratch.
    """
    n, kept, at = len(owner), 0, 0
    last, last_count, last_kept = 0, -1, 0
    ends[0] = 0
    for i in range(len(ends) - 1):
        first = at
        while at < n and owner[at] == i:
            at += 1
        count = at - first
        if count > MAX_INSERTED:
            return -1
        same = count == last_count
        if same:
            for j in range(count):
                if key[first + j] != key[last + j]:
                    same = False
                    break
        if same:
            base = kept - last_kept
            for j in range(count):
                there = places[last + j]
                places[first + j] = there + base if there >= 0 else -1
            for j in range(last_kept, ends[i]):
                ranks[j + base] = ranks[j]
            kept, last_kept = kept + ends[i] - last_kept, kept
        else:
            for j in range(first, at):  # sorted by insertion: a sender's attributes are few, and often sorted
                to = j
                while to > first and rank[key[order[to - 1]]] > rank[key[j]]:
                    order[to] = order[to - 1]
                    to -= 1
                order[to] = j
            last_kept = kept
            for j in range(first, at):
                row = order[j]
                if j + 1 < at and rank[key[order[j + 1]]] == rank[key[row]]:
                    places[row] = -1
                else:
                    places[row] = kept
                    ranks[kept] = rank[key[row]]
                    kept += 1
        last, last_count = first, count
        ends[i + 1] = kept
    return kept


@kernel
def list_made(kinds: Bytes, number: Ints, doubles: Ints, others: Rows) -> tuple[int, int, int]:
    """List the values whose text is made elsewhere: doubles, and rows of what is no scalar; and count long integers."""
    n_doubles, n_others, long_integers = 0, 0, 0
    for row in range(len(kinds)):
        kind = kinds[row]
        if kind == DOUBLE:
            if n_doubles < len(doubles):
                doubles[n_doubles] = number[row]
            n_doubles += 1
        elif kind == INT:
            if not -(10 ** (INLINE - 1)) < number[row] < 10**INLINE:
                long_integers += 1
        elif kind != STRING and kind != BOOL:  # noqa: PLR1714 - cheaper than a set
            if n_others < len(others):
                others[n_others] = row
            n_others += 1
    return n_doubles, n_others, long_integers


@kernel
def distinct(
    buf: Bytes, kinds: Bytes, start: Ints, length: Ints, rows: Rows, slots: Rows, index: Rows, firsts: Rows
) -> int:
    """Give equal values among `rows` one number: `index` of each row, `firsts` the row where each is first met.

    `slots` is a table of zeros, its length a power of two. Returns how many there are, -1 where an extent is wrong.
    """
    mask = len(slots) - 1
    known = 0
    for i in range(len(rows)):
        row = rows[i]
        first, size = start[row], length[row]
        if first < 0 or size < 0 or first + size > len(buf):
            return -1
        mixed: Int = np.int64(kinds[row]) ^ size
        for j in range(first, first + size):
            mixed = (mixed ^ np.int64(buf[j])) * MULTIPLIER
            mixed ^= mixed >> 29
        index[i] = -1
        at = mixed & mask
        for _ in range(MAX_PROBES):
            if slots[at] == 0:
                slots[at] = known + 1
                break
            other = firsts[slots[at] - 1]
            if kinds[other] == kinds[row] and length[other] == size:
                from_ = start[other]
                same = 0
                while same < size and buf[from_ + same] == buf[first + same]:
                    same += 1
                if same == size:
                    index[i] = slots[at] - 1
                    break
            at = (at + 1) & mask
        if index[i] < 0:
            index[i] = known
            firsts[known] = row
            known += 1
    return known


@kernel
def split_numbers(text: Bytes, bits: Ints, words_at: Int, start: Ints, length: Ints) -> bool:
    """Find each number in a JSON list of doubles; what is not finite is found at `words_at`: NaN, Infinity, -Infinity.

    False where the list has not as many as `bits`.
    """
    at = 1
    for i in range(len(bits)):
        begin = at
        while at < len(text) and text[at] != 44 and text[at] != 93:
            at += 1
        if at == begin or at == len(text) or (text[at] == 93) != (i == len(bits) - 1):
            return False
        start[i], length[i] = begin, at - begin
        at += 1
        if bits[i] & EXPONENT == EXPONENT:
            if bits[i] & MANTISSA:
                start[i], length[i] = words_at, 3
            elif bits[i] > 0:
                start[i], length[i] = words_at + 3, 8
            else:
                start[i], length[i] = words_at + 11, 9
    return True


@inlined
def write_integer(value: Int, out: Bytes, at: Int) -> Int:
    """Write a number in decimal; return the offset behind it."""
    left = value if value < 0 else -value  # of negative numbers there is one more
    if value < 0:
        out[at] = 45
        at += 1
    first = at
    while True:
        tens = (left + 9) // 10
        out[at] = 48 + tens * 10 - left
        at += 1
        left = tens
        if left == 0:
            break
    last = at - 1
    while first < last:
        digit = out[first]
        out[first] = out[last]
        out[last] = digit
        first += 1
        last -= 1
    return at


@inlined
def low_bytes(word: Int, count: Int) -> Int:
    """Return the first bytes of a word, the others zero."""
    if count >= 8:
        return word
    return word & ((1 << 8 * count) - 1) if count > 0 else np.int64(0)


@inlined
def set_view(views: Ints, to: Int, source: Bytes, words: Ints, number: Int, start: Int, size: Int) -> None:
    """Write Arrow's view of a text: int32 length, then its bytes or the first four, buffer's number and offset.

    Source: Arrow columnar format, "Variable-size Binary View Layout".
    """
    first, second = np.int64(0), np.int64(0)
    if start + INLINE <= len(source):
        first, second = low_bytes(words[start], min(size, 4)), low_bytes(words[start + 4], size - 4)
    else:
        for i in range(min(size, 4)):
            first |= np.int64(source[start + i]) << (8 * i)
        for i in range(4, min(size, INLINE)):
            second |= np.int64(source[start + i]) << (8 * (i - 4))
    views[2 * to] = size | first << 32
    views[2 * to + 1] = number | start << 32 if size > INLINE else second


@kernel
def view_texts(
    kinds: Bytes,
    number: Ints,
    start: Ints,
    length: Ints,
    places: Rows,
    buf: Bytes,
    words: Ints,
    made: Bytes,
    made_words: Ints,
    used: Int,
    double_start: Ints,
    double_length: Ints,
    other_start: Ints,
    other_length: Ints,
    views: Ints,
) -> bool:
    """Write the view of each attribute's text to its place; False where an extent is wrong.

    Strings stay in `buf`, buffer 0. Texts that were made stand in `made`, buffer 1, doubles and others in the order of
    their rows; behind its first `used` bytes this kernel writes integers.
    """
    doubles, others = 0, 0
    for row in range(len(kinds)):
        kind = kinds[row]
        to = places[row]
        if kind == STRING:
            first, size = start[row], length[row]
            if first < 0 or size < 0 or first + size > len(buf):
                return False
            if to >= 0:
                set_view(views, to, buf, words, 0, first, size)
        elif kind == INT:
            if to >= 0:
                if used + DIGITS > len(made):
                    return False
                behind = write_integer(number[row], made, used)
                set_view(views, to, made, made_words, 1, used, behind - used)
                if behind - used > INLINE:
                    used = behind
        elif kind == BOOL:
            if to >= 0:
                text = TRUE if number[row] else FALSE
                size = 4 if number[row] else 5
                views[2 * to] = size | (text & UINT32) << 32
                views[2 * to + 1] = text >> 32
        else:
            if kind == DOUBLE:
                first, size = double_start[doubles], double_length[doubles]
                doubles += 1
            else:
                first, size = other_start[others], other_length[others]
                others += 1
            if first < 0 or size < 0 or first + size > len(made):
                return False
            if to >= 0:
                set_view(views, to, made, made_words, 1, first, size)
    return True


@kernel
def repeat(owners: Rows, ends: Rows, ranks: Rows, views: Ints, new_ends: Rows, new_ranks: Rows, new_views: Ints) -> int:
    """Give each row the map of its owner; return how many entries that makes, written as far as there is room."""
    at = 0
    new_ends[0] = 0
    for row in range(len(owners)):
        for i in range(ends[owners[row]], ends[owners[row] + 1]):
            if at < len(new_ranks):
                new_ranks[at] = ranks[i]
                new_views[2 * at] = views[2 * i]
                new_views[2 * at + 1] = views[2 * i + 1]
            at += 1
        new_ends[row + 1] = at
    return at


@inlined
def write_varint(value: Int, out: Bytes, at: Int) -> Int:
    """Write a length; return the offset behind it."""
    while value > 127:
        out[at] = value & 127 | 128
        value >>= 7
        at += 1
    out[at] = value
    return at + 1


@inlined
def copy(source: Bytes, source_words: Ints, start: Int, size: Int, out: Bytes, out_words: Ints, at: Int) -> Int:
    """Copy an extent; return the offset behind it. Never touches a byte outside of the two extents.

    Indices without a sign, which cannot count from the end, let the loop of long texts become one of wide words.
    """
    if size >= LONG_BYTES:
        first, to = np.uint64(start), np.uint64(at)
        for i in range(np.uint64(size)):
            out[to + i] = source[first + i]
        return at + size
    if size < 8:
        for i in range(size):
            out[at + i] = source[start + i]
        return at + size
    for i in range(0, size - 7, 8):
        out_words[at + i] = source_words[start + i]
    out_words[at + size - 8] = source_words[start + size - 8]
    return at + size


@kernel
def write_texts(
    data: Bytes, words: Ints, offsets: Rows, nulls: Bytes, row: Int, out: Bytes, out_words: Ints, at: Int
) -> tuple[int, int]:
    """Write texts from `row` on as varint length and bytes, as many as have room; return the next row and offset.

    A null, where `nulls` has as many bytes as there are rows, is an empty text. The row is -1 where an extent is wrong.
    """
    rows = len(offsets) - 1
    while row < rows:
        start: Int = np.int64(offsets[row])
        size: Int = np.int64(offsets[row + 1]) - start
        if start < 0 or size < 0 or start + size > len(data):
            return -1, at
        if len(nulls) == rows and nulls[row]:
            size = 0
        if at + size + 10 > len(out):
            return row, at
        at = write_varint(size, out, at)
        at = copy(data, words, start, size, out, out_words, at)
        row += 1
    return row, at


@kernel
def write_views(
    views: Ints,
    first: Bytes,
    first_words: Ints,
    second: Bytes,
    second_words: Ints,
    nulls: Bytes,
    row: Int,
    out: Bytes,
    out_words: Ints,
    at: Int,
) -> tuple[int, int]:
    """Write texts as `write_texts` does, given as Arrow's views of at most two buffers."""
    rows = len(views) // 2
    while row < rows:
        low, high = views[2 * row], views[2 * row + 1]
        size: Int = low & UINT32
        if len(nulls) == rows and nulls[row]:
            size = 0
        if at + size + 20 > len(out):
            return row, at
        at = write_varint(size, out, at)
        if size <= INLINE:
            out_words[at] = (low >> 32) & UINT32 | high << 32  # past the text, yet within the room
            out_words[at + 8] = high >> 32
            at += size
        else:
            start: Int = (high >> 32) & UINT32
            number: Int = high & UINT32
            if number == 0 and start + size <= len(first):
                at = copy(first, first_words, start, size, out, out_words, at)
            elif number == 1 and start + size <= len(second):
                at = copy(second, second_words, start, size, out, out_words, at)
            else:
                return -1, at
        row += 1
    return row, at
