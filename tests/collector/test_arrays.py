"""Arrow columns read as NumPy arrays say what Arrow says of them, slices and nulls included."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from schema.arrays import codes, figures, lists_of, numbers, truths, valid
from schema.span import STRINGS

T = TypeVar("T")
CUT = st.integers(0, 20)


def some(values: st.SearchStrategy[T]) -> st.SearchStrategy[list[T | None]]:
    return st.lists(st.none() | values, max_size=20) | st.lists(values, max_size=20)


@given(some(st.booleans()), CUT)
def test_booleans(values: list[bool | None], cut: int) -> None:
    column, left = pa.array(values, pa.bool_()).slice(cut), values[cut:]
    assert truths(column).tolist() == [v is True for v in left]
    assert valid(column).tolist() == [v is not None for v in left]


@given(some(st.integers(-(2**63), 2**63 - 1)), CUT)
def test_figures(values: list[int | None], cut: int) -> None:
    read, known = figures(pa.array(values, pa.int64()).slice(cut))
    assert read.tolist() == [v or 0 for v in values[cut:]]
    assert known.tolist() == [v is not None for v in values[cut:]]


@given(some(st.sampled_from(["", "a", "b"])), CUT)
def test_distinct_values(values: list[str | None], cut: int) -> None:
    column = pa.array(values, pa.string()).slice(cut)
    number, distinct = codes(column)
    assert [None if i < 0 else distinct[i] for i in number.tolist()] == values[cut:]
    assert len(set(distinct)) == len(distinct)
    assert numbers(column).tolist() == number.tolist()


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=9))
def test_lists_of_names(rows: list[tuple[bool, bool]]) -> None:
    masks = [np.array([row[i] for row in rows], np.bool_) for i in range(2)]
    column, some_name = lists_of(("one", "two"), masks)
    column.validate(full=True)
    assert column.type == STRINGS
    assert column.to_pylist() == [[name for name, at in zip(("one", "two"), row, strict=True) if at] for row in rows]
    assert some_name.tolist() == [any(row) for row in rows]
