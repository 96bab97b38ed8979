"""What model calls took: bars that add up, each token once, sums without what is told twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evalgate.web.calls import KINDS, WIDTH, calls_of
from tests.evalgate.test_reading import SPAN

SPANS = [replace(SPAN, span_id=str(n)) for n in range(1, 5)]


def row(span: int, *, counted: bool = True, cost: float | None = None, **tokens: int) -> dict[str, Any]:
    kinds = ("input", "output", "cache_read", "cache_write", "reasoning")
    told = {f"{kind}_tokens": tokens.get(kind) for kind in kinds}
    return {"span_hex": str(span), "is_counted": counted, "cost_usd": cost, "price_source": None, **told}


def test_what_was_read_from_a_cache_is_input_and_what_was_thought_is_output() -> None:
    (call,) = calls_of([row(1, input=100, cache_read=60, cache_write=10, output=50, reasoning=20)], SPANS).calls
    assert {p.kind: p.tokens for p in call.parts} == {
        "input": 30, "cache_read": 60, "cache_write": 10, "output": 30, "reasoning": 20,
    }  # fmt: skip
    assert call.tokens == 150
    ends = [p.x + p.width for p in call.parts]
    assert ends == pytest.approx([*[p.x for p in call.parts[1:]], WIDTH], abs=0.05)


def test_more_from_the_cache_than_was_given_is_no_more_than_was_given() -> None:
    (call,) = calls_of([row(1, input=10, cache_read=500, cache_write=9, output=5, reasoning=50)], SPANS).calls
    assert {p.kind: p.tokens for p in call.parts} == {"cache_read": 10, "reasoning": 5}


def test_what_two_spans_tell_is_summed_once_and_what_has_no_price_is_counted() -> None:
    told = [
        row(1, input=100, output=10, cost=0.02),
        row(2, input=100, output=10, cost=0.02, counted=False),
        row(3, input=50, cost=0.005),
        row(4),
    ]
    found = calls_of(told, SPANS)
    assert found.totals == {**dict.fromkeys(KINDS, 0), "input": 150, "output": 10}
    assert found.cost_usd == pytest.approx(0.025)
    assert (found.unpriced, found.left_out) == (1, 0)
    assert [c.tokens for c in found.calls] == [110, 110, 50, None]
    assert [c.cost_width for c in found.calls] == [WIDTH, WIDTH, WIDTH / 4, 0.0]


def test_nothing_with_a_price_has_no_cost_and_spans_that_are_gone_are_left_out() -> None:
    found = calls_of([row(1, input=5), {**row(1), "span_hex": "99"}], SPANS)
    assert (len(found.calls), found.cost_usd, found.unpriced) == (1, None, 1)
    assert calls_of([], []).calls == ()
