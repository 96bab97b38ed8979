"""Reading attributes of one owner out of a table of many."""

from __future__ import annotations

import tracemalloc

import numpy as np

from schema.batch import INT, AttributeTable

OWNERS = 100_000


def table(owner: list[int] | np.ndarray[tuple[int], np.dtype[np.int32]]) -> AttributeTable:
    n = len(owner)
    return AttributeTable(
        owner=np.asarray(owner, np.int32),
        key=np.zeros(n, np.int32),
        type=np.full(n, INT, np.uint8),
        number=np.arange(n, dtype=np.int64),
        start=np.zeros(n, np.int64),
        length=np.zeros(n, np.int64),
        keys=("a",),
        buffer=b"",
    )


def test_an_owner_has_its_rows_and_one_without_attributes_has_none() -> None:
    attributes = table([0, 0, 2, 2, 2, 5])
    assert [list(attributes.rows(i)) for i in range(7)] == [[0, 1], [], [2, 3, 4], [], [], [5], []]


def test_finding_the_rows_of_an_owner_does_not_copy_the_table() -> None:
    attributes = table(np.arange(OWNERS, dtype=np.int32))
    attributes.rows(0)
    tracemalloc.start()
    try:
        assert attributes.rows(OWNERS // 2) == range(OWNERS // 2, OWNERS // 2 + 1)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < OWNERS
