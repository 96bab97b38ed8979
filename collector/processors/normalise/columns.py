"""Arrow columns from parts: gathered from the request bytes, patched where converters found something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from schema.arrays import codes, figures, numbers, truths, valid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def gather_strings(
    n: int, rows: NDArray[np.int64], buffer: bytes, start: NDArray[np.int64], length: NDArray[np.int64]
) -> pa.Array:
    """Return a string column of n values, null except at `rows` (ascending), copied from `buffer` without objects.

    Raises:
        pyarrow.ArrowInvalid: the bytes are not UTF-8.

    """
    present = np.zeros(n, np.bool_)
    present[rows] = True
    widths = np.zeros(n, np.int64)
    widths[rows] = length
    offsets = np.zeros(n + 1, np.int32)
    np.cumsum(widths, out=offsets[1:])
    first = np.repeat(start - offsets[rows], length)
    data = np.frombuffer(buffer, np.uint8)[first + np.arange(len(first))]
    column = pa.Array.from_buffers(
        pa.string(), n, [pa.array(present).buffers()[1], pa.py_buffer(offsets), pa.py_buffer(data)]
    )
    column.validate(full=True)
    return column


def sparse(n: int, values: Mapping[int, Any], type_: pa.DataType) -> pa.Array:
    """Return a column of n values, null except at the rows given."""
    return patch(pa.nulls(n, type_), values)


def patch(column: pa.Array, values: Mapping[int, Any]) -> pa.Array:
    """Return the column with these rows replaced (a value None makes null)."""
    if not values:
        return column
    index = np.arange(len(column))
    index[np.fromiter(values.keys(), np.int64, len(values))] = np.arange(len(column), len(column) + len(values))
    more = pa.array(list(values.values()), column.type)
    return pa.concat_arrays([column, more]).take(pa.array(index))


def clear(column: pa.Array, rows: NDArray[np.bool_]) -> pa.Array:
    """Return the column with null where `rows` is true."""
    if column.null_count == len(column) or not rows.any():
        return column
    return column.take(pa.array(np.arange(len(column)), mask=rows))


def coalesce(first: pa.Array, second: pa.Array) -> pa.Array:
    """Return `first`, and `second` where it is null."""
    if first.null_count == 0 or second.null_count == len(second):
        return first
    n = len(first)
    index = np.where(valid(first), np.arange(n), np.arange(n, 2 * n))
    return pa.concat_arrays([first, second]).take(pa.array(index))


def borrow(column: pa.Array, source: NDArray[np.int64]) -> pa.Array:
    """Return for every row the value of the row in `source`; -1 is null."""
    if column.null_count == len(column):
        return pa.nulls(len(source), column.type)
    return column.take(pa.array(source, mask=source < 0))


def from_figures(values: NDArray[np.int64], known: NDArray[np.bool_]) -> pa.Array:
    """Reverse `figures`."""
    if not known.any():
        return pa.nulls(len(values), pa.int64())
    return pa.array(values, pa.int64(), mask=~known)


__all__ = [
    "borrow",
    "clear",
    "coalesce",
    "codes",
    "figures",
    "from_figures",
    "gather_strings",
    "numbers",
    "patch",
    "sparse",
    "truths",
    "valid",
]
