"""What an evaluator is measured on, and how its verdicts are counted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from evalgate.align.labelled import Partial, choose, seen_hash
from evalgate.align.measure import confusion_of, judge_all, measurement_of, steadiness_of
from evalgate.model.chat import ModelError, ModelErrorKind
from schema.alignment import Confusion, Split
from schema.verdict import Verdict
from tests.evalgate.align.examples import RIGHT, WRONG, ScriptedModel, bad, case, good, judge, rule

if TYPE_CHECKING:
    from schema.case import Case
    from schema.evaluator import Evaluator

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
PARTIAL_WRONG, PARTIAL_RIGHT = (case(n, Verdict.PARTIAL, o) for n, o in (("p1", WRONG), ("p2", RIGHT)))


def matrix(
    evaluator: Evaluator, cases: list[Case], partial: Partial = Partial.APART, *, other_modes: bool = False
) -> Confusion:
    chosen = choose(evaluator.spec, cases, partial=partial, other_modes=other_modes)
    return confusion_of(judge_all(evaluator, chosen.items))


def test_each_verdict_is_counted_where_it_belongs() -> None:
    cases = [bad("1"), bad("2"), bad("3", RIGHT), good("1"), good("2"), good("3", WRONG), good("4")]
    assert matrix(rule(), cases) == Confusion(tp=2, fp=1, fn=1, tn=3)


@pytest.mark.parametrize(
    ("partial", "expected"),
    [
        (Partial.APART, Confusion(1, 0, 0, 1, partial_passed=1, partial_failed=1)),
        (Partial.PASS, Confusion(tp=1, fp=1, fn=0, tn=2)),
        (Partial.FAIL, Confusion(tp=2, fp=0, fn=1, tn=1)),
    ],
)
def test_partial_verdicts_are_what_one_says_they_are(partial: Partial, expected: Confusion) -> None:
    assert matrix(rule(), [bad("1"), good("1"), PARTIAL_WRONG, PARTIAL_RIGHT], partial) == expected


def test_bad_cases_of_other_modes_are_left_out_or_taken_as_good() -> None:
    cases = [bad("1"), good("1"), bad("2", RIGHT, mode="tone"), case("p", Verdict.PARTIAL, WRONG, mode="tone")]
    assert matrix(rule(), cases) == Confusion(1, 0, 0, 1)
    assert matrix(rule(), cases, other_modes=True) == Confusion(1, 0, 0, 2)


def test_what_is_not_used_is_told() -> None:
    cases = [
        bad("1"),
        case("silent", Verdict.BAD, None),
        case("open", None, WRONG),
        bad("other", mode="tone"),
        bad("trained"),
        good("elsewhere", feature="search"),
    ]
    spec = rule(applies_to={"feature": ["refunds"]}).spec
    chosen = choose(
        spec, [*cases, bad("here", feature="refunds")], made_from={"case-btrained": seen_hash(bad("trained"))}
    )
    assert [x.case.case_id for x in chosen.items] == ["case-bhere"]
    assert dict(chosen.left_out) == {
        "another feature": 3,  # the feature is asked first
        "nothing observed": 1,
        "no verdict": 1,
        "another failure mode": 1,
    }
    trained = choose(rule().spec, cases, made_from={"case-btrained": seen_hash(bad("trained"))})
    assert trained.made_from == 1
    assert "case-btrained" not in {x.case.case_id for x in trained.items}
    namesake = choose(
        rule().spec, [bad("trained", "Another answer.")], made_from={"case-btrained": seen_hash(cases[4])}
    )
    assert len(namesake.items) == 1, "another case of the same id was not seen"


def test_a_rule_that_compares_with_the_expected_output_needs_one() -> None:
    equals = rule(rule={"type": "equals"})
    chosen = choose(equals.spec, [bad("1", expected=RIGHT), good("1"), good("2", expected=RIGHT)])
    assert [x.case.case_id for x in chosen.items] == ["case-b1", "case-g2"]
    assert dict(chosen.left_out) == {"nothing to compare with": 1}


def test_a_judge_sees_nothing_that_gives_the_label_away() -> None:
    """Corrections are known of bad answers only, and the answer before is the one that is judged."""
    model = ScriptedModel(lambda _, __: 1.0)
    judge_all(judge(model), choose(judge(model).spec, [bad("1", expected="You have THIRTY days.")]).items)
    (messages,) = model.asked
    told = " ".join(str(m["content"]) for m in messages)
    assert told.count(WRONG) == 1
    assert "THIRTY" not in told
    assert "question b1" in told
    assert "refund window" not in told


def test_what_a_judge_cannot_judge_is_an_error_and_no_score() -> None:
    broken = ModelError(ModelErrorKind.SERVER, "500")
    evaluator = judge(ScriptedModel(lambda data, _: broken if "question b1" in data else 0.9))
    judged = judge_all(evaluator, choose(evaluator.spec, [bad("1"), bad("2"), good("1")]).items)
    found = measurement_of(evaluator, choose(evaluator.spec, []), judged, split=Split.ALL, at=NOON)
    assert found.confusion == Confusion(tp=0, fp=0, fn=1, tn=1, errors=1)
    assert found.model == "scripted"
    assert found.cost_usd == pytest.approx(0.02)
    assert [j.is_right is False for j in judged] == [False, True, False]


def test_the_data_version_changes_with_what_is_judged_and_not_with_the_order() -> None:
    spec = rule().spec
    cases = [bad("1"), good("1"), good("2")]
    version = choose(spec, cases).data_version
    assert choose(spec, cases[::-1]).data_version == version
    for other in (cases[:2], [bad("1", "You have 91 days."), *cases[1:]], [good("1"), good("2"), bad("2")]):
        assert choose(spec, other).data_version != version


def test_cases_are_judged_at_once_and_told_in_their_order() -> None:
    evaluator = rule()
    items = choose(evaluator.spec, [good(f"{n:02}") for n in range(20)]).items
    steps: list[None] = []
    judged = judge_all(evaluator, items, concurrency=4, step=lambda: steps.append(None))
    assert [j.item for j in judged] == list(items)
    assert len(steps) == 20


def test_a_judge_that_changes_its_mind_is_found_out() -> None:
    """It says no to b1 every second time when asked afresh, and prefers what stands last."""
    times = [0]

    def answer(data: str, fresh: bool) -> float:  # noqa: FBT001 - as a model is asked
        if fresh and "question b1" in data:
            times[0] += 1
            return float(times[0] % 2)
        if '"new_response"' in data and '"original_response"' in data and "THIRTY" in data:
            return float(data.index('"new_response"') > data.index('"original_response"'))
        return 1.0

    model = ScriptedModel(answer)
    evaluator = judge(model)
    cases = [bad("1"), good("1"), good("2", expected="THIRTY days")]
    judged = judge_all(evaluator, choose(evaluator.spec, cases).items)
    steady = steadiness_of(evaluator, judged, 3)
    assert steady is not None
    assert steady.self_consistency == pytest.approx((3 / 4 + 1 + 1) / 3)
    assert steady.order_flip_rate == pytest.approx(1 / 3)
    assert steady.cost_usd == pytest.approx(0.01 * 3 * (3 + 2))


def test_rules_are_steady_by_nature_and_not_asked_again() -> None:
    evaluator = rule()
    assert steadiness_of(evaluator, judge_all(evaluator, choose(evaluator.spec, [bad("1")]).items), 5) is None
