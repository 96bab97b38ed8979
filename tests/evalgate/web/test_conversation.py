"""A conversation in pieces: places as recorded and as shown, and what is left out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evalgate.select.reading import Line
from evalgate.terminal import clean
from evalgate.web.conversation import MAX_LINE_CHARS, MAX_LINES, recorded, shown, view
from schema.verdict import Anchor

LINES = (
    Line("system", "Be kind."),
    Line("user", "Can I return my shoes?"),
    Line("tool call", "policy({})"),
    Line("tool", "x" * 5000),
    Line("assistant", "You have 90 days. You have 90 days."),
)


def test_what_is_pointed_at_is_marked_where_it_stands() -> None:
    seen = view(LINES, [Anchor(4, 18, 34, "You have 90 days"), Anchor(4, 27, 29, "90"), Anchor(1)])
    assert [(p.text, p.marks) for p in seen.lines[4].pieces] == [
        ("You have 90 days. ", ()),
        ("You have ", (0,)),
        ("90", (0, 1)),
        (" days", (0,)),
        (".", ()),
    ]
    assert [line.marks for line in seen.lines] == [(), (2,), (), (), ()]
    assert [line.is_folded for line in seen.lines] == [False, False, False, True, False]
    assert seen.answer == 4


def test_what_moved_is_marked_where_it_is_now_and_what_is_gone_nowhere() -> None:
    longer = (LINES[0], Line("user", "Hello?"), *LINES[1:])
    seen = view(longer, [Anchor(1, 6, 12, "return"), Anchor(2, 0, 4, "gone")])
    assert [p.text for line in seen.lines for p in line.pieces if p.marks] == ["return"]
    assert [p.marks for p in seen.lines[2].pieces] == [(), (0,), ()]


def test_a_conversation_that_is_too_long_has_its_beginning_its_end_and_what_is_pointed_at() -> None:
    lines = [Line("user", str(n)) for n in range(3 * MAX_LINES)]
    seen = view(lines, [Anchor(500)])
    numbers = [line.number for line in seen.lines]
    assert len(numbers) == MAX_LINES + 1
    assert 500 in numbers
    assert numbers[-1] == len(lines) - 1
    assert seen.left_out == len(lines) - len(numbers)
    assert len(view(lines, is_whole=True).lines) == len(lines)


def test_a_long_message_is_cut_and_says_by_how_much() -> None:
    line = view([Line("user", "a" * (MAX_LINE_CHARS + 7))]).lines[0]
    assert (len(line.pieces[0].text), line.cut) == (MAX_LINE_CHARS, 7)


TEXTS = st.text(st.sampled_from("ab\x00\x1b\u202e\U000e0041\n é😀"), max_size=20)


@given(TEXTS, st.data())
def test_a_place_is_the_same_in_the_text_that_is_shown_and_in_the_one_that_was_recorded(
    text: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(text)))
    assert clean(text)[: shown(text, at)] == clean(text[:at])
    assert recorded(text, shown(text, at)) == at
    anywhere = data.draw(st.integers(0, len(clean(text)) + 3))
    assert 0 <= recorded(text, anywhere) <= len(text)
