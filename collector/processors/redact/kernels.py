"""Find where a secret may begin in texts of a request, without reading each byte: see `find`.

Conventions: those of `collector.decode.kernels`.
"""
# ruff: noqa: PLR0917, PLR1714, SIM109 - kernels take their arrays by position; a comparison is cheaper than a set

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from collector.decode.kernels import next_field
from schema.compile import inlined, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Bytes = NDArray[np.uint8]

Int: TypeAlias = Any
"""An int64; uncompiled, Python's and NumPy's integers mix."""

HIGH: Final = -0x7F7F7F7F7F7F7F80
LOW_HALF: Final = 0x80808080
LOW_SIX: Final = 0x808080808080
DIGIT_BITS: Final = 0x101010101010
BELOW_RUN: Final = 0x2B2B2B2B2B2B2B2B
ABOVE_DIGITS: Final = 0x4646464646464646
ATS: Final = 0x4040404040404040
ONES: Final = 0x0101010101010101

OF_RUN, OF_CARD, OF_AT = 1, 2, 4
MIN_RUN: Final = 19

PREFIX, SCHEME, NAME, PEM, URL, CARD, EMAIL, KEY, OVERFULL = range(9)
"""`collector.processors.redact.detectors.Anchor`; KEY: the key of a nested value, which may name a secret;
OVERFULL: see `find`."""

STRING, ARRAY, KVLIST, BYTES, PAIR, VALUE = 1, 5, 6, 7, 8, 9
"""`schema.anyvalue.ValueType`; PAIR and VALUE are the other messages that nest."""
WORD_CLASS, ALNUM, FIRST, SPECIAL = 1, 2, 4, 8
"""Bits of `classes`: a letter, digit, "_" or "-"; a letter or digit; the first of a prefix; a backslash, ":" or "="."""


@inlined
def below_run(word: Int) -> Int:
    """Return a word that has a high bit, of the first such byte at least, where a byte is no part of a run.

    A run is of the bytes from "+" to 0x7f.
    """
    return ((word - BELOW_RUN) | word) & HIGH


@inlined
def no_digit(word: Int) -> Int:
    """Return a word that has a high bit where a byte is above "9"; of what comes behind the first it may err."""
    return ((word + ABOVE_DIGITS) | word) & HIGH


@inlined
def has_at(word: Int) -> bool:
    """Tell whether one of the bytes is "@"."""
    other = word ^ ATS
    return bool(((other - ONES) & ~other & HIGH) != 0)


@inlined
def hints(word: Int, following: Int) -> Int:
    """Return what may begin near a word: OF_RUN where 12 bytes are of a run, OF_CARD where 6 are of a card's, OF_AT.

    All is done with whole words, and without a branch: comparing costs three times as much (measured).
    """
    bad = below_run(word) | (below_run(following) & LOW_HALF)
    other = word ^ ATS
    at = (other - ONES) & ~other & HIGH
    card = ((no_digit(word) & LOW_SIX) - 1) & -(word & DIGIT_BITS)
    return (((bad - 1) & ~bad) >> 63 & OF_RUN) | (card >> 63 & OF_CARD) | ((at | -at) >> 63 & OF_AT)


@inlined
def put(found: Ints, count: Int, anchor: Int, detector: Int, at: Int, start: Int, end: Int) -> Int:
    """Write a candidate where there is room; return how many there are."""
    if count < found.shape[1]:
        found[0, count] = anchor
        found[1, count] = detector
        found[2, count] = at
        found[3, count] = start
        found[4, count] = end
    return count + 1


@kernel
def flag(words: Ints, flags: Bytes) -> None:
    """Say of each eight bytes whether something may begin near them; of the last two words that is always so.

    `words` are those at multiples of eight, `flags` one byte for each, and at least two more. Nineteen bytes of a run
    cover twelve that begin at a multiple of eight, thirteen of a card's cover six. What is no text is looked at as
    well: that costs less than telling it apart.
    """
    for i in range(len(words) - 1):
        flags[i] = hints(words[i], words[i + 1])
    for i in range(max(0, len(words) - 1), len(flags)):
        flags[i] = OF_RUN | OF_CARD | OF_AT


