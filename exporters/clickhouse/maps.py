"""Attribute tables to Arrow maps of text, without an object per attribute.

The keys of a map are sorted: equal sets of attributes then compress alike, and a block has one spelling. Of equal
keys the last wins (OTLP requires unique keys; `schema.batch.AttributeTable.of` reads them the same way).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import orjson
import pyarrow as pa

from schema.anyvalue import ValueType, to_text

# Plain numbers: looking a member up in its enum costs more than everything else done with an attribute.
EMPTY, STRING, BOOL, INT, DOUBLE, ARRAY, KVLIST, BYTES = (int(t) for t in ValueType)

VIEW_BYTES = 12
"""Longest text that an Arrow view holds in itself."""
LOW_BYTES = np.array([*((1 << 8 * n) - 1 for n in range(8)), -1], np.int64)
"""Masks of the first 0 to 8 bytes of a word."""

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from schema.batch import AttributeTable


def attribute_maps(table: AttributeTable, owners: int) -> pa.MapArray:
    """Return one map<string, string> per owner, empty where it has no attribute."""
    rows = _sorted_rows(table)
    names = pa.array(table.keys, pa.string()).take(pa.array(table.key[rows]))
    return pa.MapArray.from_arrays(offsets(table.owner[rows], owners), names, attribute_texts(table, rows))


def attribute_texts(table: AttributeTable, rows: NDArray[np.int64] | None = None) -> pa.StringArray:
    """Return the text of these attributes, of all without `rows` (see `schema.anyvalue.to_text`).

    Strings and integers, nearly all there is, never become Python objects; of the rest each distinct value once.
    Strings are copied once, from where they lie in the requests into the column.
    """
    rows = np.arange(len(table)) if rows is None else rows
    kind = table.type[rows]
    places, made = [], []
    for kinds, texts_of in MADE:
        place = np.flatnonzero(np.isin(kind, kinds))
        places.append(place)
        made.append(texts_of(table, rows[place]))
    texts = pa.concat_arrays(made)
    ends, said = _parts(texts)
    strings = np.flatnonzero(kind == STRING)
    views = np.empty((len(rows), 2), np.int64)
    views[strings] = _views(table.buffer, 0, table.start[rows[strings]], table.length[rows[strings]])
    views[np.concatenate(places)] = _views(said, 1, ends[:-1], np.diff(ends))
    buffers = [None, pa.py_buffer(views), pa.py_buffer(table.buffer), pa.py_buffer(said)]
    return pa.Array.from_buffers(pa.string_view(), len(rows), buffers).cast(pa.string())


def _parts(texts: pa.StringArray) -> tuple[NDArray[np.int64], bytes]:
    """Return the offsets of a string array and what they point into."""
    if len(texts) == 0:
        return np.zeros(1, np.int64), b""
    _, ends, data = texts.buffers()
    return np.frombuffer(ends, np.int32, len(texts) + 1).astype(np.int64), data.to_pybytes() if data else b""


def _views(buffer: bytes, number: int, start: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return Arrow's views of pieces of a buffer; `number` is that of the buffer in the array.

        view   int32 length · to 12 bytes: the bytes themselves, then zeros
                            · more:        the first 4 bytes, int32 number of the buffer, int32 offset into it

    Source: Arrow columnar format, "Variable-size Binary View Layout".
    """
    start, length = start.astype(np.int64, copy=False), length.astype(np.int64, copy=False)
    if len(start) and int(start.max()) + VIEW_BYTES > len(buffer):
        buffer += bytes(VIEW_BYTES)  # so that whole words can be read
    words: NDArray[np.int64] = np.ndarray((max(len(buffer) - 7, 0),), "<i8", buffer, strides=(1,))
    views = np.empty((len(start), 2), np.int64)
    views[:, 0] = length | (words[start] & LOW_BYTES[np.minimum(length, 4)]) << 32
    views[:, 1] = number | start << 32
    short = np.flatnonzero(length <= VIEW_BYTES)
    views[short, 1] = words[start[short] + 4] & LOW_BYTES[np.maximum(length[short] - 4, 0)]
    return views


def _bool_texts(table: AttributeTable, rows: NDArray[np.int64]) -> pa.StringArray:
    return pa.array(["false", "true"]).take(pa.array(table.number[rows]))


def _double_texts(table: AttributeTable, rows: NDArray[np.int64]) -> pa.StringArray:
    values = table.number[rows].view(np.float64)
    texts = orjson.dumps(values.tolist()).decode("ascii")[1:-1].split(",") if len(rows) else []
    for i in np.flatnonzero(~np.isfinite(values)).tolist():
        texts[i] = to_text(float(values[i]))
    return pa.array(texts, pa.string())


def _other_texts(table: AttributeTable, rows: NDArray[np.int64]) -> pa.StringArray:
    """Return the texts of arrays, kvlists, bytes and values that were sent empty; each distinct one is made once."""
    known: dict[tuple[int, bytes], str] = {}
    texts: list[str] = []
    start, kind = table.start[rows].tolist(), table.type[rows].tolist()
    for row, first, length, of_kind in zip(rows.tolist(), start, table.length[rows].tolist(), kind, strict=True):
        key = (of_kind, table.buffer[first : first + length])
        text = known.get(key)
        if text is None:
            text = known[key] = to_text(table.value(row))
        texts.append(text)
    return pa.array(texts, pa.string())


def _integer_texts(table: AttributeTable, rows: NDArray[np.int64]) -> pa.StringArray:
    return pa.array(table.number[rows]).cast(pa.string())


MADE = (
    ((INT,), _integer_texts),
    ((BOOL,), _bool_texts),
    ((DOUBLE,), _double_texts),
    ((EMPTY, ARRAY, KVLIST, BYTES), _other_texts),
)
"""How text is made of values that are none."""


def offsets(owner: NDArray[np.int32], owners: int) -> pa.Array:
    """Return the `owners + 1` list offsets of rows that are in ascending order of their owner."""
    ends = np.zeros(owners + 1, np.int32)
    np.cumsum(np.bincount(owner, minlength=owners), out=ends[1:])
    return pa.array(ends)


def _sorted_rows(table: AttributeTable) -> NDArray[np.int64]:
    """Return the rows by owner, then by the name of the key; of equal keys only the last."""
    rank = np.empty(len(table.keys), np.int64)
    rank[sorted(range(len(table.keys)), key=table.keys.__getitem__)] = np.arange(len(table.keys))
    order = np.lexsort((rank[table.key], table.owner))
    owner, key = table.owner[order], table.key[order]
    last = np.ones(len(order), np.bool_)
    last[:-1] = (owner[1:] != owner[:-1]) | (key[1:] != key[:-1])
    return order[last]
