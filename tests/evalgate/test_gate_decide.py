"""The decision at its edges: never green without proof, never red by arithmetic."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalgate.figures import percent
from evalgate.gate.base import base_of
from evalgate.gate.decide import decide
from evalgate.gate.decision import CheckStatus, Status
from evalgate.gate.policy import GatePolicy
from schema.alignment import Permission
from schema.run import ErrorKind, EvaluatorUsed
from tests.evalgate.builders import result, run_of

if TYPE_CHECKING:
    from evalgate.gate.decision import Check, Decision
    from schema.run import Result, Run

POLICY = GatePolicy()


def mixed(passed: int, failed: int) -> list[Result]:
    """Return so many cases that pass and fail."""
    return [result(f"p{i}") for i in range(passed)] + [result(f"f{i}", passed=False) for i in range(failed)]


@pytest.mark.parametrize(
    ("passed", "failed", "threshold", "status"),
    [
        (4, 1, 0.8, Status.PASS),
        (79, 21, 0.8, Status.FAIL),
        (3, 7, 0.3, Status.PASS),
        (7, 3, 0.7, Status.PASS),
        (0, 1, 0.0, Status.PASS),
        (1, 0, 1.0, Status.PASS),
        (999, 1, 1.0, Status.FAIL),
    ],
)
def test_a_pass_rate_equal_to_the_threshold_is_enough(
    passed: int, failed: int, threshold: float, status: Status
) -> None:
    decision = decide(run_of(mixed(passed, failed)), None, GatePolicy(threshold=threshold))
    assert decision.status is status
    assert len(decision.failing) == failed


@given(st.integers(1, 400), st.integers(0, 1000))
def test_the_threshold_compares_exactly(total: int, mille: int) -> None:
    passed = total * mille // 1000
    threshold = mille / 1000
    decision = decide(run_of(mixed(passed, total - passed)), None, GatePolicy(threshold=threshold))
    assert (decision.status is Status.PASS) == (passed * 1000 >= mille * total)


def test_no_cases_is_an_error() -> None:
    decision = decide(run_of([]), None, POLICY)
    assert decision.status is Status.ERROR
    assert decision.exit_code == 2
    assert "no cases" in decision.sentence
    assert decision.suite_pass_rate is None
    assert decision.case_pass_rate is None


def test_any_error_is_an_error_even_beside_failures() -> None:
    results = [*mixed(1, 1), result("x", error=ErrorKind.TIMEOUT), result("y", error=ErrorKind.TARGET)]
    decision = decide(run_of(results), None, POLICY)
    assert decision.status is Status.ERROR
    assert "2 cases of 4 could not be judged (1 target, 1 timeout)" in decision.sentence
    assert "--allow-errors 2" in decision.sentence


def test_allowed_errors_leave_the_denominator() -> None:
    results = [*mixed(4, 1), result("x", error=ErrorKind.TARGET)]
    decision = decide(run_of(results), None, GatePolicy(allow_errors=1))
    assert decision.status is Status.PASS
    assert decision.judged_cases == 5
    assert decision.case_pass_rate == 0.8


def test_nothing_but_errors_is_an_error_whatever_is_allowed() -> None:
    decision = decide(run_of([result("x", error=ErrorKind.TARGET)]), None, GatePolicy(allow_errors=9))
    assert decision.status is Status.ERROR
    assert "no case of 1 was judged" in decision.sentence


def test_cases_without_an_evaluator_prove_nothing() -> None:
    decision = decide(run_of([result("x", passed=None)]), None, GatePolicy(threshold=0))
    assert decision.status is Status.ERROR
    assert [r.case_id for r in decision.unscored] == ["x"]


@pytest.mark.parametrize(
    ("mcc", "role", "status"),
    [
        (None, Permission.BLOCK, Status.FAIL),
        (0.6, Permission.BLOCK, Status.FAIL),
        (0.59, Permission.MONITOR, Status.PASS),
        (0.4, Permission.MONITOR, Status.PASS),
        (0.39, Permission.SKIP, Status.PASS),
        (-1.0, Permission.SKIP, Status.PASS),
    ],
)
def test_agreement_with_people_is_the_permission_to_block(mcc: float | None, role: Permission, status: Status) -> None:
    evaluators = (EvaluatorUsed("e", "1", "m", mcc_score=mcc), EvaluatorUsed("good", "1", "m"))
    results = [result("a", passed=False), result("b", evaluator="good")]
    decision = decide(run_of(results, evaluators), None, POLICY)
    assert decision.eval_results[0].role is role
    assert decision.status is status
    skipped = decision.eval_results[0].skipped
    assert skipped == ("low_mcc" if role is Permission.SKIP else None)
    assert len(decision.watched) == (1 if role is Permission.MONITOR else 0)


def test_evaluators_that_may_not_block_alone_are_no_proof() -> None:
    evaluators = (EvaluatorUsed("e", "1", "m", mcc_score=0.5),)
    decision = decide(run_of([result("a")], evaluators), None, POLICY)
    assert decision.status is Status.ERROR
    assert "an evaluator that may block. e watches and does not block: " in decision.sentence
    assert "Write one" not in decision.sentence, "there is one, and it says what it lacks"


def test_the_weighted_rate_is_that_of_the_cases_verdicts() -> None:
    rows = [result(f"c{i}", passed=i % 4 > 0, sample_weight=1.0 + i % 2) for i in range(60)]
    weighted = decide(run_of(rows), None, GatePolicy(threshold=0)).weighted
    assert weighted is not None
    assert weighted.rate == pytest.approx(75 / 90)


def test_an_evaluator_may_ask_for_its_own_threshold() -> None:
    strict = (EvaluatorUsed("e", "1", "m", threshold=1.0),)
    assert decide(run_of(mixed(9, 1), strict), None, POLICY).status is Status.FAIL
    lax = (EvaluatorUsed("e", "1", "m", threshold=0.0),)
    assert decide(run_of(mixed(1, 9), lax), None, POLICY).status is Status.PASS


def test_skipped_evaluators_are_in_no_denominator() -> None:
    evaluators = (
        EvaluatorUsed("e", "1", "m"),
        EvaluatorUsed("unused", "1", "m"),
        EvaluatorUsed("low", "1", "m", mcc_score=0.1),
    )
    decision = decide(run_of([result("a"), result("b", passed=False, evaluator="low")], evaluators), None, POLICY)
    assert [e.skipped for e in decision.eval_results] == [None, "no_cases", "low_mcc"]
    assert decision.suite_pass_rate == 1.0
    assert decision.status is Status.PASS


def check(decision: Decision, name: str) -> Check:
    """Return one check by its id."""
    return next(c for c in decision.checks if c.id == name)


def compared(before: list[Result], after: list[Result], *, threshold: float = 0.0) -> Decision:
    """Judge `after` against `before`; the threshold alone lets everything pass."""
    return decide(run_of(after), base_of(run_of(before)), GatePolicy(threshold=threshold))


def test_one_case_that_passed_before_fails_the_gate_above_any_threshold() -> None:
    decision = compared(mixed(9, 0), [*mixed(8, 0), result("p8", passed=False)])
    assert decision.status is Status.FAIL
    assert decision.comparison is not None
    assert decision.comparison.regressions == ("p8",)
    assert check(decision, "paired:cases").status is CheckStatus.INCONCLUSIVE
    assert check(decision, "must_not_break").cases == ("p8",)
    assert [f.regression for f in decision.failing] == [True]
    assert "1 case that passed before fails now" in decision.sentence


def test_a_known_failure_is_no_regression() -> None:
    decision = compared(mixed(8, 2), mixed(8, 2))
    assert decision.status is Status.PASS
    assert decision.comparison is not None
    assert decision.comparison.regressions == decision.comparison.repaired == ()
    assert not any(f.regression for f in decision.failing)


def test_five_broken_cases_are_surer_than_chance() -> None:
    found = check(compared(mixed(10, 0), [result(f"p{i}", passed=i >= 5) for i in range(10)]), "paired:cases")
    assert found.status is CheckStatus.FAIL
    assert found.p_value == pytest.approx(1 / 32)
    assert found.value == -0.5


def test_repaired_cases_count_for_the_other_side() -> None:
    decision = compared(mixed(0, 2), [result("f0"), result("f1", passed=False)])
    assert decision.comparison is not None
    assert decision.comparison.repaired == ("f0",)
    assert check(decision, "paired:cases").p_value == 1.0


def test_reworded_and_new_cases_are_not_compared_and_the_reworded_are_an_error() -> None:
    before = [result("a"), result("b")]
    after = [result("a", passed=False, content_hash="new words"), result("b"), result("c", passed=False)]
    assert compared(before, after).status is Status.ERROR
    decision = decide(run_of(after), base_of(run_of(before)), GatePolicy(threshold=0, allow_changed=1))
    assert decision.status is Status.PASS
    assert decision.comparison is not None
    assert (decision.comparison.compared, decision.comparison.changed, decision.comparison.new) == (1, 1, 1)


@pytest.mark.parametrize("after", [[result("a")], [result("a"), result("b", passed=None)]])
def test_a_case_that_loses_its_verdict_is_an_error(after: list[Result]) -> None:
    decision = compared([result("a"), result("b", passed=False)], after)
    assert decision.status is Status.ERROR
    assert decision.comparison is not None
    assert decision.comparison.disappeared == ("b",)
    assert "1 case judged before has no verdict now" in decision.sentence


def test_an_error_is_neither_regression_nor_disappearance() -> None:
    after = [result("a"), result("b", error=ErrorKind.TARGET)]
    decision = decide(run_of(after), base_of(run_of([result("a"), result("b")])), GatePolicy(allow_errors=1))
    assert decision.status is Status.PASS
    assert decision.comparison is not None
    assert decision.comparison.disappeared == ()
    assert decision.comparison.regressions == ()


def test_a_changed_evaluator_is_told() -> None:
    before = base_of(run_of([result("a")]))
    after: Run = replace(run_of([result("a")]), evaluators=(EvaluatorUsed("e", "other", "m"),))
    decision = decide(after, before, POLICY)
    assert decision.comparison is not None
    assert decision.comparison.evaluators_changed == ("e",)


@given(st.lists(st.sampled_from([True, False, None, *ErrorKind]), max_size=10), st.floats(0, 1), st.integers(0, 10))
def test_green_always_means_that_a_blocking_evaluator_judged_something(
    verdicts: list[bool | ErrorKind | None], threshold: float, allowed: int
) -> None:
    results = [
        result(f"c{i}", error=v) if isinstance(v, ErrorKind) else result(f"c{i}", passed=v)
        for i, v in enumerate(verdicts)
    ]
    decision = decide(run_of(results), None, GatePolicy(threshold=threshold, allow_errors=allowed))
    if decision.status is Status.PASS:
        assert decision.judged_cases > 0
        assert sum(isinstance(v, ErrorKind) for v in verdicts) <= allowed
    assert decision.exit_code == {Status.PASS: 0, Status.FAIL: 1, Status.ERROR: 2}[decision.status]


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (None, "–"),
        (0.8, "80 %"),
        (1 / 3, "33.3 %"),
        (0.99999, ">99.9 %"),
        (1.0, "100 %"),
        (0.0001, "<0.1 %"),
        (0.0, "0 %"),
    ],
)
def test_rates_never_round_to_certainty(rate: float | None, text: str) -> None:
    assert percent(rate) == text
