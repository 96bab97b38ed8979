"""Run beside base: harm that is surer than chance fails, chance does not, and what cannot be told is said."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalgate.gate.base import base_of, base_to_json, parse_base
from evalgate.gate.decide import decide
from evalgate.gate.decision import CheckStatus, Status
from evalgate.gate.policy import GatePolicy, Inconclusive, MustNotBreak
from schema.alignment import Confusion, Measurement, Split
from schema.evaluator import EvalType, Evidence, Score
from schema.fields import Malformed
from schema.run import Attempt, ErrorKind, EvaluatorUsed, Output
from tests.evalgate.builders import result, run_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.gate.decision import Check, Decision
    from schema.run import Result

LAX = GatePolicy(threshold=0)


def judge(name: str = "tone") -> EvaluatorUsed:
    """Return a judge that agrees with people well enough to block."""
    return EvaluatorUsed(
        name,
        "v",
        "m",
        eval_type=EvalType.LLM_JUDGE,
        evidence=Evidence.JUDGE,
        measurement=measured(name, Confusion(50, 0, 0, 50)),
    )


def measured(name: str, confusion: Confusion, version: str = "v") -> Measurement:
    return Measurement(name, version, "d", Split.TEST, "2026-11-20T00:00:00+00:00", confusion)


def case(name: str, *attempts: dict[str, float], cluster: str | None = None) -> Result:
    """Return a result whose attempts have these scores; from 0.8 on they pass."""
    made = [
        Attempt(n, Output("said"), tuple(Score(e, s, s >= 0.8, "because") for e, s in scores.items()))
        for n, scores in enumerate(attempts, 1)
    ]
    return result(name, attempts=made, cluster=cluster)


def judged(
    before: Sequence[Result],
    after: Sequence[Result],
    *judges: EvaluatorUsed,
    policy: GatePolicy = LAX,
) -> Decision:
    used = judges or (judge(),)
    return decide(run_of(after, used), base_of(run_of(before, used)), policy)


def plain(broken: int, repaired: int, same: int, *, now: bool, name: str = "tone") -> list[Result]:
    """Return cases of which so many pass in one of two runs alone, and the others in both."""
    verdicts = [not now] * broken + [now] * repaired + [True] * same
    return [case(f"c{i}", {name: float(v)}) for i, v in enumerate(verdicts)]


def changed(broken: int, repaired: int, same: int, policy: GatePolicy = LAX) -> Decision:
    return judged(plain(broken, repaired, same, now=False), plain(broken, repaired, same, now=True), policy=policy)


def check(decision: Decision, name: str = "paired:cases") -> Check:
    return next(c for c in decision.checks if c.id == name)


def test_one_case_that_a_judge_fails_now_is_no_proof_of_harm() -> None:
    decision = changed(1, 0, 30)
    assert decision.status is Status.INCONCLUSIVE
    assert decision.exit_code == 0
    assert decision.sentence.startswith("not enough evidence of harm")
    found = check(decision)
    assert found.cases_to_settle is not None
    assert found.cases_to_settle > 31
    assert f"About {found.cases_to_settle} cases would settle it" in decision.sentence
    assert not any(c.id == "must_not_break" for c in decision.checks)


def test_what_cannot_be_told_fails_where_the_policy_says_so() -> None:
    decision = changed(1, 0, 30, LAX.model_copy(update={"inconclusive": Inconclusive.FAIL}))
    assert (decision.status, decision.exit_code, decision.blocked) == (Status.INCONCLUSIVE, 1, True)


def test_many_cases_that_a_judge_fails_now_fail_the_gate() -> None:
    decision = changed(12, 2, 30)
    assert decision.status is Status.FAIL
    found = check(decision)
    assert found.status is CheckStatus.FAIL
    assert found.value == pytest.approx(-10 / 44)
    assert found.p_adjusted is not None
    assert found.p_adjusted < 0.05
    low, high = found.interval or (0, 0)
    assert low < -10 / 44 < high < 0
    assert set(found.cases) == {f"c{i}" for i in range(12)}


def test_nothing_worse_passes_however_few_cases_there_are() -> None:
    assert changed(0, 2, 1).status is Status.PASS
    assert check(changed(0, 0, 3)).sentence == "no case of 3 got worse, 0 got better"


def test_a_drop_that_the_policy_lets_go_never_fails_however_sure() -> None:
    policy = LAX.model_copy(update={"min_effect": 0.05})
    found = check(changed(12, 0, 400, policy))
    assert found.p_adjusted is not None
    assert found.p_adjusted < 0.001
    assert found.status is CheckStatus.PASS
    assert check(changed(12, 0, 400)).status is CheckStatus.FAIL


def test_a_drop_beyond_the_margin_must_be_ruled_out_to_pass() -> None:
    wide, narrow = LAX, LAX.model_copy(update={"margin": 0.02})
    assert check(changed(3, 3, 200, wide)).status is CheckStatus.PASS
    assert check(changed(3, 3, 200, narrow)).status is CheckStatus.INCONCLUSIVE
    none = LAX.model_copy(update={"margin": None})
    assert check(changed(3, 3, 200, none)).status is CheckStatus.PASS
    assert check(changed(4, 1, 60, none)).status is CheckStatus.INCONCLUSIVE


def test_the_detectable_effect_shrinks_with_cases() -> None:
    few, many = (check(changed(1, 1, n)).minimum_detectable_effect for n in (20, 200))
    assert few is not None
    assert many is not None
    assert many < few / 4


def two(first: Sequence[float], second: Sequence[float]) -> list[Result]:
    return [case(f"c{i}", {"tone": a, "facts": b}) for i, (a, b) in enumerate(zip(first, second, strict=True))]


def test_several_checks_share_alpha() -> None:
    """Five broken cases are p = 0.031 alone, and 0.062 as one of two that are left."""
    before = two([1] * 40, [1] * 40)
    after = two([0] * 5 + [1] * 35, [1] * 35 + [0] * 5)
    decision = judged(before, after, judge("tone"), judge("facts"))
    tone = check(decision, "paired:score:tone")
    assert tone.p_value == pytest.approx(1 / 32)
    assert tone.p_adjusted == pytest.approx(2 / 32)
    assert tone.status is CheckStatus.INCONCLUSIVE
    assert check(decision).status is CheckStatus.FAIL, "ten broken cases are"


def test_a_primary_check_decides_alone() -> None:
    before = two([1] * 40, [1] * 40)
    after = two([0] * 5 + [1] * 35, [1] * 40)
    policy = LAX.model_copy(update={"primary": ("paired:score:facts",)})
    decision = judged(before, after, judge("tone"), judge("facts"), policy=policy)
    assert decision.status is Status.PASS
    tone = check(decision, "paired:score:tone")
    assert (tone.blocking, tone.status) == (False, CheckStatus.FAIL), "it is told, and watched"
    assert check(decision, "paired:score:facts").blocking


def test_a_primary_check_that_there_is_not_is_an_error() -> None:
    decision = changed(9, 0, 30, LAX.model_copy(update={"primary": ("paired:score:tnoe",)}))
    assert decision.status is Status.ERROR
    assert "paired:score:tnoe" in check(decision, "policy:primary").sentence
    assert "paired:cases" in check(decision, "policy:primary").sentence


def test_scores_that_sink_fail_before_any_verdict_changes() -> None:
    before = [case(f"c{i}", {"tone": 0.95}) for i in range(20)]
    after = [case(f"c{i}", {"tone": 0.85 + 0.01 * (i % 3)}) for i in range(20)]
    decision = judged(before, after)
    assert check(decision).status is CheckStatus.PASS
    found = check(decision, "paired:score:tone")
    assert found.status is CheckStatus.FAIL
    assert found.value == pytest.approx(-0.09, abs=0.002)
    assert decision.status is Status.FAIL


def test_scores_are_scores_also_where_some_are_0_or_1() -> None:
    rows = [case(f"c{i}", {"tone": s}) for i, s in enumerate([0.9, 1.0, 0.0, 0.85, 0.95, 0.9])]
    assert check(judged(rows, rows), "paired:score:tone").interval == (0, 0), "a bootstrap's, not that of verdicts"


def test_cases_of_one_cluster_are_no_proof_of_each_other() -> None:
    """Ten broken cases of one session are one broken session."""
    before = [case(f"c{i}", {"tone": 1.0}, cluster=str(i // 10)) for i in range(60)]
    after = [case(f"c{i}", {"tone": float(i >= 10)}, cluster=str(i // 10)) for i in range(60)]
    found = check(judged(before, after))
    assert found.p_value == 0.5
    assert found.status is CheckStatus.INCONCLUSIVE


def test_copies_of_a_case_are_no_proof_of_each_other() -> None:
    before = [result(f"c{i}", evaluator="tone", content_hash="same") for i in range(20)]
    after = [replace(r, attempts=case("x", {"tone": 0.0}).attempts) for r in before]
    decision = judged(before, after)
    assert check(decision).p_value == 0.5
    copies = check(decision, "integrity:duplicates")
    assert (copies.status, copies.blocking, len(copies.cases)) == (CheckStatus.INFO, False, 20)


def rule(**more: object) -> EvaluatorUsed:
    return replace(EvaluatorUsed("e", "v", "m"), **more)  # type: ignore[arg-type]  # fields by name


def repeated(name: str, *passes: int) -> Result:
    return case(name, *({"e": float(p)} for p in passes))


def test_with_one_attempt_it_says_how_to_tell_broken_from_flaky() -> None:
    before, after = plain(2, 1, 5, now=False, name="e"), plain(2, 1, 5, now=True, name="e")
    said = check(judged(before, after, rule()), "must_not_break").sentence
    assert said == (
        "2 cases that passed before fail now (attempted once, and 1 case the other way round: "
        "evalgate run --repeats 5 tells broken from flaky)"
    )
    before, after = ([repeated(f"c{i}", p, p) for i in range(8)] for p in (1, 0))
    assert check(judged(before, after, rule()), "must_not_break").sentence == "8 cases that passed before fail now"


def test_a_case_whose_attempts_disagree_is_flaky_and_no_regression() -> None:
    before = [repeated(f"c{i}", 1, 1, 1) for i in range(8)]
    after = [*before[:6], repeated("c6", 0, 1, 0), repeated("c7", 1, 0, 1)]
    decision = judged(before, after, rule())
    assert check(decision, "must_not_break").status is CheckStatus.PASS
    assert [c.id for c in decision.checks if c.id.startswith("paired:")] == ["paired:cases"], "the same, said once"
    assert decision.comparison is not None
    assert (decision.comparison.regressions, decision.comparison.flaky) == ((), ("c6",))
    assert [(f.result.case_id, f.flaky, f.regression) for f in decision.failing] == [("c6", True, False)]
    flaky = check(decision, "flaky")
    assert (flaky.status, flaky.value, flaky.cases) == (CheckStatus.PASS, 0.25, ("c6", "c7"))
    strict = LAX.model_copy(update={"max_flaky": 0.2})
    assert judged(before, after, rule(), policy=strict).status is Status.FAIL


def test_a_case_that_fails_every_time_is_a_regression() -> None:
    before = [repeated(f"c{i}", 1, 1, 1) for i in range(8)]
    after = [*before[:7], repeated("c7", 0, 0, 0)]
    assert check(judged(before, after, rule()), "must_not_break").cases == ("c7",)


def test_repeats_of_a_few_cases_rule_little_out() -> None:
    """One attempt of sixty that fails now: a bootstrap alone would be sure of it."""
    before = [case(f"c{i}", *[{"tone": 1.0}] * 3) for i in range(20)]
    after = [*before[1:], case("c0", {"tone": 1.0}, {"tone": 0.0}, {"tone": 1.0})]
    assert check(judged(before, after)).status is CheckStatus.INCONCLUSIVE


def test_what_was_broken_before_is_not_among_those_that_must_not_break() -> None:
    decision = judged(plain(0, 3, 5, now=False, name="e"), plain(0, 3, 5, now=True, name="e"), rule())
    assert check(decision, "must_not_break").sentence == "none of 5 cases that passed before fails now"


def test_drops_and_gains_that_cancel_are_no_change() -> None:
    """Thirds and fifths do not add up to 0 in binary."""
    attempts = ([1, 0, 0], [0, 1, 1], [0, 0, 0])
    before = [repeated(f"c{i}", *a) for i, a in enumerate(attempts)]
    after = [repeated(f"c{i}", *a) for i, a in enumerate((attempts[2], attempts[0], attempts[1]))]
    assert check(judged(before, after, rule())).value == 0


def test_one_flaky_case_is_always_let_go() -> None:
    before = [repeated("c0", 1, 1), repeated("c1", 1, 1)]
    decision = judged(before, [before[0], repeated("c1", 1, 0)], rule())
    assert check(decision, "flaky").status is CheckStatus.PASS
    assert [f.result.case_id for f in decision.failing] == ["c1"], "a tie fails"


@pytest.mark.parametrize(
    ("policy", "broken"),
    [
        ({"must_not_break": MustNotBreak.NONE}, None),
        ({"must_not_break": MustNotBreak.NAMED, "must_not_break_cases": ("c0",)}, ("c0",)),
        ({"must_not_break": MustNotBreak.NAMED, "must_not_break_cases": ("c9",)}, ()),
        ({"must_not_break": MustNotBreak.NAMED, "must_not_break_modes": ("m",)}, ("c0",)),
        ({"must_not_break": MustNotBreak.ALL, "must_not_break_cases": ("c0",)}, ("c0",)),
        ({}, None),
    ],
)
def test_a_case_may_be_named_that_a_judge_must_not_see_broken(
    policy: dict[str, object], broken: tuple[str, ...] | None
) -> None:
    decision = changed(1, 0, 30, LAX.model_copy(update=policy))
    found = [c for c in decision.checks if c.id == "must_not_break"]
    assert [c.cases for c in found] == ([] if broken is None else [broken])
    assert decision.status is (Status.FAIL if broken else Status.INCONCLUSIVE)


def test_a_judge_may_say_itself_that_nothing_must_break() -> None:
    before, after = plain(1, 0, 30, now=False), plain(1, 0, 30, now=True)
    assert judged(before, after, replace(judge(), must_not_break=True)).status is Status.FAIL


def test_a_named_case_that_is_not_there_is_an_error() -> None:
    policy = LAX.model_copy(update={"must_not_break_cases": ("gone",)})
    assert changed(0, 0, 5, policy).status is Status.ERROR


def test_a_named_case_that_was_reworded_cannot_be_looked_at() -> None:
    lax = LAX.model_copy(update={"allow_changed": 1})
    policy = lax.model_copy(update={"must_not_break_cases": ("c0",)})
    before = plain(0, 0, 5, now=False)
    after = [replace(before[0], content_hash="easier"), *before[1:]]
    assert judged(before, after, policy=policy).status is Status.ERROR
    assert judged(before, after, policy=lax).status is Status.PASS
    assert judged(before[1:], before, policy=policy).status is Status.PASS, "a new one has nothing to break"


def test_an_evaluator_of_the_base_that_judges_nothing_now_is_an_error() -> None:
    before, after = two([1] * 4, [1] * 4), [case(f"c{i}", {"tone": 1.0}) for i in range(4)]
    for used in ((judge("tone"),), (judge("tone"), judge("facts"))):
        decision = decide(run_of(after, used), base_of(run_of(before, (judge("tone"), judge("facts")))), LAX)
        assert decision.status is Status.ERROR
        assert check(decision, "missing:facts").evaluator == "facts"
        assert "vanished:cases" not in {c.id for c in decision.checks}, "it is told once"


def test_an_evaluator_whose_only_case_broke_is_not_missing() -> None:
    before = [case("a", {"e": 1.0}), case("b", {"e": 1.0, "rare": 1.0})]
    after = [before[0], result("b", error=ErrorKind.TIMEOUT)]
    used = (rule(), rule(id="rare"))
    policy = LAX.model_copy(update={"allow_errors": 1})
    assert decide(run_of(after, used), base_of(run_of(before, used)), policy).status is Status.PASS


def test_a_case_that_one_evaluator_judges_no_more_has_vanished() -> None:
    before = two([1] * 4, [1] * 4)
    after = [*before[:3], case("c3", {"tone": 1.0})]
    decision = judged(before, after, judge("tone"), judge("facts"))
    assert decision.status is Status.ERROR
    assert check(decision, "vanished:cases").cases == ("c3",)


def test_a_base_of_which_nothing_is_left_to_compare_is_an_error() -> None:
    before = [result("a", evaluator="tone", content_hash="old words")]
    assert judged(before, [result("a", evaluator="tone")]).status is Status.ERROR


def test_a_new_evaluator_cannot_break_what_it_never_judged() -> None:
    before = [case("c0", {"e": 1.0})]
    after = [case("c0", {"e": 1.0, "new": 0.0})]
    decision = decide(run_of(after, (rule(), rule(id="new"))), base_of(run_of(before, (rule(),))), LAX)
    assert decision.status is Status.PASS
    assert decision.comparison is not None
    assert decision.comparison.regressions == ()


def test_a_watching_evaluator_is_told_and_stops_nothing() -> None:
    watching = replace(judge("mood"), measurement=None)
    before = [case(f"c{i}", {"tone": 1.0, "mood": 1.0}) for i in range(30)]
    after = [case(f"c{i}", {"tone": 1.0, "mood": float(i > 12)}) for i in range(30)]
    decision = judged(before, after, judge("tone"), watching)
    mood = check(decision, "paired:score:mood")
    assert (mood.status, mood.blocking, mood.stops) == (CheckStatus.FAIL, False, False)
    assert decision.status is Status.PASS
    assert len(decision.watched) == 13


def test_a_judge_that_is_another_one_now_is_told_beside_its_scores() -> None:
    before, after = two([1] * 9, [1] * 9), two([1] * 9, [1] * 9)
    other = replace(judge("tone"), version="w", measurement=measured("tone", Confusion(50, 0, 0, 50), "w"))
    decision = decide(
        run_of(after, (other, judge("facts"))), base_of(run_of(before, (judge("tone"), judge("facts")))), LAX
    )
    assert "another version than in the base" in check(decision, "paired:score:tone").sentence
    assert "another version" not in check(decision, "paired:score:facts").sentence


def test_a_base_survives_its_file() -> None:
    run = run_of(
        [repeated("a", 1, 0, 1), result("b", passed=False, evaluator="e", cluster="s"), result("c", passed=None)]
    )
    base = base_of(run, "2026-11-20T09:00:00+00:00")
    assert parse_base(base_to_json(base)) == base
    assert set(base.cases) == {"a", "b"}, "what has no verdict is nothing to compare with"
    assert base.cases["a"].failed_by == ((), ("e",), ())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("scores",), {"e": 2}),
        (("scores",), {"e": "1"}),
        (("failed_by",), [["nobody"]]),
        (("failed_by",), ["e"]),
        (("content_hash",), None),
        (("more",), 1),
    ],
)
def test_a_base_that_is_none_is_refused(path: tuple[str, ...], value: object) -> None:
    document = base_to_json(base_of(run_of([result("a")])))
    document["cases"]["a"][path[0]] = value
    with pytest.raises(Malformed):
        parse_base(document)


def lose(rows: list[Result], way: str, at: int) -> list[Result]:
    """Return the results without something that was there."""
    at %= len(rows)
    name = rows[at].case_id
    without = {
        "a case": [],
        "a verdict": [result(name, passed=None)],
        "an evaluator's verdict": [case(name, {"tone": 1.0})],
        "to an error": [result(name, error=ErrorKind.TARGET)],
    }
    return [*rows[:at], *without[way], *rows[at + 1 :]]


@settings(max_examples=40)
@given(
    st.lists(st.booleans(), min_size=2, max_size=8),
    st.sampled_from(["a case", "a verdict", "an evaluator's verdict", "to an error"]),
    st.integers(0, 7),
)
def test_whatever_is_lost_is_never_green(verdicts: list[bool], way: str, at: int) -> None:
    """However much better all the rest has become."""
    before = two([float(v) for v in verdicts], [1.0] * len(verdicts))
    after = lose(two([1.0] * len(verdicts), [1.0] * len(verdicts)), way, at)
    decision = judged(before, after, judge("tone"), judge("facts"))
    assert (decision.status, decision.exit_code) == (Status.ERROR, 2)


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=12),
    st.booleans(),
)
def test_a_run_beside_itself_passes_and_order_does_not_matter(
    scores: list[tuple[float, float]],
    clustered: bool,  # noqa: FBT001 - drawn
) -> None:
    rows = [
        case(f"c{i}", {"tone": a, "facts": b}, cluster=str(i % 3) if clustered else None)
        for i, (a, b) in enumerate(scores)
    ]
    used = (judge("tone"), judge("facts"))
    assert judged(rows, rows, *used).status is Status.PASS
    other = [case(f"c{i}", {"tone": b, "facts": a}) for i, (a, b) in enumerate(scores)]
    first, second = judged(rows, other, *used), judged(rows[::-1], other[::-1], *used)
    assert first.status is second.status
    assert {c.id: (c.p_value, c.interval) for c in first.checks} == {
        c.id: (c.p_value, c.interval) for c in second.checks
    }
