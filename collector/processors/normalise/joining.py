"""What `tree` does by sorting and walking, done by its kernels."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import numpy as np

from collector.processors.normalise import tree_kernels as kernels
from collector.processors.normalise.picking import TWO_WORDS, words_of
from collector.processors.normalise.tree import MAX_ANCESTORS, Tree
from schema.apart import ids_apart

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from numpy.typing import NDArray

    from collector.processors.normalise.scalars import Column
    from schema.batch import SpanBatch

    Ints = NDArray[np.int64]

PADDING: Final = bytes(TWO_WORDS)


@np.errstate(over="ignore")  # hashes wrap; compiled they do so without a word, as plain Python not
def join(batch: SpanBatch, *, seed: Callable[[], int] = lambda: secrets.randbits(63)) -> Tree | None:
    """Return the tree of a batch, None where its ids crowd together in the hash tables."""
    n = len(batch)
    first, parent, trace, siblings = np.empty((4, n), np.int64)
    done = kernels.join(
        _words(ids_apart(batch.trace_id, batch.origin, batch.origins.tenant)).reshape(n, 2),
        _words(batch.span_id),
        _words(batch.parent_span_id),
        seed(),
        np.zeros(1 << (4 * n).bit_length(), np.int32),
        first,
        parent,
        trace,
        siblings,
    )
    return Tree(first=first, parent=parent, trace=trace, siblings=siblings) if done else None


@np.errstate(over="ignore")  # as above
def number_texts(column: pa.Array, *, seed: Callable[[], int] = lambda: secrets.randbits(63)) -> Ints | None:
    """Return for every row the first with the same text, -1 for null; None where texts crowd together."""
    offsets, data, bits = text_buffers(column)
    number = np.empty(len(column), np.int64)
    slots = np.zeros(1 << (4 * len(column)).bit_length(), np.int32)
    return number if kernels.number_texts(offsets, data, words_of(data), bits, seed(), slots, number) else None


def share(column: Column, tree: Tree) -> Ints:
    """Return for every row the row whose value of a text column it takes, -1 for none."""
    n = len(tree.trace)
    offsets, data, bits = text_buffers(column.values)
    traces = int(tree.trace.max()) + 1
    source = np.empty(n, np.int64)
    kernels.share(
        offsets,
        data,
        bits,
        column.precedence,
        tree.trace,
        tree.parent,
        MAX_ANCESTORS,
        np.full(traces, -1, np.int32),
        np.zeros(traces, np.uint8),
        np.full(n, -1, np.int32),
        source,
    )
    return source


def above_all(rows: Ints, tree: Tree) -> NDArray[np.bool_]:
    """Return which rows have one of these below them."""
    n = len(tree.parent)
    found = np.zeros(n, np.uint8)
    kernels.above_all(rows, tree.parent, MAX_ANCESTORS, np.full(n, -1, np.int32), found)
    return found.view(np.bool_)


def nearest(rows: Ints, wanted: NDArray[np.bool_], tree: Tree) -> Ints:
    """Return for each of these rows the nearest wanted one above it, -1 for none."""
    found = np.empty(len(rows), np.int64)
    seen = np.full(len(tree.parent), -1, np.int32)
    kernels.nearest(rows, tree.parent, wanted.view(np.uint8), MAX_ANCESTORS, seen, found)
    return found


def depths(rows: Ints, tree: Tree) -> Ints:
    """Return how many rows are above each of these, at most MAX_ANCESTORS."""
    depth = np.full(len(tree.parent), kernels.UNKNOWN, np.int64)
    kernels.fill_depths(rows, tree.parent, depth)
    return np.minimum(depth[rows], MAX_ANCESTORS)


def text_buffers(column: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.uint8]]:
    """Return offsets, two words of bytes or more, and validity bits (none: nothing is null) of a text column.

    It must be no slice.
    """
    bits, offsets, data = column.buffers()
    found = (
        np.frombuffer(offsets, np.int32, len(column) + 1),
        np.frombuffer(data if data is not None and data.size >= TWO_WORDS else bytes(data or b"") + PADDING, np.uint8),
        np.frombuffer(bits or b"", np.uint8),
    )
    for array in found:
        array.flags.writeable = False  # as some are: kernels are compiled for one type
    return found


def _words(ids: NDArray[np.uint8]) -> Ints:
    words = np.ascontiguousarray(ids).reshape(-1).view(np.int64)
    words.flags.writeable = False  # as above
    return words
