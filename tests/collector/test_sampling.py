"""The baseline: consistent between collectors and rates, and as large as it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode import decode
from collector.journal import Record
from collector.processors.sample import Sample, sample
from collector.rates.file import RatesFile
from schema.component import Context
from schema.policy import Policy, RateRule, SamplePolicy
from schema.policy.rates import Rates
from schema.sampling import (
    RANGE,
    TraceState,
    Trust,
    baseline,
    randomness,
    read_tracestate,
    threshold,
    weight,
    with_threshold,
    without_sampling,
)
from schema.sampling.arrival import Arrival, arrival, read_tracestates
from tests.collector.conftest import spans_request

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from schema.batch import SpanBatch


def ids(*values: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(values), np.uint8).reshape(-1, 16)


trace_ids = st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=20)
rates = st.floats(0, 1)
headers = st.one_of(
    st.text(),
    st.text("oth:rv=;, \t0123456789abcdefzX", max_size=60),
    st.builds(
        "{}ot={}{}".format,
        st.sampled_from(["", " ", "a=b,", "a=b, ", "ot=", "\t", "x"]),
        st.sampled_from(
            [
                "th:c",
                "th:0;rv:0123456789abcd",
                "rv:ffffffffffffff;th:e6666666666666",
                "th:c;th:d",
                "rv:g",
                "th:",
                "p:8;r:62",
                "th:C",
                "th:123456789012345",
                "x:" + "y" * 260,
            ]
        ),
        st.sampled_from(["", " ", ",a=b", " ,ot=th:1", ";", ";z:", "\n", ";Z:1"]),
    ),
)


def batch_of(*numbers: int, states: list[str] | None = None, tenants: list[str] | None = None) -> SpanBatch:
    """Return a batch of spans, each of a trace whose id is its number."""
    records = [
        Record(i, tenant, "traces", "protobuf", False, 1, spans_request(number))  # noqa: FBT003
        for i, (number, tenant) in enumerate(zip(numbers, tenants or ["default"] * len(numbers), strict=True), 1)
    ]
    batch = decode(records)
    return batch if states is None else replace(batch, trace_state=pa.array(states))


@given(trace_ids)
def test_randomness_is_the_low_56_bits_of_the_trace_id(values: list[bytes]) -> None:
    expected = [int.from_bytes(v, "big") & (RANGE - 1) for v in values]
    assert randomness(ids(*values)).tolist() == expected


@given(trace_ids, rates)
def test_kept_iff_randomness_reaches_the_threshold(values: list[bytes], rate: float) -> None:
    came = arrival(ids(*values))
    kept, _ = baseline(came, rate)
    assert kept.tolist() == [int.from_bytes(v[9:], "big") >= RANGE - round(rate * RANGE) for v in values]
    each, _ = baseline(came, np.full(len(values), rate))
    assert each.tolist() == kept.tolist(), "one rate for all, or the same for each"


@given(trace_ids, rates, rates)
def test_what_is_kept_at_a_rate_is_kept_at_every_higher_one(values: list[bytes], a: float, b: float) -> None:
    low, _ = baseline(arrival(ids(*values)), min(a, b))
    high, _ = baseline(arrival(ids(*values)), max(a, b))
    assert not (low & ~high).any()


def test_one_keeps_everything_and_zero_nothing() -> None:
    came = arrival(ids(bytes(16), b"\xff" * 16))
    assert baseline(came, 1)[0].tolist() == [True, True]
    assert baseline(came, 0)[0].tolist() == [False, False]
    assert baseline(came, np.array([1.0, 0.0]))[0].tolist() == [True, False]
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold(1.5)
    assert (weight(0.1), weight(0)) == (10, 0)


def test_a_tenth_is_a_tenth() -> None:
    values = np.random.default_rng(7).integers(0, 256, (100_000, 16), np.uint8)
    kept, rate = baseline(arrival(values), 0.1)
    assert abs(kept.mean() - 0.1) < 0.005
    assert abs((kept / rate).sum() / len(values) - 1) < 0.05, "weights add up to the whole"


def test_the_tracestate_decides_where_it_speaks() -> None:
    states = ["ot=rv:ffffffffffffff", "vendor=x,ot=th:c;rv:ffffffffffffff", ""]
    came = arrival(ids(bytes(16), bytes(16), bytes(16)), pa.array(states))
    kept, rate = baseline(came, 0.5)
    assert kept.tolist() == [True, True, False]
    assert rate.tolist() == [0.5, 0.25, 0.5], "a sampler before us that kept fewer decides the probability"
    assert came.rate is not None
    assert came.rate.tolist() == pytest.approx([np.nan, 0.25, np.nan], nan_ok=True)


def test_a_threshold_that_a_trace_does_not_reach_was_not_what_kept_it() -> None:
    came = arrival(ids(bytes(16), b"\xff" * 16), pa.array(["ot=th:8", "ot=th:8"]))
    assert came.inconsistent is not None
    assert came.inconsistent.tolist() == [True, False]
    assert came.rate is not None
    assert came.rate.tolist() == pytest.approx([np.nan, 0.5], nan_ok=True)


STATES = ["ot=th:ffffffffffffff", "ot=rv:ffffffffffffff;th:fffffffffffff8", "ot=th:c;rv:ffffffffffffff", ""]
"""What two strangers say, what a sampler says, and nothing."""


def test_a_rate_that_is_too_small_is_not_believed() -> None:
    last = b"\xff" * 16
    came = arrival(ids(last, bytes(16), bytes(16), last), pa.array(STATES))
    assert came.too_small is not None
    assert came.too_small.tolist() == [True, True, False, False]
    assert came.inconsistent is None, "each is counted once"
    assert came.rate is not None
    assert came.rate.tolist() == pytest.approx([np.nan, np.nan, 0.25, np.nan], nan_ok=True)
    assert came.randomness.tolist() == [RANGE - 1] * 4, "R is another matter: it raises no weight"


@given(st.floats(1e-6, 1), st.integers(3, 14))
def test_a_sampler_at_the_smallest_rate_is_believed_however_few_digits_it_writes(rate: float, digits: int) -> None:
    """Source of the digits: the OpenTelemetry Collector's samplers write 4 behind leading fs, unless told otherwise."""
    whole = f"{threshold(rate):014x}"
    said = whole[: len(whole) - len(whole.lstrip("f")) + digits]
    came = arrival(ids(b"\xff" * 16), pa.array([f"ot=th:{said}"]), Trust(min_rate=rate))
    assert came.too_small is None
    assert came.rate is not None
    assert came.rate[0] >= rate * 0.98
    less = f"ot=th:{threshold(rate * 0.9):014x}"
    assert arrival(ids(b"\xff" * 16), pa.array([less]), Trust(min_rate=rate)).too_small is not None


