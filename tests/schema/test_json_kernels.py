"""What is surely JSON is JSON, and all that is not rare is surely so."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schema.failure.search import surely_json


def sure(*texts: str) -> list[bool]:
    column = pa.array(["[", *texts], pa.string()).slice(1)
    found: list[bool] = surely_json(column, np.ones(len(texts), np.bool_)).tolist()
    return found


def parses(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


PUNCTUATION = (*'{}[]:,"', " ", "\n", "\\", '\\"', "\\u0041", "\x00", "\x1f", "é", '"a"', '"a":', "[]", "{}")
NUMBERS = ("0", "-", "1.5", "01", "1.", ".5", "1e3", "12345678901234567890")
PIECES = st.sampled_from([*PUNCTUATION, *NUMBERS, "true", "false", "null", "tru"])


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, max_size=10).map("".join) | st.text(max_size=20))
@example("[" * 70 + "]" * 70)
@example("1 2")
@example('{"a":1,}')
@example("[1,]")
@example("[,1]")
@example("{,}")
@example("]")
@example('{"a"}')
@example("[}")
@example('"\t"')
def test_what_is_surely_json_parses(text: str) -> None:
    (surely,) = sure(text)
    assert not surely or parses(text)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text('aé"\\/\n\t{}[]:, ', max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab ", max_size=3), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_json_as_it_is_written_is_surely_json(value: Any, indent: int | None, ascii_only: bool) -> None:  # noqa: FBT001 - drawn
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert sure(text) == ["\\u" not in text]


@pytest.mark.parametrize("text", ["-1.25", "0", " [ ] ", '{"a": {"b": [true, false, null]}}', '"\\b\\f\\/"'])
def test_some_by_hand(text: str) -> None:
    assert sure(text, "x", text) == [True, False, True]
