from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from scipy.stats import beta, binom, binomtest, chi2_contingency

from schema.alignment import (
    Confusion,
    Measurement,
    Permission,
    PermissionPolicy,
    PermissionRule,
    Reason,
    Split,
    drop_of,
    further_labels,
    grant,
    mcc_at,
    mcc_quantiles,
    measurement_to_json,
    parse_measurement,
)
from schema.alignment.confusion import QUANTILES, _beta_quantiles

POINT = PermissionPolicy(rule=PermissionRule.POINT)


def measured(tp: int, fp: int, fn: int, tn: int, **rest: int) -> Measurement:
    return Measurement("tone", "v1", "d1", Split.TEST, "2026-11-21T00:00:00+00:00", Confusion(tp, fp, fn, tn, **rest))


def tables(bad: int, good: int) -> np.ndarray:
    """Return the lower bound of every table of so many labels, [tp, tn]."""
    bounds = [
        [Confusion(tp, good - tn, bad - tp, tn).mcc_lower_bound() for tn in range(good + 1)] for tp in range(bad + 1)
    ]
    return np.array(bounds, np.float64)


def chances(bad: int, good: int, tpr: float, tnr: float) -> np.ndarray:
    """Return how probable each of the tables is."""
    return np.outer(binom.pmf(range(bad + 1), bad, tpr), binom.pmf(range(good + 1), good, tnr))


def mcc_of(bad: int, good: int, tpr: float, tnr: float) -> float:
    share = bad / (bad + good)
    flagged = share * tpr + (1 - share) * (1 - tnr)
    return (tpr + tnr - 1) * math.sqrt(share * (1 - share) / (flagged * (1 - flagged)))


@pytest.mark.parametrize("counts", [(17, 3, 3, 17), (8, 12, 2, 78), (1, 0, 3, 4), (3, 7, 5, 2)])
def test_mcc_is_the_correlation_of_the_two_verdicts(counts: tuple[int, int, int, int]) -> None:
    tp, fp, fn, tn = counts
    people = [1] * (tp + fn) + [0] * (fp + tn)
    evaluator = [1] * tp + [0] * fn + [1] * fp + [0] * tn
    assert Confusion(tp, fp, fn, tn).mcc == pytest.approx(np.corrcoef(people, evaluator)[0, 1])
    statistic = chi2_contingency([[tp, fn], [fp, tn]], correction=False).statistic
    assert abs(Confusion(tp, fp, fn, tn).mcc or 0) == pytest.approx(math.sqrt(statistic / sum(counts)))


def test_an_evaluator_that_passes_everything_has_no_mcc_however_many_it_gets_right() -> None:
    always = Confusion(tp=0, fp=0, fn=10, tn=90)
    assert always.mcc is None
    assert always.balanced_accuracy == 0.5
    assert Confusion(8, 12, 2, 78).mcc == pytest.approx(0.50, abs=0.005), "accuracy is 0.86"


def test_what_no_label_supports_is_undefined() -> None:
    none = Confusion(0, 0, 0, 0)
    assert (none.mcc, none.tpr, none.tnr, none.balanced_accuracy, none.mcc_interval()) == (None,) * 5
    only_bad = Confusion(3, 0, 1, 0)
    assert only_bad.tpr == 0.75
    assert (only_bad.tnr, only_bad.mcc, only_bad.mcc_interval(), only_bad.tnr_interval) == (None,) * 4


def test_partial_verdicts_and_errors_stand_beside_the_matrix() -> None:
    beside = Confusion(5, 1, 1, 5, partial_passed=7, partial_failed=9, errors=11)
    assert beside.n == 12
    assert beside.mcc == Confusion(5, 1, 1, 5).mcc


def test_rates_have_wilson_intervals() -> None:
    found = Confusion(tp=17, fp=2, fn=3, tn=30)
    assert found.tpr_interval == pytest.approx(tuple(binomtest(17, 20).proportion_ci(method="wilson")))
    assert found.tnr_interval == pytest.approx(tuple(binomtest(30, 32).proportion_ci(method="wilson")))


@pytest.mark.parametrize(("successes", "failures"), [(0, 0), (0, 10), (7, 3), (1000, 3), (5000, 5000)])
def test_quantiles_are_those_of_the_beta_distribution(successes: int, failures: int) -> None:
    ranks = (np.arange(QUANTILES) + 0.5) / QUANTILES
    exact = beta.ppf(ranks, successes + 0.5, failures + 0.5)
    assert np.abs(_beta_quantiles(successes, failures) - exact).max() < 2e-5