def test_a_tracestate_may_be_ignored_altogether() -> None:
    came = arrival(ids(*[bytes(16)] * 4, bytes(16)), pa.array([*STATES, "ot=?"]), Trust(reads=False))
    assert (came.rate, came.malformed, came.inconsistent, came.too_small) == (None, None, None, None)
    assert came.randomness.tolist() == [0] * 5


@pytest.mark.parametrize(
    ("settings", "arrived", "faults"),
    [
        ({}, [None, None, 0.25, None], {"too_small": 2}),
        ({"min_arrival_rate": 0.5}, [None, None, None, None], {"too_small": 3}),
        ({"min_arrival_rate": 1e-17}, [2.0**-56, 8 * 2.0**-56, 0.25, None], {}),
        ({"tracestate": "ignore"}, None, {}),
    ],
)
def test_the_settings_say_which_tracestates_count(
    settings: dict[str, object], arrived: list[float | None] | None, faults: dict[str, int]
) -> None:
    policy = Policy(sample=SamplePolicy.model_validate(settings))
    processor = sample(policy.sample, Context("sample", Path(), policy=policy))
    assert isinstance(processor, Sample)
    batch = processor(batch_of(RANGE - 1, 2, 3, 4, states=STATES))
    assert (batch.columns["arrival_rate"].to_pylist() if "arrival_rate" in batch.columns else None) == arrived
    assert processor.tracestate_faults == faults


@pytest.mark.parametrize(
    ("text", "malformed"),
    [
        ("", False),
        ("other=rv:ffffffffffffff", False),
        ("=,;:", False),
        ("not=th:c", False),
        ("ot", True),
        ("ot=", True),
        ("ot=rv:xyz", True),
        ("ot=rv:ffff", True),
        ("ot=rv:FFFFFFFFFFFFFF", True),
        ("ot=th:", True),
        ("ot=th:123456789012345", True),
        ("ot=th:c;th:d", True),
        ("ot=th:c;;", True),
        ("ot=th:c,ot=th:d", True),
        ("ot=TH:c", True),
        (f"ot=th:c;x:{'y' * 256}", True),
    ],
)
def test_a_tracestate_that_says_nothing_is_as_if_it_were_not_there(text: str, malformed: bool) -> None:  # noqa: FBT001
    state = read_tracestate(text)
    assert (state.randomness, state.threshold, state.malformed) == (None, None, malformed)


