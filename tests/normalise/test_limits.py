"""Content over the limit is cut so that it is still text, and can be told from another."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from collector.processors.normalise import canonical
from collector.processors.normalise.limits import limit_text, limit_value, may_exceed
from tests.clickhouse.otlp import batch_of, span, spans_record

TEXTS = st.text(max_size=60)


@given(TEXTS, st.integers(1, 80))
def test_a_text_is_cut_on_a_character_boundary_with_length_and_hash(text: str, max_bytes: int) -> None:
    whole = text.encode()
    kept, cut = limit_text(text, max_bytes)
    assert cut == (len(whole) > max_bytes)
    if not cut:
        assert kept == text
        return
    begin, _, note = kept.rpartition("… [cut: ")
    assert text.startswith(begin)
    assert max_bytes - 3 <= len(begin.encode()) <= max_bytes
    assert note == f"{len(whole)} bytes, sha256 {hashlib.sha256(whole).hexdigest()}]"


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | TEXTS, lambda x: st.lists(x) | st.dictionaries(TEXTS, x))
)
def test_what_fits_is_what_it_was(value: Any) -> None:
    assert limit_value(value, 1000) == (value, False)


def test_a_part_says_that_it_was_cut() -> None:
    part = {"type": "text", "content": "é" * 100}
    limited, cut = limit_value([{"role": "user", "parts": [part]}], 99)
    assert cut
    digest = hashlib.sha256(part["content"].encode()).hexdigest()
    expected = {"type": "text", "content": "é" * 49, "truncated": True, "original_bytes": 200, "sha256": digest}
    assert limited[0]["parts"] == [expected]


def test_vectors_become_their_dimension_and_numbers_stay() -> None:
    value = {"hits": [{"id": 1, "embedding": [0.5] * 32}], "series": [1.0] * 32, "vector": [1, 2]}
    assert may_exceed(json.dumps(value, separators=(",", ":")), 1 << 20)
    assert limit_value(value, 1 << 20)[0] == {**value, "hits": [{"id": 1, "embedding": {"dimension": 32}}]}


def test_a_prompt_over_the_limit_is_cut_in_every_column_and_is_a_defect() -> None:
    prompt = [{"role": "user", "parts": [{"type": "text", "content": "x" * 5000}]}]
    one = span(
        1,
        1,
        attributes={"gen_ai.operation.name": "chat", "gen_ai.input.messages": json.dumps(prompt)},
    )
    tool = span(
        1,
        2,
        attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.result": json.dumps({"a": "y" * 5000})},
    )
    columns = canonical(batch_of(spans_record([one, tool])), max_content_bytes=1000).columns
    [message] = json.loads(columns["input_messages"][0].as_py())
    assert (message["parts"][0]["content"], message["parts"][0]["original_bytes"]) == ("x" * 1000, 5000)
    assert len(columns["input_text"][0].as_py()) < 1200
    assert len(columns["tool_result"][1].as_py()) < 1200
    assert columns["defects"].to_pylist() == [["truncated_content"], ["truncated_content"]]
