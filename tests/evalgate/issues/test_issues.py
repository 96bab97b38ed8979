"""Issues in a database: numbered once, counted by labels, moved by people and by what follows of itself."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.app import run
from evalgate.database import TenantDatabase
from evalgate.errors import BadInput
from evalgate.evals.issue_views import issue_views
from evalgate.issues.again import reopen_seen
from evalgate.issues.evidence import absence
from evalgate.issues.modes import list_modes, merge_issues, read_taxonomy, rename_mode, split_issue, undo_change
from evalgate.issues.moves import history, move
from evalgate.issues.production import read_production
from evalgate.issues.read import list_issues
from evalgate.issues.store import read_issues
from evalgate.review.cases import CaseEvent, CaseStatus, list_cases, record
from evalgate.review.labels import Draft, drafts_of, save
from evalgate.review.numbers import issue_numbers, open_issues
from schema.case import case_id_of
from schema.issue import IssueStatus
from schema.verdict import Label, Role, Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.evalgate.traffic import Traffic

A, B, C = (f"0{x}" * 16 for x in "abc")
NINE = "2026-11-20T09:0"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MERGED = "issue 2 was merged into issue 3 (c). See: evalgate issues show 3; take it back: evalgate modes undo"
RULE = "id: kind\nfailure_mode: tone  # how we speak\nrule: {type: not_contains, text: ' 90 '}\n"


def label_of(trace_id: str, mode: str | None, severity: Severity | None = None) -> Label:
    return Label(trace_id, "", Verdict.BAD, mode, annotator="ann", severity=severity)


def say(database: TenantDatabase, *labels: Label) -> None:
    save(database, [made for made in drafts_of(database, labels) if isinstance(made, Draft)])


def annotate(
    database: TenantDatabase,
    trace_id: str,
    mode: str,
    verdict: str = "bad",
    *,
    minute: int = 0,
    undone: int = 0,
    who: str = "ann",
) -> None:
    """Write a label as it is stored, without its case."""
    row = {"trace_id": trace_id, "span_id": "", "failure_mode": mode, "verdict": verdict, "annotator": who}
    at = datetime(2099, 1, 1, 0, minute, tzinfo=UTC)
    rest = {"annotation_id": f"{trace_id[:2]}-{mode}-{verdict}", "created_at": at, "comment": "", "undone": undone}
    database.insert_rows("annotations", [{**row, **rest}])


def test_labels_open_issues_that_count_traces_and_know_when(traffic: Traffic) -> None:
    db = traffic.database
    for trace_id in (A, B, C):
        traffic.refund(trace_id)
    say(db, label_of(B, "tone"))
    assert issue_numbers(db) == {"tone": 1}
    annotate(db, A, "policy")
    annotate(db, C, "tone", "partial")
    tone, policy = list_issues(db)
    assert (tone.id, tone.failure_mode, tone.occurrences, len(tone.cases)) == (1, "tone", 2, 1)
    assert (policy.id, policy.failure_mode, policy.occurrences) == (2, "policy", 1)
    assert (tone.first_seen, tone.last_seen) == (f"{NINE}2:00.000000+00:00", f"{NINE}3:00.000000+00:00")
    annotate(db, B, "", "good", minute=1)
    assert [i.occurrences for i in list_issues(db)] == [1, 1], "what one says later counts"
    annotate(db, B, "", "good", minute=2, undone=1)
    annotate(db, A, "policy", minute=2, undone=1)
    tone, policy = list_issues(db)
    assert (tone.occurrences, tone.first_seen, tone.is_active) == (2, f"{NINE}2:00.000000+00:00", True)
    assert (policy.occurrences, policy.is_active, policy.cases) == (0, False, ()), "its number stays"
    annotate(db, A, "tools", minute=3)
    assert [(i.id, i.failure_mode) for i in list_issues(db)] == [(1, "tone"), (2, "policy"), (3, "tools")]
    assert issue_numbers(TenantDatabase(db.opened, "other")) == {}
    assert open_issues(TenantDatabase(db.opened, "other"), ["x"], actor="a") == {"x": 1}


def test_two_modes_never_get_one_number_nor_one_mode_two(database: TenantDatabase) -> None:
    """All read the same state before anyone writes."""
    opening = [["a", "b"], ["b", "a"], ["c", "a"], ["d", "c"]]
    barrier = Barrier(len(opening))

    class Together(TenantDatabase):
        def rows(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
            found = super().rows(sql, parameters)
            if not barrier.broken and not found:
                barrier.wait(timeout=30)
            return found

    with ThreadPoolExecutor(len(opening)) as pool:
        tasks = [pool.submit(open_issues, Together(database.opened, "default"), modes, actor="x") for modes in opening]
        for task in tasks:
            task.result(timeout=60)
    numbers = issue_numbers(database)
    assert sorted(numbers) == ["a", "b", "c", "d"]
    assert sorted(numbers.values()) == [1, 2, 3, 4]
    (written,) = database.opened.rows("SELECT count() AS n FROM issue_events")
    assert written["n"] == 4


def test_issues_on_the_command_line_and_beside_a_dataset(
    traffic: Traffic, dsn: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*arguments: str) -> str:
        assert run([*arguments, "--dsn", dsn]) == 0
        return capsys.readouterr().out

    for trace_id in (A, B):
        traffic.refund(trace_id)
    assert "No issues in the database" in command("issues", "list")
    say(traffic.database, label_of(A, "tone"))
    annotate(traffic.database, B, "policy")
    annotate(traffic.database, A, "", "good", who="bob")
    (row,) = [i for i in json.loads(command("issues", "list", "--json")) if i["id"] == 1]
    assert (row["failure_mode"], row["occurrences"], row["status"]) == ("tone", 1, "new")
    shown = command("issues", "show", "2")
    assert "issue 2: policy, new" in shown
    assert "next: label 8 more bad answers (0 so far) and 8 more good answers (0 so far): evalgate label" in shown
    assert "people agree on" not in shown
    assert "people agree on 0 of 1 trace that several people labelled" in command("issues", "show", "1")
    assert "0 of 2 active issues covered" in command("evals", "coverage")
    command("cases", "promote", case_id_of(A, ""), "--actor", "ann")
    command("dataset", "build", "--name", "d")
    assert [(i.id, i.failure_mode) for i in read_issues(project / "evals/issues.jsonl")] == [(1, "tone"), (2, "policy")]


def test_an_issue_goes_through_its_life(traffic: Traffic, project: Path) -> None:
    db = traffic.database
    for trace_id in (A, B):
        traffic.refund(trace_id)
    say(db, label_of(A, "tone", Severity.LOW), label_of(B, "tone", Severity.HIGH))
    (view,) = issue_views(db, project, now=NOW)
    assert (view.issue.status, view.issue.severity, view.transitions) == (IssueStatus.NEW, Severity.HIGH, ())
    say(db, replace(label_of(B, "tone"), annotator="eve", role=Role.ADJUDICATION))
    (view,) = issue_views(db, project, now=NOW)
    assert view.issue.severity is Severity.HIGH, "a decision that names no severity takes none away"
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
    say(db, label_of(C, "tone"))
    assert reopen_seen(db)["tone"].to_status is IssueStatus.REOPENED
    (view,) = issue_views(db, project, now=NOW)
    assert (view.issue.status, len(view.transitions)) == (IssueStatus.REOPENED, 4)
    assert view.transitions[-1].reason.endswith("1 labelled trace began after that"), (
        "who labels blind learns no id here"
    )
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
    for trace_id in (A, B, C):
        traffic.refund(trace_id)
    open_issues(db, ["tone"], actor="ann")
    say(db, label_of(A, "tone"), label_of(B, "tone"), label_of(C, "rude"))
    (promoted,) = [r.case for r in list_cases(db) if r.case.failure_mode == "rude"]
    record(db, [promoted], CaseEvent.PROMOTED, actor="bob", reason="ok")

    def state() -> dict[str, tuple[int, int]]:
        return {i.failure_mode: (i.id, len(i.cases)) for i in list_issues(db) if i.occurrences}

    merged = merge_issues(db, 2, 1, actor="ann", reason="one and the same")
    assert merged.cases == (promoted.case_id,)
    assert {r.status for r in list_cases(db) if r.case.case_id == promoted.case_id} == {CaseStatus.PROMOTED}
    rename_mode(db, "tone", "unkind", actor="ann")
    split_issue(db, 1, [A[:12]], "slang", actor="ann")
    say(db, label_of(B, "tone"))
    assert state() == {"unkind": (1, 2), "slang": (3, 1)}, "who says the old word again says nothing new"
    say(db, label_of(A, "rude"))
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


def test_issues_and_modes_on_the_command_line(
    traffic: Traffic, dsn: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*arguments: str, code: int = 0) -> str:
        assert run([*arguments, "--dsn", dsn]) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    db = traffic.database
    for trace_id in (A, B, C):
        traffic.refund(trace_id)
    open_issues(db, ["tone"], actor="ann")
    say(db, *(label_of(i, mode, Severity.HIGH) for i, mode in ((A, "tone"), (B, "Tone!"), (C, "policy"))))
    (project / "evals/evaluators").mkdir(parents=True)
    file = project / "evals/evaluators/kind.yaml"
    file.write_text(RULE)
    assert "nearly the same: Tone! (2) and tone (1). If they are one: evalgate issues merge 2 1" in command(
        "modes", "list"
    )
    merged = command("issues", "merge", "2", "1", "--actor", "bob", "--reason", "one and the same")
    assert "issue 2 (Tone!) was merged into issue 1 (tone): one and the same" in merged
    assert "1 case says so now" in merged
    gone = command("issues", "show", "2", code=2)
    assert "issue 2 was merged into issue 1 (tone). See: evalgate issues show 1" in gone
    renamed = command("modes", "rename", "tone", "unkind: tone", "--write", "--actor", "bob")
    assert 'kind.yaml line 2: failure_mode: tone  # how we speak\nnow: failure_mode: "unkind: tone"  # how' in renamed
    assert file.read_text() == RULE.replace("tone ", '"unkind: tone" ')
    assert command("issues", "ignore", "3", "--reason", "by design", "--actor", "bob").startswith(
        "issue 3: new → ignored: by design\nnext: "
    )
    listed = command("issues", "list")
    assert [line.split()[:4] for line in listed.splitlines()[1:2]] == [["1", "unkind:", "tone", "covered"]]
    assert listed.splitlines()[-1] == "1 issue verified, archived or ignored: evalgate issues list --all"
    not_shown = command("issues", "verify", "1", "--evidence", code=2)
    assert "not shown to be gone: not seen in 0 labelled traces" in not_shown
    told = json.loads(command("issues", "verify", "1", "--reason", "shipped", "--actor", "bob", "--json"))
    assert (told[0]["from"], told[0]["to"], told[0]["actor"]) == ("covered", "verified", "bob")
    assert "was renamed to unkind: tone, taken back" in command("modes", "undo", "--write")
    assert file.read_text() == RULE
    shown = json.loads(command("issues", "show", "1", "--json"))
    assert [c["action"] for c in shown["lineage"]] == ["merged", "renamed"]
    assert [(t["to"], t["is_automatic"]) for t in shown["transitions"]] == [("covered", True), ("verified", False)]
    assert (shown["severity"], shown["words"], len(shown["days"])) == ("high", ["Tone!"], 28)