@inlined
def is_flagged(flags: Bytes, eights: Ints, start: Int, end: Int) -> bool:
    """Tell whether something may begin in this text; `eights` are eight flags each."""
    said: Int = 0
    at = start >> 3
    last = (end - 1) >> 3
    if last - at >= 16:
        while at & 7 != 0:
            said |= np.int64(flags[at])
            at += 1
        while at + 7 <= last:
            said |= eights[at >> 3]
            at += 8
    while at <= last:
        said |= np.int64(flags[at])
        at += 1
    if end - start < MIN_RUN:
        said &= OF_CARD | OF_AT
    return bool(said != 0)


@kernel
def find(
    buf: Bytes,
    words: Ints,
    flags: Bytes,
    eights: Ints,
    kinds: Bytes,
    starts: Ints,
    lengths: Ints,
    classes: Bytes,
    first_prefix: Ints,
    prefixes: Bytes,
    prefix_sizes: Ints,
    emails: bool,  # noqa: FBT001 - as above
    any_key: bool,  # noqa: FBT001 - as above
    stack: Ints,
    row: Int,
    most: Int,
    found: Ints,
) -> tuple[Int, Int]:
    """List candidates in the values of these extents from `row` on, as far as there is room.

    Return the row where it ended, and how many are listed. Of a value that has more than `most` nothing is listed but
    OVERFULL and, as where, its row. Where one needs more than all the room, it ends where it began.

    `flags` are those of `flag`, `eights` the same, eight in one.
    `found` is int64[5, room]: anchor, number (of the prefix; where a card's digits end), where, start and end of the
    text. Of KEY, where is the start of a key in a kvlist, the text is what comes behind it there.
    `first_prefix[b]` to `first_prefix[b + 1]` are the prefixes that begin with byte b, rows of `prefixes`.
    `stack` has two for each level that values may nest; -1 candidates are returned where one nests deeper.
    With `any_key`, every key of a kvlist is listed, else those that may name a secret.
    """
    count: Int = 0
    while row < len(kinds):
        before = count
        kind = kinds[row]
        start = starts[row]
        end = start + lengths[row]
        if kind == STRING or kind == BYTES:
            if end - start >= 9 and is_flagged(flags, eights, start, end):
                count = find_in(
                    buf, words, start, end, classes, first_prefix, prefixes, prefix_sizes, emails, count, found
                )
        elif kind == ARRAY or kind == KVLIST:
            count = find_nested(
                buf,
                words,
                kind,
                start,
                end,
                classes,
                first_prefix,
                prefixes,
                prefix_sizes,
                emails,
                any_key,
                stack,
                count,
                found,
            )
            if count < 0:
                return row, -1
        if count - before > most:
            count = put(found, before, OVERFULL, 0, row, start, end)
        if count > found.shape[1]:
            return row, before
        row += 1
    return row, count


@kernel
def find_nested(
    buf: Bytes,
    words: Ints,
    kind: Int,
    start: Int,
    end: Int,
    classes: Bytes,
    first_prefix: Ints,
    prefixes: Bytes,
    prefix_sizes: Ints,
    emails: bool,  # noqa: FBT001 - as above
    any_key: bool,  # noqa: FBT001 - as above
    stack: Ints,
    count: Int,
    found: Ints,
) -> Int:
    """Do `find` for one ArrayValue or KeyValueList. The decoder has read it before: it is whole.

    The stack has the kind and the end of each message that is open.
    """
    room = len(stack) // 2
    depth: Int = 0
    stack[0] = kind
    stack[1] = end
    at = start
    while depth >= 0:
        kind = stack[2 * depth]
        end = stack[2 * depth + 1]
        if at >= end:
            depth -= 1
            continue
        tag, low, high, behind = next_field(buf, at, end)
        if behind < 0:
            return -1
        at = behind
        inner: Int = 0
        if kind == ARRAY and tag == 10:
            inner = VALUE
        elif kind == KVLIST and tag == 10:
            inner = PAIR
        elif kind == PAIR and tag == 18:
            inner = VALUE
        elif kind == VALUE and tag == 42:
            inner = ARRAY
        elif kind == VALUE and tag == 50:
            inner = KVLIST
        elif (kind == PAIR and tag == 10) or (kind == VALUE and (tag == 10 or tag == 58)):
            if kind == PAIR and may_name_secret(buf, low, high, any_key):
                count = put(found, count, KEY, 0, low, high, end)
            if high - low >= 9:
                count = find_in(
                    buf, words, low, high, classes, first_prefix, prefixes, prefix_sizes, emails, count, found
                )
        if inner != 0:
            depth += 1
            if depth >= room:
                return -1
            stack[2 * depth] = inner
            stack[2 * depth + 1] = high
            at = low
    return count


