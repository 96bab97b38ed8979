"""Span content is data: nothing in it acts on a terminal."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalgate.terminal import UNSAFE, Terminal, clean, one_line, safe_json

if TYPE_CHECKING:
    from collections.abc import Callable


class Screen(io.StringIO):
    """A terminal that remembers what it was sent."""

    def isatty(self) -> bool:
        return True


@given(st.text())
def test_clean_leaves_nothing_that_acts(text: str) -> None:
    assert not UNSAFE.search(clean(text))


@given(st.text(st.characters(categories=("L", "N", "P", "Zs")), max_size=50))
def test_clean_leaves_words_alone(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\rb", "a\\x0db"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202eabc", "\\u202eabc"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("a\tb\nc", "a\tb\nc"),
        ("日本 é 👍🏽", "日本 é 👍🏽"),
    ],
)
def test_what_is_shown_of_dangerous_text(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(st.text(), st.integers(1, 40))
def test_one_line_is_one_line_and_short(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1


@given(st.dictionaries(st.text(), st.text() | st.lists(st.text())))
def test_safe_json_is_the_same_json_without_anything_that_acts(value: dict[str, str | list[str]]) -> None:
    text = safe_json(value)
    assert json.loads(text) == value
    assert not UNSAFE.search(text)


def test_safe_json_escapes_astral_characters_as_pairs() -> None:
    assert json.loads(safe_json(["\U000e0041", "\x9b"])) == ["\U000e0041", "\x9b"]


HOSTILE = "[bold]x[/bold] [link=http://e]\x1b[31mred\x07"


@pytest.mark.parametrize(
    "show",
    [
        lambda t: t.say(HOSTILE),
        lambda t: t.say(HOSTILE, style="bold red"),
        lambda t: t.table(("a", HOSTILE), [("1", HOSTILE)], verbatim=True),
        lambda t: t.note(HOSTILE),
        lambda t: t.emit({HOSTILE: HOSTILE}),
    ],
)
@pytest.mark.parametrize("screen", [Screen, io.StringIO])
def test_nothing_that_is_printed_interprets_content(
    show: Callable[[Terminal], None], screen: type[io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    out, err = screen(), screen()
    show(Terminal(out, err))
    text = out.getvalue() + err.getvalue()
    assert "[bold]x[/bold]" in text
    assert "\x1b[31mred" not in text
    assert "\x07" not in text


def test_colour_is_for_terminals_and_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def sent(screen: io.StringIO) -> str:
        Terminal(screen, screen).say("x", style="red")
        return screen.getvalue()

    assert "\x1b[31m" in sent(Screen())
    assert sent(io.StringIO()) == "x\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in sent(Screen())


def test_plain_tables_are_columns_with_nothing_cut() -> None:
    out = io.StringIO()
    Terminal(out, out).table(("a", "long name"), [("x" * 200, "1"), ("y", "2\n3")])
    assert out.getvalue() == f"{'A':<200}  LONG NAME\n{'x' * 200}  1\n{'y':<200}  2 3\n"


def test_progress_is_silent_off_a_terminal() -> None:
    err = io.StringIO()
    with Terminal(err, err).progress("x", 2) as step:
        step()
        step("1 passed")
    assert err.getvalue() == ""


def test_what_stands_beside_a_bar_is_text_and_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")

    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    err = Tty()
    with Terminal(err, err).progress("run [bold]", 2) as step:
        step("1 passed [red]\x1b]0;title\x07")
    assert "run [bold]: 1 passed [red]\\x1b]0;title\\x07" in err.getvalue()


def test_json_is_json_also_where_the_stream_lacks_its_characters() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    Terminal(out, io.StringIO()).emit({"asked": "Où est l'🛋️?"})
    out.seek(0)
    assert json.loads(out.read()) == {"asked": "Où est l'🛋️?"}
