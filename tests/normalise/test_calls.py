"""Which spans have to do with each other is told beforehand, so that most are never compared: nothing may be missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode.protobuf import decode
from collector.processors.normalise import calls
from collector.processors.normalise.classify import KINDS
from collector.processors.normalise.tree import MAX_ANCESTORS, Tree, depths, read_tree
from schema.span import Kind
from tests.decode.test_span_batch import record

if TYPE_CHECKING:
    from schema.batch import SpanBatch

FIGURES = st.sampled_from([None, 1, 2])
ROW = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([*[Kind.LLM] * 6, Kind.EMBEDDING, Kind.AGENT, Kind.TOOL, Kind.OTHER]),
        "wire": st.sampled_from([1, 3]),
        "trace": st.sampled_from([0, 0, 0, 1]),
        "own": st.integers(1, 20),
        "parent": st.sampled_from([0, 99, 99, 99, 1, 2, 3]),
        "scope": st.integers(0, 1),
        "native": st.booleans(),
        "start": st.integers(0, 2),
        "lasts": st.integers(0, 3),
        "error": st.booleans(),
        "input_tokens": FIGURES,
        "output_tokens": FIGURES,
        "response_id": st.sampled_from([None, None, None, "r", "s"]),
        "request_model": st.sampled_from([None, "m", "m", "m"]),
        "input_messages": st.sampled_from([None, "hello", "hi"]),
        "output_messages": st.sampled_from([None, None, "yes"]),
    }
)


def batch_of(rows: list[dict[str, Any]]) -> tuple[SpanBatch, list[dict[str, Any]]]:
    """Return a batch and the rows in its order."""
    request = ExportTraceServiceRequest()
    holder = request.resource_spans.add()
    ordered = sorted(rows, key=lambda r: r["scope"])
    for scope in (0, 1):
        inner = holder.scope_spans.add()
        inner.scope.name = f"scope {scope}"
        for row in (r for r in ordered if r["scope"] == scope):
            inner.spans.add(
                trace_id=bytes([row["trace"] + 1]) * 16,
                span_id=bytes([row["own"]]) * 8,
                parent_span_id=bytes([row["parent"]]) * 8 if row["parent"] else b"",
                kind=row["wire"],
                start_time_unix_nano=row["start"],
                end_time_unix_nano=row["start"] + row["lasts"],
            )
    return decode([record(request.SerializeToString())]), ordered


@settings(max_examples=400, deadline=None)
@given(st.lists(ROW, max_size=9))
def test_calls_are_those_that_comparing_every_span_finds(made: list[dict[str, Any]]) -> None:
    batch, rows = batch_of(made)
    texts = ("response_id", "request_model", "input_messages", "output_messages")
    columns = {name: pa.array([r[name] for r in rows], pa.string()) for name in texts}
    columns |= {name: pa.array([r[name] for r in rows], pa.int64()) for name in ("input_tokens", "output_tokens")}
    unknown = ("cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    columns |= {name: pa.nulls(len(rows), pa.int64()) for name in unknown}
    columns["error"] = pa.array([r["error"] for r in rows], pa.bool_())
    kind = np.array([KINDS.index(r["kind"]) for r in rows], np.int64)
    native = np.array([r["native"] for r in rows], np.bool_)
    tree = read_tree(batch)

    def found(*, compiled: bool) -> tuple[list[bool], set[Any]]:
        one = calls.find_calls(batch, columns, kind, tree, native, compiled=compiled)
        return one.counted.tolist(), set(one.twins)

    with pytest.MonkeyPatch.context() as every:
        every.setattr(calls, "_related", lambda nodes, *_: np.ones(len(nodes), np.bool_))
        expected = found(compiled=False)
    assert found(compiled=False) == expected
    assert found(compiled=True) == expected


def tree_of(parent: list[int]) -> Tree:
    """Return one trace of rows that are all distinct."""
    n = len(parent)
    return Tree(np.arange(n), np.array(parent, np.int64), np.zeros(n, np.int64), np.full(n, -1, np.int64))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_depths_of_any_tree_and_cycle_are_those_that_walking_finds(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 12))
    anyone = st.lists(st.integers(-1, n - 1), min_size=n, max_size=n)
    tree = tree_of([-1 if above == row else above for row, above in enumerate(data.draw(anyone))])
    rows = np.array(data.draw(st.lists(st.integers(0, n - 1))) if n else [], np.int64)
    assert depths(rows, tree, compiled=True).tolist() == depths(rows, tree).tolist()


@pytest.mark.parametrize("closed", [False, True])
def test_depths_end_where_ancestors_do(closed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    n = MAX_ANCESTORS + 3
    tree = tree_of([n - 1 if closed else -1, *range(n - 1)])
    rows = np.arange(n)
    assert depths(rows, tree, compiled=True).tolist() == depths(rows, tree).tolist()
    assert depths(rows, tree, compiled=True).max() == MAX_ANCESTORS
