"""The bench of agreement measures what it says."""

from __future__ import annotations

import numpy as np
import pytest

from bench.agreement import checks, markdown, measure, said


def test_two_reviewers_agree_as_far_as_they_are_made_to() -> None:
    first, second = said(40_000, 0.2, 0.64, 2, np.random.default_rng(1))
    share = np.array([first.mean(), second.mean()])
    observed = float((first == second).mean())
    by_chance = float((share * share[::-1]).sum() / 2 + ((1 - share) * (1 - share[::-1])).sum() / 2)
    assert (observed - by_chance) / (1 - by_chance) == pytest.approx(0.64, abs=0.02)
    assert share == pytest.approx([0.2, 0.2], abs=0.01)


def test_a_cell_counts_what_holds_and_what_is_told() -> None:
    few = measure(10, 0.5, 0.8, 8, np.random.default_rng(2))
    assert (few["told"], few["kappa"], few["width"]) == (0, None, None)
    assert few["unbounded"] is not None
    enough = measure(60, 0.5, 0.8, 8, np.random.default_rng(3))
    assert enough["told"] == 1
    assert 0 <= enough["kappa"] <= 1
    document = {"points": [few, enough]}
    assert [c.value for c in checks(document)] == [enough["kappa"], enough["alpha"]]
    assert "| 10 | 50% | 0.8 | 0% | – | – |" in markdown(document)
