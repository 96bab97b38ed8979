"""Costs are those of genai-prices on the day of the call; unknown is null."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from genai_prices import Usage, calc_price
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import decode
from collector.journal.record import Record
from collector.processors.cost import MAX_NAME_CHARS, CostProcessor, PriceOverride, distinct

if TYPE_CHECKING:
    from schema.batch import SpanBatch

DAY = datetime(2026, 3, 5, 12, tzinfo=UTC)


def batch(*calls: dict[str, Any], when: datetime = DAY) -> SpanBatch:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for i in range(len(calls)):
        spans.add(
            trace_id=bytes([i + 1] * 16), span_id=bytes([i + 1] * 8), start_time_unix_nano=int(when.timestamp()) * 10**9
        )
    body = request.SerializeToString()
    empty = decode([Record(0, "t", "traces", "protobuf", gzip=False, received_unix_ns=1, body=body)])
    kinds = {"counted": pa.bool_(), "span_kind": pa.string()}
    names = dict.fromkeys(("provider", "request_model", "response_model", "service_tier"), pa.string())
    tokens = dict.fromkeys(("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"), pa.int64())
    defaults = {"counted": True, "span_kind": "llm"}
    columns = {
        name: pa.array([c.get(name, defaults.get(name)) for c in calls], kind)
        for name, kind in {**kinds, **names, **tokens}.items()
    }
    return replace(empty, columns=columns)


def costs(b: SpanBatch, *overrides: PriceOverride) -> list[float | None]:
    return CostProcessor(overrides)(b).columns["cost_usd"].to_pylist()  # type: ignore[no-any-return]  # Arrow is untyped


@pytest.mark.parametrize(
    ("provider", "library", "model"),
    [
        ("openai", "openai", "gpt-4o"),
        ("openai", "openai", "gpt-5"),
        ("anthropic", "anthropic", "claude-sonnet-4-5"),
        ("gcp.gemini", "google", "gemini-2.5-pro"),
        ("azure.ai.openai", "azure", "gpt-4o-mini"),
        ("mistral_ai", "mistral", "mistral-large-latest"),
    ],
)
@pytest.mark.parametrize("usage", [(1000, 100, 0, 0), (1000, 0, 600, 0), (900, 50, 300, 200), (250_000, 9_000, 1, 0)])
def test_a_call_costs_what_the_library_says(
    provider: str, library: str, model: str, usage: tuple[int, int, int, int]
) -> None:
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    tokens = dict(zip(names, usage, strict=True))
    want = calc_price(Usage(**tokens), model, provider_id=library, genai_request_timestamp=DAY).total_price
    (got,) = costs(batch({"provider": provider, "response_model": model, **tokens}))
    assert got == pytest.approx(float(want))


def test_an_unknown_model_has_no_cost_and_never_zero() -> None:
    tokens = {"input_tokens": 10, "output_tokens": 5}
    b = batch(
        {"provider": "openai", "request_model": "a-model-nobody-knows", **tokens},
        {"provider": "a-gateway-nobody-knows", "request_model": "gpt-4o", **tokens},
        {"provider": "openai", **tokens},
    )
    assert costs(b) == [None, None, None]


def test_without_usage_there_is_no_cost() -> None:
    known = {"provider": "openai", "request_model": "gpt-4o"}
    assert costs(batch(known, {**known, "input_tokens": 5}, {**known, "output_tokens": 5})) == [None, None, None]


def test_an_embedding_needs_no_output_tokens() -> None:
    call = {"provider": "openai", "request_model": "text-embedding-3-small", "input_tokens": 1000}
    (got,) = costs(batch({**call, "span_kind": "embedding"}))
    assert got is not None
    assert got > 0


def test_only_counted_calls_cost() -> None:
    call = {"provider": "openai", "request_model": "gpt-4o", "input_tokens": 10, "output_tokens": 5}
    assert costs(batch({**call, "counted": False}, {**call, "counted": None})) == [None, None]


def test_the_request_model_prices_a_call_whose_response_model_is_unknown() -> None:
    tokens = {"provider": "openai", "input_tokens": 10, "output_tokens": 5}
    plain, other = costs(
        batch(
            {**tokens, "request_model": "gpt-4o"},
            {**tokens, "request_model": "gpt-4o", "response_model": "my-finetune-of-something"},
        )
    )
    assert plain == other


def test_a_cheaper_tier_is_cheaper() -> None:
    call = {"provider": "openai", "request_model": "gpt-5.4", "input_tokens": 1000, "output_tokens": 1000}
    standard, flex = costs(batch(call, {**call, "service_tier": "flex"}, when=datetime(2026, 11, 1, tzinfo=UTC)))
    assert standard is not None
    assert flex is not None
    assert flex < standard


def test_the_users_own_price_comes_first_and_only_on_its_days() -> None:
    own = PriceOverride(
        model="gpt-4o*",
        provider="openai",
        input_per_million=2,
        output_per_million=4,
        valid_from=date(2026, 3, 1),
        valid_until=date(2026, 3, 31),
    )
    call = {
        "provider": "openai",
        "request_model": "gpt-4o-mini",
        "input_tokens": 1_000_000,
        "output_tokens": 500_000,
        "cache_read_tokens": 400_000,
    }
    assert costs(batch(call), own) == [pytest.approx(4.0)]
    assert costs(batch(call, when=datetime(2026, 4, 1, tzinfo=UTC)), own) == costs(batch(call))


def test_more_cached_than_input_tokens_never_makes_a_negative_cost() -> None:
    own = PriceOverride(model="m", input_per_million=1, cache_read_per_million=0.5)
    call = {
        "request_model": "m",
        "input_tokens": 10,
        "output_tokens": 0,
        "cache_read_tokens": 10**6,
        "cache_write_tokens": 10**6,
    }
    (got,) = costs(batch(call), own)
    assert got == pytest.approx(10 * 0.5e-6)


def test_times_outside_the_calendar_are_priced_too() -> None:
    b = batch({"request_model": "m", "input_tokens": 1, "output_tokens": 1})
    far = replace(b, start_unix_ns=np.array([2**64 - 1], np.uint64))
    assert costs(far, PriceOverride(model="m", input_per_million=1)) == [pytest.approx(1e-6)]


@given(st.lists(st.tuples(*[st.integers(-1, 2) | st.integers(0, 2**40)] * 3), min_size=1, max_size=20))
def test_combinations_of_few_and_of_many_values_are_told_apart(rows: list[tuple[int, ...]]) -> None:
    first, group = distinct([np.array(column, np.int64) for column in zip(*rows, strict=True)])
    assert [rows[first[g]] for g in group] == rows
    assert len(first) == len(set(rows))


def test_what_is_remembered_of_model_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.processors.cost.MAX_KNOWN", 8)
    monkeypatch.setattr("collector.processors.cost._of_library", lambda *_: None)
    processor = CostProcessor()
    tokens = {"provider": "openai", "input_tokens": 10, "output_tokens": 5}
    for i in range(10):
        processor(batch(*({"request_model": f"model-{i}-{j}", **tokens} for j in range(5))))
        assert processor.remembered <= 8


def test_a_name_that_is_too_long_for_any_model_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("collector.processors.cost._of_library", lambda _provider, model, *_: asked.append(model))
    tokens = {"provider": "o", "input_tokens": 10, "output_tokens": 5}
    longest, longer = "m" * (MAX_NAME_CHARS - 1), "m" * MAX_NAME_CHARS
    assert costs(batch({"request_model": longest, **tokens}, {"request_model": longer, **tokens})) == [None, None]
    assert asked == [longest]
