"""What makes content fit for a reader holds for any text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from hypothesis import example, given, settings
from hypothesis import strategies as st

from evalgate.gate.report import safe
from evalgate.gate.report.html.differences import Change, differences
from evalgate.terminal import UNSAFE

TEXTS = st.text(st.characters(blacklist_categories=()), max_size=80)
MARKED = st.text("`~#[](){}<>&%:,;@*_|\\\"'\n\r\t \x00\x1b\u202e\ud800]-!.www:https//", max_size=60)
ANY = st.one_of(TEXTS, MARKED)


@given(ANY)
@settings(max_examples=100)
def test_a_line_is_one_line_without_a_command(text: str) -> None:
    for made in (safe.line(text), safe.data(text), safe.prop(text), safe.prose(text), safe.code(text)):
        assert not UNSAFE.search(made)
        assert "\n" not in made
        assert "::" not in made
        assert "##[" not in made
    assert not set(safe.prop(text)) & set(":,")
    assert re.fullmatch(r"(?:[^%]|%25)*", safe.data(text))


@given(ANY)
@settings(max_examples=100)
def test_prose_has_no_mark_left(text: str) -> None:
    made = re.sub(r"&#\d+;|&(?:amp|lt|gt);", "", safe.prose(text))
    assert not set(made) & set("\\`*_{}[]()+!|@~#<>&")
    assert not re.search(r"(?i)\b(?:https?|ftp|mailto):|\bwww\.", made)


@given(ANY)
@example("``````\n<h1>")
@settings(max_examples=100)
def test_a_fence_is_closed_by_its_last_line_alone(text: str) -> None:
    first, *inner, last = safe.fenced(text).split("\n")
    assert first == last + "text"
    assert not [x for x in inner if re.match(r" {0,3}`{3,}\s*$", x) and len(x.strip()) >= len(last)]


@given(ANY)
@settings(max_examples=100)
def test_xml_says_the_text_that_a_terminal_would_show(text: str) -> None:
    element = ET.fromstring(f'<a b="{safe.xml(text)}">{safe.xml_body(text)}</a>')  # noqa: S314 - our own document
    shown = safe.NOT_XML.sub("\N{REPLACEMENT CHARACTER}", safe.block(text))
    assert element.attrib["b"] == shown
    assert (element.text or "") == shown


@given(st.text(max_size=300), st.integers(1, 50))
def test_what_is_cut_says_how_much(text: str, limit: int) -> None:
    made = safe.cut(text, limit)
    assert made == text if len(text) <= limit else f"{len(text) - limit} more characters" in made


WORDS = st.lists(st.sampled_from(["you", "have", "30", "90", "days", ",", " ", "\n", "é"]), max_size=30)


@given(WORDS, WORDS)
@settings(max_examples=100)
def test_differences_hold_both_texts_whole(old: list[str], new: list[str]) -> None:
    before, now = " ".join(old), " ".join(new)
    pieces = differences(before, now)
    if pieces is None:
        return
    assert "".join(t for change, t in pieces if change is not Change.NEW) == before
    assert "".join(t for change, t in pieces if change is not Change.GONE) == now


def test_differences_are_words_and_not_letters() -> None:
    assert differences("You have 30 days to return it.", "You have 90 days to return it.") == [
        (Change.SAME, "You have "),
        (Change.GONE, "30"),
        (Change.NEW, "90"),
        (Change.SAME, " days to return it."),
    ]
    assert differences("same", "same") is None
    assert differences("a b c d", "w x y z") is None
    assert differences("a " * 3000, "b " * 3000) is None
