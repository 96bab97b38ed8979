"""With kernels the normaliser gives what it gives without: on real batches, made tables and damaged values."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.tools.payloads import build
from collector.decode import decode
from collector.decode.protobuf import decode as decode_by_library
from collector.processors.failure import with_failures
from collector.processors.normalise import canonical, joining, tree_kernels
from collector.processors.normalise.picking import words_of
from collector.processors.normalise.scalars import Column, Plan, Slot, Source, fill_slots
from collector.processors.normalise.tree import MAX_ANCESTORS, Tree, have_below, nearest_above, read_tree, shared
from collector.processors.normalise.warm import sample
from schema.anyvalue import ValueType
from schema.batch import AttributeTable
from tests.decode.test_span_batch import BODIES, CORPUS, record, record_of_file
from tests.normalise.payload import span
from tests.normalise.test_hostile import ATTRIBUTES, EVENT_NAMES, MARKED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bench.tools.payloads import Kind
    from collector.journal.record import Record
    from schema.batch import SpanBatch

ROOT = Path(__file__).parents[2]
KEYS = ("a", "b", "c", "d", "e", "f")
PLAN = Plan.of(
    [
        Slot("text", ("a", "b", "f"), pa.string()),
        Slot("same key again", ("b",), pa.string()),
        Slot("figure", ("c", "a", "f"), pa.int64()),
        Slot("flag", ("d", "c"), pa.bool_()),
        Slot("nobody's", ("x", "y"), pa.string()),
    ]
)
TEXTS = st.one_of(
    st.text(max_size=4).map(str.encode),
    st.sampled_from(
        [b'"', b'"quoted"', b'" "', b" ", b"", b"\xff", b"7", b"007", b"97.0", b" 8", b"1" * 18, b"9" * 19]
    ),
    st.sampled_from([b"true", b"False", b"-1", "٣".encode(), b"1e3", "é".encode(), b'"5"', b"1" * 40]),
    st.binary(max_size=3),
)
VALUES = st.one_of(
    st.tuples(st.sampled_from([ValueType.STRING, ValueType.BYTES, ValueType.ARRAY]), TEXTS),
    st.tuples(st.just(ValueType.STRING), TEXTS),
    st.tuples(st.just(ValueType.INT), st.integers(-2, 3) | st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(ValueType.BOOL), st.integers(0, 1)),
    st.tuples(st.just(ValueType.DOUBLE), st.floats() | st.sampled_from([0.0, -0.0, 5.0, 2.0**62, 2.0**63])),
    st.just((ValueType.EMPTY, 0)),
)
ROWS = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(KEYS), VALUES), max_size=14)


def table_of(rows: Sequence[tuple[int, str, tuple[ValueType, Any]]]) -> AttributeTable:
    """Make a table of (owner, key, (type, value)), sorted by owner."""
    rows = sorted(rows, key=lambda r: r[0])
    keys = tuple(dict.fromkeys(key for _, key, _ in rows))
    buffer = bytearray(b"\x00")
    number, start, length = (np.zeros(len(rows), np.int64) for _ in range(3))
    for i, (_, _, (type_, value)) in enumerate(rows):
        if isinstance(value, bytes):
            start[i], length[i] = len(buffer), len(value)
            buffer += value
        elif type_ is ValueType.DOUBLE:
            number.view(np.float64)[i] = value
        else:
            number[i] = value
    return AttributeTable(
        owner=np.array([owner for owner, _, _ in rows], np.int32),
        key=np.array([keys.index(key) for _, key, _ in rows], np.int32),
        type=np.array([type_ for _, _, (type_, _) in rows], np.uint8),
        number=number,
        start=start,
        length=length,
        keys=keys,
        buffer=bytes(buffer),
    )


def assert_same_columns(batch: SpanBatch) -> None:
    """Normalise with kernels and without."""
    got, expected = (with_failures(canonical(batch, compiled=c), compiled=c) for c in (True, False))
    assert list(got.columns) == list(expected.columns)
    for name, column in expected.columns.items():
        got.columns[name].validate(full=True)
        assert got.columns[name].type == column.type, name
        assert got.columns[name].to_pylist() == column.to_pylist(), name
    assert got.feedback == expected.feedback


def capture_of(path: Path) -> list[Record]:
    """Return the records of a whole capture: its traces, then its logs."""
    files = sorted(path.parent.glob(f"{path.name.split('.')[0]}.*otlp.*"), key=lambda p: (".logs." in p.name, p.name))
    return [record_of_file(p, i) for i, p in enumerate(files)]


TRACES = [p for p in BODIES if ".logs." not in p.name]


@pytest.mark.parametrize("path", TRACES, ids=lambda p: str(p.relative_to(CORPUS)))
def test_a_capture_has_the_same_columns(path: Path) -> None:
    assert_same_columns(decode(capture_of(path)))


def test_all_captures_in_one_batch_have_the_same_columns() -> None:
    assert_same_columns(decode([record_of_file(path, i) for i, path in enumerate(BODIES)]))


@pytest.mark.parametrize("kind", ["genai", "small"])
def test_the_load_of_the_bench_has_the_same_columns(kind: Kind) -> None:
    assert_same_columns(decode([record(build(kind, 100, seed=1).SerializeToString())]))


def test_a_batch_without_spans_has_the_same_columns() -> None:
    assert_same_columns(decode_by_library([]))


@given(ROWS)
def test_attributes_of_spans_fill_the_same_columns(rows: list[Any]) -> None:
    assert_same_filled([Source(table_of(rows))])


@given(ROWS, ROWS, st.lists(st.integers(-1, 4), min_size=5, max_size=5))
def test_attributes_of_events_fill_what_spans_leave_open(
    spans: list[Any], events: list[Any], spans_of: list[int]
) -> None:
    assert_same_filled([Source(table_of(spans)), Source(table_of(events), np.array(spans_of, np.int64))])


def assert_same_filled(sources: list[Source]) -> None:
    got, expected = (fill_slots(5, sources, PLAN, compiled=compiled) for compiled in (True, False))
    assert list(got) == list(expected)
    for name, column in expected.items():
        got[name].values.validate(full=True)
        assert got[name].values.type == column.values.type, name
        assert got[name].values.to_pylist() == column.values.to_pylist(), name
        assert got[name].precedence.tolist() == column.precedence.tolist(), name


WARM = """
from collector.processors.normalise import content_kernels, group_kernels, scalar_kernels, tree_kernels
from collector.processors.normalise.warm import run_all
from schema.failure import kernels