@kernel
def may_name_secret(buf: Bytes, low: Int, high: Int, any_key: bool) -> bool:  # noqa: FBT001 - as above
    """Tell whether a key may be one of the names of `collector.processors.redact.names`: it has three of their letters.

    With `any_key`, every key may.
    """
    if any_key:
        return True
    for at in range(low, high - 2):
        three = (np.int64(buf[at]) | 32) << 16 | (np.int64(buf[at + 1]) | 32) << 8 | np.int64(buf[at + 2]) | 32
        # aut, key, pas, pwd, sec, tok, coo, cre
        if (
            three == 0x617574
            or three == 0x6B6579
            or three == 0x706173
            or three == 0x707764
            or three == 0x736563
            or three == 0x746F6B
            or three == 0x636F6F
            or three == 0x637265
        ):
            return True
    return False


@inlined
def find_in(
    buf: Bytes,
    words: Ints,
    start: Int,
    end: Int,
    classes: Bytes,
    first_prefix: Ints,
    prefixes: Bytes,
    prefix_sizes: Ints,
    emails: bool,  # noqa: FBT001 - as above
    count: Int,
    found: Ints,
) -> Int:
    """Do `find` for one text of at least nine bytes, eight at a time.

    Nineteen bytes of a run cover twelve that begin at a multiple of eight from the start, or the twelve that begin
    sixteen before the end; thirteen of a card's cover six that begin at such a multiple, or eight before the end.
    """
    run_end = start
    card_end = start
    at = start
    while at < end:
        here = at if at + 16 <= end else end - 16
        if here >= max(start, run_end) and (below_run(words[here]) | (below_run(words[here + 8]) & LOW_HALF)) == 0:
            first, run_end = run_of(buf, here, max(start, run_end), end)
            if is_of_interest(buf, classes, first, run_end, start):
                count = look_into(
                    buf, first, run_end, start, end, classes, first_prefix, prefixes, prefix_sizes, count, found
                )
        here = at if at + 8 <= end else end - 8
        word = words[here]
        if here >= card_end and (no_digit(word) & LOW_SIX) == 0 and (word & DIGIT_BITS) != 0:
            count, card_end = look_for_card(buf, here, card_end, start, end, count, found)
        if has_at(word):
            count = look_at(buf, at, min(at + 8, end), start, end, emails, count, found)
        at += 8
    return count


@inlined
def is_of_interest(buf: Bytes, classes: Bytes, first: Int, last: Int, start: Int) -> bool:
    """Tell whether a run is worth a look: it stands behind something, or has a byte that more may begin with."""
    if first > start:
        return True
    inside: Int = 0
    said: Int = 0
    for at in range(first, last):
        what = np.int64(classes[buf[at]])
        said |= what & (SPECIAL | (FIRST & ~inside))
        inside = (what & ALNUM) << 1
    return bool(said != 0)


@inlined
def run_of(buf: Bytes, at: Int, low: Int, end: Int) -> tuple[Int, Int]:
    """Return the first and the end of the run at `at`, within `low` and `end`."""
    first = at
    while first > low and 43 <= buf[first - 1] < 128:
        first -= 1
    last = at
    while last < end and 43 <= buf[last] < 128:
        last += 1
    return first, last


