"""Labels and cases: append-only, repeatable, undone by a further row."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.app import run
from evalgate.database import TenantDatabase
from evalgate.errors import BadInput
from evalgate.review.cases import CaseEvent, CaseStatus, case_history, find_case, list_cases, record
from evalgate.review.decided import label_of
from evalgate.review.guidance import read_counts
from evalgate.review.labels import draft, failure_modes, latest_labels, read_labels, save, undo, unlabelled
from evalgate.select.traces import load_trace
from schema.case import case_id_of, message_text
from schema.verdict import Anchor, Label, Role, Severity, Verdict, parse_label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from evalgate.review.labels import Saved
    from tests.evalgate.traffic import Traffic

A, B, C = ("0a" * 16, "0b" * 16, "0c" * 16)
BAD = Label("0a0a", "", Verdict.BAD, "policy_hallucination", "You have 30 days.", "wrong window", "ann")


def keep(database: TenantDatabase, *labels: Label) -> Saved:
    return save(database, [draft(database, label) for label in labels])


def status(database: TenantDatabase, trace_id: str) -> CaseStatus:
    return find_case(database, case_id_of(trace_id, "")).status


def test_a_label_makes_a_quarantined_case_with_its_provenance(traffic: Traffic) -> None:
    traffic.refund(A)
    saved = keep(traffic.database, BAD)
    assert (saved.labels, saved.repeated, saved.without_case) == (1, 0, 0)
    (row,) = list_cases(traffic.database)
    assert saved.cases == (row.case.case_id,)
    assert row.status is CaseStatus.QUARANTINED
    case = row.case
    assert (case.verdict, case.failure_mode, case.feature) == (Verdict.BAD, "policy_hallucination", "refunds")
    assert [message_text(m) for m in case.input.messages] == ["Can I return my shoes?"]
    assert case.observed.output == "You have 90 days."
    (call,) = case.observed.tool_calls
    assert (call["name"], call["arguments"], call["result"]) == ("policy", {"q": 1}, "timeout")
    assert case.observed.duration_ms is not None
    assert case.expected_output == "You have 30 days."
    assert (case.provenance.trace_id, case.provenance.annotator) == (A, "ann")
    assert (case.provenance.service, case.provenance.sample_weight) == ("shop", 1.0)
    assert case.provenance.start_time == "2026-11-20T09:01:00.000000+00:00"
    (label,) = load_trace(traffic.database, A).labels
    assert label["annotation_id"] == case.provenance.annotation_id
    assert (label["verdict"], label["comment"]) == ("bad", "wrong window")


def test_saving_the_same_again_changes_nothing(traffic: Traffic) -> None:
    traffic.refund(A)
    keep(traffic.database, BAD)
    again = keep(traffic.database, BAD)
    assert (again.labels, again.repeated, again.cases) == (0, 1, ())
    assert len(load_trace(traffic.database, A).labels) == 1
    assert len(case_history(traffic.database, case_id_of(A, ""))) == 1


def test_what_reviewers_differ_about_is_promoted_only_where_it_is_named(
    traffic: Traffic, dsn: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for trace in (A, B, C):
        traffic.refund(trace)
        keep(traffic.database, Label(trace, "", Verdict.BAD, "tone", annotator="ann"))
    keep(traffic.database, Label(A, "", Verdict.GOOD, annotator="bob"))
    every = ("--all", "--reason", "r", "--dsn", dsn)
    assert run(["promote", *every, "--failure-mode", "no such"]) == 2
    capsys.readouterr()
    assert run(["promote", *every]) == 0
    told = capsys.readouterr()
    assert "promoted: 2" in told.out
    assert "left out: 1 case about which reviewers differ. Decide: evalgate label --adjudicate" in told.err
    assert [status(traffic.database, t) for t in (A, B)] == [CaseStatus.QUARANTINED, CaseStatus.PROMOTED]
    assert run(["cases", "promote", *every]) == 0
    assert "left out: 1 case" in capsys.readouterr().err
    assert status(traffic.database, A) is CaseStatus.QUARANTINED
    assert run(["promote", *every]) == 2
    assert "reviewers differ" in capsys.readouterr().err
    assert run(["promote", case_id_of(A, ""), "--reason", "r", "--dsn", dsn]) == 0
    assert "reviewers differ about 1 case that you named" in capsys.readouterr().err
    assert status(traffic.database, A) is CaseStatus.PROMOTED
    keep(traffic.database, Label(B, "", Verdict.GOOD, annotator="bob"))
    assert run(["cases", "promote", case_id_of(B, ""), "--dsn", dsn]) == 0
    assert "that you named" in capsys.readouterr().err


def test_a_case_that_was_lost_half_way_is_made_by_the_next_save(traffic: Traffic) -> None:
    traffic.refund(A)

    class NoCases:
        """A database that fails after the labels."""

        def __getattr__(self, name: str) -> Any:
            return getattr(traffic.database.opened, name)

        def insert_rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
            if table == "case_events":
                raise ConnectionError("gone")
            traffic.database.opened.insert_rows(table, rows)

    with pytest.raises(ConnectionError):
        save(TenantDatabase(NoCases(), "default"), [draft(traffic.database, BAD)])
    assert list_cases(traffic.database) == []
    saved = keep(traffic.database, BAD)
    assert (saved.labels, saved.repeated, len(saved.cases)) == (0, 1, 1)


def test_a_changed_label_quarantines_the_promoted_case_again(traffic: Traffic) -> None:
    traffic.refund(A)
    keep(traffic.database, BAD)
    record(
        traffic.database,
        [find_case(traffic.database, case_id_of(A, "")).case],
        CaseEvent.PROMOTED,
        actor="x",
        reason="r",
    )
    assert status(traffic.database, A) is CaseStatus.PROMOTED
    keep(traffic.database, Label(A, "", Verdict.PARTIAL, "tone", annotator="ann"))
    row = find_case(traffic.database, case_id_of(A, ""))
    assert (row.status, row.case.failure_mode) == (CaseStatus.QUARANTINED, "tone")
    history = case_history(traffic.database, row.case.case_id)
    assert [(e["event"], e["actor"]) for e in history] == [("created", "ann"), ("promoted", "x"), ("created", "ann")]


def test_what_a_person_rejected_does_not_come_back_by_reading_old_labels(traffic: Traffic) -> None:
    traffic.refund(A)
    keep(traffic.database, BAD)
    record(
        traffic.database,
        [find_case(traffic.database, case_id_of(A, "")).case],
        CaseEvent.REJECTED,
        actor="x",
        reason="r",
    )
    assert keep(traffic.database, BAD).cases == ()
    assert status(traffic.database, A) is CaseStatus.REJECTED
    keep(traffic.database, Label(A, "", Verdict.BAD, "another view", annotator="ann"))
    assert status(traffic.database, A) is CaseStatus.QUARANTINED


def test_undo_takes_the_last_label_back_and_rejects_its_case(traffic: Traffic) -> None:
    traffic.refund(A)
    traffic.refund(B)
    keep(traffic.database, BAD, Label(B, "", Verdict.GOOD, annotator="ann"))
    (undone,) = undo(traffic.database, 1, "ann")
    assert undone.label.trace_id == B
    assert load_trace(traffic.database, B).labels == ()
    assert (status(traffic.database, A), status(traffic.database, B)) == (CaseStatus.QUARANTINED, CaseStatus.REJECTED)
    assert unlabelled(traffic.database) == [B]
    keep(traffic.database, Label(B, "", Verdict.GOOD, annotator="ann"))
    assert status(traffic.database, B) is CaseStatus.QUARANTINED


def test_an_undo_that_was_cut_short_undoes_no_other_label_when_it_is_done_again(traffic: Traffic) -> None:
    traffic.refund(A)
    traffic.refund(B)
    keep(traffic.database, BAD, Label(B, "", Verdict.GOOD, annotator="ann"))
    written: list[str] = []

    class Dies:
        """A database that fails at the second thing that is written."""

        def __getattr__(self, name: str) -> Any:
            return getattr(traffic.database.opened, name)

        def insert_rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
            written.append(table)
            if len(written) == 2:
                raise ConnectionError("gone")
            traffic.database.opened.insert_rows(table, rows)

    with pytest.raises(ConnectionError):
        undo(TenantDatabase(Dies(), "default"), 1, "ann")
    assert [u.label.trace_id for u in undo(traffic.database, 1, "ann")] == [B]
    assert [len(load_trace(traffic.database, t).labels) for t in (A, B)] == [1, 0]
    assert (status(traffic.database, A), status(traffic.database, B)) == (CaseStatus.QUARANTINED, CaseStatus.REJECTED)


def test_undo_goes_back_to_the_label_before(traffic: Traffic) -> None:
    traffic.refund(A)
    keep(traffic.database, BAD)
    keep(traffic.database, Label(A, "", Verdict.GOOD, annotator="ann"))
    assert find_case(traffic.database, case_id_of(A, "")).case.verdict is Verdict.GOOD
    undo(traffic.database, 1, "ann")
    case = find_case(traffic.database, case_id_of(A, "")).case
    assert (case.verdict, case.failure_mode, case.expected_output) == (
        Verdict.BAD,
        "policy_hallucination",
        "You have 30 days.",
    )


def test_undo_leaves_the_labels_of_others_alone(traffic: Traffic) -> None:
    traffic.refund(A)
    keep(traffic.database, BAD)
    with pytest.raises(BadInput, match=r"no label by 'bob' to undo\. There are labels by: ann 1"):
        undo(traffic.database, 1, "bob")


def test_a_trace_without_input_keeps_its_label_and_makes_no_case(traffic: Traffic) -> None:
    traffic.trace(A, [{"failing": True}])
    saved = keep(traffic.database, BAD)
    assert (saved.labels, saved.without_case, saved.cases) == (1, 1, ())
    assert len(load_trace(traffic.database, A).labels) == 1


def test_a_span_makes_a_case_of_its_own(traffic: Traffic) -> None:
    traffic.refund(A)
    keep(traffic.database, BAD, Label(A, "0000000000000003", Verdict.BAD, "m", annotator="ann"))
    cases = {r.case.provenance.span_id: r.case for r in list_cases(traffic.database)}
    assert set(cases) == {None, "0000000000000003"}
    with pytest.raises(BadInput, match="no span of the trace begins with ffff"):
        draft(traffic.database, Label(A, "ffff", Verdict.GOOD))
    with pytest.raises(BadInput, match="more than one span"):
        draft(traffic.database, Label(A, "0000", Verdict.GOOD))


def test_unlabelled_traces_failing_first(traffic: Traffic) -> None:
    traffic.trace(A, [{"baseline": True, "input_text": "x"}])
    traffic.refund(B)
    traffic.trace(C, [{"input_text": "not flagged"}])
    assert unlabelled(traffic.database) == [B, A]
    assert unlabelled(traffic.database, datetime(2026, 11, 20, 9, 2, tzinfo=UTC)) == [B]
    keep(traffic.database, Label(B, "", Verdict.GOOD, annotator="ann"))
    assert unlabelled(traffic.database) == [A]


def test_failure_modes_by_frequency(traffic: Traffic) -> None:
    for trace_id, mode in ((A, "tone"), (B, "loop"), (C, "loop")):
        traffic.refund(trace_id)
        keep(traffic.database, Label(trace_id, "", Verdict.BAD, mode, annotator="ann"))
    assert failure_modes(traffic.database) == ["loop", "tone"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "must be an object"),
        ({"verdict": "bad"}, "lacks 'trace_id'"),
        ({"trace_id": "0a0a"}, "lacks 'verdict'"),
        ({"trace_id": "0a0a", "verdict": "Bad"}, "must be good, bad or partial, not 'Bad'"),
        ({"trace_id": "0a", "verdict": "bad"}, "4 to 32 hex digits"),
        ({"trace_id": "zzzz", "verdict": "bad"}, "4 to 32 hex digits"),
        ({"trace_id": 7, "verdict": "bad"}, "must be a string"),
        ({"trace_id": "0a0a", "verdict": "bad", "span_id": "x"}, "span_id must be 4 to 16 hex digits"),
        ({"trace_id": "0a0a", "verdict": "good", "failure_mode": "m"}, "a good verdict has no failure_mode"),
        ({"trace_id": "0a0a", "verdict": "good", "severity": "low"}, "a good verdict has no severity"),
        ({"trace_id": "0a0a", "verdict": "bad", "severity": "worst"}, "low, medium, high or critical, not 'worst'"),
        ({"trace_id": "0a0a", "verdict": "bad", "role": "judge"}, "must be label or adjudication"),
        ({"trace_id": "0a0a", "verdict": "bad", "anchors": [{"quote": "x"}] * 21}, "at most 20 anchors"),
        ({"trace_id": "0a0a", "verdict": "bad", "failuremode": "m"}, "Did you mean 'failure_mode'"),
        ({"trace_id": "0a0a", "verdict": "bad", "annotator": "ada\u200b"}, "that nobody sees"),
    ],
)
def test_a_wrong_label_says_what_is_right(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_label(value)


def test_a_label_file_gives_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    good = {"trace_id": "0A0A", "verdict": "bad", "failure_mode": "  too   long "}
    path.write_text("\n" + json.dumps(good) + "\n{nonsense\n" + json.dumps({**good, "annotator": "bob"}))
    labels, faulty = read_labels(path, "me")
    assert [(n, x.trace_id, x.annotator, x.failure_mode) for n, x in labels] == [
        (2, "0a0a", "me", "too long"),
        (4, "0a0a", "bob", "too long"),
    ]
    assert [(f.line, f.message) for f in faulty] == [
        (3, "this is not JSON: Expecting property name enclosed in double quotes at character 2")
    ]


def test_everything_a_label_says_is_kept(traffic: Traffic) -> None:
    traffic.refund(A)
    label = replace(
        BAD, severity=Severity.HIGH, anchors=(Anchor(1, 9, 16, "90 days"), Anchor(0)), queue="refunds", comment="é"
    )
    keep(traffic.database, label)
    (row,) = load_trace(traffic.database, A).labels
    assert label_of(row, A) == replace(label, trace_id=A)
    assert keep(traffic.database, label).repeated == 1
    assert keep(traffic.database, replace(label, severity=Severity.LOW)).labels == 1


def test_undo_of_one_queue_or_trace(traffic: Traffic) -> None:
    for trace_id, queue in ((A, "refunds"), (B, ""), (C, "")):
        traffic.refund(trace_id)
        keep(traffic.database, Label(trace_id, "", Verdict.BAD, "tone", annotator="ann", queue=queue))
    assert [a.label.trace_id for a in latest_labels(traffic.database, 9, "ann")] == [C, B, A]
    (of_queue,) = undo(traffic.database, 9, "ann", queue="refunds")
    (of_trace,) = undo(traffic.database, 9, "ann", trace_id=B)
    assert (of_queue.label.trace_id, of_trace.label.trace_id) == (A, B)
    with pytest.raises(BadInput, match="no label by 'ann' in queue refunds to undo"):
        undo(traffic.database, 1, "ann", queue="refunds")
    assert [a.label.trace_id for a in latest_labels(traffic.database, 9, "ann")] == [C]


def test_a_decision_between_two_is_what_the_case_says(traffic: Traffic) -> None:
    traffic.refund(A)
    keep(traffic.database, BAD, Label(A, "", Verdict.GOOD, annotator="bob"))

    def says() -> tuple[Verdict | None, str | None, str | None]:
        case = find_case(traffic.database, case_id_of(A, "")).case
        return case.verdict, case.failure_mode, case.provenance.annotator

    assert says() == (Verdict.GOOD, None, "bob")
    keep(traffic.database, Label(A, "", Verdict.PARTIAL, "tone", annotator="eve", role=Role.ADJUDICATION))
    assert says() == (Verdict.PARTIAL, "tone", "eve")
    assert keep(traffic.database, Label(A, "", Verdict.BAD, "loop", annotator="bob")).cases == ()
    assert says() == (Verdict.PARTIAL, "tone", "eve")
    undo(traffic.database, 1, "eve")
    assert says() == (Verdict.BAD, "loop", "bob")


def test_what_a_sitting_is_told_of_what_was_done(traffic: Traffic) -> None:
    for trace_id, mode in ((A, "tone"), (B, "loop"), (C, "loop")):
        traffic.refund(trace_id)
        keep(traffic.database, Label(trace_id, "", Verdict.BAD, mode, annotator="ann"))
    keep(traffic.database, Label(C, "", Verdict.BAD, "loop", annotator="bob"))
    found = read_counts(traffic.database, datetime.now(UTC))
    assert (found.traces, found.this_week, dict(found.modes)) == (3, 3, {"loop": 2, "tone": 1})
    assert found.minutes_this_week > 0
    later = read_counts(traffic.database, datetime.now(UTC) + timedelta(days=8))
    assert (later.traces, later.this_week, later.minutes_this_week) == (3, 0, 0)
