"""Traces as trees of row numbers, and what holds for a whole trace.

A batch may hold a trace only in part; what is decided here is right for the spans at hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from collector.processors.normalise.columns import borrow, numbers
from schema.apart import ids_apart

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa
    from numpy.typing import NDArray

    from collector.processors.normalise.scalars import Column
    from schema.batch import SpanBatch

MAX_ANCESTORS = 256
"""How far up a trace is looked: far deeper than real traces, so that a chain of 100 000 spans costs no square."""


@dataclass(frozen=True, slots=True)
class Tree:
    """Who is whose parent, by row."""

    first: NDArray[np.int64]
    """The first row with the same trace and span id: a span that was delivered twice is one node."""
    parent: NDArray[np.int64]
    """Row of the parent, -1 where it is not in the batch."""
    trace: NDArray[np.int64]
    """Number of the trace."""
    siblings: NDArray[np.int64]
    """Number of the trace and parent id, whether or not the parent is in the batch; -1 for roots."""


def read_tree(batch: SpanBatch, *, compiled: bool = False) -> Tree:
    """Join spans to their parents by id; with kernels if they are compiled."""
    n = len(batch)
    if n == 0:
        none = np.zeros(0, np.int64)
        return Tree(none, none, none, none)
    if compiled:
        from collector.processors.normalise.joining import join  # noqa: PLC0415 - numba takes 0.3 s to import

        if (joined := join(batch)) is not None:
            return joined
    trace_id = ids_apart(batch.trace_id, batch.origin, batch.origins.tenant)
    own = _keys(trace_id, batch.span_id)
    above = _keys(trace_id, batch.parent_span_id)
    distinct, first, back = np.unique(own, return_index=True, return_inverse=True)
    at = np.minimum(np.searchsorted(distinct, above), len(distinct) - 1)
    has_parent = batch.parent_span_id.any(axis=1)
    found = (distinct[at] == above) & has_parent
    _, trace = np.unique(_void(trace_id), return_inverse=True)
    parent = np.where(found, first[at], -1)
    rows = first[back]
    _, family = np.unique(above, return_inverse=True)
    return Tree(
        first=rows.astype(np.int64),
        parent=np.where(parent == rows, -1, parent).astype(np.int64),
        trace=trace.astype(np.int64),
        siblings=np.where(has_parent, family, -1).astype(np.int64),
    )


def _keys(trace: NDArray[np.uint8], span: NDArray[np.uint8]) -> NDArray[np.void]:
    return _void(np.concatenate([trace, span], axis=1))


def _void(ids: NDArray[np.uint8]) -> NDArray[np.void]:
    return np.ascontiguousarray(ids).view(np.dtype((np.void, ids.shape[1]))).ravel()


def shared(column: Column, tree: Tree, *, compiled: bool = False) -> pa.Array:
    """Return the column with what holds for the trace in every span of it.

    The best key of the trace decides (its precedence); where that key has several values, a span without its own
    takes the nearest ancestor's, and stays null when no ancestor has one.
    """
    if column.values.null_count == len(column.values):
        return column.values
    if compiled:
        from collector.processors.normalise.joining import share  # noqa: PLC0415 - numba takes 0.3 s to import

        return borrow(column.values, share(column, tree))
    number = numbers(column.values)
    known = np.flatnonzero(number >= 0)
    order = known[np.lexsort((known, column.precedence[known], tree.trace[known]))]
    trace = tree.trace[order]
    starts = np.flatnonzero(np.concatenate([[True], trace[1:] != trace[:-1]]))
    best = np.full(int(tree.trace.max()) + 1, -1, np.int64)
    best[trace[starts]] = order[starts]
    source = best[tree.trace]
    rival = known[
        (number[known] != number[source[known]]) & (column.precedence[known] == column.precedence[source[known]])
    ]
    for t in np.unique(tree.trace[rival]):
        rows = np.flatnonzero(tree.trace == t)
        of_best = column.precedence[rows] == column.precedence[best[t]]
        source[rows] = np.where(of_best & (number[rows] >= 0), rows, -1)
        for row in rows[source[rows] < 0]:
            source[row] = next((a for a in ancestors(int(row), tree) if source[a] == a), -1)
    return borrow(column.values, source)


def numbered(column: pa.Array, *, compiled: bool = False) -> NDArray[np.int64]:
    """Return a number per row of a text column, below its length, the same for the same text; -1 is null."""
    if compiled and column.null_count < len(column):
        from collector.processors.normalise.joining import number_texts  # noqa: PLC0415 - numba takes 0.3 s to import

        if (number := number_texts(column)) is not None:
            return number
    return numbers(column)


def have_below(rows: NDArray[np.int64], tree: Tree, *, compiled: bool = False) -> NDArray[np.bool_]:
    """Return which rows have one of these below them."""
    if compiled:
        from collector.processors.normalise.joining import above_all  # noqa: PLC0415 - numba takes 0.3 s to import

        return above_all(rows, tree)
    found = np.zeros(len(tree.parent), np.bool_)
    found[[a for row in rows.tolist() for a in ancestors(row, tree)]] = True
    return found


def nearest_above(
    rows: NDArray[np.int64], wanted: NDArray[np.bool_], tree: Tree, *, compiled: bool = False
) -> NDArray[np.int64]:
    """Return for each of these rows the nearest wanted one above it, -1 for none."""
    if compiled:
        from collector.processors.normalise.joining import nearest  # noqa: PLC0415 - numba takes 0.3 s to import

        return nearest(rows, wanted, tree)
    found = (next((a for a in ancestors(row, tree) if wanted[a]), -1) for row in rows.tolist())
    return np.fromiter(found, np.int64, len(rows))


def depths(rows: NDArray[np.int64], tree: Tree, *, compiled: bool = False) -> NDArray[np.int64]:
    """Return how many rows are above each of these, as `ancestors` yields them."""
    if compiled:
        from collector.processors.normalise.joining import depths as joined  # noqa: PLC0415 - numba takes 0.3 s to import

        return joined(rows, tree)
    found = (sum(1 for _ in ancestors(row, tree)) for row in rows.tolist())
    return np.fromiter(found, np.int64, len(rows))


def ancestors(row: int, tree: Tree) -> Iterable[int]:
    """Yield the rows above a row, nearest first; a cycle ends, so does a chain after MAX_ANCESTORS."""
    seen = {row}
    row = int(tree.parent[row])
    while row >= 0 and row not in seen and len(seen) <= MAX_ANCESTORS:
        yield row
        seen.add(row)
        row = int(tree.parent[row])