@kernel
def look_into(
    buf: Bytes,
    first: Int,
    last: Int,
    start: Int,
    end: Int,
    classes: Bytes,
    first_prefix: Ints,
    prefixes: Bytes,
    prefix_sizes: Ints,
    count: Int,
    found: Ints,
) -> Int:
    """List the candidates of one run."""
    if last - first < 15:  # a prefix may stand a little before the 19 bytes; nothing is found in fewer
        return count
    name = name_before(buf, first, start, classes)
    if name >= 0:
        count = put(found, count, NAME, 0, name, start, end)
    scheme = scheme_before(buf, first, start)
    if scheme >= 0:
        count = put(found, count, SCHEME, 0, scheme, start, end)
    escaped = False
    inside = False
    for at in range(first, last):
        byte = np.int64(buf[at])
        what = classes[byte]
        if (what & FIRST) != 0 and (escaped or not inside):
            for i in range(first_prefix[byte], first_prefix[byte + 1]):
                size = prefix_sizes[i]
                if at + size <= end:
                    same = True
                    for j in range(1, size):
                        if buf[at + j] != prefixes[i, j]:
                            same = False
                            break
                    if same:
                        count = put(found, count, PREFIX, i, at, start, end)
        if (what & SPECIAL) != 0:
            if byte == 92:
                escaped = True
            else:
                name = name_before(buf, at + 1, start, classes)
                if name >= 0:
                    count = put(found, count, NAME, 0, name, start, end)
        inside = (what & ALNUM) != 0
    return look_for_pem(buf, first, last, start, end, escaped, count, found)


@kernel
def name_before(buf: Bytes, value: Int, start: Int, classes: Bytes) -> Int:
    """Return where the name begins that this value is assigned to, if it ends like that of a secret, else -1."""
    at = value
    low = max(start, at - 8)
    while at > low and (buf[at - 1] == 34 or buf[at - 1] == 39 or buf[at - 1] == 92):
        at -= 1
    low = max(start, at - 4)
    while at > low and (buf[at - 1] == 32 or buf[at - 1] == 9):
        at -= 1
    if at <= start or not (buf[at - 1] == 58 or buf[at - 1] == 61):
        return -1
    at -= 1
    low = max(start, at - 4)
    while at > low and (buf[at - 1] == 32 or buf[at - 1] == 9):
        at -= 1
    low = max(start, at - 8)
    while at > low and (buf[at - 1] == 34 or buf[at - 1] == 39 or buf[at - 1] == 92):
        at -= 1
    if at - start < 3:
        return -1
    last = (np.int64(buf[at - 3]) | 32) << 16 | (np.int64(buf[at - 2]) | 32) << 8 | np.int64(buf[at - 1]) | 32
    # ret, swd, ord, pwd, ase, ken, key, ial, als
    if not (
        last == 0x726574
        or last == 0x737764
        or last == 0x6F7264
        or last == 0x707764
        or last == 0x617365
        or last == 0x6B656E
        or last == 0x6B6579
        or last == 0x69616C
        or last == 0x616C73
    ):
        return -1
    low = max(start, at - 40)
    while at > low and (classes[buf[at - 1]] & WORD_CLASS) != 0:
        at -= 1
    return at


@kernel
def scheme_before(buf: Bytes, value: Int, start: Int) -> Int:
    """Return where "bearer" or "basic" stands with a space before this value, else -1."""
    at = value
    low = max(start, at - 4)
    while at > low and (buf[at - 1] == 32 or buf[at - 1] == 9):
        at -= 1
    if at == value or at - start < 5:
        return -1
    last = (np.int64(buf[at - 2]) | 32) << 8 | np.int64(buf[at - 1]) | 32
    if last == 0x6963 and (buf[at - 5] | 32) == 98:
        return at - 5
    if last == 0x6572 and at - start >= 6 and (buf[at - 6] | 32) == 98:
        return at - 6
    return -1


