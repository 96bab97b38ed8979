from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporters.clickhouse.native import encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporters.clickhouse.connect import Database

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WORDS = st.sampled_from(["", "a", "b", "Ä", "a longer word than a view holds"])
MAPS = st.dictionaries(WORDS, TEXTS, max_size=3)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.binary(min_size=3, max_size=3),
            "text": TEXTS,
            "maybe": st.none() | TEXTS,
            "word": WORDS,
            "maybe_word": st.none() | WORDS,
            "flag": st.none() | st.booleans(),
            "count": st.none() | st.integers(-(2**63), 2**63 - 1),
            "share": st.none() | st.floats(allow_nan=False),
            "small": st.integers(0, 2**16 - 1),
            "time": st.integers(0, 2**62),
            "minute": st.integers(0, 2**32 - 1),
            "words": st.lists(WORDS, max_size=3),
            "map": MAPS,
            "maps": st.lists(MAPS, max_size=2),
        }
    ),
    min_size=1,
    max_size=8,
)
TABLE = """
CREATE TABLE IF NOT EXISTS anything (
    n UInt64, id FixedString(3), text String, maybe Nullable(String), word LowCardinality(String),
    maybe_word LowCardinality(Nullable(String)), flag Nullable(Bool), count Nullable(Int64), share Nullable(Float64),
    small UInt16, time DateTime64(9, 'UTC'), minute DateTime('UTC'), words Array(LowCardinality(String)),
    map Map(LowCardinality(String), String), maps Array(Map(LowCardinality(String), String))
) ENGINE = MergeTree ORDER BY n
"""
PLAIN_MAP = pa.map_(pa.string(), pa.string())
PLAIN = pa.schema(
    [
        ("id", pa.binary(3)),
        ("text", pa.string()),
        ("maybe", pa.string()),
        ("word", pa.string()),
        ("maybe_word", pa.string()),
        ("flag", pa.bool_()),
        ("count", pa.int64()),
        ("share", pa.float64()),
        ("small", pa.uint16()),
        ("time", pa.timestamp("ns", "UTC")),
        ("minute", pa.timestamp("s", "UTC")),
        ("words", pa.list_(pa.string())),
        ("map", PLAIN_MAP),
        ("maps", pa.list_(PLAIN_MAP)),
    ]
)
CAST = {"minute": pa.int64()}
"""DateTime comes back as its number."""


def as_views(table: pa.Table) -> pa.Table:
    """Return the table in the types that rows come in: views, and words with numbers."""

    def numbered(maps: pa.MapArray) -> pa.MapArray:
        whole = maps.slice(0)
        return pa.MapArray.from_arrays(
            whole.offsets, whole.keys.dictionary_encode(), whole.items.cast(pa.string_view())
        )

    table = table.combine_chunks()
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    for name in ("text", "maybe"):
        columns[name] = columns[name].cast(pa.string_view())
    for name in ("word", "maybe_word"):
        columns[name] = columns[name].dictionary_encode()
    words, maps = columns["words"], columns["maps"]
    columns["words"] = pa.ListArray.from_arrays(words.offsets, words.values.dictionary_encode())
    columns["map"] = numbered(columns["map"])
    columns["maps"] = pa.ListArray.from_arrays(maps.offsets, numbered(maps.values))
    return pa.table(columns)


def whole(table: pa.Table) -> pa.Table:
    return table


def sliced(table: pa.Table) -> pa.Table:
    """Return the same rows cut out of a longer table."""
    return pa.concat_tables([table, table, table]).combine_chunks().slice(len(table), len(table))


def pairs(value: Any) -> Any:
    """Return a value with the pairs of its maps in one order."""
    if isinstance(value, dict):
        return sorted(value.items())
    if isinstance(value, list):
        return sorted(value) if value and isinstance(value[0], tuple) else [pairs(v) for v in value]
    return value


NUMBERS = itertools.count()