modules = (scalar_kernels, tree_kernels, kernels)
kernels = [k for m in modules for k in vars(m).values() if hasattr(k, "signatures")]
kernels = [k for k in kernels if not k.targetoptions.get("forceinline")]
kernels += [content_kernels.read_contents, group_kernels.group_spans]  # from the cache, what they call comes with them
run_all()
print({k.__name__: len(k.signatures) for k in kernels if len(k.signatures) != 1})

from bench.tools.payloads import build
from collector.decode import decode
from collector.processors.failure import with_failures
from collector.processors.normalise import canonical
from tests.decode.test_span_batch import BODIES, record, record_of_file

for records in ([record(build("genai", 10, seed=1).SerializeToString())], [record_of_file(p) for p in BODIES]):
    with_failures(canonical(decode(records), compiled=True), compiled=True)
print({k.__name__: len(k.signatures) for k in kernels if len(k.signatures) != 1})
"""


def test_warming_up_compiles_all_that_a_batch_needs() -> None:
    """Types of arguments are those of any batch: none is compiled while a batch waits."""
    done = subprocess.run(
        [sys.executable, "-c", WARM], cwd=ROOT, capture_output=True, text=True, check=True, timeout=110
    )
    assert done.stdout == "{}\n{}\n"


def test_the_sample_fills_a_text_a_figure_and_a_flag() -> None:
    columns = canonical(sample(), compiled=True).columns
    for name in ("session_id", "input_tokens", "streaming"):
        assert columns[name].null_count == 0, name


IDS = st.integers(0, 5)


@st.composite
def forests(draw: st.DrawFn) -> SpanBatch:
    """Make spans with few different ids: delivered twice, with parents elsewhere, in circles, their own parents."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for trace, own, parent in draw(st.lists(st.tuples(st.integers(0, 2), IDS, IDS), max_size=12)):
        spans.add(
            trace_id=bytes([trace]) * 16,
            span_id=bytes([own]) * 8,
            parent_span_id=bytes([parent]) * 8 if parent else b"",
        )
    return decode_by_library([record(request.SerializeToString())])


def renumbered(numbers: NDArray[np.int64]) -> list[int]:
    """Return what is the same under one number, in order of appearance; -1 stays."""
    known: dict[int, int] = {-1: -1}
    return [known.setdefault(n, len(known)) for n in numbers.tolist()]


def assert_same_tree(batch: SpanBatch, got: Tree | None) -> None:
    expected = read_tree(batch)
    assert got is not None
    assert got.first.tolist() == expected.first.tolist()
    assert got.parent.tolist() == expected.parent.tolist()
    assert renumbered(got.trace) == renumbered(expected.trace)
    assert renumbered(got.siblings) == renumbered(expected.siblings)


@given(forests(), st.integers(0, 2**63 - 1))
def test_spans_are_joined_to_the_same_parents(batch: SpanBatch, seed: int) -> None:
    if len(batch):
        assert_same_tree(batch, joining.join(batch, seed=lambda: seed))


def test_many_spans_are_joined_to_the_same_parents() -> None:
    batch = decode([record(build("small", 5000, seed=s).SerializeToString(), sequence=s) for s in range(2)])
    assert_same_tree(batch, joining.join(batch))


