"""What so many cases can show; rates of clusters; rates without the judge's errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from schema.statistics import (
    cases_for_drop,
    cases_for_score_drop,
    corrected_rate,
    effective_n,
    mcnemar_p,
    mcnemar_power,
    minimum_detectable_drop,
    minimum_detectable_score_drop,
    wilson_interval,
)

AT = {"alpha": 0.05, "power": 0.8}


def test_power_is_what_drawing_finds() -> None:
    draw = np.random.default_rng(2)
    for n, noise, drop, least in ((40, 0.1, 0.15, 0.0), (100, 0.05, 0.08, 0.02), (300, 0.2, 0.07, 0.05)):
        broken, repaired, _ = draw.multinomial(n, [noise / 2 + drop, noise / 2, 1 - noise - drop], 4000).T
        shown = [
            mcnemar_p(int(b), int(r)) < 0.05 and (b - r) / n > least + 1e-12
            for b, r in zip(broken, repaired, strict=True)
        ]
        counted = mcnemar_power(n, noise, drop, alpha=0.05, least_drop=least)
        assert counted == pytest.approx(np.mean(shown), abs=0.025)


def test_of_four_cases_no_drop_can_be_shown() -> None:
    assert minimum_detectable_drop(4, 0.0, **AT) is None
    assert minimum_detectable_drop(0, 0.0, **AT) is None
    assert minimum_detectable_drop(5, 0.0, **AT) == pytest.approx(0.8 ** (1 / 5), abs=0.001)


def test_with_many_cases_it_is_the_usual_formula() -> None:
    """2.486 √(noise / n), where the drop adds little to what changes anyway."""
    for n in (1900, 50_000):
        assert minimum_detectable_drop(n, 0.2, **AT) == pytest.approx(2.486 * math.sqrt(0.2 / n), rel=0.12)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3])
def test_cases_for_a_drop_are_the_inverse(noise: float) -> None:
    for n in (60, 400):
        drop = minimum_detectable_drop(n, noise, **AT)
        assert drop is not None
        assert cases_for_drop(drop + 0.001, noise, **AT) == pytest.approx(n, rel=0.08)


def test_no_number_of_cases_shows_what_is_let_go() -> None:
    assert cases_for_drop(0.02, 0.1, **AT, least_drop=0.02) is None
    assert cases_for_drop(0.0, 0.1, **AT) is None
    assert cases_for_drop(1e-6, 0.1, **AT) is None
    assert cases_for_drop(0.5, 0.9, **AT) is None


def test_a_larger_least_drop_takes_a_larger_effect() -> None:
    assert (minimum_detectable_drop(1000, 0.1, **AT, least_drop=0.05) or 0) > 0.05
    assert mcnemar_power(500, 0.1, 0.02, alpha=0.05, least_drop=0.05) < 0.05


def test_the_effect_of_scores_is_that_of_the_z_test() -> None:
    """Where there are so many cases that the harm itself adds nothing to their variance."""
    effect = minimum_detectable_score_drop(0.02, 1e9, **AT)
    assert stats.norm.sf(stats.norm.isf(0.05) - effect / 0.02) == pytest.approx(0.8)


def test_harm_to_few_cases_is_harder_to_show_than_a_shift_of_all() -> None:
    assert minimum_detectable_score_drop(0.0, 100, **AT) == pytest.approx(2.486**2 / 100, rel=0.05)
    assert minimum_detectable_score_drop(0.02, 100, **AT) > 1.5 * 2.486 * 0.02


def test_cases_for_a_drop_of_scores_are_the_inverse() -> None:
    effect = minimum_detectable_score_drop(0.02, 100, **AT)
    assert cases_for_score_drop(effect, 0.02, 100, **AT) == pytest.approx(100, abs=1)
    assert cases_for_score_drop(0.0, 0.02, 100, **AT) is None
    assert cases_for_score_drop(1e-4, 0.02, 100, **AT) is None


def test_clusters_are_worth_less_than_their_cases() -> None:
    assert effective_n([]) == 0
    assert effective_n([(1, 1), (0, 1), (1, 1)]) == 3
    assert effective_n([(5, 5), (0, 5)]) == pytest.approx(2)
    assert effective_n([(5, 5), (5, 5)]) == pytest.approx(2), "nothing is known of the variance: as bad as it can be"
    assert effective_n([(3, 5)]) == 1
    assert effective_n([(3, 6), (3, 6), (3, 6)]) == 18, "clusters that are all alike hide nothing"


def test_intervals_of_clustered_rates_hold_the_truth() -> None:
    draw = np.random.default_rng(4)
    held = naive = 0
    for _ in range(1000):
        rates = draw.beta(4 * 0.8, 4 * 0.2, 30)
        clusters = [(int(p), 8) for p in draw.binomial(8, rates)]
        rate, worth = sum(p for p, _ in clusters) / 240, effective_n(clusters)
        low, high = wilson_interval(rate * worth, worth) or (0, 0)
        held += low <= 0.8 <= high
        low, high = wilson_interval(rate * 240, 240) or (0, 0)
        naive += low <= 0.8 <= high
    assert held >= 930
    assert naive < 850


def test_a_perfect_judge_is_taken_at_its_word() -> None:
    found = corrected_rate(80, 100, tp=500, fn=0, tn=500, fp=0)
    assert found is not None
    assert found.rate == 0.8
    assert (found.low, found.high) == pytest.approx(wilson_interval(80, 100), abs=0.01)


def test_the_judges_errors_are_taken_out() -> None:
    """Of 1000 truly good in 70 %, a judge that catches 80 % and spares 90 % lets 690 pass."""
    found = corrected_rate(690, 1000, tp=80, fn=20, tn=90, fp=10)
    assert found is not None
    assert found.rate == pytest.approx(0.7)
    assert found.high - found.low > 0.15, "200 labels leave more doubt than 1000 cases do"
    assert found.labels == 200


@pytest.mark.parametrize(
    "matrix",
    [
        {"tp": 0, "fn": 0, "tn": 9, "fp": 0},
        {"tp": 9, "fn": 0, "tn": 0, "fp": 0},
        {"tp": 5, "fn": 5, "tn": 5, "fp": 5},
        {"tp": 1, "fn": 9, "tn": 2, "fp": 8},
    ],
)
def test_a_judge_that_knows_nothing_is_not_corrected(matrix: dict[str, int]) -> None:
    assert corrected_rate(80, 100, **matrix) is None


def test_nothing_judged_is_not_corrected_and_edges_are_sane() -> None:
    assert corrected_rate(0, 0, tp=5, fn=0, tn=5, fp=0) is None
    for passed in (0, 1, 100):
        found = corrected_rate(passed, 100, tp=8, fn=2, tn=9, fp=1)
        assert found is not None
        assert 0 <= found.low <= found.rate <= found.high <= 1
        assert found.low < found.high


def test_corrected_intervals_hold_the_truth_and_raw_ones_do_not() -> None:
    draw = np.random.default_rng(9)
    held = raw = total = 0
    for truth, caught, spared, bad, good, n in (
        (0.8, 0.8, 0.9, 40, 60, 200),
        (0.95, 0.7, 0.95, 50, 50, 500),
        (0.5, 0.9, 0.8, 30, 30, 100),
    ):
        for _ in range(600):
            tp, tn = int(draw.binomial(bad, caught)), int(draw.binomial(good, spared))
            passed = int(draw.binomial(n, truth * spared + (1 - truth) * (1 - caught)))
            found = corrected_rate(passed, n, tp=tp, fn=bad - tp, tn=tn, fp=good - tn)
            assert found is not None
            low, high = wilson_interval(passed, n) or (0, 0)
            held += found.low <= truth <= found.high
            raw += low <= truth <= high
            total += 1
    assert held / total >= 0.93
    assert raw / total < 0.75


def test_labels_of_one_session_are_no_proof_of_each_other() -> None:
    """Sessions of five in which the judge is right of all or of none."""
    draw = np.random.default_rng(11)
    held = naive = 0
    for _ in range(1000):
        tp, tn = 5 * int(draw.binomial(10, 0.8)), 5 * int(draw.binomial(10, 0.9))
        passed = int(draw.binomial(300, 0.8 * 0.9 + 0.2 * 0.2))
        matrix = {"tp": tp, "fn": 50 - tp, "tn": tn, "fp": 50 - tn}
        whole, weighed = (corrected_rate(passed, 300, **matrix, label_weight=w) for w in (1, 1 / 5))
        assert whole is not None
        assert weighed is not None
        assert (weighed.rate, weighed.labels) == (whole.rate, 100)
        naive += whole.low <= 0.8 <= whole.high
        held += weighed.low <= 0.8 <= weighed.high
    assert held >= 950
    assert naive < 850
