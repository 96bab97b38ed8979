"""Spans that kernels write are byte for byte those that the protobuf library makes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.decode import decode
from collector.processors.redact import RedactProcessor
from exporters.otlp import encode, written
from exporters.otlp.encode import by_library, to_requests
from exporters.otlp.written import spans_request
from schema.subset import subset
from tests.clickhouse.otlp import span, spans_record
from tests.decode.requests import requests
from tests.decode.test_span_batch import BODIES, record, record_of_file

if TYPE_CHECKING:
    from schema.batch import SpanBatch

ROOT = Path(__file__).resolve().parents[2]


def by_kernels(batch: SpanBatch) -> bytes:
    return spans_request(batch, partial(encode._heads, batch))


@settings(max_examples=60)
@given(st.lists(requests("traces"), max_size=4), st.data())
def test_the_bytes_are_the_library_s(messages: list[Any], data: st.DataObject) -> None:
    batch = decode([record(m.SerializeToString(), sequence=i) for i, m in enumerate(messages)])
    assert by_kernels(batch) == by_library(batch)
    chosen = np.array([data.draw(st.booleans()) for _ in range(len(batch))], np.bool_)
    part = subset(batch, chosen, np.zeros(0, np.bool_))
    assert by_kernels(part) == by_library(part)


def test_real_traffic_masked_as_it_leaves() -> None:
    batch = RedactProcessor()(decode([record_of_file(path, i) for i, path in enumerate(BODIES)]))
    assert len(batch) > 500
    assert by_kernels(batch) == by_library(batch)


def test_texts_of_other_arrow_types_are_written_alike() -> None:
    batch = decode([spans_record([span(1, i, name=f"n{i}", trace_state=f"a={i}") for i in range(1, 4)])])
    other = replace(
        batch,
        name=batch.name.cast(pa.string_view()),
        trace_state=pa.concat_arrays([pa.array(["x"]), batch.trace_state])[1:].dictionary_encode(),
    )
    assert by_kernels(other) == by_library(batch)


def test_what_points_beyond_its_buffer_is_an_error_and_never_other_bytes() -> None:
    batch = decode([spans_record([span(1, 1, attributes={"k": "value"})])])
    table = batch.attributes
    broken = replace(batch, attributes=replace(table, start=np.full_like(table.start, len(table.buffer))))
    with pytest.raises(ValueError, match="beyond its buffer"):
        by_kernels(broken)


def test_without_kernels_the_library_writes(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fails(*_: object) -> bytes:
        raise RuntimeError("no LLVM")

    batch = decode([spans_record([span(1, 1)])])
    want = to_requests(batch)
    monkeypatch.setattr(written, "spans_request", fails)
    assert to_requests(batch) == want
    assert "no LLVM" in caplog.text


CODE = """
from functools import partial
from exporters.otlp import encode, kernels, written
from collector.decode import decode
from tests.clickhouse.otlp import span, spans_record

def compiled():
    return {n: len(f.signatures) for n, f in vars(kernels).items() if hasattr(f, "signatures") and f.signatures}

written.warm_up()
ready = compiled()
for attributes in ({}, {"a": "b", "d": 0.5, "l": ["x"], "b": True, "i": -1}):
    batch = decode([spans_record([span(1, i + 1, attributes=attributes) for i in range(3)])])
    written.spans_request(batch, partial(encode._heads, batch))
assert compiled() == ready, (ready, compiled())
print(len(ready))
"""


def test_after_the_warm_up_no_batch_compiles_anything() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1
