"""How far reviewers agree, and what is left to decide."""

from __future__ import annotations

from typing import Any

import pytest

from evalgate.review.agreement import agreement_of, reading_of, report_json
from schema.statistics import Coefficient


def said(
    item: int, annotator: str, verdict: str, mode: str = "", *, at: int = 0, role: str = "label"
) -> dict[str, Any]:
    return {
        "trace_id": f"{item:032x}",
        "span_id": "",
        "annotation_id": f"{item}-{annotator}-{at}",
        "created_unix_us": at,
        "annotator": annotator,
        "verdict": verdict,
        "failure_mode": mode,
        "comment": "",
        "queue": "refunds",
        "role": role,
    }


def both(item: int, first: tuple[str, str], second: tuple[str, str]) -> list[dict[str, Any]]:
    return [said(item, "ann", *first, at=item), said(item, "bob", *second, at=item)]


TONE, LOOP, GOOD = ("bad", "tone"), ("bad", "loop"), ("good", "")


def test_pairs_modes_and_what_is_left_to_decide() -> None:
    rows = [r for i in range(12) for r in both(i, TONE, TONE)]
    rows += [r for i in range(12, 24) for r in both(i, GOOD, GOOD)]
    rows += both(24, TONE, GOOD) + both(25, TONE, LOOP) + both(26, LOOP, GOOD)
    rows += [said(26, "eve", "bad", "loop", at=99, role="adjudication")]
    rows += [said(99, "ann", "bad", "tone")]
    found = agreement_of(rows)
    assert (found.several, found.labelled, found.adjudicated) == (27, 28, 1)
    (pair,) = found.pairs
    assert pair.reviewers == ("ann", "bob")
    assert (pair.verdicts.n, pair.verdicts.agreed) == (27, 25)
    assert pair.verdicts.value is not None
    assert 0.8 < pair.verdicts.value < 0.9
    # Of thirteen failures that both saw twelve have one name; that two words are rare makes chance large.
    assert (pair.modes.n, pair.modes.agreed) == (13, 12)
    assert [(m.failure_mode, m.named, m.named_by_all) for m in found.per_mode] == [("tone", 14, 12), ("loop", 2, 0)]
    assert [int(d.trace_id, 16) for d in found.disagreements] == [25, 24]
    assert [(s.annotator, s.failure_mode) for s in found.disagreements[0].said] == [("ann", "tone"), ("bob", "loop")]
    assert "2 to decide: evalgate label --adjudicate" in found.sentences
    told = report_json(found)
    assert told["verdicts"]["observed"] == pytest.approx(25 / 27)
    assert told["per_mode"][1]["named_by_all"] == 0


def test_the_latest_word_of_each_counts_and_three_reviewers_make_three_pairs() -> None:
    rows = [said(1, "ann", "good", at=1), *(said(1, who, "bad", at=2) for who in ("ann", "bob", "eve"))]
    found = agreement_of(rows)
    assert [p.reviewers for p in found.pairs] == [("ann", "bob"), ("ann", "eve"), ("bob", "eve")]
    assert found.disagreements == ()
    assert found.verdicts.agreed == 1


def test_who_says_afterwards_what_the_other_said_agrees_no_more_than_before() -> None:
    found = agreement_of([*both(1, GOOD, TONE), said(1, "bob", *GOOD, at=2)])
    assert found.verdicts.agreed == 0
    assert [s.verdict for s in found.disagreements[0].said] == ["good", "bad"]


def test_nobody_labelled_the_same() -> None:
    found = agreement_of([said(1, "ann", "good"), said(2, "bob", "bad")], 2)
    assert (found.several, found.pairs, found.verdicts.value) == (0, (), None)
    assert "No trace has the labels of two people" in found.sentences[0]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Coefficient(3, 3, 1, None), "too few to say: 3 of 20"),
        (Coefficient(30, 30, 0, None), "everybody says the same word"),
        (Coefficient(30, 29, 3, None), "too few to say: 3 of 5 with another word than the most common"),
        (Coefficient(300, 290, 90, 0.9, 0.85, 0.95), "reliable"),
        (Coefficient(300, 280, 90, 0.8, 0.7, 0.9), "tentative"),
        (Coefficient(300, 150, 90, 0.3, 0.2, 0.4), "not reliable"),
        (Coefficient(300, 260, 90, 0.7, 0.6, 0.8), "leaves it open"),
        (Coefficient(20, 15, 9, 0.5, 0.1, 0.9), "label more of the same traces"),
    ],
)
def test_what_a_coefficient_means(found: Coefficient, words: str) -> None:
    assert words in reading_of(found)
