"""What counts once counts once, and cases of one session are told as that."""

from __future__ import annotations

import pytest

from evalgate.gate.decision import CheckStatus, Status
from evalgate.gate.report.words import figures
from tests.evalgate.builders import result
from tests.evalgate.test_gate_paired import case, check, judge, judged, two


def test_a_test_under_two_names_counts_once_and_one_that_cannot_fail_for_nothing() -> None:
    """Of three, one moves, and it is all that the cases show: five broken are p = 0.031, as they are alone."""
    names = ("tone", "facts", "form")
    before = [case(f"c{i}", dict.fromkeys(names, 1.0)) for i in range(40)]
    after = [case(f"c{i}", {**dict.fromkeys(names, 1.0), "tone": float(i >= 5)}) for i in range(40)]
    decision = judged(before, after, *map(judge, names))
    assert decision.status is Status.FAIL
    cases, tone = check(decision), check(decision, "paired:score:tone")
    assert cases.p_adjusted == tone.p_adjusted == pytest.approx(1 / 32)
    assert "(the same as paired:cases)" in tone.sentence
    assert "the same as" not in cases.sentence
    assert check(decision, "paired:score:facts").p_adjusted == 1


def test_tests_that_move_otherwise_are_others() -> None:
    before, after = two([1] * 40, [1] * 40), two([0] * 5 + [1] * 35, [1] * 5 + [0] + [1] * 34)
    decision = judged(before, after, judge("tone"), judge("facts"))
    assert check(decision, "paired:score:tone").p_adjusted == pytest.approx(2 / 32)
    assert not any("the same as" in c.sentence for c in decision.checks)


def test_cases_of_one_session_are_told_as_that() -> None:
    """However many cases of that session there will be: it takes others."""
    before = [case(f"c{i}", {"tone": 1.0}, cluster="s") for i in range(30)]
    after = [case(f"c{i}", {"tone": float(i >= 6)}, cluster="s") for i in range(30)]
    decision = judged(before, after)
    found = check(decision)
    assert found.status is CheckStatus.INCONCLUSIVE
    assert "6 worse and 0 better of 30 cases in 1 session" in found.sentence
    assert found.cases_to_settle is not None
    assert found.clusters_to_settle == found.cases_to_settle / 30
    words = f"{found.cases_to_settle} cases in {found.clusters_to_settle} sessions would settle it"
    assert decision.sentence.endswith(f". About {words}")
    assert words in figures(found)
    assert any(f.endswith("with 30 cases in 1 session") for f in figures(found)) == (
        found.minimum_detectable_effect is not None
    )
    assert "no case of 30 in 1 session got worse" in check(judged(before, before)).sentence


def test_copies_are_told_as_one_content_and_cases_of_their_own_as_cases() -> None:
    copies = [result(f"c{i}", evaluator="tone", content_hash="same") for i in range(20)]
    assert "no case of 20 in 1 content got worse" in check(judged(copies, copies)).sentence
    alone = [case(f"c{i}", {"tone": 1.0}, cluster=str(i)) for i in range(20)]
    found = check(judged(alone, alone))
    assert found.sentence == "no case of 20 got worse, 0 got better"
    assert (found.clusters, found.sample) == (None, "20 cases")
