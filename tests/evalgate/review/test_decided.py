"""What several labels of one trace come to."""

from __future__ import annotations

from typing import Any

import pytest

from evalgate.review.decided import differ, is_disputed, label_of, latest_each, outranking, what_counts
from schema.verdict import Label, Role, Severity, Verdict


def said(annotator: str, verdict: str, mode: str = "", at: int = 0, role: str = "label", **more: Any) -> dict[str, Any]:
    row = {"annotation_id": f"{at:04}", "created_unix_us": at, "span_id": "", "corrected_output": None, "comment": ""}
    words = {"annotator": annotator, "verdict": verdict, "failure_mode": mode, "role": role}
    return {**row, **words, "severity": "", "anchor": "", "queue": "", **more}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([said("ann", "bad", "tone")], False),
        ([said("ann", "bad", "tone"), said("bob", "bad", "tone")], False),
        ([said("ann", "bad", "tone"), said("bob", "good")], True),
        ([said("ann", "bad", "tone"), said("bob", "partial", "tone")], True),
        ([said("ann", "bad", "tone"), said("bob", "bad", "loop")], True),
        # Who names no mode does not contradict who does.
        ([said("ann", "bad", "tone"), said("bob", "bad")], False),
        # Nobody disagrees with himself: his latest word counts.
        ([said("ann", "bad", "tone", 1), said("ann", "good", at=2)], False),
        ([said("bob", "bad", at=1), said("bob", "good", at=2), said("ann", "good", at=3)], False),
        # But from where people differ on, nobody ends that by saying what the other said.
        ([said("ann", "good", at=1), said("bob", "bad", at=2), said("bob", "good", at=3)], True),
    ],
)
def test_who_differs(labels: list[dict[str, Any]], *, expected: bool) -> None:
    assert differ(labels) is expected
    assert is_disputed(labels) is expected


def test_an_adjudication_settles_it_whatever_comes_later() -> None:
    decided = said("eve", "bad", "loop", 3, "adjudication")
    labels = [said("ann", "bad", "tone", 1), said("bob", "good", at=2), decided, said("bob", "good", at=4)]
    assert differ(labels)
    assert not is_disputed(labels)
    assert what_counts(labels) is decided
    assert outranking(labels, "") is decided
    assert outranking(labels, "00000000000000ff") is None
    assert set(latest_each(labels)) == {"ann", "bob"}


def test_without_one_the_latest_label_counts() -> None:
    labels = [said("ann", "bad", "tone", 5), said("bob", "good", at=2)]
    assert what_counts(labels)["annotator"] == "ann"


def test_a_row_is_read_whole_and_odd_words_are_nothing() -> None:
    row = said("ann", "bad", "tone", severity="high", anchor='[{"message": 1}]', queue="q", role="adjudication")
    label = label_of(row, "ab" * 16)
    assert (label.severity, label.role, label.queue, label.anchors[0].message) == (
        Severity.HIGH,
        Role.ADJUDICATION,
        "q",
        1,
    )
    assert label_of({**row, "severity": "odd", "role": "", "anchor": "?"}, "ab" * 16) == Label(
        "ab" * 16, "", Verdict.BAD, "tone", annotator="ann", queue="q"
    )
