from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.clickhouse.quoted import quoted
from schema.span import CANONICAL
from tests.clickhouse.otlp import batch_of, span, spans_record

if TYPE_CHECKING:
    from exporters.clickhouse.connect import Database

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text('a"\\\n/\u00e9\x01\x7f', max_size=30)
PARTS = st.lists(st.fixed_dictionaries({"type": st.just("text"), "content": TEXTS}), max_size=3)
MESSAGES = st.lists(st.fixed_dictionaries({"role": TEXTS, "parts": PARTS}), max_size=3)


def strings_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(strings_in(v) for v in value.values()))
    if isinstance(value, list):
        return set[str]().union(*(strings_in(v) for v in value))
    return {value}


def read(document: str, at: int, size: int) -> str:
    """Read what the ALIAS column reads: bytes from 1."""
    return str(json.loads(b'"' + document.encode()[at - 1 : at - 1 + size] + b'"'))


@given(st.lists(st.tuples(MESSAGES, TEXTS, st.integers(0, 5)), min_size=1, max_size=5))
def test_a_text_is_told_by_its_place_exactly_where_it_is_a_string_of_its_messages(rows: list[Any]) -> None:
    documents, texts = [], []
    for messages, other, choice in rows:
        found = sorted(strings_in(messages) - {""})
        documents.append(orjson.dumps(messages).decode())
        texts.append(found[choice % len(found)] if choice and found else other)
    columns = (c.to_pylist() for c in quoted(pa.array(texts), pa.array(documents)))
    for (messages, *_), text, document, at, size, kept in zip(rows, texts, documents, *columns, strict=True):
        if text and text in strings_in(messages):
            assert (read(document, at, size), kept) == (text, None)
        else:
            assert (at, size, kept) == (0, 0, text)


@given(st.lists(st.tuples(st.none() | TEXTS, st.none() | st.text('"\\ab[]{}:,u0\u00e9', max_size=30)), max_size=6))
def test_whatever_the_document_is_what_is_told_reads_as_the_text(rows: list[Any]) -> None:
    texts, documents = [r[0] for r in rows], [r[1] for r in rows]
    columns = (c.to_pylist() for c in quoted(pa.array(texts, pa.string()), pa.array(documents, pa.string())))
    for text, document, at, size, kept in zip(texts, documents, *columns, strict=True):
        assert (read(document, at, size) if size else kept) == text


@pytest.mark.parametrize("odd", ['"', "\\", "\n", "\u00e9"])
def test_an_odd_letter_is_seen_wherever_it_stands_in_a_long_text(odd: str) -> None:
    """What is compared in wide words is compared to the byte, and ends where the string ends."""
    texts = ["a" * at + odd + "b" * (200 - at) for at in range(201)]
    documents = [json.dumps(["c", text], ensure_ascii=False) for text in texts]
    at, size, kept = (c.to_pylist() for c in quoted(pa.array(texts), pa.array(documents)))
    assert [read(*row) for row in zip(documents, at, size, strict=True)] == texts
    assert kept == [None] * len(texts)
    others = [json.dumps(["c", text.replace(odd, "x")]) for text in texts]
    assert quoted(pa.array(texts), pa.array(others))[2].to_pylist() == texts


@pytest.mark.parametrize("offset", range(9))
def test_a_text_is_found_wherever_it_stands_to_words_of_eight_bytes(offset: int) -> None:
    text = "x" * offset + '"quoted"\n' + "y" * (16 - offset)
    document = orjson.dumps([{"p" * offset: "no", "content": text}]).decode()
    at, size, kept = (c.to_pylist() for c in quoted(pa.array([text]), pa.array([document])))
    assert read(document, at[0], size[0]) == text
    assert kept == [None]


def test_slices_views_and_numbered_words_are_taken_too() -> None:
    texts, documents = pa.array(["?", "b", "b"]), pa.array(["?", '["a","b"]', None])
    for given_texts in (texts, texts.dictionary_encode(), texts.cast(pa.string_view())):
        at, size, kept = quoted(given_texts.slice(1), documents.cast(pa.string_view()).slice(1))
        assert (at.to_pylist(), size.to_pylist(), kept.to_pylist()) == ([7, 0], [1, 0], [None, "b"])


SAID = (
    "plain",
    'with "quotes" \\ and\nlines\t',
    "ünï→😀",
    "\x00\x01\x1f\x7f",
    "/a\\/b",
    "",
    None,
    "in no message",
    "two\nparts",
)


def test_the_database_reads_texts_as_they_were_wherever_they_are_stored(db: Database) -> None:
    from exporters.clickhouse.rows import blocks  # noqa: PLC0415 - slow to import

    def message(text: str | None) -> str | None:
        if text is None:
            return None
        parts = ["other"] if text == "in no message" else text.split("\nparts") if text == "two\nparts" else [text]
        return orjson.dumps([{"role": "user", "parts": [{"type": "text", "content": p} for p in parts]}]).decode()

    batch = batch_of(spans_record([span(1, i + 1) for i in range(len(SAID))]))
    texts, messages = pa.array(SAID), pa.array([message(t) for t in SAID])
    batch = batch.with_columns(
        {"input_text": texts, "input_messages": messages, "output_text": texts, "output_messages": messages}
    )
    for block in blocks(batch):
        db.insert_arrow(block.table, block.rows, "t")
    for view in ("spans", "settled_spans"):
        found = db.rows(f"SELECT input_text, output_text FROM {view} ORDER BY span_id")
        assert [(r["input_text"], r["output_text"]) for r in found] == [(t, t) for t in SAID], view
    kept = db.rows("SELECT count() AS n FROM spans WHERE input_text_bytes = 0")
    assert kept == [{"n": 4}], "only what is no string of its messages is stored again"
    assert {"input_text", "output_text"} <= set(CANONICAL.names)
