"""The terms of a comparison: no edit of its own rules turns a gate green, and what is meant is accepted in one word."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.gate.base import base_of
from evalgate.gate.decide import decide
from evalgate.gate.decision import Status
from evalgate.gate.evidence import Facts
from evalgate.gate.looser import looser
from evalgate.gate.policy import GatePolicy, MustNotBreak
from evalgate.gate.terms import FROM_GIT, FROM_RUN
from schema.alignment import Confusion, Measurement, Split
from schema.case import Case, CaseInput, Observed, dataset_version
from schema.evaluator import EvalType
from schema.run import ErrorKind, EvaluatorUsed, parse_run, run_to_json
from tests.evalgate.builders import attempt, result, run_of

if TYPE_CHECKING:
    from evalgate.gate.decision import Check, Decision
    from schema.run import Run

AT = "2026-11-20T09:00:00+00:00"
RULE = EvaluatorUsed("e", "ev1", "m")


def judge(**changes: Any) -> EvaluatorUsed:
    """Return a judge that may block."""
    measured = Measurement("e", "ev1", "d1", Split.TEST, AT, Confusion(50, 0, 0, 50))
    return replace(replace(RULE, eval_type=EvalType.LLM_JUDGE, measurement=measured), **changes)


def run_by(used: EvaluatorUsed = RULE, *, passed: int = 9, failed: int = 0) -> Run:
    rows = [result(f"p{i}") for i in range(passed)] + [result(f"f{i}", passed=False) for i in range(failed)]
    return run_of(rows, (used,))


def after(run: Run, base: Run, policy: GatePolicy | None = None, accepted: GatePolicy | None = None) -> Decision:
    """Decide on a run beside an accepted one."""
    return decide(run, base_of(base, AT, accepted), policy or accepted or GatePolicy())


def errors(decision: Decision) -> set[str]:
    return {c.id for c in decision.checks if c.blocking and c.status == "error"}


def check(decision: Decision, name: str) -> Check:
    return next(c for c in decision.checks if c.id == name)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        (RULE, replace(RULE, generated=True)),
        (RULE, replace(RULE, eval_type=EvalType.LLM_JUDGE)),
        (judge(), judge(mcc_score=0.1)),
        (judge(), judge(measurement=None)),
        (judge(), judge(version="ev2")),
        (judge(), judge(measurement=Measurement("e", "ev1", "d", Split.TEST, AT, Confusion(25, 25, 25, 25)))),
    ],
)
def test_an_evaluator_that_might_block_and_may_not_now_is_an_error(then: EvaluatorUsed, now: EvaluatorUsed) -> None:
    """The failing case is one that the evaluator would have stopped."""
    bystander = EvaluatorUsed("other", "o1", "m")
    rows = [result(f"o{i}", evaluator="other") for i in range(3)]
    base = run_of([*run_by().results, *rows], (then, bystander))
    run = run_of([*run_by(passed=8).results, result("p8", passed=False), *rows], (now, bystander))
    decision = after(run, base)
    assert decision.status is Status.ERROR
    assert errors(decision) == {"demoted:e"}
    assert "evalgate baseline accept --run r1" in check(decision, "demoted:e").sentence
    assert "demoted:e" not in errors(after(run, run)), "once it is accepted, it is the base"


def test_a_stricter_permission_demotes() -> None:
    policy = GatePolicy.model_validate({"permission": {"block_at": 0.99}})
    assert errors(after(run_by(judge()), run_by(judge()), policy, GatePolicy())) >= {"demoted:e", "loosened:policy"}
    assert after(run_by(judge()), run_by(judge())).status is Status.PASS


def test_an_evaluator_that_only_watched_may_go_on_as_it_likes() -> None:
    watcher = replace(RULE, eval_type=EvalType.LLM_JUDGE, id="w")
    rows = [
        result(f"c{i}", attempts=[attempt(scores=[s for n in "ew" for s in attempt(evaluator=n).scores])])
        for i in range(4)
    ]
    before, now = run_of(rows, (RULE, watcher)), run_of(rows, (RULE, replace(watcher, version="w2")))
    assert after(now, before).status is Status.PASS


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        (RULE, replace(RULE, version="ev2"), "version ev2, not ev1"),
        (replace(RULE, threshold=0.9), replace(RULE, threshold=0.5), "threshold 0.5, not 0.9"),
        (replace(RULE, threshold=0.9), RULE, "threshold 0.8, not 0.9"),
        (RULE, replace(RULE, threshold=0.1), "threshold 0.1, not 0.8"),
        (replace(RULE, must_not_break=True), RULE, "must_not_break is gone"),
    ],
)
def test_a_rule_that_is_another_one_now_is_an_error(then: EvaluatorUsed, now: EvaluatorUsed, words: str) -> None:
    decision = after(run_by(now), run_by(then))
    assert decision.status is Status.ERROR
    assert errors(decision) == {"changed:e"}
    assert words in check(decision, "changed:e").sentence
    assert after(run_by(now), run_by(now)).status is Status.PASS


def test_what_is_new_or_stricter_is_told() -> None:
    other = EvaluatorUsed("new", "n1", "m")
    before = run_by(replace(RULE, threshold=0.5))
    now = run_of([*run_by().results, result("n", evaluator="new")], (RULE, other))
    decision = after(now, before, GatePolicy(min_effect=0.01), GatePolicy())
    assert decision.status is Status.PASS
    told = check(decision, "tightened")
    assert not told.blocking
    assert "e: threshold 0.8, not 0.5; new is new; min_effect 0.01 (was 0.02)" in told.sentence


@pytest.mark.parametrize("change", [{"content_hash": "one space more"}, {"context_hash": "another cluster"}])
def test_a_case_that_is_another_one_now_is_an_error(change: dict[str, Any]) -> None:
    before = run_by(passed=30)
    rows = [replace(before.results[0], **change), *before.results[1:]]
    decision = after(run_of(rows), before)
    assert decision.status is Status.ERROR
    assert check(decision, "changed:cases").cases == ("p0",)
    assert after(run_of(rows), before, GatePolicy(allow_changed=1), GatePolicy(allow_changed=1)).status is Status.PASS
    assert errors(after(run_of(rows), before, GatePolicy(allow_changed=1), GatePolicy())) == {"loosened:policy"}
    assert after(run_of([*before.results, result("new", passed=True)]), before).status is Status.PASS


def test_who_observed_what_in_which_session_is_of_the_dataset_s_version() -> None:
    case = Case("c", CaseInput((), "asked"), Observed("said"), cluster="s1", feature="refunds")
    others = [
        replace(case, cluster="s2"),
        replace(case, cluster=None),
        replace(case, feature=None),
        replace(case, tags=("t",)),
        replace(case, observed=Observed("said more")),
        replace(case, observed=Observed("said", ({"name": "look", "arguments": {}},))),
    ]
    assert len({dataset_version([c]) for c in [case, *others]}) == len(others) + 1


def test_the_cluster_that_counts_is_that_of_the_base() -> None:
    """Ten broken cases of one session are one, whatever the change that broke them says of sessions."""
    policy = GatePolicy(threshold=0, must_not_break=MustNotBreak.NONE, allow_changed=99)
    good = [result(f"g{i}") for i in range(20)]
    before = run_of([*good, *(result(f"c{i}") for i in range(10))])
    glued = run_of([*good, *(result(f"c{i}", passed=False, cluster="one") for i in range(10))])
    assert after(glued, before, policy, policy).status is Status.FAIL


def test_a_policy_that_asks_less_than_the_accepted_one_is_an_error() -> None:
    decision = after(run_by(), run_by(), GatePolicy(min_effect=1, must_not_break=MustNotBreak.NONE), GatePolicy())
    assert errors(decision) == {"loosened:policy"}
    words = check(decision, "loosened:policy").sentence
    assert "min_effect 1 (was 0.02)" in words
    assert "must_not_break none (was all)" in words
    typed = Facts(typed=("min_effect", "must_not_break"))
    loose = GatePolicy(min_effect=1, must_not_break=MustNotBreak.NONE)
    assert decide(run_by(), base_of(run_by(), AT), loose, facts=typed).status is Status.PASS, (
        "it was typed, seen by all"
    )


@pytest.mark.parametrize(
    "less",
    [
        {"threshold": 0.5},
        {"rate_rule": "interval"},
        {"allow_errors": 1},
        {"allow_set_aside": 1},
        {"allow_changed": 1},
        {"alpha": 0.001},
        {"min_effect": 0.5},
        {"margin": 0.9},
        {"margin": None},
        {"max_flaky": 1},
        {"primary": ["paired:score:e"]},
        {"must_not_break": "named"},
        {"must_not_break": "none"},
        {"integrity": ["run"]},
        {"groups": []},
        {"groups": [{"feature": "f", "threshold": 0.1, "min_cases": 5}]},
        {"groups": [{"feature": "f", "threshold": 0.9}]},
        {"permission": {"block_at": 0.99}},
        {"permission": {"min_labels": 500}},
        {"trajectory": {}},
        {"inconclusive": "warn"},
    ],
)
def test_each_setting_that_asks_less_is_known_as_that(less: dict[str, Any]) -> None:
    full: dict[str, Any] = {
        "groups": [{"feature": "f", "threshold": 0.9, "min_cases": 5}],
        "trajectory": {"steps": 0.1},
        "inconclusive": "fail",
    }
    strict, loose = GatePolicy.model_validate(full), GatePolicy.model_validate({**full, **less})
    assert len(looser(strict, loose)) == 1
    assert looser(loose, strict) == ()


def test_a_case_most_of_whose_attempts_broke_has_no_verdict() -> None:
    broken = [attempt(1), *(attempt(n, error=ErrorKind.TARGET) for n in range(2, 6))]
    rows = [result("a"), result("b", attempts=broken)]
    decision = decide(run_of(rows), None)
    assert errors(decision) == {"data:errors"}
    assert check(decision, "data:errors").cases == ("b",)
    assert decision.judged_cases == 1
    half = result("b", attempts=[attempt(1), attempt(2, error=ErrorKind.TARGET)])
    assert decide(run_of([rows[0], half]), None).status is Status.PASS
    assert "b" not in base_of(run_of(rows)).cases


def test_errors_that_are_allowed_say_how_many_passed_before() -> None:
    policy = GatePolicy(allow_errors=2)
    run = run_of([*run_by().results[2:], *(result(f"p{i}", error=ErrorKind.TARGET) for i in range(2))])
    decision = after(run, run_by(), policy, policy)
    assert decision.status is Status.PASS
    assert "2 of them passed in the base: p0, p1" in check(decision, "data:errors").sentence


def test_a_watcher_below_its_threshold_is_named_in_the_sentence() -> None:
    watcher = EvaluatorUsed("tone", "v", "m", eval_type=EvalType.LLM_JUDGE)
    rows = [result("a"), result("b", evaluator="tone", passed=False)]
    sentence = decide(run_of(rows, (RULE, watcher)), None).sentence
    assert "every evaluator that may block reached its threshold" in sentence
    assert sentence.endswith("below theirs, and only watched: tone")


def test_a_verdict_names_three_reasons_and_counts_the_rest() -> None:
    names = "abcde"
    rows = [result(f"c{n}", evaluator=n, passed=False) for n in names]
    sentence = decide(run_of(rows, [EvaluatorUsed(n, "1", "m") for n in names]), None).sentence
    assert sentence.count("passed 0 of 1") == 3
    assert sentence.endswith("; and 2 more")


@pytest.mark.parametrize(("base_from", "words"), [(FROM_GIT, "accept-baseline"), (FROM_RUN, "--base")])
def test_the_cure_is_that_of_the_base_at_hand(base_from: str, words: str) -> None:
    now = run_by(replace(RULE, version="ev2"))
    decision = decide(now, base_of(run_by(), AT), facts=Facts(base_from=base_from))
    assert words in check(decision, "changed:e").sentence


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("results", 0, "attempts", 0, "scores", 0, "score"), 1.5),
        (("results", 0, "attempts", 0, "scores", 0, "score"), -0.1),
        (("results", 0, "attempts", 0, "scores", 0, "score"), float("nan")),
        (("results", 0, "attempts", 0, "scores", 0, "score"), 1e308),
        (("results", 0, "attempts", 0, "scores", 0, "repeats"), [2]),
        (("evaluators", 0, "threshold"), -1),
        (("evaluators", 0, "mcc_score"), 7),
    ],
)
def test_numbers_that_no_run_can_have_are_refused_on_reading(path: tuple[Any, ...], value: object) -> None:
    document = run_to_json(run_by())
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValueError, match="number"):
        parse_run(document)
