"""Arrow columns as NumPy masks, and lists of names made of such: reasons, defects."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def _bits(buffer: pa.Buffer, column: pa.Array) -> NDArray[np.bool_]:
    bits = np.frombuffer(buffer, np.uint8)
    return np.unpackbits(bits, count=column.offset + len(column), bitorder="little")[column.offset :].view(np.bool_)