@pytest.mark.parametrize("counts", [(17, 3, 3, 17), (10, 0, 0, 10), (5, 4, 0, 60)])
def test_the_interval_is_what_a_simulation_of_both_rates_gives(counts: tuple[int, int, int, int]) -> None:
    tp, fp, fn, tn = counts
    random = np.random.default_rng(7)
    tpr = random.beta(tp + 0.5, fn + 0.5, 200_000)
    fpr = 1 - random.beta(tn + 0.5, fp + 0.5, 200_000)
    share = (tp + fn) / sum(counts)
    flagged = share * tpr + (1 - share) * fpr
    drawn = (tpr - fpr) * np.sqrt(share * (1 - share) / (flagged * (1 - flagged)))
    found = mcc_quantiles(Confusion(*counts), (0.025, 0.05, 0.5, 0.95, 0.975))
    assert found == pytest.approx(list(np.quantile(drawn, (0.025, 0.05, 0.5, 0.95, 0.975))), abs=0.006)


def test_a_perfect_table_is_no_certainty() -> None:
    bounds = [Confusion(k, 0, 0, k).mcc_lower_bound() or 0 for k in (1, 5, 10, 20, 100)]
    assert bounds == pytest.approx([-0.17, 0.57, 0.75, 0.86, 0.97], abs=0.01)
    interval = Confusion(5, 0, 0, 5).mcc_interval()
    assert interval is not None
    assert interval[1] == 1.0
    worst = Confusion(0, 5, 5, 0).mcc_interval()
    assert worst is not None
    assert worst[0] == -1.0


@pytest.mark.parametrize(("bad", "good"), [(5, 5), (3, 7), (10, 10), (5, 15)])
def test_the_lower_bound_holds_as_often_as_it_says(bad: int, good: int) -> None:
    low = tables(bad, good)
    rates = (0.5, 0.6, 0.75, 0.81, 0.85, 0.9, 0.94, 0.97, 0.99)
    holds = [
        chances(bad, good, tpr, tnr)[low <= mcc_of(bad, good, tpr, tnr) + 1e-12].sum()
        for tpr, tnr in product(rates, rates)
    ]
    assert min(holds) > 0.91, "the worst of all"
    assert np.mean(holds) > 0.95


@pytest.mark.parametrize(("bad", "good"), [(10, 10), (5, 15)])
def test_an_evaluator_below_the_limit_seldom_gets_permission(bad: int, good: int) -> None:
    blocks = tables(bad, good) >= 0.6
    for tpr in (0.5, 0.6, 0.7, 0.75, 0.8, 0.85):
        for tnr in (0.5, 0.6, 0.7, 0.75, 0.8, 0.85):
            if mcc_of(bad, good, tpr, tnr) < 0.6:
                assert chances(bad, good, tpr, tnr)[blocks].sum() < 0.065


def test_a_coin_earns_permission_by_the_point_and_not_by_the_bound() -> None:
    """Of ten examples; the figures of the rules that look at MCC alone are those of docs/alignment.md."""
    chance = chances(5, 5, 0.5, 0.5)
    granted = dict.fromkeys(PermissionRule, 0.0)
    for rule in PermissionRule:
        policy = PermissionPolicy(rule=rule)
        for tp in range(6):
            for tn in range(6):
                found = grant(measured(tp, 5 - tn, 5 - tp, tn), deterministic_by_hand=False, policy=policy)
                granted[rule] += chance[tp, tn] * (found.permission is Permission.BLOCK)
    assert granted[PermissionRule.POINT] == pytest.approx(0.055, abs=0.003)
    assert granted[PermissionRule.LOWER_BOUND] == 0


def test_a_hand_written_rule_blocks_without_measurement() -> None:
    assert grant(None, deterministic_by_hand=True).permission is Permission.BLOCK
    poor = grant(measured(2, 8, 8, 2), deterministic_by_hand=True)
    assert (poor.permission, poor.reason) == (Permission.BLOCK, Reason.HAND_WRITTEN)
    assert poor.mcc == pytest.approx(-0.6)


def test_what_a_file_says_of_itself_lowers_and_never_grants() -> None:
    assert grant(None, deterministic_by_hand=False, mcc_score=0.99).permission is Permission.MONITOR
    assert grant(None, deterministic_by_hand=True, mcc_score=0.5).permission is Permission.MONITOR
    assert grant(None, deterministic_by_hand=True, mcc_score=0.6).permission is Permission.BLOCK
    assert grant(None, deterministic_by_hand=True, mcc_score=0.4).permission is Permission.MONITOR
    assert grant(None, deterministic_by_hand=True, mcc_score=0.3).permission is Permission.SKIP
    assert grant(measured(40, 0, 0, 40), deterministic_by_hand=False, mcc_score=0.5).reason is Reason.LOW_MCC
    skipped = grant(measured(5, 5, 5, 5), deterministic_by_hand=False, mcc_score=0.5)
    assert skipped.permission is Permission.SKIP


