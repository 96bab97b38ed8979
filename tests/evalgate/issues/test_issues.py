"""Issues: numbered once, counted by what is labelled, kept in a snapshot for those without a database."""

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
from evalgate.issues.agreement import Agreement, agreement_of
from evalgate.issues.read import join, list_issues
from evalgate.issues.sightings import sightings_of
from evalgate.issues.store import issues_of_cases, read_issues, with_standing, write_issues
from evalgate.review.labels import draft, save
from evalgate.review.numbers import issue_numbers, open_issues
from schema.case import Case, CaseInput, Provenance
from schema.issue import Issue, IssueStatus, issue_to_json, parse_issue
from schema.verdict import Label, Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.evalgate.traffic import Traffic

A, B, C = ("0a" * 16, "0b" * 16, "0c" * 16)
NINE = "2026-11-20T09:0"


def say(database: TenantDatabase, trace_id: str, mode: str | None, verdict: Verdict = Verdict.BAD) -> None:
    save(database, [draft(database, Label(trace_id, "", verdict, mode, annotator="ann"))])


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
    say(db, B, "tone")
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


def test_a_trace_that_expired_was_seen_when_its_case_says_or_else_when_it_was_labelled() -> None:
    case = Case("case-1", CaseInput((), "q"), failure_mode="tone", provenance=Provenance(trace_id=A, start_time=NINE))
    gone = {"failure_mode": "tone", "labelled_unix_us": 1_800_000_000_000_000, "start_unix_ns": 0, "worst": 2}
    rows = [{**gone, "trace_id": i, "sample_weight": 0.0} for i in (A, B)]
    (issue,) = join([Issue(7, "tone")], sightings_of(rows, {A: NINE}), [case])
    assert issue.id == 7
    assert issue.first_seen == NINE
    assert issue.severity is Severity.MEDIUM
    assert issue.last_seen is not None
    assert issue.last_seen.startswith("2027-01-15T08:00:00")


def test_people_agree_who_say_the_same_of_the_same_trace() -> None:
    rows = [
        {"said": [("bad", "tone"), ("bad", "tone")]},
        {"said": [("bad", "tone"), ("good", "")]},
        {"said": [("bad", "tone"), ("partial", "tone")]},
        {"said": [("bad", "tone"), ("bad", "policy"), ("bad", "tone")]},
        {"said": [("good", ""), ("good", "")]},
    ]
    assert agreement_of(rows) == {"tone": Agreement(4, 1), "policy": Agreement(1, 0)}


FULL = Issue(3, "tone", IssueStatus.COVERED, NINE, NINE, 2, ("case-1",), ("polite",))


def test_a_snapshot_is_read_as_it_was_written_and_only_written_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "evals" / "issues.jsonl"
    assert read_issues(path) == ()
    assert write_issues([FULL, Issue(1, "policy")], path)
    assert [i.id for i in read_issues(path)] == [1, 3]
    assert read_issues(path)[1] == FULL
    assert not write_issues(read_issues(path), path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": 0}, "'id' must be a whole number from 1 on"),
        ({"status": "gone"}, "must be new, acknowledged"),
        ({"occurrences": -1}, "must be a count"),
        ({"colour": 1}, "unknown field"),
        ({"failure_mode": " "}, "lacks 'failure_mode'"),
    ],
)
def test_a_wrong_issue_is_refused_in_words(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_issue({**issue_to_json(FULL), **change})


def test_a_snapshot_with_an_issue_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "issues.jsonl"
    write_issues([FULL, replace(FULL, id=4)], path)
    with pytest.raises(BadInput, match="line 2: issue 3 \\(tone\\) stands twice"):
        read_issues(path)
    path.write_text("{", "utf-8")
    with pytest.raises(BadInput, match="line 1: this is not JSON"):
        read_issues(path)


def test_what_is_read_anew_keeps_its_standing() -> None:
    fresh = [Issue(3, "tone", occurrences=9), Issue(4, "new")]
    kept, new = with_standing(fresh, [FULL, Issue(4, "renamed", IssueStatus.FIXED)])
    assert (kept.status, kept.evaluators, kept.occurrences) == (IssueStatus.COVERED, ("polite",), 9)
    assert new.status is IssueStatus.NEW


def test_files_alone_give_issues_that_keep_their_ids() -> None:
    def case(name: str, mode: str | None, at: str | None = None) -> Case:
        return Case(name, CaseInput((), name), failure_mode=mode, provenance=Provenance(start_time=at))

    cases = [case("c1", "tone", "2026-11-21"), case("c2", "tools"), case("c3", None), case("c4", "a")]
    issues = issues_of_cases(cases, [FULL])
    assert [(i.id, i.failure_mode, i.occurrences) for i in issues] == [(3, "tone", 2), (4, "a", 1), (5, "tools", 1)]
    assert issues[0].cases == ("c1", "case-1")
    assert (issues[0].first_seen, issues[0].last_seen) == (NINE, "2026-11-21")
    assert issues_of_cases(cases, issues) == issues


def test_issues_on_the_command_line_and_beside_a_dataset(
    traffic: Traffic, dsn: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*arguments: str) -> str:
        assert run([*arguments, "--dsn", dsn]) == 0
        return capsys.readouterr().out

    for trace_id in (A, B):
        traffic.refund(trace_id)
    assert "No issues in the database" in command("issues", "list")
    say(traffic.database, A, "tone")
    annotate(traffic.database, B, "policy")
    annotate(traffic.database, A, "", "good", who="bob")
    (row,) = [i for i in json.loads(command("issues", "list", "--json")) if i["id"] == 1]
    assert (row["failure_mode"], row["occurrences"], row["status"]) == ("tone", 1, "new")
    shown = command("issues", "show", "2")
    assert "issue 2: policy, new" in shown
    assert "next: label 10 more bad ones (0 so far): evalgate label" in shown
    assert "people agree on" not in shown
    assert "people agree on 0 of 1 trace that several people labelled" in command("issues", "show", "1")
    assert "0 of 2 active issues covered" in command("evals", "coverage")
    command("cases", "promote", "--all", "--actor", "ann")
    command("dataset", "build", "--name", "d")
    assert [(i.id, i.failure_mode) for i in read_issues(project / "evals/issues.jsonl")] == [(1, "tone"), (2, "policy")]
