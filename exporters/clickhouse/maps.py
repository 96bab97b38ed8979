"""Attribute tables to Arrow maps of text, without an object per attribute.

The keys of a map are sorted: equal sets of attributes then compress alike, and a block has one spelling. Of equal
keys the last wins (OTLP requires unique keys; `schema.batch.AttributeTable.of` reads them the same way).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from schema.anyvalue import ValueType, to_text

# Plain numbers: looking a member up in its enum costs more than everything else done with an attribute.
EMPTY, STRING, BOOL, INT, DOUBLE = (
    int(t) for t in (ValueType.EMPTY, ValueType.STRING, ValueType.BOOL, ValueType.INT, ValueType.DOUBLE)
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from schema.batch import AttributeTable


def attribute_maps(table: AttributeTable, owners: int) -> pa.MapArray:
    """Return one map<string, string> per owner, empty where it has no attribute."""
    keep = _sorted_rows(table)
    values = attribute_texts(table).take(pa.array(keep))
    names = pa.array(table.keys, pa.string()).take(pa.array(table.key[keep]))
    return pa.MapArray.from_arrays(offsets(table.owner[keep], owners), names, values)


def attribute_texts(table: AttributeTable) -> pa.StringArray:
    """Return the text of every attribute, in the order of the table (see `schema.anyvalue.to_text`).

    Strings and integers, nearly all there is, never become Python objects; of the rest each distinct value once.
    """
    kind = table.type
    strings, integers = np.flatnonzero(kind == STRING), np.flatnonzero(kind == INT)
    numbers, others = (
        np.flatnonzero((kind == BOOL) | (kind == DOUBLE)),
        np.flatnonzero((kind > DOUBLE) | (kind == EMPTY)),
    )
    parts = [
        _slices(table.buffer, table.start[strings], table.length[strings]),
        pa.array(table.number[integers]).cast(pa.string()),
        _number_texts(table, numbers),
        _other_texts(table, others),
    ]
    place = np.empty(len(table), np.int64)
    place[np.concatenate([strings, integers, numbers, others])] = np.arange(len(table))
    return pa.concat_arrays(parts).take(pa.array(place))


def _number_texts(table: AttributeTable, rows: NDArray[np.int64]) -> pa.StringArray:
    bits = np.stack([table.type[rows].astype(np.int64), table.number[rows]], axis=1)
    _, first, place = np.unique(bits, axis=0, return_index=True, return_inverse=True)
    texts = [to_text(table.value(row)) for row in rows[first].tolist()]
    return pa.array(texts, pa.string()).take(pa.array(place.reshape(-1)))


def _other_texts(table: AttributeTable, rows: NDArray[np.int64]) -> pa.StringArray:
    known: dict[tuple[int, bytes], str] = {}
    texts: list[str] = []
    for row, kind in zip(rows.tolist(), table.type[rows].tolist(), strict=True):
        key = (kind, table.raw(row))
        text = known.get(key)
        if text is None:
            text = known[key] = to_text(table.value(row))
        texts.append(text)
    return pa.array(texts, pa.string())


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


def _slices(buffer: bytes, start: NDArray[np.int64], length: NDArray[np.int64]) -> pa.StringArray:
    """Return pieces of the buffer as strings.

    In ascending order, and without overlaps, pieces and the gaps between them are one Arrow array over the buffer
    itself, of which the pieces are taken.
    """
    used = np.flatnonzero(length)
    by_start = used[np.argsort(start[used], kind="stable")]
    first, end = start[by_start], start[by_start] + length[by_start]
    if len(by_start) == 0:
        return pa.array([""] * len(start), pa.string())
    if (first[1:] < end[:-1]).any():
        pairs = zip(start.tolist(), length.tolist(), strict=True)
        return pa.array([buffer[s : s + n].decode("utf-8", "replace") for s, n in pairs], pa.string())
    bounds = np.empty(2 * len(by_start) + 1, np.int64)
    bounds[0:-1:2], bounds[1::2] = first, end
    bounds[-1] = end[-1]
    view = pa.Array.from_buffers(
        pa.large_binary(), len(bounds) - 1, [None, pa.py_buffer(bounds.tobytes()), pa.py_buffer(buffer)]
    )
    where = np.full(len(start), len(bounds) - 2, np.int64)  # the last piece is empty
    where[by_start] = np.arange(0, 2 * len(by_start), 2)
    return view.take(pa.array(where)).cast(pa.binary()).view(pa.string())