@pytest.mark.parametrize(
    ("counts", "permission", "reason"),
    [
        ((38, 2, 2, 38), Permission.BLOCK, Reason.MEASURED),
        ((17, 3, 3, 17), Permission.MONITOR, Reason.TOO_FEW_LABELS),
        ((5, 0, 0, 5), Permission.MONITOR, Reason.TOO_FEW_LABELS),
        ((4, 0, 0, 60), Permission.MONITOR, Reason.TOO_FEW_LABELS),
        ((30, 10, 10, 30), Permission.MONITOR, Reason.LOW_MCC),
        ((12, 8, 8, 12), Permission.SKIP, Reason.LOW_MCC),
        ((0, 0, 20, 20), Permission.SKIP, Reason.UNDEFINED_MCC),
        ((20, 0, 0, 0), Permission.MONITOR, Reason.UNDEFINED_MCC),
        ((0, 0, 0, 0), Permission.MONITOR, Reason.UNDEFINED_MCC),
    ],
)
def test_permission_by_the_bound(counts: tuple[int, int, int, int], permission: Permission, reason: Reason) -> None:
    found = grant(measured(*counts), deterministic_by_hand=False)
    assert (found.permission, found.reason) == (permission, reason)
    assert found.n == sum(counts)


@pytest.mark.parametrize(
    ("counts", "permission"),
    [
        ((4, 1, 1, 4), Permission.BLOCK),  # MCC is 0.6 exactly
        ((7, 3, 3, 7), Permission.MONITOR),  # and 0.4 exactly
        ((12, 8, 8, 12), Permission.SKIP),
        ((2, 0, 0, 2), Permission.BLOCK),
    ],
)
def test_permission_by_the_point_is_inclusive_at_both_limits(
    counts: tuple[int, int, int, int], permission: Permission
) -> None:
    assert grant(measured(*counts), deterministic_by_hand=False, policy=POINT).permission is permission


def test_without_measurement_a_judge_monitors() -> None:
    found = grant(None, deterministic_by_hand=False)
    assert (found.permission, found.reason, found.further_labels) == (Permission.MONITOR, Reason.NOT_MEASURED, 20)


@pytest.mark.parametrize("counts", [(17, 3, 3, 17), (5, 0, 0, 5), (4, 0, 0, 60), (9, 5, 1, 45)])
def test_with_the_further_labels_it_would_block(counts: tuple[int, int, int, int]) -> None:
    found = Confusion(*counts)
    further = further_labels(found)
    assert further

    def would(n: int) -> bool:
        bound = found.mcc_lower_bound(weight=n / found.n)
        assert bound is not None
        return bound >= 0.6 and min(found.positives, found.negatives) * n / found.n >= 5 - 1e-9 and n >= 20

    assert would(found.n + further)
    assert not would(found.n + further - 1)


def test_no_number_of_labels_helps_an_evaluator_that_is_not_good_enough() -> None:
    assert further_labels(Confusion(30, 10, 10, 30)) is None
    assert further_labels(Confusion(4, 1, 1, 4)) is None, "MCC is 0.6: the bound comes near and never there"
    assert further_labels(Confusion(19, 1, 1, 19)) == 0
    assert further_labels(Confusion(4, 0, 0, 0)) == 16
    assert further_labels(Confusion(40, 0, 0, 0)) == 5


def test_more_labels_narrow_the_interval() -> None:
    widths = []
    for k in (1, 2, 4, 8, 16):
        interval = Confusion(17 * k, 3 * k, 3 * k, 17 * k).mcc_interval()
        assert interval is not None
        widths.append(interval[1] - interval[0])
    assert all(a > b for a, b in pairwise(widths))


def test_a_measurement_is_read_as_it_was_written() -> None:
    full = Measurement(
        *("tone", "v1", "d1", Split.NEW, "2026-11-21T00:00:00+00:00", Confusion(1, 2, 3, 4, 5, 6, 7)),
        model="m",
        self_consistency=0.9,
        order_flip_rate=0.0,
        injection_flip_rate=0.1,
        cost_usd=0.02,
        labelled_until="2026-11-20T00:00:00.000000+00:00",
        left_out=12,
        clusters=5,
    )
    assert parse_measurement(measurement_to_json(full)) == full


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"split": "train"}, "'split' must be test, all or new"),
        ({"confusion": {"tp": -1}}, "'tp' must be a count"),
        ({"self_consistency": 1.5}, "between 0 and 1"),
        ({"colour": 1}, "unknown field 'colour'"),
        ({"version": None}, "lacks 'version'"),
    ],
)
def test_a_wrong_line_is_refused_in_words(change: dict[str, object], words: str) -> None:
    value = measurement_to_json(measured(1, 2, 3, 4))
    with pytest.raises(ValueError, match=words):
        parse_measurement({**value, **change})


