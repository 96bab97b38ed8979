"""What people may do with an issue, and what follows by itself."""

from __future__ import annotations

from itertools import product

import pytest

from evalgate.errors import BadInput
from evalgate.issues.lifecycle import (
    AUTOMATIC,
    BY_HAND,
    COMMANDS,
    Facts,
    Judged,
    SeenAgain,
    Step,
    allowed,
    check_move,
    due,
    next_status,
)
from evalgate.issues.sightings import Sighting, seen_again
from schema.issue import ACTIVE, OVER, Issue, IssueStatus

NEW, ACKNOWLEDGED, COVERED, FIXED, VERIFIED, REOPENED, ARCHIVED, IGNORED = IssueStatus
T1, T2, T3 = (f"2026-11-2{n}T00:00:00.000000+00:00" for n in (1, 2, 3))
PASSED = Judged("r2", T2, 3, (), "r1")
FAILED = Judged("r2", T2, 3, ("c1",), None)
TRUSTED = Facts(("window",))


def test_every_status_can_be_left_and_reached() -> None:
    ways = {s: BY_HAND[s] | AUTOMATIC[s] for s in IssueStatus}
    assert all(ways.values())
    assert set().union(*ways.values()) == set(IssueStatus) - {NEW}
    assert all(s not in ways[s] for s in IssueStatus)
    by_hand = set().union(*BY_HAND.values())
    assert by_hand == set(COMMANDS), "each has its command, and no other can be said"
    assert OVER | ACTIVE | {IGNORED} == set(IssueStatus)


def test_what_is_not_allowed_says_what_is() -> None:
    assert allowed(FIXED, VERIFIED)
    assert not allowed(NEW, VERIFIED)
    with pytest.raises(BadInput, match="issue 3 is new: it cannot become verified by hand") as caught:
        check_move(3, NEW, VERIFIED, "it is gone")
    named = "evalgate issues acknowledge 3, evalgate issues archive 3, evalgate issues ignore 3"
    assert f"Possible now: {named}. The way there: an evaluator that may block makes it covered" in str(caught.value)
    assert "evalgate evals generate --issue 3" in str(caught.value)
    with pytest.raises(BadInput, match="is archived already"):
        check_move(3, ARCHIVED, ARCHIVED, "x")
    with pytest.raises(BadInput, match="--reason"):
        check_move(3, NEW, IGNORED, " ")
    check_move(3, NEW, ACKNOWLEDGED, "")


@pytest.mark.parametrize(
    ("status", "facts", "since", "becomes"),
    [
        (NEW, Facts(), None, None),
        (NEW, TRUSTED, None, COVERED),
        (ACKNOWLEDGED, TRUSTED, T1, COVERED),
        (COVERED, Facts(), T1, None),
        (COVERED, Facts(untrusted=("w",)), T1, ACKNOWLEDGED),
        (COVERED, Facts(("v",), ("w",)), T1, None),
        (COVERED, Facts(("w",), judged=FAILED), T1, None),
        (COVERED, Facts(("w",), judged=PASSED), T1, FIXED),
        (COVERED, Facts(("w",), judged=Judged("r", T2, 3)), T1, None),
        (COVERED, Facts(("w",), judged=PASSED, last_seen=T3), T1, None),
        (REOPENED, Facts(("w",), judged=PASSED), T3, None),
        (REOPENED, Facts(("w",), judged=PASSED), T1, FIXED),
        (REOPENED, TRUSTED, T1, None),
        (FIXED, Facts(("w",), judged=PASSED), T2, None),
        (FIXED, Facts(("w",), judged=FAILED), T1, COVERED),
        (FIXED, Facts(("w",), judged=FAILED), T3, None),
        (FIXED, Facts(seen=SeenAgain(2, T3)), T1, REOPENED),
        (VERIFIED, Facts(("w",), judged=FAILED), T1, None),
        (VERIFIED, Facts(seen=SeenAgain(judged="w failed")), T1, REOPENED),
        (ARCHIVED, Facts(seen=SeenAgain(1, T3)), T1, REOPENED),
        (IGNORED, Facts(("w",), judged=FAILED, seen=SeenAgain(1, T3)), T1, None),
    ],
)
def test_what_follows_by_itself(
    status: IssueStatus, facts: Facts, since: str | None, becomes: IssueStatus | None
) -> None:
    step = next_status(status, facts, since)
    assert (step.to_status if step else None) is becomes
    assert step is None or (step.reason and becomes in AUTOMATIC[status])


def test_several_moves_may_be_due_at_once_and_a_fix_is_as_old_as_its_run() -> None:
    covered, fixed = due(NEW, Facts(("w",), judged=PASSED))
    assert (covered.to_status, covered.reason) == (COVERED, "w may block because of it")
    assert fixed == Step(FIXED, "all of its 3 cases pass in run r2; in run r1 some failed", T2)
    (reopened,) = due(FIXED, Facts(("w",), judged=PASSED, seen=SeenAgain(2, T3)), T2)
    assert reopened.reason == "fixed since 2026-11-22T00:00:00, and seen again: 2 labelled traces began after that"


def test_seen_again_is_what_began_after_it_should_have_been_over() -> None:
    seen = [Sighting("a", T1), Sighting("b", T2), Sighting("c", T3)]
    assert not seen_again(Issue(1, "m", COVERED, since=T1), seen), "it is not over"
    found = seen_again(Issue(1, "m", VERIFIED, since=T1), seen)
    assert (found.labelled, found.last) == (2, T3)
    assert not seen_again(Issue(1, "m", ARCHIVED, since=T3), seen)
    assert seen_again(Issue(1, "m", ARCHIVED, since=T3), seen, "w failed 3 of 9").judged == "w failed 3 of 9"
    assert seen_again(Issue(1, "m", FIXED, last_seen=T3, since=T2), None).labelled == 1


def test_whatever_is_known_moves_end_and_each_is_one_of_the_table() -> None:
    judged = (None, PASSED, FAILED, Judged("r", T2, 3))
    seen = (SeenAgain(), SeenAgain(1, T3))
    for status, trusted, untrusted, last, again, since, latest in product(
        IssueStatus, ((), ("w",)), ((), ("v",)), judged, seen, (None, T1, T3), (None, T3)
    ):
        steps = due(status, Facts(trusted, untrusted, last, latest, again), since)
        assert len(steps) <= 2
        for before, step in zip((status, *(s.to_status for s in steps)), steps, strict=False):
            assert step.to_status in AUTOMATIC[before]
        if steps and steps[-1].to_status in OVER:
            assert trusted, "nothing is fixed that nobody who is trusted has judged"
            assert latest is None or latest <= T2, "nor what was seen after the run"
