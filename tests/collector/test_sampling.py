"""The baseline: consistent between collectors and rates, and as large as it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode import decode
from collector.journal import Record
from collector.processors.sample import with_baseline
from schema.sampling import RANGE, baseline, randomness, read_tracestate, threshold, weight
from tests.collector.conftest import spans_request


def ids(*values: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.frombuffer(b"".join(values), np.uint8).reshape(-1, 16)


trace_ids = st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=20)
rates = st.floats(0, 1)


@given(trace_ids)
def test_randomness_is_the_low_56_bits_of_the_trace_id(values: list[bytes]) -> None:
    expected = [int.from_bytes(v, "big") & (RANGE - 1) for v in values]
    assert randomness(ids(*values)).tolist() == expected


@given(trace_ids, rates)
def test_kept_iff_randomness_reaches_the_threshold(values: list[bytes], rate: float) -> None:
    kept, _ = baseline(ids(*values), rate)
    assert kept.tolist() == [int.from_bytes(v[9:], "big") >= round((1 - rate) * RANGE) for v in values]


@given(trace_ids, rates, rates)
def test_what_is_kept_at_a_rate_is_kept_at_every_higher_one(values: list[bytes], a: float, b: float) -> None:
    low, _ = baseline(ids(*values), min(a, b))
    high, _ = baseline(ids(*values), max(a, b))
    assert not (low & ~high).any()


def test_one_keeps_everything_and_zero_nothing() -> None:
    values = ids(bytes(16), b"\xff" * 16)
    assert baseline(values, 1)[0].tolist() == [True, True]
    assert baseline(values, 0)[0].tolist() == [False, False]
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold(1.5)
    assert (weight(0.1), weight(0)) == (10, 0)


def test_a_tenth_is_a_tenth() -> None:
    values = np.random.default_rng(7).integers(0, 256, (100_000, 16), np.uint8)
    kept, rate = baseline(values, 0.1)
    assert abs(kept.mean() - 0.1) < 0.005
    assert abs((kept / rate).sum() / len(values) - 1) < 0.05, "weights add up to the whole"


def test_the_tracestate_decides_where_it_speaks() -> None:
    low = ids(bytes(16), bytes(16), bytes(16))
    kept, rate = baseline(low, 0.1, ["ot=rv:ffffffffffffff", "vendor=x,ot=th:c;rv:ffffffffffffff", ""])
    assert kept.tolist() == [True, True, False]
    assert rate.tolist() == [0.1, 0.1, 0.1]
    _, rate = baseline(low, 0.5, ["ot=th:c", "", "ot=th:0"])
    assert rate.tolist() == [0.25, 0.5, 0.5], "a sampler before us that kept fewer decides the probability"


@pytest.mark.parametrize(
    "text", ["", "ot", "ot=", "ot=rv:xyz", "ot=rv:ffff", "ot=th:", "other=rv:ffffffffffffff", "=,;:"]
)
def test_a_tracestate_that_says_nothing_is_as_if_it_were_not_there(text: str) -> None:
    state = read_tracestate(text)
    assert (state.randomness, state.threshold) == (None, None)


@given(st.text())
def test_no_tracestate_raises(text: str) -> None:
    read_tracestate(text)


def test_the_processor_fills_its_columns() -> None:
    record = Record(1, "default", "traces", "protobuf", False, 1, spans_request(1, RANGE - 1))  # noqa: FBT003
    batch = with_baseline(decode([record]), 0.1)
    assert batch.columns["baseline"].to_pylist() == [False, True]
    assert batch.columns["baseline_rate"].to_pylist() == [0.1, 0.1]


def test_the_processor_reads_each_tracestate_for_the_spans_that_have_it() -> None:
    record = Record(1, "default", "traces", "protobuf", False, 1, spans_request(1, 2, 3, 4))  # noqa: FBT003
    states = pa.array(["ot=rv:ffffffffffffff", "", "ot=th:c;rv:00000000000000", "ot=rv:ffffffffffffff"])
    batch = with_baseline(replace(decode([record]), trace_state=states), 0.5)
    assert batch.columns["baseline"].to_pylist() == [True, False, False, True]
    assert batch.columns["baseline_rate"].to_pylist() == [0.5, 0.5, 0.25, 0.5]