def test_a_drop_is_an_alarm_when_chance_does_not_explain_it() -> None:
    earlier = Confusion(19, 1, 1, 19)
    clear, small, none = (drop_of(earlier, Confusion(*c)) for c in ((9, 7, 7, 9), (2, 0, 1, 3), (9, 1, 1, 9)))
    assert clear is not None
    assert small is not None
    assert none is not None
    assert clear.is_alarm
    assert [clear.earlier_mcc, clear.new_mcc, clear.new_n] == pytest.approx([0.9, 0.125, 32])
    assert not small.is_alarm, "one of six: MCC fell from 0.9 to 0.7, and may yet be 0.9"
    assert small.new_mcc < 0.75
    assert not none.is_alarm


def test_a_drop_of_mcc_that_comes_from_fewer_bad_cases_is_none() -> None:
    rare = Confusion(9, 20, 1, 180)
    assert (rare.mcc or 1) < 0.5
    drop = drop_of(Confusion(90, 10, 10, 90), rare)
    assert drop is not None
    assert drop.new_mcc == pytest.approx(0.8)
    assert not drop.is_alarm


def test_new_labels_of_one_class_say_nothing_of_a_drop() -> None:
    assert drop_of(Confusion(19, 1, 1, 19), Confusion(0, 0, 5, 0)) is None
    constant = drop_of(Confusion(19, 1, 1, 19), Confusion(0, 0, 12, 12))
    assert constant is not None
    assert constant.is_alarm


def test_false_alarms_are_as_rare_as_the_level_says() -> None:
    """Both matrices come from one evaluator (TPR = TNR = 0.85); chance alone makes them differ."""
    random = np.random.default_rng(11)
    alarms = 0
    for _ in range(60):
        tp, tn, new_tp, new_tn = (int(x) for x in random.binomial([20, 20, 10, 10], 0.85))
        drop = drop_of(Confusion(tp, 20 - tn, 20 - tp, tn), Confusion(new_tp, 10 - new_tn, 10 - new_tp, new_tn))
        alarms += drop is not None and drop.is_alarm
    assert alarms / 60 < 0.06


def test_mcc_at_a_share_is_that_of_a_matrix_with_it() -> None:
    found = Confusion(9, 20, 1, 180)
    assert mcc_at(0.9, 0.9, 10 / 210) == pytest.approx(found.mcc)
    assert mcc_at(0.0, 1.0, 0.5) is None


def test_labels_of_one_session_count_as_one() -> None:
    apart = measured(27, 3, 3, 27)
    together = replace(apart, clusters=30)
    assert together.weight == 0.5
    assert grant(apart, deterministic_by_hand=False).permission is Permission.BLOCK
    found = grant(together, deterministic_by_hand=False)
    assert (found.permission, found.reason) == (Permission.MONITOR, Reason.TOO_FEW_LABELS)
    assert found.low == apart.confusion.mcc_lower_bound(weight=0.5)
    assert found.further_labels is not None
    more = replace(measured(54, 6, 6, 54), clusters=60)
    assert 0 < found.further_labels <= 60
    assert grant(more, deterministic_by_hand=False).permission is Permission.BLOCK, "twice as many labels"
    assert replace(apart, clusters=60).weight == replace(apart, clusters=None).weight == 1.0
    few = replace(measured(20, 0, 0, 20), clusters=19)
    assert grant(few, deterministic_by_hand=False).permission is Permission.MONITOR, "19 of at least 20"


def test_in_sessions_the_bound_holds_that_would_not_if_each_label_counted() -> None:
    """Ten sessions of four labels each; an evaluator (TPR = TNR = 0.75) is right of all four or of none."""
    chance = chances(5, 5, 0.75, 0.75)
    holds = {True: 0.0, False: 0.0}
    for tp, tn in product(range(6), range(6)):
        found = Confusion(4 * tp, 4 * (5 - tn), 4 * (5 - tp), 4 * tn)
        for counted, weight in ((True, 10 / 40), (False, 1.0)):
            low = found.mcc_lower_bound(weight=weight)
            holds[counted] += chance[tp, tn] * (low is not None and low <= 0.5)
    assert holds[True] > 0.93
    assert holds[False] < 0.8


def test_the_interval_holds_the_mcc_and_a_right_verdict_more_never_lowers_the_bound() -> None:
    for bad, good in product(range(1, 4), range(1, 4)):
        low = tables(bad, good)
        assert (np.diff(low, axis=0) > -1e-3).all()
        assert (np.diff(low, axis=1) > -1e-3).all()
        for tp, tn in product(range(bad + 1), range(good + 1)):
            found = Confusion(tp, good - tn, bad - tp, tn)
            interval = found.mcc_interval(0.9)
            assert interval is not None
            assert found.mcc is None or interval[0] <= found.mcc + 1e-9 <= interval[1] + 2e-9
