"""What a run tells of money: what nobody knows is no zero."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalgate.run.show import spent
from schema.evaluator import EvalType, Score
from schema.run import Attempt, EvaluatorUsed, Output, summarise
from tests.evalgate.builders import result, run_of

JUDGE = EvaluatorUsed("j", "v", "m", EvalType.LLM_JUDGE)


@pytest.mark.parametrize(
    ("costs", "total", "told"),
    [
        ((0.25, 0.5), 0.75, "judges $0.7500"),
        ((0.0, None), 0.0, "judges unknown for 1 answer"),
        ((0.25, None), 0.25, "judges $0.2500 and unknown for 1 answer"),
        ((None, None), None, "judges unknown for 2 answers"),
        ((0.0, 0.0), 0.0, "judges $0.0000"),
    ],
)
def test_an_unknown_price_is_told(costs: tuple[float | None, ...], total: float | None, told: str) -> None:
    rows = [
        result(
            f"c{n}",
            attempts=[Attempt(1, Output("x"), (Score("j", 1.0, passed=True, reason="", cost_usd=cost),), None, 1.0)],
        )
        for n, cost in enumerate(costs)
    ]
    run = replace(run_of(rows, [JUDGE]), judge_cost_usd=total)
    assert (spent(run, summarise(run)) or "").split(", ")[-1] == told
