"""Arrow columns as NumPy arrays: masks, figures, numbers of distinct values; and lists of names made of masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from schema.span import STRINGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def lists_of(names: Sequence[str], masks: Sequence[NDArray[np.bool_]]) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Return for every row the list of names whose mask is true there, in their order, and which rows have any.

    `masks` are one for each name, all of one length.
    """
    some = np.logical_or.reduce(masks)
    if not some.any():
        empty = pa.array(np.zeros(len(some) + 1, np.int32))
        return pa.ListArray.from_arrays(empty, pa.array([], pa.string()), type=STRINGS), some
    rows = np.flatnonzero(some)  # few: what is listed is out of the ordinary
    table = np.stack([mask[rows] for mask in masks], axis=1)
    count = np.zeros(len(some) + 1, np.int32)
    count[rows + 1] = table.sum(axis=1)
    values = pa.array(names, pa.string()).take(pa.array(np.nonzero(table)[1]))
    return pa.ListArray.from_arrays(pa.array(np.cumsum(count, dtype=np.int32)), values, type=STRINGS), some


def valid(column: pa.Array) -> NDArray[np.bool_]:
    """Return where the column is not null."""
    if column.null_count in {0, len(column)}:
        return np.full(len(column), column.null_count == 0)
    return _bits(column.buffers()[0], column)


def truths(column: pa.Array) -> NDArray[np.bool_]:
    """Return where a column of booleans is true; null is not."""
    if column.null_count == len(column):
        return np.zeros(len(column), np.bool_)
    values = _bits(column.buffers()[1], column)
    return values & valid(column) if column.null_count else values


def codes(column: pa.Array) -> tuple[NDArray[np.int64], list[Any]]:
    """Return a number per row and the distinct values they stand for; -1 is null."""
    if column.null_count == len(column):
        return np.full(len(column), -1, np.int64), []
    encoded = column.dictionary_encode()
    return _indices(encoded), encoded.dictionary.to_pylist()


def numbers(column: pa.Array) -> NDArray[np.int64]:
    """Return a number per row, the same for the same value; -1 is null."""
    if column.null_count == len(column):
        return np.full(len(column), -1, np.int64)
    return _indices(column.dictionary_encode())


def _indices(encoded: pa.DictionaryArray) -> NDArray[np.int64]:
    indices = encoded.indices
    values = np.frombuffer(indices.buffers()[1], np.int32, len(indices), 4 * indices.offset).astype(np.int64)
    if indices.null_count:
        values[~valid(indices)] = -1
    return values


def figures(column: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return an int64 column as (values with 0 for null, where it is not null)."""
    if column.null_count == len(column):
        return np.zeros(len(column), np.int64), np.zeros(len(column), np.bool_)
    values = np.frombuffer(column.buffers()[1], np.int64, len(column), 8 * column.offset)
    known = valid(column)
    return (np.where(known, values, 0) if column.null_count else values), known


def _bits(buffer: pa.Buffer, column: pa.Array) -> NDArray[np.bool_]:
    bits = np.frombuffer(buffer, np.uint8)
    return np.unpackbits(bits, count=column.offset + len(column), bitorder="little")[column.offset :].view(np.bool_)