def test_what_follows_the_specification_is_read() -> None:
    state = read_tracestate("rojo=00f067,  ot=p:8;rv:0123456789abcd;th:e66 ,congo=t61")
    assert (state.randomness, state.threshold) == (0x0123456789ABCD, 0xE6600000000000)


@given(st.lists(headers, min_size=1, max_size=8))
def test_headers_are_read_together_as_each_by_itself(texts: list[str]) -> None:
    valid = [t.encode("utf-8", "replace").decode() for t in texts]
    found, each = read_tracestates(pa.array(valid)), [read_tracestate(t) for t in valid]
    assert found.malformed.tolist() == [s.malformed for s in each]
    assert [int(v) if h else None for v, h in zip(found.randomness, found.has_randomness, strict=True)] == [
        s.randomness for s in each
    ]
    assert [int(v) if h else None for v, h in zip(found.threshold, found.has_threshold, strict=True)] == [
        s.threshold for s in each
    ]


@given(st.lists(st.binary(max_size=40).map(lambda b: b"ot=" + b), min_size=1, max_size=5))
def test_bytes_that_are_no_text_raise_nothing(values: list[bytes]) -> None:
    """A string column of a batch holds what came; nobody promises that it is UTF-8."""
    ends = np.cumsum([0, *map(len, values)]).astype(np.int32)
    column = pa.Array.from_buffers(pa.string(), len(values), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(values))])
    arrival(np.zeros((len(values), 16), np.uint8), column)


@given(headers, st.integers(0, RANGE - 1))
def test_a_written_threshold_is_read_again_and_all_else_stays(text: str, limit: int) -> None:
    before, after = read_tracestate(text), read_tracestate(with_threshold(text, limit))
    assert (after.threshold, after.malformed, after.randomness) == (limit, False, before.randomness)
    assert others(with_threshold(text, limit)) == others(text)[: 32 - 1]
    erased = with_threshold(text, None)
    assert (read_tracestate(erased).threshold, read_tracestate(erased).randomness) == (None, before.randomness)
    assert others(erased)[: 32 - 1] == others(text)[: 32 - 1]
    assert (read_tracestate(without_sampling(text)), others(without_sampling(text))) == (TraceState(), others(text))


def others(text: str) -> list[str]:
    members = [m.strip(" \t") for m in text.split(",")]
    return [m for m in members if m and m.partition("=")[0] != "ot"]


def test_rates_of_two_configurations_agree_on_the_same_traces() -> None:
    """Collectors do not talk: whichever sees a span of a trace says the same of it."""
    numbers = np.random.default_rng(5).integers(0, RANGE, 400).tolist()
    first, second = (
        Sample(Rates.of(SamplePolicy(baseline_rate=0.3))),
        Sample(Rates.of(SamplePolicy(baseline_rate=0.1, rules=(RateRule(name="all", when="name != ''", rate=0.3),)))),
    )
    ways = [s(batch_of(*numbers)).columns["baseline"].to_pylist() for s in (first, second)]
    assert ways[0] == ways[1]
    assert 80 < sum(ways[0]) < 160


def test_the_processor_fills_its_columns() -> None:
    policy = Policy(sample=SamplePolicy(baseline_rate=0.1))
    processor = sample(policy.sample, Context("sample", Path(), policy=policy))
    batch = processor(batch_of(1, RANGE - 1))
    assert batch.columns["baseline"].to_pylist() == [False, True]
    assert batch.columns["baseline_rate"].to_pylist() == [0.1, 0.1]
    assert batch.columns["policy_version"].to_pylist() == [policy.version] * 2
    assert "arrival_rate" not in batch.columns, "nobody said"


def test_the_processor_reads_each_tracestate_for_the_spans_that_have_it() -> None:
    states = ["ot=rv:ffffffffffffff", "", "ot=th:c;rv:f0000000000000", "ot=th:c;rv:00000000000000", "ot=th:?"]
    processor = Sample(Rates.of(SamplePolicy(baseline_rate=0.5)))
    batch = processor(batch_of(1, 2, 3, 4, 5, states=states))
    assert batch.columns["baseline"].to_pylist() == [True, False, True, False, False]
    assert batch.columns["baseline_rate"].to_pylist() == [0.5, 0.5, 0.25, 0.5, 0.5]
    assert batch.columns["arrival_rate"].to_pylist() == [None, None, 0.25, None, None]
    assert processor.tracestate_faults == {"malformed": 1, "inconsistent": 1}


