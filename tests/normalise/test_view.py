"""What converters see of one span, and the JSON they leave."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from collector.decode import decode
from collector.processors.normalise.view import PrefixIndex, View
from schema import anyvalue
from tests.decode.oracle import record
from tests.decode.requests import field, in_request

KEYS = ("a", "b", "p.1", "p.2.text", "q.1")
LEAVES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text() | st.binary(max_size=3)
LEAVES |= st.sampled_from(["null", "\ud800", "NaN"])
VALUES = st.recursive(
    LEAVES,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text() | st.integers() | st.booleans(), v, max_size=3),
)


@given(VALUES)
def test_json_is_the_same_whichever_way_it_is_written(value: Any) -> None:
    careful = orjson.dumps(anyvalue._strict(value), option=orjson.OPT_NON_STR_KEYS).decode()
    assert anyvalue.dump_json(value) == careful


@given(
    st.lists(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(["", "x", "y"])), max_size=6), max_size=4),
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from(["", "x"]), max_size=2),
)
def test_a_view_says_what_its_span_holds(spans: list[list[tuple[str, str]]], extra: dict[str, str]) -> None:

    body = in_request(
        b"".join(
            field(2, b"".join(field(9, field(1, k.encode()) + field(2, field(1, v.encode()))) for k, v in attributes))
            for attributes in spans
        )
    )
    table = decode([record(body)]).attributes
    index = PrefixIndex(table.keys, ("p.", "q."))
    for row, attributes in enumerate(spans):
        for more in ({}, extra):
            view, said = View(table, table.rows(row), more, index), {**more, **dict(attributes)}
            assert {k: view.get(k) for k in KEYS} == {k: said.get(k) for k in KEYS}
            assert [k in view for k in KEYS] == [k in said for k in KEYS]
            assert list(view.each(KEYS)) == [said[k] for k in KEYS if k in said]
            assert view.first(KEYS) == next((said[k] for k in KEYS if said.get(k)), None)
            assert dict(view.under("p.")) == {k[2:]: v for k, v in said.items() if k.startswith("p.") and v}
            assert dict(view.under("p.", ".text")) == {
                k[2:]: v for k, v in said.items() if k.startswith("p.") and k.endswith(".text") and v
            }
