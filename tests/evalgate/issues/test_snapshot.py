"""Issues without a database: what sightings and cases make of them, and the snapshot for CI."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from evalgate.errors import BadInput
from evalgate.issues.agreement import Agreement, agreement_of
from evalgate.issues.read import join
from evalgate.issues.sightings import seen_again, sightings_of
from evalgate.issues.store import issues_of_cases, read_issues, with_standing, write_issues
from schema.case import Case, CaseInput, Provenance
from schema.issue import Issue, IssueStatus, issue_to_json, parse_issue
from schema.verdict import Severity

if TYPE_CHECKING:
    from pathlib import Path

A, B = ("0a" * 16, "0b" * 16)
NINE = "2026-11-20T09:0"


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


def test_a_trace_of_a_clock_that_is_ahead_was_seen_when_it_was_labelled() -> None:
    """An issue that is archived afterwards is not seen again by it."""
    row = {"failure_mode": "tone", "trace_id": A, "worst": 0, "sample_weight": 1.0}
    row |= {"labelled_unix_us": 1_800_000_000_000_000, "start_unix_ns": 1_800_003_600_000_000_000}
    (sighting,) = sightings_of([row], {})["tone"]
    assert sighting.at.startswith("2027-01-15T08:00:00")
    assert not seen_again(Issue(1, "tone", IssueStatus.ARCHIVED, since="2027-01-15T08:00:01+00:00"), [sighting])
    made = Provenance(trace_id=A, start_time="2027-01-15T09:00:00+00:00", labelled_at="2027-01-15T08:00:00+00:00")
    (issue,) = issues_of_cases([Case("case-1", CaseInput((), "q"), failure_mode="tone", provenance=made)], [])
    assert issue.last_seen == made.labelled_at


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
