"""Texts that stand in a JSON column of the same row: told by their place there rather than stored twice.

`input_text` is nearly always one string of `input_messages`, `output_text` one of `output_messages`. Storing both costs
the server a quarter of all it spends on a model call (measured). So a row holds where the text lies between its
quotes, and the database reads it from there (ALIAS columns of `spans`); a text that is no single string of its
messages, is empty, or has no messages, is stored as it is.
"""
# ruff: noqa: PLR0917 - kernels take their arrays by position

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exporters.clickhouse.kernels import from_buffer, words_of
from schema.compile import inlined, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Rows = NDArray[np.int32]
    Bytes = NDArray[np.uint8]

Int: TypeAlias = Any
"""An int64; uncompiled, Python's and NumPy's integers mix."""

QUOTE, SLASH, BACKSLASH, LETTER_U = 34, 47, 92, 117
LOW_BITS = 0x0101010101010101
HIGH_BITS = -0x7F7F7F7F7F7F7F80
QUOTES = 0x2222222222222222
BACKSLASHES = 0x5C5C5C5C5C5C5C5C


def quoted(texts: pa.Array, documents: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Return three columns: where each text starts in its row's document, counted from 1, in bytes; its length there in
    bytes, as JSON writes it, 0 where it does not stand in it; and those texts that do not.

    What is between the two, put between quotes again and read as JSON, is the text.
    """  # noqa: D205 - the first line would say less
    n = len(texts)
    at, size = np.zeros(n, np.uint32), np.zeros(n, np.uint32)
    if n in (texts.null_count, documents.null_count):
        return pa.array(at), pa.array(size), texts
    with np.errstate(over="ignore"):  # words wrap; compiled they do so without a word, as plain Python not
        find_strings(*_buffers(documents), *_buffers(texts), at, size)
    if np.count_nonzero(size) == n - texts.null_count:
        return pa.array(at), pa.array(size), pa.nulls(n, pa.string())
    return pa.array(at), pa.array(size), pc.if_else(pa.array(size != 0), pa.scalar(None, pa.string()), _plain(texts))


def _plain(array: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array if pa.types.is_string(array.type) else array.cast(pa.string())


def _buffers(array: pa.Array) -> tuple[Bytes, Ints, Rows, Bytes]:
    """Return the bytes of a string array, their words, its offsets, and a byte for each row, 1 where it is null."""
    array = _plain(array)
    _, offsets, data = array.buffers()
    raw = from_buffer(data, np.uint8)
    nulls = array.is_null().to_numpy(zero_copy_only=False).view(np.uint8)
    nulls.flags.writeable = False
    return raw, words_of(raw), from_buffer(offsets, np.int32)[array.offset :][: len(array) + 1], nulls


@inlined
def special(word: Int) -> Int:
    """Return 0 where none of the eight bytes is a quote or a backslash."""
    quote, slash = word ^ QUOTES, word ^ BACKSLASHES  # such a byte is zero now
    return ((quote - LOW_BITS) & ~quote | (slash - LOW_BITS) & ~slash) & HIGH_BITS


@inlined
def closing(doc: Bytes, words: Ints, at: Int, end: Int) -> Int:
    """Return where the string of JSON that `at` is in ends: its closing quote, or `end`."""
    while at < end:
        if at + 8 <= end and special(words[at]) == 0:
            at += 8
            continue
        if doc[at] == QUOTE:
            return at
        at += 2 if doc[at] == BACKSLASH else 1
    return end


@inlined
def escaped(doc: Bytes, at: Int, end: Int) -> tuple[Int, Int]:
    """Return the byte that the escape at `at` stands for, and the offset behind it; -1 where it is none of one byte."""
    if at + 1 >= end:
        return -1, at
    letter = np.int64(doc[at + 1])
    if letter == LETTER_U:
        if at + 6 > end or doc[at + 2] != 48 or doc[at + 3] != 48:
            return -1, at
        value: Int = 0
        for i in range(at + 4, at + 6):
            digit = np.int64(doc[i])
            if 48 <= digit <= 57:
                digit -= 48
            elif 97 <= digit | 32 <= 102:
                digit = (digit | 32) - 87
            else:
                return -1, at
            value = value << 4 | digit
        return (value if value < 128 else -1), at + 6
    if letter in (QUOTE, BACKSLASH, SLASH):
        return letter, at + 2
    if letter == 110:
        return 10, at + 2
    if letter == 116:
        return 9, at + 2
    if letter == 114:
        return 13, at + 2
    if letter == 98:
        return 8, at + 2
    if letter == 102:
        return 12, at + 2
    return -1, at


@inlined
def match(doc: Bytes, words: Ints, at: Int, end: Int, text: Bytes, text_words: Ints, start: Int, stop: Int) -> Int:
    """Return the offset of the closing quote where the string at `at` says the text from `start` to `stop`, else -1.

    Only what cannot be read otherwise counts: of escapes those of one byte.
    """
    while start < stop:
        while start + 64 <= stop and at + 64 <= end:  # becomes code of wide words: a quarter faster yet (measured)
            this, that = np.uint64(at), np.uint64(start)
            unlike, quote, backslash = np.uint8(0), np.uint8(255), np.uint8(255)
            for j in range(np.uint64(64)):
                one = doc[this + j]
                from_quote, from_backslash = np.uint8(one ^ np.uint8(QUOTE)), np.uint8(one ^ np.uint8(BACKSLASH))
                unlike |= np.uint8(one ^ text[that + j])
                quote = min(quote, from_quote)
                backslash = min(backslash, from_backslash)
            if unlike != 0 or quote == 0 or backslash == 0:
                break
            at += 64
            start += 64
        while start + 32 <= stop and at + 32 <= end:
            differs: Int = 0
            for i in range(0, 32, 8):  # one branch for four words: a third of the time (measured)
                differs |= (words[at + i] ^ text_words[start + i]) | special(words[at + i])
            if differs:
                break
            at += 32
            start += 32
        while start + 8 <= stop and at + 8 <= end:
            if (words[at] ^ text_words[start]) | special(words[at]):
                break
            at += 8
            start += 8
        if start == stop:
            break
        if at >= end:
            return -1
        byte = np.int64(doc[at])
        if byte == QUOTE:
            return -1
        if byte == BACKSLASH:
            byte, at = escaped(doc, at, end)
        else:
            at += 1
        if byte != np.int64(text[start]):
            return -1
        start += 1
    return at if at < end and doc[at] == QUOTE else -1


@kernel
def find_strings(
    doc: Bytes,
    words: Ints,
    doc_ends: Rows,
    doc_nulls: Bytes,
    text: Bytes,
    text_words: Ints,
    text_ends: Rows,
    text_nulls: Bytes,
    at: Any,
    size: Any,
) -> None:
    """Find each row's text among the strings of its document; `at`, from 1, and `size` stay 0 where it is not there."""
    usual: Int = 1
    for row in range(len(at)):
        start: Int = np.int64(text_ends[row])
        stop: Int = np.int64(text_ends[row + 1])
        first: Int = np.int64(doc_ends[row])
        end: Int = np.int64(doc_ends[row + 1])
        if doc_nulls[row] or text_nulls[row] or not 0 <= start < stop <= len(text) or not 0 <= first < end <= len(doc):
            continue
        place = first + usual  # where the last one was found: documents of one sender are alike
        if place < end and doc[place - 1] == QUOTE:
            close = match(doc, words, place, end, text, text_words, start, stop)
            if close >= 0:
                at[row] = usual + 1
                size[row] = close - place
                continue
        place = first
        while place < end:
            if doc[place] != QUOTE:
                place += 1
                continue
            place += 1
            close = match(doc, words, place, end, text, text_words, start, stop)
            if close >= 0:
                usual = place - first
                at[row] = usual + 1
                size[row] = close - place
                break
            place = closing(doc, words, place, end) + 1