@given(forests(), st.data())
def test_what_a_trace_shares_comes_from_the_same_rows(batch: SpanBatch, data: st.DataObject) -> None:
    n = len(batch)
    values = data.draw(st.lists(st.sampled_from(["a", "b", "bb", "", None]), min_size=n, max_size=n))
    precedence = data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    column = Column(pa.array(values, pa.string()), np.array(precedence, np.uint8))
    tree = read_tree(batch)
    got, expected = (shared(column, tree, compiled=compiled) for compiled in (True, False))
    assert got.to_pylist() == expected.to_pylist()


@given(forests(), st.data())
def test_the_same_spans_are_above(batch: SpanBatch, data: st.DataObject) -> None:
    tree = read_tree(batch)
    flags = st.lists(st.booleans(), min_size=len(batch), max_size=len(batch))
    rows = np.flatnonzero(data.draw(flags)).astype(np.int64)
    wanted = np.array(data.draw(flags), np.bool_)
    below, plain = (have_below(rows, tree, compiled=compiled) for compiled in (True, False))
    assert below.tolist() == plain.tolist()
    above, nearest = (nearest_above(rows, wanted, tree, compiled=compiled) for compiled in (True, False))
    assert above.tolist() == nearest.tolist()


def test_a_chain_is_followed_as_far_with_kernels() -> None:
    n = MAX_ANCESTORS + 3
    chain = Tree(np.arange(n), np.arange(n) - 1, np.zeros(n, np.int64), np.arange(n) - 1)
    last, root = np.array([n - 1, n - 3]), np.arange(n) == 0
    for compiled in (True, False):
        assert nearest_above(last, root, chain, compiled=compiled).tolist() == [-1, 0]
        assert np.flatnonzero(~have_below(last[:1], chain, compiled=compiled)).tolist() == [0, 1, n - 1]


TEXT = st.sampled_from(["", "a", "aaaaaaaa", "aaaaaaab", "aaaaaaaaaaaaaaaaé", "é"]) | st.text(max_size=20)


@given(st.lists(st.none() | TEXT, min_size=1, max_size=20), st.integers(0, 2**63 - 1))
def test_the_same_texts_have_one_number(texts: list[str | None], seed: int) -> None:
    number = joining.number_texts(pa.array(texts, pa.string()), seed=lambda: seed)
    assert number is not None
    assert number.tolist() == [-1 if text is None else texts.index(text) for text in texts]


CROWD = tree_kernels.MAX_PROBES + 2
SEED = 7


def crowded(hashes: Callable[[int], int]) -> list[int]:
    """Return numbers of which the hashes share the low bits that tables of so many rows use."""
    mask = (1 << (4 * CROWD).bit_length()) - 1
    with np.errstate(over="ignore"):
        return list(itertools.islice((i for i in itertools.count(1) if hashes(i) & mask == 0), CROWD))


def test_ids_that_crowd_together_are_joined_by_sorting() -> None:
    ids = crowded(lambda i: tree_kernels.mixed(np.int64(SEED), np.int64(i), np.int64(0)))
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for i in ids:
        spans.add(
            trace_id=b"t" * 16, span_id=i.to_bytes(8, sys.byteorder), parent_span_id=ids[0].to_bytes(8, sys.byteorder)
        )
    batch = decode_by_library([record(request.SerializeToString())])
    assert joining.join(batch, seed=lambda: SEED) is None
    assert_same_tree(batch, joining.join(batch, seed=lambda: SEED + 1))


def test_texts_that_crowd_together_get_no_numbers() -> None:
    def hashed(i: int) -> int:
        data = np.frombuffer(b"%016d" % i, np.uint8)
        words = words_of(data)
        return int(tree_kernels.text_hash(data, words, np.int64(0), np.int64(16), np.int64(SEED)))

    column = pa.array([f"{i:016}" for i in crowded(hashed)])
    assert joining.number_texts(column, seed=lambda: SEED) is None
    assert joining.number_texts(column, seed=lambda: SEED + 1) is not None


def test_without_numbers_from_kernels_arrow_gives_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "number_texts", lambda _: None)
    monkeypatch.setattr(joining, "join", lambda _: None)
    assert_same_columns(decode([record(build("genai", 20, seed=1).SerializeToString())]))


SPANS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 4), MARKED | st.just(("", "")), ATTRIBUTES, st.integers(0, 2)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(SPANS, ATTRIBUTES, EVENT_NAMES)
def test_made_spans_have_the_same_columns(spans: list[Any], fields: dict[str, Any], event: str) -> None:
    bodies = [
        span(
            f"span {own}",
            {**values, **dict([mark])},
            at=str(own),
            parent=str(parent) if parent else None,
            status=status,
            events=((event, fields),) if own == 1 else (),
        )
        for own, parent, mark, values, status in spans
    ]
    assert_same_columns(decode([record(b"".join(bodies))]))