@pytest.mark.parametrize("shape", [whole, sliced, as_views])
@given(rows=ROWS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_clickhouse_reads_what_was_written(
    embedded_db: Database, shape: Callable[[pa.Table], pa.Table], rows: list[dict[str, Any]]
) -> None:
    embedded_db.command(TABLE)
    embedded_db.command("TRUNCATE TABLE anything")
    plain = pa.Table.from_pylist(
        [{**r, "map": list(r["map"].items()), "maps": [list(m.items()) for m in r["maps"]]} for r in rows], PLAIN
    )
    table = shape(plain).append_column("n", pa.array(np.arange(len(rows), dtype=np.uint64)))
    embedded_db.insert_arrow("anything", table, f"t{next(NUMBERS)}")
    names = ", ".join(PLAIN.names)
    found = embedded_db.arrow(f"SELECT {names} FROM anything ORDER BY n")
    for name in PLAIN.names:
        kind = PLAIN.field(name).type
        got = found[name] if pa.types.is_nested(kind) else found[name].cast(CAST.get(name, kind)).cast(kind)
        assert pairs(got.to_pylist()) == pairs(plain[name].to_pylist()), name


@given(st.lists(st.none() | TEXTS | st.just("long " * 30), min_size=1, max_size=30), st.integers(40, 300))
def test_the_bytes_are_the_same_whatever_the_buffer_holds(texts: list[str | None], buffer_bytes: int) -> None:
    plain = pa.array(texts, pa.string())
    for array in (plain, plain.cast(pa.string_view()), plain.dictionary_encode()):
        table = pa.table({"a": array, "n": pa.array(range(len(texts)))})
        pieces = [bytes(p) for p in encode(table, buffer_bytes=buffer_bytes)]
        assert b"".join(pieces) == b"".join(bytes(p) for p in encode(table))
        assert all(pieces), "no piece is empty"


def test_the_layout_is_that_of_the_format() -> None:
    table = pa.table({"a": pa.array(["x", None]), "l": pa.array(["y", "y"]).dictionary_encode()})
    wanted = b"\2\2" + b"\1a\x10Nullable(String)\0\1\1x\0"
    wanted += b"\1l\x16LowCardinality(String)" + bytes([1, *[0] * 7])
    wanted += bytes([0, 6, *[0] * 6]) + bytes([1, *[0] * 7]) + b"\1y" + bytes([2, *[0] * 7]) + b"\0\0"
    assert b"".join(bytes(p) for p in encode(table)) == wanted


@pytest.mark.parametrize("words", [1, 255, 256, 257, 65_535, 65_537])
def test_indices_are_as_wide_as_the_number_of_words_needs(embedded_db: Database, words: int) -> None:
    embedded_db.command(
        "CREATE TABLE words (n UInt64, w LowCardinality(Nullable(String))) ENGINE = MergeTree ORDER BY n"
    )
    texts = [None, *(f"w{i}" for i in range(words))]
    table = pa.table({"n": pa.array(range(len(texts)), pa.uint64()), "w": pa.array(texts).dictionary_encode()})
    embedded_db.insert_arrow("words", table, "t")
    assert embedded_db.arrow("SELECT w FROM words ORDER BY n")["w"].to_pylist() == texts


def test_what_no_table_has_is_a_type_error() -> None:
    for array in (pa.array([1], pa.decimal128(5)), pa.array([None, []], pa.list_(pa.string()))):
        with pytest.raises(TypeError, match=r"decimal128|empty"):
            list(encode(pa.table({"a": array})))


def test_an_extent_outside_of_its_buffer_is_an_error_not_other_bytes() -> None:
    offsets = pa.py_buffer(np.array([0, 9, 3], np.int32))
    beyond = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"abc")])
    view = pa.py_buffer(np.array([13, 0 | 5 << 32], np.int64))
    viewed = pa.Array.from_buffers(pa.string_view(), 1, [None, view, pa.py_buffer(b"0123456789abcdef")])
    for array in (beyond, viewed):
        with pytest.raises(IndexError):
            list(encode(pa.table({"a": array})))
