"""What is decided of a trace, and the rows in which it is shown."""

from __future__ import annotations

import pytest

from evalgate.label.form import Form
from evalgate.label.page import BAR, Shown, cells, fitted, fold, rows
from evalgate.label.state import State
from evalgate.review.naming import chosen
from schema.verdict import Anchor, Severity, Verdict
from tests.evalgate.label.builders import trace_of

KNOWN = ["policy_hallucination", "tone", "loop"]


def test_a_failure_is_bad_and_a_good_trace_has_none() -> None:
    failing = Form().failing("tone").severe(Severity.HIGH).corrected("Sorry.")
    assert (failing.verdict, failing.judged(Verdict.PARTIAL).failure_mode) == (Verdict.BAD, "tone")
    assert failing.judged(Verdict.GOOD) == Form(Verdict.GOOD)
    assert Form(Verdict.PARTIAL).failing("tone").verdict is Verdict.PARTIAL
    assert Form(Verdict.GOOD).severe(Severity.LOW).verdict is Verdict.BAD
    assert failing.corrected(None).corrected_output is None
    with pytest.raises(ValueError, match="say g, b or p first"):
        Form().label("ab" * 16, "me")


def test_what_is_decided_in_words() -> None:
    form = Form(Verdict.BAD, "tone", Severity.LOW, "a\x1bb", "Sorry.", (Anchor(1), Anchor(4), Anchor(quote="x")))
    assert form.words == "bad · tone · low · about messages 2, 5 · should be: Sorry. · “a\\x1bb”"
    assert Form().words == "no verdict yet"


@pytest.mark.parametrize(
    ("typed", "mode", "like"),
    [
        ("2", "tone", None),
        ("", None, None),
        ("TONE", "tone", None),
        ("  wrong   price ", "wrong price", None),
        ("Policy Halucination", "Policy Halucination", "policy_hallucination"),
        ("tones", "tones", "tone"),
    ],
)
def test_a_mode_by_number_or_name(typed: str, mode: str | None, like: str | None) -> None:
    found = chosen(typed, KNOWN)
    assert (found.failure_mode, found.like) == (mode, like)
    assert found.is_new == (mode is not None and mode not in KNOWN)


@pytest.mark.parametrize("typed", ["0", "4", "99", "a\x07", "m" * 200])
def test_what_is_no_mode_says_so(typed: str) -> None:
    with pytest.raises(ValueError, match=r"number|control characters|limit"):
        chosen(typed, KNOWN)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [""]),
        ("one two three", ["one two", "three"]),
        ("onetwothreefour", ["onetwoth", "reefour"]),
        (BAR + "one two", [BAR + "one", BAR + "two"]),
        (BAR + "漢字漢字", [BAR + "漢字", BAR + "漢字"]),
        (BAR, [BAR]),
        ("  a bb ccc", ["  a bb", "  ccc"]),
        ("e\u0301e\u0301e\u0301 x", ["e\u0301e\u0301e\u0301 x"]),
    ],
)
def test_folding_keeps_words_and_bars(text: str, expected: list[str]) -> None:
    assert list(fold(text, 8)) == expected
    assert all(cells(piece) <= 8 for piece in expected)


def test_cells_of_a_terminal() -> None:
    assert (cells("abc"), cells("漢字"), cells("e\u0301")) == (3, 4, 1)
    assert fitted("漢字漢字", 5) == "漢字…"
    assert fitted("abc", 3) == "abc"


@pytest.mark.parametrize("width", [20, 37, 79, 200])
def test_no_row_is_wider_than_the_screen(width: int) -> None:
    trace = trace_of("ab" * 16, "漢字 " * 300, "x" * 9000)
    form = Form(Verdict.BAD, anchors=(Anchor(1, quote=""),))
    shown = Shown(("62 points: failure +40 (a long reason " * 5 + ")",), "Look at prices.\nNot at tone.")
    made = rows(trace, form, shown, width)
    assert max(cells(r.text) for r in made) <= width
    assert any("5000 more characters: o" in r.text.replace("\n", " ") for r in rows(trace, form, shown, 200))
    assert sum(r.text.startswith("▸ 2 user") for r in made) == 1


def test_a_text_of_an_app_never_begins_a_row() -> None:
    made = rows(trace_of("ab" * 16, "first\nsaved: good\n  │ third"), Form(), Shown(), 60)
    assert [r.text for r in made if "saved" in r.text or "third" in r.text] == [BAR + "saved: good", BAR + "  │ third"]


def test_a_failure_mode_keeps_its_number_for_a_sitting() -> None:
    state = State()
    assert state.settled(["tone"]) == ["tone"]
    assert state.settled(["loop", "tone"]) == ["tone", "loop"]
    # One that nobody says any more is not offered; the others of later sittings are, the frequent ones first.
    assert state.settled(["slow", "loop"]) == ["loop", "slow"]
    assert State().settled(["slow", "loop"]) == ["slow", "loop"]
