"""The estimator: of a hundred 95 % intervals, 93 to 97 hold the truth, whatever the policy; or it tells no rate."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from bench.tools.populations import (
    Part,
    Reading,
    behind_a_sampler,
    draw,
    late,
    mixed,
    mode_truth,
    plain,
    read,
    rules,
    sessions,
    truth,
)
from evalgate.stats.estimate import UNSEEN_95, means, rates, totals
from evalgate.stats.measures import MIN_EVENTS
from evalgate.stats.strata import overall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from bench.tools.populations import Policy

POPULATIONS: Final = 1500
NOMINAL: Final = (0.93, 0.97)
MOSTLY: Final = 0.9
"""A rate is told in so many of the populations: then its intervals must be neither too narrow nor too wide."""


def inside(low: NDArray[np.float64], high: NDArray[np.float64], true: float | NDArray[np.float64]) -> float:
    return float(np.mean((low <= true) & (true <= high)))


def judge(policy: Callable[[int, float, float], Policy], cells: Iterable[tuple[int, float, float]]) -> int:
    """Hold the intervals of a policy against the truth; return in how many cells a rate was told."""
    told = 0
    for seed, cell in enumerate(cells):
        parts = policy(*cell)
        found = rates(draw(parts, POPULATIONS, np.random.default_rng(seed)).sums)
        share = inside(found.low, found.high, truth(parts))
        assert share >= NOMINAL[0], (cell, share)
        if found.sufficient.mean() >= MOSTLY:
            told += 1
            assert share <= NOMINAL[1], (cell, share)
    return told


def test_intervals_cover_over_populations_failing_rates_and_rates() -> None:
    cells = product((200, 2_000, 50_000), (0.001, 0.01, 0.1, 0.3), (0.01, 0.1, 0.5))
    assert judge(plain, cells) == 20


@pytest.mark.parametrize("policy", [mixed, rules, behind_a_sampler])
def test_intervals_cover_under_other_policies(policy: Callable[[int, float, float], Policy]) -> None:
    assert judge(policy, product((200, 2_000, 50_000), (0.01, 0.3), (0.01, 0.1))) >= 5


def test_intervals_cover_where_traces_of_a_session_fail_together() -> None:
    cells = ((500, 0.3, 0.1), (500, 0.03, 0.5), (2_000, 0.003, 0.03), (2_000, 0.01, 0.1), (2_000, 0.3, 0.5))
    assert judge(sessions, cells) >= 3


def test_intervals_cover_where_failures_come_late() -> None:
    assert judge(late, product((200, 2_000, 50_000), (0.001, 0.01, 0.3), (0.1, 0.5))) >= 10


def test_what_late_failures_may_be_unseen_is_bounded() -> None:
    """At 1 % nearly all of them are unseen: their intervals are too low, and the bound beside them says by how much."""
    for share in (0.1, 0.5):
        parts = (Part(50_000, 0.01, 0.01, late=share),)
        sums = draw(parts, POPULATIONS, np.random.default_rng(7)).sums
        found = rates(sums)
        assert inside(found.low, found.high, truth(parts)) < NOMINAL[0]
        assert inside(found.low, found.high + UNSEEN_95 * sums.unseen_other / sums.weight, truth(parts)) >= NOMINAL[0]


def test_an_unweighted_rate_would_be_wrong() -> None:
    """What the weights are for: 3 % failing look like 24 % among what is left."""
    sums = draw((Part(20_000, 0.03, 0.1),), POPULATIONS, np.random.default_rng(1)).sums
    found = rates(sums)
    assert float(np.mean(sums.events / sums.traces)) == pytest.approx(0.236, abs=0.01)
    assert float(np.mean(found.rate)) == pytest.approx(0.03, abs=0.0003)


def test_without_sessions_as_clusters_the_intervals_would_be_too_narrow() -> None:
    parts = (Part(2_000, 0.1, 0.5, session_size=4, correlation=0.6),)
    sums = draw(parts, POPULATIONS, np.random.default_rng(3)).sums
    found = rates(sums)
    assert NOMINAL[0] <= inside(found.low, found.high, truth(parts)) <= NOMINAL[1]
    naive = np.sqrt(found.rate * (1 - found.rate) / found.effective_n / found.design_effect)
    assert inside(found.rate - 1.96 * naive, found.rate + 1.96 * naive, truth(parts)) < 0.85


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ((Part(200, 0.001, 0.1),), "a fifth of a failure is expected"),
        ((Part(200, 0.1, 0.01),), "two of the others are kept"),
        ((Part(100, 0.3, 0.01), Part(100, 0.3, 0.5, whole=True)), "of one half no other is kept, and nothing shows it"),
        ((Part(500, 0.01, 0.5, session_size=4, correlation=0.6),), "all failures are of one session or two"),
    ],
)
def test_where_no_interval_can_cover_no_rate_is_told(parts: Policy, why: str) -> None:
    found = rates(draw(parts, POPULATIONS, np.random.default_rng(11)).sums)
    assert found.sufficient.mean() < 0.05, why
    assert inside(found.low, found.high, truth(parts)) >= NOMINAL[0], why


def test_no_rate_is_ever_told_as_0_or_100_percent() -> None:
    for failing in (0.0, 0.002, 0.998, 1.0):
        found = rates(draw((Part(1_000, failing, 0.2),), POPULATIONS, np.random.default_rng(13)).sums)
        told = found.rate[found.sufficient]
        assert ((told > 0) & (told < 1)).all()
        assert ((found.high - found.low) > 0).all()


def test_totals_cover_what_there_was() -> None:
    for traces, rate in product((200, 2_000, 50_000), (0.01, 0.1, 0.5)):
        drawn = draw((Part(traces, 0.05, rate),), POPULATIONS, np.random.default_rng(traces))
        sums = drawn.sums
        found = totals(sums.traces, sums.weight, sums.weight2, sums.unseen_other)
        assert inside(found.low, found.high, drawn.traces) >= NOMINAL[0], (traces, rate)
        assert not found.exact.any()


def test_totals_are_exact_where_everything_is_stored() -> None:
    drawn = draw((Part(300, 0.05, 0.1, whole=True),), 50, np.random.default_rng(17))
    found = totals(drawn.sums.traces, drawn.sums.weight, drawn.sums.weight2, drawn.sums.unseen_other)
    assert found.exact.all()
    assert (found.low == 300).all()
    assert (found.high == 300).all()


def test_means_cover_where_the_tail_is_moderate() -> None:
    random = np.random.default_rng(19)
    costs = random.gamma(4, 1.0, (POPULATIONS, 400))
    weights = np.where(random.random(costs.shape) < 0.3, 1.0, 10.0)
    a, b = weights * costs, weights
    found = means((a * a).sum(1), (a * b).sum(1), (b * b).sum(1), a.sum(1), b.sum(1))
    assert NOMINAL[0] <= inside(found.low, found.high, 4.0) <= NOMINAL[1]


MODES: Final = (
    (Part(20_000, 0.01, 0.1), Reading(1.0, 0.5, 0.3, 0.02)),
    (Part(20_000, 0.01, 0.1), Reading(0.5, 0.1, 0.1, 0.1)),
    (Part(20_000, 0.1, 0.1), Reading(0.5, 0.1, 0.3, 0.02)),
    (Part(50_000, 0.03, 0.05), Reading(0.3, 0.2, 0.4, 0.01)),
)


@pytest.mark.parametrize(("part", "reading"), MODES)
def test_modes_are_covered_where_some_of_the_traces_are_labelled(part: Part, reading: Reading) -> None:
    p, failing, others = (rates(s) for s in read(part, reading, POPULATIONS, np.random.default_rng(23)))
    found = overall(p, failing, others, min_events=MIN_EVENTS)
    assert found.sufficient.mean() >= MOSTLY
    assert NOMINAL[0] <= inside(found.low, found.high, mode_truth(part, reading)) <= NOMINAL[1]


def test_a_mode_is_not_told_of_all_traces_where_only_failing_ones_are_labelled() -> None:
    part, reading = Part(20_000, 0.05, 0.1), Reading(1.0, 0.0, 0.3, 0.01)
    p, failing, others = (rates(s) for s in read(part, reading, POPULATIONS, np.random.default_rng(29)))
    found = overall(p, failing, others, min_events=MIN_EVENTS)
    assert not found.sufficient.any()
    assert inside(found.low, found.high, mode_truth(part, reading)) >= NOMINAL[0]
    assert failing.sufficient.all()
