"""Permission, groups, integrity, trajectory, issues, and the five kinds of evidence apart."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from evalgate.gate.base import base_of, base_to_json, parse_base
from evalgate.gate.decide import decide
from evalgate.gate.decision import CheckStatus, Status
from evalgate.gate.evidence import Fact, Facts
from evalgate.gate.policy import GatePolicy, GroupPolicy, Integrity, RateRule, TrajectoryPolicy
from schema.alignment import DEFAULT_POLICY, Confusion, Measurement, Permission, PermissionRule, Split
from schema.case import dataset_version, parse_case
from schema.evaluator import EvalType, Evidence
from schema.issue import Issue, IssueStatus
from schema.run import ErrorKind, EvaluatorUsed, SetAside
from tests.evalgate.builders import attempt, result, run_of

if TYPE_CHECKING:
    from evalgate.gate.decision import Check, Decision
    from schema.run import Result, Run

HAND = EvaluatorUsed("e", "v", "m")
GOOD = EvaluatorUsed("good", "v", "m")


def check(decision: Decision, name: str) -> Check:
    return next(c for c in decision.checks if c.id == name)


def status_of(run: Run, **policy: Any) -> Status:
    return decide(run, None, GatePolicy.model_validate(policy)).status


def measured(confusion: Confusion, version: str = "v") -> Measurement:
    return Measurement("judge", version, "d", Split.TEST, "2026-11-20T00:00:00+00:00", confusion)


def judge(confusion: Confusion | None, version: str = "v", **more: Any) -> EvaluatorUsed:
    measurement = None if confusion is None else measured(confusion, version)
    return replace(
        EvaluatorUsed(
            "judge", "v", "m", eval_type=EvalType.LLM_JUDGE, evidence=Evidence.JUDGE, measurement=measurement
        ),
        **more,
    )


def failed_by_the_judge(used: EvaluatorUsed, policy: GatePolicy | None = None) -> Decision:
    results = [result("a", evaluator="good"), result("b", evaluator="judge", passed=False)]
    return decide(run_of(results, (GOOD, used)), None, policy or GatePolicy())


@pytest.mark.parametrize(
    ("used", "permission", "words"),
    [
        (judge(Confusion(50, 2, 1, 47)), Permission.BLOCK, None),
        (judge(None), Permission.MONITOR, "was never compared with people's labels"),
        (judge(Confusion(50, 2, 1, 47), version="older"), Permission.MONITOR, "was never compared"),
        (
            judge(Confusion(9, 1, 1, 9)),
            Permission.MONITOR,
            "more, if it goes on agreeing as it does, would let it block",
        ),
        (judge(Confusion(5, 5, 5, 5)), Permission.SKIP, "judge is not used: MCC 0.00"),
        (judge(Confusion(50, 2, 1, 47), mcc_score=0.5), Permission.MONITOR, "watches and does not block"),
        (replace(HAND, id="judge", generated=True), Permission.MONITOR, "was never compared"),
        (replace(HAND, id="judge"), Permission.BLOCK, None),
    ],
)
def test_who_may_block_has_earned_it_or_is_a_rule_by_hand(
    used: EvaluatorUsed, permission: Permission, words: str | None
) -> None:
    decision = failed_by_the_judge(used)
    assert decision.eval_results[1].role is permission
    assert decision.status is (Status.FAIL if permission is Permission.BLOCK else Status.PASS)
    assert [(words or "") in said for said in decision.missing_permission] == ([] if words is None else [True])


def test_the_plain_rule_of_permission_can_be_chosen() -> None:
    policy = GatePolicy.model_validate({"permission": {"rule": "point"}})
    assert policy.permission.rule is PermissionRule.POINT
    assert failed_by_the_judge(judge(Confusion(9, 1, 1, 9)), policy).status is Status.FAIL


def test_the_defaults_of_permission_are_those_of_alignment() -> None:
    assert GatePolicy().permission.policy == DEFAULT_POLICY


def test_a_judges_rate_is_shown_with_its_errors_taken_out() -> None:
    results = [result(f"c{i}", evaluator="judge", passed=i < 69) for i in range(100)]
    decision = decide(run_of(results, (judge(Confusion(80, 10, 20, 90)),)), None, GatePolicy(threshold=0))
    corrected = check(decision, "rate:judge").corrected
    assert corrected is not None
    assert corrected.rate == pytest.approx(0.7)
    plain = check(decision, "rate:judge").interval or (0, 0)
    assert corrected.high - corrected.low > plain[1] - plain[0]
    assert check(decide(run_of([result("a")]), None), "rate:e").corrected is None
    few = judge(Confusion(80, 10, 20, 90))
    assert few.measurement is not None
    few = replace(few, measurement=replace(few.measurement, clusters=40))
    unsure = check(decide(run_of(results, (few,)), None), "rate:judge").corrected
    assert unsure is not None
    assert unsure.high - unsure.low > 1.3 * (corrected.high - corrected.low), "200 labels in 40 sessions"
    stale = judge(Confusion(80, 10, 20, 90), version="older")
    assert check(decide(run_of(results, (GOOD, stale)), None), "rate:judge").corrected is None


@pytest.mark.parametrize(
    ("passed", "threshold", "expected"),
    [(10, 0.3, Status.PASS), (10, 0.9, Status.INCONCLUSIVE), (2, 0.8, Status.FAIL), (0, 0.0, Status.PASS)],
)
def test_a_rate_may_be_asked_to_be_sure(passed: int, threshold: float, expected: Status) -> None:
    results = [result(f"c{i}", passed=i < passed) for i in range(10)]
    assert status_of(run_of(results), threshold=threshold, rate_rule=RateRule.INTERVAL) is expected


def test_the_rate_of_clusters_is_less_sure() -> None:
    alone = [result(f"c{i}", passed=i % 2 == 0) for i in range(40)]
    together = [replace(r, cluster=str(i % 4)) for i, r in enumerate(alone)]
    (low, high), (low_c, high_c) = (decide(run_of(rows), None).case_interval or (0, 0) for rows in (alone, together))
    assert low_c < low < high < high_c


GROUPED = [
    *(result(f"r{i}", feature="refunds", passed=i > 0) for i in range(10)),
    *(result(f"s{i}", feature="search", failure_mode="other") for i in range(30)),
    replace(result("t", feature="search"), tags=("vip",)),
]


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ({"feature": "refunds", "threshold": 0.9}, CheckStatus.PASS),
        ({"feature": "refunds", "threshold": 0.95}, CheckStatus.FAIL),
        ({"feature": "refunds", "failure_mode": "other", "threshold": 0}, CheckStatus.ERROR),
        ({"feature": "search", "threshold": 1.0, "min_cases": 31}, CheckStatus.PASS),
        ({"feature": "search", "threshold": 1.0, "min_cases": 32}, CheckStatus.ERROR),
        ({"tag": "vip", "threshold": 1.0}, CheckStatus.PASS),
        ({"failure_mode": "m", "evaluator": "e", "threshold": 0.95}, CheckStatus.FAIL),
        ({"evaluator": "nobody", "threshold": 0.5}, CheckStatus.ERROR),
    ],
)
def test_a_group_has_a_threshold_of_its_own(group: dict[str, Any], expected: CheckStatus) -> None:
    """And one of which nothing is left is an error, never a pass."""
    policy = GatePolicy(groups=(GroupPolicy.model_validate(group),))
    decision = decide(run_of(GROUPED), None, policy)
    (found,) = [c for c in decision.checks if c.id.startswith("group:")]
    assert found.status is expected
    assert decision.status.value == ("fail" if expected is CheckStatus.FAIL else expected.value)
    if expected is CheckStatus.FAIL:
        assert found.cases == ("r0",)


@pytest.mark.parametrize(
    "policy",
    [
        {"treshold": 0.9},
        {"threshold": 1.1},
        {"threshold": "high"},
        {"groups": [{"threshold": 1}]},
        {"groups": [{"feature": "x"}]},
        {"permission": {"rule": "best"}},
        {"permission": {"blok_at": 0.6}},
        {"integrity": ["all"]},
        {"alpha": 0},
        {"resamples": 100},
        {"must_not_break": "none", "must_not_break_cases": ["a"]},
    ],
)
def test_a_policy_that_is_none_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GatePolicy.model_validate(policy)


def test_a_dataset_may_have_a_policy_of_its_own() -> None:
    policy = GatePolicy.model_validate(
        {
            "threshold": 1.0,
            "max_flaky": 0.1,
            "datasets": {"d": {"threshold": 0.5, "groups": [{"tag": "x", "threshold": 0}]}},
        }
    )
    own = policy.of("d")
    assert (own.threshold, own.max_flaky, len(own.groups), own.datasets) == (0.5, 0.1, 1, {})
    assert policy.of("another") is policy
    assert policy.but(threshold=0.9).of("d").threshold == 0.9
    assert len(policy.but(threshold=0.9).of("d").groups) == 1
    half = run_of([result("a"), result("b", passed=False)])
    assert decide(half, None, GatePolicy.model_validate({"datasets": {"d": {"threshold": 0.5}}})).status is Status.PASS
    assert decide(half, None, GatePolicy.model_validate({"datasets": {"e": {"threshold": 0.5}}})).status is Status.FAIL


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"treshold": 1}, "d: treshold: Extra inputs are not permitted. Did you mean 'threshold'?"),
        ({"threshold": 2}, "d: threshold: "),
        ({"datasets": {}}, "d: a dataset has no datasets"),
    ],
)
def test_a_mistake_in_a_datasets_policy_is_told(own: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(words)):
        GatePolicy.model_validate({"datasets": {"d": own}})


def test_a_run_that_was_edited_says_nothing() -> None:
    whole = run_of([result("a"), result("b", passed=False)])
    without = replace(whole, results=whole.results[:1])
    decision = decide(without, None)
    assert decision.status is Status.ERROR
    assert check(decision, "integrity:run").status is CheckStatus.ERROR
    reworded = replace(whole, results=(whole.results[0], replace(whole.results[1], content_hash="easier")))
    assert status_of(reworded, threshold=0) is Status.ERROR
    assert status_of(whole, threshold=0) is Status.PASS


def test_the_version_of_results_is_that_of_their_dataset() -> None:
    cases = [parse_case({"case_id": i, "input": f"Question {i}?", "failure_mode": "m"}) for i in "ab"]
    rows = [result(c.case_id, content_hash=c.content_hash, context_hash=c.context_hash) for c in cases]
    assert dataset_version(rows[::-1]) == dataset_version(cases)


def test_a_run_that_lost_lines_says_nothing() -> None:
    whole = run_of([result("a")])
    cut = replace(whole, set_aside=(SetAside(None, 7, "not JSON"), SetAside(None, 8, "no input")))
    decision = decide(cut, None)
    assert decision.status is Status.ERROR
    assert "2 lines of the dataset could not be run (line 7: not JSON; line 8: no input)" in decision.sentence
    assert status_of(cut, allow_set_aside=2) is Status.PASS


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (Facts(dataset_version="another"), "integrity:dataset"),
        (Facts(baseline=Fact(intact=False, sentence="it was edited")), "integrity:baseline"),
        (Facts(provenance=Fact(intact=False, sentence="a link is missing")), "integrity:provenance"),
    ],
)
def test_data_that_are_not_what_they_say_are_an_error_unless_only_told(facts: Facts, name: str) -> None:
    run = run_of([result("a")])
    assert decide(run, None, GatePolicy(), (), facts).status is Status.ERROR
    told = decide(run, None, GatePolicy(integrity=(Integrity.RUN,)), (), facts)
    assert (told.status, check(told, name).status) == (Status.PASS, CheckStatus.FAIL)
    assert check(decide(run, None), name).status is CheckStatus.SKIPPED


def test_a_case_that_its_evaluator_was_made_from_is_told() -> None:
    run = run_of([result("a"), result("b")])
    facts = Facts(made_from={"e": {"b"}, "other": {"a"}})
    leaked = check(decide(run, None, GatePolicy(), (), facts), "integrity:leaked")
    assert (leaked.cases, leaked.status, leaked.blocking) == (("b",), CheckStatus.INFO, False)
    assert decide(run, None, GatePolicy(integrity=(Integrity.LEAKED,)), (), facts).status is Status.ERROR


def answered(name: str, calls: int = 1, cost_usd: float | None = 0.01, ms: float = 100.0) -> Result:
    made = [{"name": "search", "arguments": {"page": n if calls < 3 else 0}} for n in range(calls)]
    return result(name, attempts=[replace(attempt(tool_calls=made, cost_usd=cost_usd), duration_ms=ms)])


def test_what_an_answer_takes_is_told_and_limited_where_the_policy_says_so() -> None:
    base = base_of(run_of([answered("a"), answered("b")]))
    now = run_of([answered("a", calls=2, cost_usd=0.02, ms=150), answered("b")])
    told = decide(now, base)
    assert told.status is Status.PASS
    values = {name: check(told, f"trajectory:{name}").value for name in ("steps", "cost", "latency")}
    assert values == {"steps": pytest.approx(0.5), "cost": pytest.approx(0.5), "latency": pytest.approx(0.25)}
    limited = decide(now, base, GatePolicy(trajectory=TrajectoryPolicy(cost=0.2, latency=0.25)))
    assert limited.status is Status.FAIL
    assert check(limited, "trajectory:cost").cases == ("a",)
    assert check(limited, "trajectory:latency").status is CheckStatus.PASS


def with_tools(name: str, *tools: str) -> Result:
    return result(name, attempts=[attempt(tool_calls=[{"name": t, "arguments": {}} for t in tools])])


def test_other_tools_or_another_order_is_told_and_limited() -> None:
    base = base_of(run_of([with_tools("a", "find", "pay"), with_tools("b", "find"), with_tools("c")]))
    assert parse_base(base_to_json(base)) == base
    now = run_of([with_tools("a", "pay", "find"), with_tools("b", "find"), with_tools("c")])
    told = check(decide(now, base), "trajectory:order")
    assert (told.status, told.value, told.cases) == (CheckStatus.INFO, 0.5, ("a",))
    for allowed, expected in ((0.5, Status.PASS), (0.4, Status.FAIL)):
        assert decide(now, base, GatePolicy(trajectory=TrajectoryPolicy(order=allowed))).status is expected


def test_a_limit_on_what_nobody_recorded_is_an_error() -> None:
    rows = [answered("a", cost_usd=None)]
    decision = decide(run_of(rows), base_of(run_of(rows)), GatePolicy(trajectory=TrajectoryPolicy(cost=0.2)))
    assert check(decision, "trajectory:cost").status is CheckStatus.ERROR
    assert check(decide(run_of(rows), base_of(run_of(rows))), "trajectory:cost").status is CheckStatus.SKIPPED


def test_the_same_call_again_and_again_is_a_loop() -> None:
    loops = check(decide(run_of([answered("a", calls=2), answered("b", calls=3)]), None), "trajectory:loops")
    assert loops.cases == ("b",)


def test_the_five_kinds_of_evidence_stand_apart() -> None:
    used = (HAND, replace(HAND, id="tools", evidence=Evidence.BEHAVIOUR))
    rows = [result("a"), result("b", passed=False), result("c", evaluator="tools")]
    decision = decide(run_of(rows, used), None, GatePolicy(threshold=0))
    scores = {s.evidence: s.score for s in decision.evidence}
    assert scores == {
        Evidence.OUTCOME: 0.5,
        Evidence.BEHAVIOUR: 1.0,
        Evidence.TRAJECTORY: None,
        Evidence.INTEGRITY: 1.0,
        Evidence.JUDGE: None,
    }
    none = next(s for s in decision.evidence if s.evidence is Evidence.JUDGE)
    assert (none.status, none.judged) == (CheckStatus.SKIPPED, 0)
    failed = decide(run_of(rows, used), None, GatePolicy(threshold=0.6))
    assert {s.evidence: s.status for s in failed.evidence}[Evidence.OUTCOME] is CheckStatus.FAIL
    assert {s.evidence: s.status for s in failed.evidence}[Evidence.BEHAVIOUR] is CheckStatus.PASS


def test_attempts_that_broke_beside_others_are_told() -> None:
    run = run_of([result("a", attempts=[attempt(1), attempt(2, error=ErrorKind.TIMEOUT)]), result("b")])
    decision = decide(run, None)
    assert decision.status is Status.PASS
    assert "1 attempt of 3 broke" in check(decision, "data:attempts").sentence


def test_an_issue_whose_cases_all_pass_again_is_to_be_verified() -> None:
    before = base_of(run_of([result("a", passed=False), result("b")]))
    issue = replace(OPEN, cases=("a", "b", "elsewhere"))
    run = run_of([result("a"), result("b")])
    told = check(decide(run, before, GatePolicy(), (issue,)), "issue:3")
    assert (told.status, told.issue, told.cases) == (CheckStatus.INFO, 3, ("a",))
    assert "issue:3" not in {c.id for c in decide(run, base_of(run), GatePolicy(), (issue,)).checks}, "nothing failed"
    half = decide(run_of([result("a"), result("b", passed=False)]), before, GatePolicy(), (issue,))
    assert "issue:3" not in {c.id for c in half.checks}


OPEN = Issue(3, "m", occurrences=4)


@pytest.mark.parametrize(
    ("before", "issues", "issue", "known"),
    [
        (False, (OPEN,), 3, True),
        (True, (OPEN,), 3, False),
        (None, (OPEN,), 3, True),
        (None, (replace(OPEN, status=IssueStatus.FIXED),), 3, False),
        (None, (replace(OPEN, status=IssueStatus.ARCHIVED),), 3, False),
        (None, (replace(OPEN, status=IssueStatus.REOPENED),), 3, False),
        (None, (replace(OPEN, status=IssueStatus.IGNORED),), 3, True),
        (True, (), None, False),
        (None, (), None, None),
    ],
)
def test_a_failure_is_a_new_regression_or_a_known_issue(
    before: bool | None,  # noqa: FBT001 - one of four facts
    issues: tuple[Issue, ...],
    issue: int | None,
    known: bool | None,  # noqa: FBT001 - as above
) -> None:
    base = None if before is None else base_of(run_of([result("a", passed=before)]))
    decision = decide(run_of([result("a", passed=False)]), base, GatePolicy(), issues)
    failed = check(decision, "rate:e")
    assert (failed.issue, failed.known) == (issue, known)
    assert [(f.issue, f.known) for f in decision.failing] == [(issue, known)]
