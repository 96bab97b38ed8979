"""The gate in simulated worlds: it seldom cries wolf, and finds what it says it finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench import kept
from bench.gate import OURS, World, checks, markdown, measure
from evalgate.gate.policy import GatePolicy

GATES = 150
SLACK = 0.036
"""Two standard errors of a share of 5 % of so many."""


@pytest.mark.parametrize(
    "world",
    [
        World("clusters", 60, cluster=5, shared=0.9, evaluators=2),
        World("repeats", 40, wrong=0.15, repeats=3),
        World("one test under four names", 60, evaluators=3),
        World("evaluators that seldom differ", 60, evaluators=3, wrong=0.01),
    ],
    ids=lambda w: w.name,
)
def test_unchanged_worlds_are_seldom_red_and_harmed_ones_mostly_are(world: World) -> None:
    point = measure(world, GATES, seed=4, policy=GatePolicy(resamples=2000))
    alarms = point["false_alarms"]
    assert alarms[OURS] <= 0.05 + SLACK
    assert alarms["any drop"] > 0.3, "or these worlds are too tame to show anything"
    assert point["power"][OURS] >= 0.8 - 0.09
    if world.cluster > 1:
        assert alarms["a test each"] > 0.1


@pytest.mark.thorough
def test_the_luck_of_a_kept_baseline_is_in_every_comparison() -> None:
    one, best = (kept.measure(kept.Way(1, 1, n), 10, 15, np.random.default_rng(2)) for n in (1, 10))
    assert one["red"] < 0.08
    assert best["red"] > 0.1
    assert best["red_with_the_worst"] > one["red_with_the_worst"]


def test_a_gate_that_cries_wolf_misses_its_target() -> None:
    quiet: dict[str, Any] = {
        "world": "w",
        "gates": 1000,
        "false_alarms": {
            OURS: 0.04,
            "any drop": 0.5,
            "5 points": 0.2,
            "10 points": 0.1,
            "a test each": 0.1,
            "must not break": 0.9,
        },
    }
    point = {**quiet, "power": {OURS: 0.85}, "passed": 0.5, "inconclusive": 0.4, "stated_effect": 0.1}
    assert all(c.is_met for c in checks({"points": [point]}))
    loud = {**point, "false_alarms": {**point["false_alarms"], OURS: 0.09}}
    assert [c.is_met for c in checks({"points": [point, loud]})] == [False, True]
    weak = {**point, "power": {OURS: 0.7}}
    assert [c.is_met for c in checks({"points": [point, weak]})] == [True, False]
    assert "| w | 4.0% | 50.0% |" in markdown({"points": [point]})
