"""Attribute tables to Arrow maps of text, without an object per attribute.

The keys of a map are sorted: equal sets of attributes then compress alike, and a block has one spelling. Of equal
keys the last wins (OTLP requires unique keys; `schema.batch.AttributeTable.of` reads them the same way). Keys are
numbers into a dictionary, values are views of the requests: their bytes are copied once, into the INSERT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import orjson
import pyarrow as pa

from exporters.clickhouse import kernels
from schema.anyvalue import to_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from schema.batch import AttributeTable

    Ints = NDArray[np.int64]
    Rows = NDArray[np.int32]

NOT_FINITE = b"NaNInfinity-Infinity"
"""What stands in the text of a double that JSON cannot say (see `schema.anyvalue.to_text`)."""


def attribute_maps(table: AttributeTable, owners: int, rows: Rows | None = None) -> pa.MapArray:
    """Return one map<dictionary<string>, string_view> per owner, empty where it has no attribute.

    With `rows`, one per row: the map of the owner that the row names.
    """
    n = len(table)
    if n and not (
        table.owner[0] >= 0 and table.owner[-1] < owners and table.key.min() >= 0 and table.key.max() < len(table.keys)
    ):
        raise IndexError("an attribute belongs to no owner, or has no key")
    names, rank = _ranked(table.keys)
    ends, ranks = np.empty(owners + 1, np.int32), np.empty(n, np.int32)
    places = np.empty(n, np.int32)
    order = np.empty(n, np.int32)
    kept = kernels.place_alike(table.owner, table.key, rank, order, ends, places, ranks)
    if kept < 0:
        marks, order = np.empty(len(names) + owners + 2, np.int64), np.empty(2 * n, np.int32)
        kept = kernels.place(table.owner, table.key, rank, marks, order, ends, places, ranks)
    views, made = _views(table, places, kept)
    ranks = ranks[:kept]
    if rows is not None:
        ends, ranks, views = _repeated(rows, ends, ranks, views)
    buffers = [None, pa.py_buffer(views), pa.py_buffer(table.buffer), pa.py_buffer(made)]
    texts = pa.Array.from_buffers(pa.string_view(), len(ranks), buffers)
    return pa.MapArray.from_arrays(pa.array(ends), pa.DictionaryArray.from_arrays(ranks, names), texts)


def attribute_texts(table: AttributeTable) -> pa.Array:
    """Return the text of every attribute, views of the requests (see `schema.anyvalue.to_text`)."""
    views, made = _views(table, np.arange(len(table), dtype=np.int32), len(table))
    buffers = [None, pa.py_buffer(views), pa.py_buffer(table.buffer), pa.py_buffer(made)]
    return pa.Array.from_buffers(pa.string_view(), len(table), buffers)


def offsets(owner: NDArray[np.int32], owners: int) -> pa.Array:
    """Return the `owners + 1` list offsets of rows that are in ascending order of their owner."""
    ends = np.zeros(owners + 1, np.int32)
    np.cumsum(np.bincount(owner, minlength=owners), out=ends[1:])
    return pa.array(ends)


def _ranked(keys: tuple[str, ...]) -> tuple[pa.Array, Rows]:
    """Return the distinct keys sorted, and of each key its number among them."""
    names = sorted(set(keys))
    at = {name: i for i, name in enumerate(names)}
    return pa.array(names, pa.string()), np.array([at[k] for k in keys], np.int32)


def _views(table: AttributeTable, places: Rows, kept: int) -> tuple[Ints, NDArray[np.uint8]]:
    """Return Arrow's views of the texts of the attributes that have a place, and what they view besides the requests.

    Strings, integers and booleans never become Python objects, doubles together one text; of the rest each distinct
    value once.
    """
    none = np.empty(0, np.int32)
    n_doubles, n_others, long_integers = kernels.list_made(table.type, table.number, none.astype(np.int64), none)
    bits, others = np.empty(n_doubles, np.int64), np.empty(n_others, np.int32)
    kernels.list_made(table.type, table.number, bits, others)
    buffer = np.frombuffer(table.buffer, np.uint8)
    numbers, double_at = _double_texts(bits)
    texts, other_at = _other_texts(table, buffer, others)
    said = numbers + texts
    made = np.empty(len(said) + (long_integers + 1) * kernels.DIGITS, np.uint8)
    made[: len(said)] = np.frombuffer(said, np.uint8)
    other_at[0] += len(numbers)
    views = np.empty(2 * kept, np.int64)
    if not kernels.view_texts(
        table.type,
        table.number,
        table.start,
        table.length,
        places,
        buffer,
        kernels.words_of(buffer),
        made,
        kernels.words_of(made),
        len(said),
        double_at[0],
        double_at[1],
        other_at[0],
        other_at[1],
        views,
    ):
        raise IndexError("an attribute lies outside of the requests")
    return views, made


def _double_texts(bits: Ints) -> tuple[bytes, Ints]:
    """Return the texts of doubles, and where each starts and how long it is."""
    at = np.zeros((2, len(bits)), np.int64)
    if len(bits) == 0:
        return b"", at
    text = orjson.dumps(bits.view(np.float64), option=orjson.OPT_SERIALIZE_NUMPY)
    said = text + NOT_FINITE
    if not kernels.split_numbers(np.frombuffer(said, np.uint8), bits, len(text), at[0], at[1]):
        raise AssertionError("orjson wrote another number of doubles than it was given")
    return said, at


def _other_texts(table: AttributeTable, buffer: NDArray[np.uint8], rows: Rows) -> tuple[bytes, Ints]:
    """Return the texts of arrays, kvlists, bytes and empty values, and where the text of each of `rows` lies."""
    if len(rows) == 0:
        return b"", np.zeros((2, 0), np.int64)
    slots = np.zeros(1 << max(4, (2 * len(rows)).bit_length()), np.int32)
    index, firsts = np.empty(len(rows), np.int32), np.empty(len(rows), np.int32)
    with np.errstate(over="ignore"):  # hashes wrap; compiled they do so without a word, as plain Python not
        known = kernels.distinct(buffer, table.type, table.start, table.length, rows, slots, index, firsts)
    if known < 0:
        raise IndexError("an attribute lies outside of the requests")
    texts = [to_text(table.value(row)).encode("utf-8") for row in firsts[:known].tolist()]
    length = np.array([len(text) for text in texts], np.int64)
    at = np.empty((2, len(rows)), np.int64)  # row by row: kernels are compiled for one layout
    at[0], at[1] = (np.cumsum(length) - length)[index], length[index]
    return b"".join(texts), at


def _repeated(rows: Rows, ends: Rows, ranks: Rows, views: Ints) -> tuple[Rows, Rows, Ints]:
    n = int(np.diff(ends)[rows].sum())
    new = np.empty(len(rows) + 1, np.int32), np.empty(n, np.int32), np.empty(2 * n, np.int64)
    kernels.repeat(rows, ends, ranks, views, *new)
    return new
