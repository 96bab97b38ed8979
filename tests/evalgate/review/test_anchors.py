"""An anchor finds its place again when the conversation reads differently."""

from __future__ import annotations

import pytest

from evalgate.review.anchors import Place, anchor_at, anchor_quoting, locate
from evalgate.select.reading import Line
from schema.verdict import Anchor, anchors_of, anchors_text, parse_anchors

LINES = [
    Line("user", "Can I return my shoes?"),
    Line("assistant", "Yes, within 90 days. Really,\n90 days."),
]


def test_a_message_and_a_range() -> None:
    assert anchor_at(LINES, 0) == Anchor(0, quote="Can I return my shoes?")
    assert anchor_at(LINES, 1, 12, 19) == Anchor(1, 12, 19, "90 days")
    assert locate(anchor_at(LINES, 0), LINES) == Place(0, 0, 22, is_whole=True)
    assert locate(anchor_at(LINES, 1, 12, 19), LINES) == Place(1, 12, 19, is_whole=False)


@pytest.mark.parametrize(("message", "start", "end"), [(2, None, None), (-1, None, None), (0, 3, 99), (0, 5, 5)])
def test_what_is_not_there_is_no_anchor(message: int, start: int | None, end: int | None) -> None:
    with pytest.raises(ValueError, match="message"):
        anchor_at(LINES, message, start, end)


def test_quoting_does_not_mind_space_and_case() -> None:
    assert anchor_quoting(LINES, 1, "really, 90 DAYS") == Anchor(1, 21, 36, "Really,\n90 days")
    with pytest.raises(ValueError, match="message 1 does not say '90 days'"):
        anchor_quoting(LINES, 0, "90 days")
    with pytest.raises(ValueError, match="message 1 does not say '  '"):
        anchor_quoting(LINES, 0, "  ")
    with pytest.raises(ValueError, match="no number 8"):
        anchor_quoting(LINES, 7, "x")


def test_a_longer_conversation_moves_the_place() -> None:
    longer = [Line("user", "Hello"), Line("assistant", "Hi."), *LINES]
    assert locate(anchor_at(LINES, 0), longer) == Place(2, 0, 22, is_whole=True)
    # Of two places that read so it is the one nearest to where it was.
    second = Anchor(1, 29, 36, "90 days")
    assert locate(second, longer) == Place(3, 29, 36, is_whole=False)


def test_words_that_are_gone_point_nowhere() -> None:
    assert locate(Anchor(1, 12, 19, "90 days"), [Line("assistant", "30 days.")]) is None
    assert locate(Anchor(5), LINES) is None
    assert locate(Anchor(1), LINES) == Place(1, 0, 37, is_whole=True)
    assert locate(Anchor(quote="shoes"), LINES) == Place(0, 16, 21, is_whole=False)


def test_a_long_message_is_quoted_by_its_beginning_and_found_whole() -> None:
    long = [Line("tool", "x" * 2000)]
    anchor = anchor_at(long, 0, 0, 1500)
    assert len(anchor.quote) == 500
    assert locate(anchor, long) == Place(0, 0, 1500, is_whole=False)


def test_anchors_in_a_row() -> None:
    anchors = (Anchor(1, 12, 19, "90 \ud800 days"), Anchor(0), Anchor(quote="x"))
    text = anchors_text(anchors)
    assert text.isascii()
    assert anchors_of(text) == anchors
    assert (anchors_text(()), anchors_of("")) == ("", ())
    for damaged in ("{}", "[1]", "[[", '[{"message": -1}]', '[{"quote": "x", "more": 1}]', "[" * 100_000):
        assert anchors_of(damaged) == ()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "names a message, or quotes one"),
        ({"message": -1}, "counts from 0"),
        ({"message": 0, "start": 1}, "a start and an end, or neither"),
        ({"message": 0, "start": 2, "end": 2}, "must hold a character"),
        ({"start": 0, "end": 2, "quote": "xy"}, "names its message"),
        ({"message": 0, "quote": "x" * 501}, "the limit is 500"),
        ({"message": "0"}, "whole number"),
        ({"mesage": 0, "quote": "x"}, "Did you mean 'message'"),
    ],
)
def test_a_wrong_anchor_says_what_is_right(value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_anchors([value])
