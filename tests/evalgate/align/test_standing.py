"""Where issues stand, what is covered, and what could go."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from evalgate.align.coverage import cover
from evalgate.align.prune import Why, propose
from evalgate.align.standing import Evidence, Standing, Trusted, last_judged, looks_for, permissions, standings
from evalgate.align.store import append_measurement
from evalgate.align.usable import lacking_words
from evalgate.generate.examples import choose_examples
from evalgate.issues.lifecycle import Judged
from schema.alignment import Confusion, Measurement, Permission, Split, grant
from schema.evaluator import Judge
from schema.issue import Issue, IssueStatus
from schema.run import Attempt, EvaluatorUsed
from schema.verdict import Verdict
from tests.evalgate.align.examples import MODE, ScriptedModel, bad, judge, many, rule
from tests.evalgate.builders import attempt, result, run_of

if TYPE_CHECKING:
    from pathlib import Path

    from schema.evaluator import Evaluator
    from schema.run import Run

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ISSUE = Issue(3, MODE, occurrences=4, last_seen="2026-11-20T00:00:00+00:00", cases=("c1", "c2"))
NEW, NOTHING = IssueStatus.NEW, Evidence()
GREAT, POOR = Confusion(20, 0, 0, 20), Confusion(3, 0, 17, 20)


def trusted(evaluator: Evaluator, confusion: Confusion | None = None) -> Trusted:
    spec = evaluator.spec
    found = None
    if confusion is not None:
        found = Measurement(spec.id, spec.version, "d", Split.ALL, NOW.isoformat(), confusion)
    return Trusted(spec, found, grant(found, deterministic_by_hand=spec.is_deterministic_by_hand))


def run(verdicts: dict[str, bool], *, at: str = "1", evaluators: tuple[Trusted, ...] = (), cost: float = 0.0) -> Run:
    """Return a run in which each evaluator says the same of a case."""
    used = evaluators or (trusted(rule()),)

    def said(passed: bool) -> Attempt:  # noqa: FBT001 - a verdict
        one = [attempt(passed=passed, evaluator=t.spec.id).scores[0] for t in used]
        return replace(attempt(passed=passed), scores=tuple(replace(s, cost_usd=cost or None) for s in one))

    rows = [result(name, attempts=[said(passed)]) for name, passed in verdicts.items()]
    names = [EvaluatorUsed(t.spec.id, t.spec.version, MODE) for t in used]
    return replace(run_of(rows, names), run_id=at, started_at=f"2026-11-20T1{at}:00:00.000000+00:00")


def stand(*known: Trusted, runs: tuple[Run, ...] = (), issue: Issue = ISSUE, evidence: Evidence = NOTHING) -> Standing:
    (found,) = standings([issue], known, runs, evidence)
    return found


def test_an_issue_is_covered_by_an_evaluator_that_earned_it() -> None:
    assert stand().issue.status is IssueStatus.NEW
    assert stand(trusted(rule(generated=True))).issue.status is IssueStatus.NEW, "not measured"
    assert stand(trusted(rule(generated=True), GREAT)).issue.status is IssueStatus.COVERED
    assert stand(trusted(rule())).issue.status is IssueStatus.COVERED, "a rule by hand is policy"
    assert stand(trusted(rule(), POOR)).issue.status is IssueStatus.NEW, "it blocks, and misses most of the issue"
    narrow = stand(trusted(rule(), Confusion(20, 20, 0, 0)))
    assert narrow.issue.status is IssueStatus.COVERED, "what it says of other answers is not asked of a rule by hand"
    assert stand(trusted(rule(), POOR)).evaluators[0].grant.permission is Permission.BLOCK
    assert stand(trusted(rule(failure_mode="tone"))).issue.evaluators == ()


@pytest.mark.parametrize(
    ("target", "found"), [("3", True), ("#3", True), ("issue-3", True), ("Issue 3", True), ("30", False), (MODE, True)]
)
def test_a_coverage_target_is_a_number_or_a_mode(target: str, found: bool) -> None:  # noqa: FBT001 - what is expected
    assert looks_for(rule(coverage_target=target, failure_mode="another").spec, ISSUE) is found


def test_permission_is_that_of_the_measurements_of_this_very_version(tmp_path: Path) -> None:
    evaluator = rule(generated=True)
    (before,) = permissions([evaluator.spec], folder=tmp_path)
    assert before.grant.permission is Permission.MONITOR
    found = Measurement("window", evaluator.spec.version, "d", Split.ALL, NOW.isoformat(), GREAT)
    append_measurement(found, tmp_path)
    (after,) = permissions([evaluator.spec], folder=tmp_path)
    assert after.grant.permission is Permission.BLOCK
    (changed,) = permissions([rule(generated=True, text="91").spec], folder=tmp_path)
    assert changed.grant.permission is Permission.MONITOR


def test_a_judge_that_asks_another_model_is_another_judge_here_too(tmp_path: Path) -> None:
    plain = judge(ScriptedModel(lambda *_: 1.0)).spec
    assert isinstance(plain.body, Judge)
    named = replace(plain, id="named", body=replace(plain.body, model="m-2"))
    for spec in (plain, named):
        append_measurement(
            Measurement(spec.id, spec.version, "d", Split.ALL, NOW.isoformat(), GREAT, model="m-1"), tmp_path
        )

    def may(judge_model: str | None) -> list[Permission]:
        return [t.grant.permission for t in permissions([plain, named], judge_model=judge_model, folder=tmp_path)]

    assert may("m-1") == [Permission.BLOCK, Permission.MONITOR], "the file's model goes before"
    assert may("m-2") == [Permission.MONITOR, Permission.MONITOR]
    assert may(None) == [Permission.BLOCK, Permission.MONITOR], "nobody said which: any that was measured"


def test_an_issue_is_fixed_when_its_cases_pass_that_failed() -> None:
    failing, passing = run({"c1": False, "c2": True}, at="1"), run({"c1": True, "c2": True}, at="2")
    rest = run({"other": False}, at="3")
    last = last_judged(ISSUE, {"window"}, [failing, passing, rest])
    assert last == Judged("2", passing.started_at, 2, (), failed_before="1")
    assert last_judged(ISSUE, {"window"}, [passing, failing]) == Judged("1", failing.started_at, 2, ("c1",), None)
    all_along = last_judged(ISSUE, {"window"}, [passing, replace(passing, run_id="4")])
    assert all_along is not None
    assert all_along.failed_before is None, "they passed all along"
    assert last_judged(ISSUE, {"another"}, [failing, passing]) is None, "nobody who is trusted looked"
    known = trusted(rule())
    fixed = stand(known, runs=(failing, passing))
    assert [s.to_status for s in fixed.due] == [IssueStatus.COVERED, IssueStatus.FIXED]
    assert (fixed.recorded, fixed.issue.status, fixed.issue.since) == (NEW, IssueStatus.FIXED, passing.started_at)
    assert not fixed.issue.is_active
    assert stand(known, runs=(failing, passing, rest)).issue.status is IssueStatus.FIXED
    for runs in ((passing, failing), (passing, replace(passing, run_id="4")), (failing,), (passing,)):
        assert stand(known, runs=runs).issue.status is IssueStatus.COVERED
    seen = replace(ISSUE, last_seen=f"{passing.started_at[:11]}23")
    assert stand(known, runs=(failing, passing), issue=seen).issue.status is IssueStatus.COVERED, "and was seen since"


def test_what_is_fixed_stays_so_until_a_run_or_production_says_more() -> None:
    fixed = replace(ISSUE, status=IssueStatus.FIXED, since="2026-11-20T10:00:00.000000+00:00")
    known = trusted(rule())
    assert stand(known, issue=fixed).due == ()
    assert stand(issue=fixed).due == (), "that nobody looks any more does not break it"
    older, later = run({"c1": False}, at="0"), run({"c1": False}, at="3")
    assert stand(known, runs=(older,), issue=fixed).due == (), "it was fixed since"
    broken = stand(known, runs=(later,), issue=fixed)
    assert broken.issue.status is IssueStatus.COVERED
    assert broken.due[0].reason == "c1 of its 1 cases fail again in run 3"
    again = stand(known, issue=replace(fixed, last_seen="2026-11-20T10:00:01+00:00"))
    assert again.issue.status is IssueStatus.REOPENED, "files alone tell by when it was seen last"


def test_coverage_counts_active_issues_and_weighs_them_by_occurrences() -> None:
    covered = stand(trusted(rule()))
    tone = Standing(Issue(4, "tone", occurrences=12), ())
    rare = Standing(Issue(5, "rare", occurrences=1), ())
    over = Standing(Issue(6, "over", IssueStatus.FIXED, occurrences=9), ())
    taken_back = Standing(Issue(7, "taken back"), ())
    found = cover([rare, covered, tone, over, taken_back], [])
    assert [found.active, found.share, found.weighted] == pytest.approx([3, 1 / 3, 4 / 17])
    assert [g.standing.issue.id for g in found.gaps] == [4, 5], "the frequent ones first"
    nothing = cover([over], [])
    assert (nothing.share, nothing.weighted) == (None, None)


def test_each_gap_says_what_to_do_next() -> None:
    def todo(standing: Standing, labelled: int | None = 12) -> str:
        (gap,) = cover([standing], None if labelled is None else many(labelled)).gaps
        return gap.todo

    assert todo(stand(), 7) == "label 1 more bad answer (7 so far) and 1 more good answer (7 so far): evalgate label"
    (only_bad,) = cover([stand()], [bad(str(n)) for n in range(12)]).gaps
    assert only_bad.todo == "label 8 more good answers (0 so far): evalgate label"
    (differing,) = cover([stand()], many(2), disputed={MODE: 3}).gaps
    assert differing.todo.startswith("settle 3 on which reviewers differ: evalgate label --adjudicate. Then label 6")
    assert todo(stand()) == "evalgate evals generate --issue 3"
    assert todo(stand(), None) == "evalgate evals generate --issue 3", "nobody has the labels at hand"
    assert todo(stand(trusted(rule(generated=True)))) == "measure window: evalgate evals align window"
    few = todo(stand(trusted(rule(generated=True), Confusion(5, 0, 0, 5))))
    assert few == "10 labels more for window: evalgate label, then evalgate evals align window"
    poor = todo(stand(trusted(rule(generated=True), POOR)))
    assert poor == "window agrees too little (MCC 0.28): evalgate evals generate --issue 3"
    assert todo(stand(trusted(rule(), POOR))) == "window misses 17 of 20 bad ones: evalgate evals generate --issue 3"


def test_a_gap_counts_what_an_evaluator_can_be_made_from() -> None:
    twice, both_ways = replace(bad("1"), case_id="case-2"), replace(bad("3"), verdict=Verdict.GOOD, failure_mode=None)
    unseen = replace(bad("4"), observed=replace(bad("4").observed, output=None))
    cases = [*many(5, start=20), bad("1"), twice, bad("3"), both_ways, unseen, replace(bad("5"), failure_mode="other")]
    (gap,) = cover([stand()], cases).gaps
    examples = choose_examples(cases, MODE)
    assert (gap.bad, gap.good) == (examples.bad, examples.good) == (6, 5)
    assert gap.todo == f"{lacking_words(examples.bad, examples.good)}: evalgate label"


def test_an_evaluator_of_an_issue_that_is_over_could_go() -> None:
    known = trusted(rule())
    old = replace(ISSUE, last_seen="2026-08-01T00:00:00+00:00")
    runs = (run({"c1": False}, at="1"), run({"c1": True}, at="2"))
    (proposal,) = propose([known], [stand(known, runs=runs, issue=old)], runs, [], now=NOW)
    assert (proposal.evaluator, proposal.why) == ("window", Why.RESOLVED)
    assert "issue 3 (refund window)" in proposal.sentence
    assert "last seen 2026-08-01" in proposal.sentence
    still = (stand(known, runs=runs), stand(known, issue=old))
    assert all(not propose([known], [s], runs, [], now=NOW) for s in still), "seen of late, or not fixed"
    assert not propose([known], [], (), [], now=NOW), "it looks for nothing that is known: somebody wrote it"


@pytest.mark.parametrize(("written", "could_go"), [("2026-08-01", True), ("2026-08-01T10:00", True), ("in May", False)])
def test_times_that_people_wrote_are_taken_as_far_as_they_go(written: str, could_go: bool) -> None:  # noqa: FBT001
    known = trusted(rule())
    runs = (run({"c1": False}, at="1"), run({"c1": True}, at="2"))
    standing = stand(known, runs=runs, issue=replace(ISSUE, last_seen=written))
    assert bool(propose([known], [standing], runs, [], now=NOW)) is could_go


def test_of_two_that_always_say_the_same_the_judge_goes() -> None:
    by_rule, by_judge = trusted(rule()), trusted(judge(ScriptedModel(lambda _, __: 1.0)))
    both = (by_rule, by_judge)
    verdicts = {f"c{n}": n % 2 == 0 for n in range(10)}
    proposal, *more = propose(both, [], [run(verdicts, evaluators=both)], [], now=NOW)
    assert (proposal.evaluator, proposal.why, more) == ("polite", Why.REDUNDANT, [])
    assert "the same as window of all 10 cases" in proposal.sentence
    few = {f"c{n}": n % 2 == 0 for n in range(9)}
    assert not propose(both, [], [run(few, evaluators=both)], [], now=NOW)
    assert not propose(both, [], [run(dict.fromkeys(verdicts, True), evaluators=both)], [], now=NOW), "no failure yet"
    alone = [run(verdicts, evaluators=both), run({"x": False}, at="2", evaluators=(by_judge,))]
    assert not propose(both, [], alone, [], now=NOW), "it has judged what the other has not"
    assert not propose([by_rule, trusted(rule("b", failure_mode="x"))], [], [run(verdicts)], [], now=NOW)


def test_a_judge_that_catches_little_for_its_price_could_go() -> None:
    known = trusted(judge(ScriptedModel(lambda _, __: 1.0)))
    cheap = run({"c1": False, "c2": True}, evaluators=(known,), cost=0.01)
    dear = run({"c1": False, "c2": True}, evaluators=(known,), cost=0.40)
    assert not propose([known], [], [cheap], [], now=NOW)
    often = [replace(cheap, run_id=str(n)) for n in range(20)]
    assert not propose([known], [], often, [], now=NOW), "that it is run often makes no catch dearer"
    (proposal,) = propose([known], [], [dear], [], now=NOW)
    assert (proposal.why, proposal.sentence) == (Why.COSTLY, "cost $0.80 in 1 run, $0.80 for each of the 1 it caught")
    (nothing,) = propose([known], [], [run({"c1": True}, evaluators=(known,), cost=0.4)], [], now=NOW)
    assert nothing.sentence.endswith("it caught nothing")
    good = [replace(bad("x"), case_id="c1", verdict=many(1)[1].verdict, failure_mode=None)]
    (wrongly,) = propose([known], [], [dear], good, now=NOW)
    assert wrongly.sentence.endswith("it caught nothing"), "people call that answer good"