@kernel
def look_for_pem(
    buf: Bytes,
    first: Int,
    last: Int,
    start: Int,
    end: Int,
    escaped: bool,  # noqa: FBT001 - as above
    count: Int,
    found: Ints,
) -> Int:
    """List the dashes behind "KEY" or "BLOCK" that stand before a run, or at its beginning."""
    if first == start:
        near = False
    else:
        near = buf[first - 1] == 10 or buf[first - 1] == 13
        near = near or (first - 1 > start and buf[first - 1] == 32 and buf[first - 2] == 45)
    high = first
    if escaped or (buf[first] | 32) == 107 or (buf[first] | 32) == 98:  # itself "KEY-----…" or "BLOCK-----…"
        near = True
        high = last - 5
    if not near:
        return count
    at = max(start + 3, first - 200)
    while at + 5 <= high + 5 and at + 5 <= last:
        if (
            buf[at + 4] == 45
            and buf[at] == 45
            and buf[at + 1] == 45
            and buf[at + 2] == 45
            and buf[at + 3] == 45
            and ((buf[at - 1] == 89 and buf[at - 2] == 69) or (buf[at - 1] == 75 and buf[at - 2] == 67))
        ):
            count = put(found, count, PEM, 0, at, start, end)
        at += 1
    return count


@kernel
def look_for_card(buf: Bytes, at: Int, low: Int, start: Int, end: Int, count: Int, found: Ints) -> tuple[Int, Int]:
    """List the digits, spaces and dashes around `at` if they may hold a card's number; return their end, too."""
    first = at
    low = max(low, start)
    while first > low and is_of_card(buf[first - 1]):
        first -= 1
    last = at
    digits: Int = 0
    begins = False
    while first < end and not is_of_card(buf[first]):
        first += 1
        if first > at + 8:
            return count, at
    last = first
    before: Int = 0
    while last < end and is_of_card(buf[last]):
        byte = np.int64(buf[last])
        if byte >= 48:
            digits += 1
            begins |= bool(before < 48 and 50 <= byte <= 54)
        before = byte
        last += 1
    if digits >= 13 and begins:
        count = put(found, count, CARD, last, first, start, end)
    return count, last


@inlined
def is_of_card(byte: Int) -> bool:
    """Tell whether a byte is a digit, a space or a dash."""
    return bool(48 <= byte <= 57 or byte == 32 or byte == 45)


@inlined
def slashes_end(buf: Bytes, at: Int, start: Int) -> Int:
    """Return where up to seven backslashes before `at` begin."""
    low = max(start, at - 7)
    while at > low and buf[at - 1] == 92:
        at -= 1
    return at


@inlined
def slash_before(buf: Bytes, at: Int, start: Int) -> Int:
    """Return where the slash is before this one, perhaps with backslashes between; `at` if there is none."""
    first = slashes_end(buf, at, start)
    return first - 1 if first > start and buf[first - 1] == 47 else at


@kernel
def look_at(
    buf: Bytes,
    low: Int,
    high: Int,
    start: Int,
    end: Int,
    emails: bool,  # noqa: FBT001 - as above
    count: Int,
    found: Ints,
) -> Int:
    """List what stands around each "@" between `low` and `high`: the URL whose password it may end, the address."""
    for sign in range(low, high):
        if buf[sign] != 64:
            continue
        if emails:
            count = put(found, count, EMAIL, 0, sign, start, end)
        at = sign - 1
        least = max(start, sign - 260)
        while at > least:
            byte = buf[at]
            if byte <= 32 or byte == 34 or byte == 39 or byte == 60 or byte == 62 or byte == 64 or byte == 92:
                break
            if byte == 47:
                first = slash_before(buf, at, start)
                colon = slashes_end(buf, first, start)
                if first < at and colon > start and buf[colon - 1] == 58:
                    count = put(found, count, URL, 0, colon - 1, start, end)
                break
            at -= 1
    return count
