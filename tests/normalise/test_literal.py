from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.processors.normalise.literal import MAX_DEPTH, read_marked, read_value

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, null]}', {"a": [1, None]}),
        ('"quoted"', "quoted"),
        ("{'a': None, 'b': (1, 2), 'c': True}", {"a": None, "b": [1, 2], "c": True}),
        ("plain", "plain"),
        ("18", "18"),
        ("", ""),
        ("[not json", "[not json"),
        ('[Context: "x", 5] what is', '[Context: "x", 5] what is'),
        ("[1, 2, three", "[1, 2, three"),
        ('["a", "b" and more', '["a", "b" and more'),
        ("{", "{"),
        ("{{template}}", "{{template}}"),
        ("(a remark)", "(a remark)"),
        ("{__import__('os')}", "{__import__('os')}"),
        ('{"a": 1e999}', {"a": math.inf}),
        ('["\\ud83cx", 1]', ["?x", 1]),
        ("{'a': '\\ud83c'}", {"a": "?"}),
    ],
)
def test_text_is_read_as_the_value_it_holds(text: str, value: Any) -> None:
    assert read_value(text) == value


@pytest.mark.parametrize("value", [None, 5, b"plain", ["x"], {"a": 1}])
def test_what_is_no_text_comes_back_as_it_is(value: Any) -> None:
    assert read_value(value) is value


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        ('{"a": 1, "b": tr', {"a": 1}),
        ('{"a": 1, "b": -2.', {"a": 1}),
        ('{"a": 1, "b', {"a": 1}),
        ('{"a": 1, "b"', {"a": 1}),
        ('{"a": 1, "b":', {"a": 1}),
        ('{"a": "x\\u00', {"a": "x"}),
        ('{"a": "x\\', {"a": "x"}),
        ('{"a": "x\\ud83c', {"a": "x"}),
        ('{"a": "x\\ud83c\\', {"a": "x"}),
        ('{"a": "x\\ud83c\\udf', {"a": "x"}),
        ('[{"a": 1}, {"b": [1, 2', [{"a": 1}, {"b": [1, 2]}]),
        ('[{"a": 1}, {', [{"a": 1}, {}]),
    ],
)
def test_json_that_was_cut_off_keeps_what_is_whole(cut: str, whole: Any) -> None:
    assert read_marked(cut) == (whole, True)


def test_deeper_than_any_payload_stays_text() -> None:
    deep = "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)
    assert read_value(deep) == deep
    assert read_value("[" * 100_000) == "[" * 100_000
    brackets_in_text = json.dumps(["[{" * 200])
    assert read_value(brackets_in_text) == ["[{" * 200]


@given(JSON)
def test_json_reads_back(value: Any) -> None:
    text = json.dumps(value)
    if text[:1] in '[{"':
        assert read_marked(text) == (value, False)


@given(st.dictionaries(st.text(), JSON, min_size=1, max_size=4), st.data())
def test_a_cut_never_raises_and_what_remains_was_there(value: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(value)
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    read, truncated = read_marked(cut)
    if truncated:
        assert isinstance(read, dict)
        assert set(read) <= set(value)
    else:
        assert read == cut