RULES = (
    RateRule(name="acme", when="tenant = 'acme'", rate=0.25),
    RateRule(name="late", when="name = 'never' OR tenant = 'acme'", rate=1.0),
    RateRule(name="noise", when="tenant = 'noise'", rate=0.001),
    RateRule(name="none", when="tenant = 'none'", rate=0),
)


def test_of_the_rules_that_hold_the_highest_rate_counts() -> None:
    rates_of = Rates.of(SamplePolicy(baseline_rate=0.1, rules=RULES))
    found = rates_of.of_batch(batch_of(1, 2, 3, 4, tenants=["acme", "other", "noise", "none"]))
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [1.0, 0.1, 0.001, 0.0], "a rule may also say less than baseline_rate"


def test_a_rate_rises_for_its_tenant_and_rule_alone_and_never_falls_below_what_is_set() -> None:
    rates_of = Rates.of(SamplePolicy(baseline_rate=0.1, rules=RULES[2:]))
    batch = batch_of(1, 2, 3, 4, 5, tenants=["few", "many", "noise", "none", "few"])
    raised = {("few", ""): 0.5, ("many", ""): 0.01, ("noise", "noise"): 0.25, ("none", "none"): 1.0}
    found = rates_of.of_batch(batch, raised)
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [0.5, 0.1, 0.25, 0.0, 0.5]
    one = Rates.of(SamplePolicy(baseline_rate=0.1))
    assert one.of_batch(batch_of(1, tenants=["few"]), raised) == 0.5


def test_the_processor_takes_the_rates_in_use_from_the_file_and_keeps_the_last(tmp_path: Path) -> None:
    policy = SamplePolicy(baseline_rate=0.1, target_per_day=50)
    processor = sample(policy, Context("sample", tmp_path))

    def rate() -> float:
        return float(processor(batch_of(1)).columns["baseline_rate"][0].as_py())

    assert rate() == 0.1
    RatesFile.of(tmp_path).write({("default", ""): 0.5})
    assert rate() == 0.5
    (tmp_path / "baseline_rates.json").write_text("{")
    assert rate() == 0.5, "a damaged file changes nothing"
    (tmp_path / "baseline_rates.json").unlink()
    assert rate() == 0.5
    assert sample(policy, Context("sample", tmp_path))(batch_of(1)).columns["baseline_rate"].to_pylist() == [0.1]
    RatesFile.of(tmp_path).write({("default", ""): 0.25})
    assert rate() == 0.25


def test_without_a_target_no_file_is_read(tmp_path: Path) -> None:
    RatesFile.of(tmp_path).write({("default", ""): 0.5})
    processor = sample(SamplePolicy(), Context("sample", tmp_path))
    assert processor(batch_of(1)).columns["baseline_rate"].to_pylist() == [0.1]


def test_an_empty_batch_has_empty_columns() -> None:
    batch = Sample(Rates.of(SamplePolicy(rules=RULES)), policy_version="v")(decode([]))
    assert [len(batch.columns[n]) for n in ("baseline", "baseline_rate", "policy_version")] == [0, 0, 0]
    assert isinstance(arrival(batch.trace_id, batch.trace_state), Arrival)


def test_weights_bring_back_all_traces_whatever_rates_their_spans_met() -> None:
    """Spans of a trace fall under several rules, policies and samplers before us: the view takes the highest rates."""
    rng = np.random.default_rng(11)
    n, spans = 200_000, 3
    trace_id = rng.integers(0, 256, (n, 16), np.uint8)
    upstream = rng.choice([1.0, 0.5, 0.2], n)
    arrived = randomness(trace_id) >= np.array([threshold(r) for r in upstream], np.uint64)
    trace_id, upstream = trace_id[arrived], upstream[arrived]
    kept, rate = np.zeros(len(trace_id), np.bool_), np.zeros(len(trace_id))
    for _ in range(spans):
        came = Arrival(randomness(trace_id), upstream)
        own_kept, own_rate = baseline(came, rng.choice([0.02, 0.1, 0.3], len(trace_id)))
        kept, rate = kept | own_kept, np.maximum(rate, own_rate)
    weights = 1 / np.minimum(upstream, rate)
    error = np.sqrt((weights[kept] ** 2 * (1 - 1 / weights[kept])).sum())
    assert abs(weights[kept].sum() - n) < 4 * error
    assert error / n < 0.01, "the test would see a bias of some percent"
