"""Issues in a database, with everything about them: what people do, and what is recorded by itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from evalgate.errors import BadInput
from evalgate.evals.issue_views import issue_views
from evalgate.issues.again import reopen_seen
from evalgate.issues.evidence import absence
from evalgate.issues.modes import (
    list_modes,
    merge_issues,
    read_taxonomy,
    rename_mode,
    split_issue,
    undo_change,
)
from evalgate.issues.moves import history, move
from evalgate.issues.production import read_production
from evalgate.issues.read import list_issues
from evalgate.review.cases import CaseEvent, CaseStatus, list_cases, record
from evalgate.review.labels import draft, save
from evalgate.review.numbers import open_issues
from schema.issue import IssueStatus
from schema.verdict import Label, Severity, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from evalgate.database import TenantDatabase
    from tests.evalgate.traffic import Traffic

A, B, C = (f"0{x}" * 16 for x in "abc")
MERGED = "issue 2 was merged into issue 3 (c). See: evalgate issues show 3; take it back: evalgate modes undo"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def say(database: TenantDatabase, trace_id: str, mode: str, severity: Severity | None = None) -> None:
    label = Label(trace_id, "", Verdict.BAD, mode, annotator="ann", severity=severity)
    save(database, [draft(database, label)])


def test_an_issue_goes_through_its_life(traffic: Traffic, project: Path) -> None:
    db = traffic.database
    for trace_id in (A, B):
        traffic.refund(trace_id)
    say(db, A, "tone", Severity.LOW)
    say(db, B, "tone", Severity.HIGH)
    (view,) = issue_views(db, project, now=NOW)
    assert (view.issue.status, view.issue.severity, view.transitions) == (IssueStatus.NEW, Severity.HIGH, ())
    move(db, 1, IssueStatus.ACKNOWLEDGED, actor="bob")
    rule = "id: kind\nfailure_mode: tone\nrule: {type: not_contains, text: ' 90 '}\n"
    (project / "evals/evaluators").mkdir(parents=True)
    (project / "evals/evaluators/kind.yaml").write_text(rule)
    issue_views(db, project, now=NOW)
    (view,) = issue_views(db, project, now=NOW)
    assert [(t.to_status, t.actor, t.is_automatic) for t in view.transitions] == [
        (IssueStatus.ACKNOWLEDGED, "bob", False),
        (IssueStatus.COVERED, "evalgate", True),
    ], "what follows is recorded once, whoever looks"
    assert view.transitions[1].reason == "kind may block because of it"
    at = datetime(2026, 11, 20, 9, 3, tzinfo=UTC)
    move(db, 1, IssueStatus.VERIFIED, actor="bob", reason="gone in production", now=lambda: at)
    found = absence(db, list_issues(db)[0])
    assert found is not None
    assert (found.before.traces, found.before.showing, found.after.traces) == (2, 2, 0)
    traffic.count = 10
    traffic.refund(C)
    assert reopen_seen(db) == {}
    say(db, C, "tone")
    assert reopen_seen(db)["tone"].to_status is IssueStatus.REOPENED
    (view,) = issue_views(db, project, now=NOW)
    assert (view.issue.status, len(view.transitions)) == (IssueStatus.REOPENED, 4)
    assert view.transitions[-1].reason.endswith(f"1 labelled trace began after that, the latest {C}")
    assert (view.next or "").endswith("evalgate issues acknowledge 1")
    with pytest.raises(BadInput, match="cannot become covered by hand"):
        move(db, 1, IssueStatus.COVERED, actor="bob", reason="x")
    with pytest.raises(BadInput, match="no issue 9"):
        move(db, 9, IssueStatus.IGNORED, actor="bob", reason="x")


def test_of_two_who_move_an_issue_at_once_one_has_it(database: TenantDatabase) -> None:
    open_issues(database, ["tone"], actor="ann")

    def ignore(who: str) -> str:
        try:
            return move(database, 1, IssueStatus.IGNORED, actor=who, reason="not ours").actor
        except BadInput as e:
            return str(e)

    with ThreadPoolExecutor(3) as pool:
        said = list(pool.map(ignore, "abc"))
    (only,) = history(database, 1)
    assert sorted(said) == sorted([only.actor, *["issue 1 is ignored already"] * 2])


def test_labels_and_cases_follow_their_failure_mode(traffic: Traffic) -> None:
    db = traffic.database
    for trace_id, mode in ((A, "tone"), (B, "tone"), (C, "rude")):
        traffic.refund(trace_id)
        say(db, trace_id, mode)
    (promoted,) = [r.case for r in list_cases(db) if r.case.failure_mode == "rude"]
    record(db, [promoted], CaseEvent.PROMOTED, actor="bob", reason="ok")

    def state() -> dict[str, tuple[int, int]]:
        return {i.failure_mode: (i.id, len(i.cases)) for i in list_issues(db) if i.occurrences}

    merged = merge_issues(db, 2, 1, actor="ann", reason="one and the same")
    assert merged.cases == (promoted.case_id,)
    assert {r.status for r in list_cases(db) if r.case.case_id == promoted.case_id} == {CaseStatus.PROMOTED}
    rename_mode(db, "tone", "unkind", actor="ann")
    split_issue(db, 1, [A[:12]], "slang", actor="ann")
    say(db, B, "tone")
    assert state() == {"unkind": (1, 2), "slang": (3, 1)}, "who says the old word again says nothing new"
    say(db, A, "rude")
    assert state() == {"unkind": (1, 3)}
    (unkind, slang) = list_modes(db)
    assert (unkind.name, unkind.labels, unkind.words, slang.labels) == ("unkind", 3, ("rude", "tone"), 0)
    for _ in range(3):
        undo_change(db, actor="ann")
    assert state() == {"tone": (1, 1), "rude": (2, 2)}, "labels kept the words that were said"
    with pytest.raises(BadInput, match="no label of this trace"):
        split_issue(db, 1, [C], "slang", actor="ann")


def test_two_changes_at_once_leave_no_chain(database: TenantDatabase) -> None:
    open_issues(database, "abc", actor="x")
    with ThreadPoolExecutor(2) as pool:
        for task in [pool.submit(merge_issues, database, *pair, actor="x") for pair in ((1, 2), (2, 3))]:
            try:
                task.result(timeout=60)
            except BadInput as e:
                assert str(e) in ("'b' means 'c' by now: it was renamed or merged", MERGED)  # noqa: PT017 - the slower
    known = read_taxonomy(database)
    assert {known.means(word) for word in "abc"} in ({"c"}, {"a", "c"}), "whichever was first, nothing means b"


def test_verdicts_of_evaluators_are_read_from_feedback_once_per_trace(traffic: Traffic) -> None:
    db = traffic.database
    at = datetime(2026, 11, 20, 10, tzinfo=UTC)
    said = [
        {"trace_id": trace_id, "name": name, "polarity": polarity, "received_at": at, "source": "evaluation"}
        for trace_id, name, polarity in (
            (A, "kind", "negative"),
            (A, "kind", "negative"),
            (B, "kind", "positive"),
            (C, "other", "negative"),
            ("", "kind", "negative"),
            ("0f" * 16, "kind", "negative"),
        )
    ]
    db.insert_rows("feedback", said)
    for trace_id in (A, B, C):
        traffic.refund(trace_id)
    found = read_production(db, ["kind", "third"], NOW)
    assert {name: dict(days) for name, days in found.judged.items()} == {"kind": {"2026-11-20": 3}}
    (failing,) = found.failing["kind"]
    assert (failing.trace_id, failing.at, failing.sample_weight) == (A, "2026-11-20T09:01:00.000000+00:00", 1.0)
    assert read_production(db, ["kind"], NOW.replace(year=2027)).judged == {}, "older than it looks back"
