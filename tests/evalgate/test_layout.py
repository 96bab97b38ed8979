"""Columns on a narrow terminal: what is copied stays whole, lists break between items, the rest is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evalgate.layout import GAP_CELLS, LEAST_CELLS, Fit, fit_widths, wrap

WORDS = st.text("abc ", max_size=30)
COLUMN = st.tuples(st.sampled_from(Fit), st.lists(WORDS, min_size=2, max_size=2))


def test_what_has_room_keeps_it() -> None:
    assert fit_widths(["id", "b"], [["abcd"], ["x" * 20]], [Fit.WHOLE, Fit.CUT], 26) == [4, 20]


def test_the_widest_gives_way_first_and_ids_never() -> None:
    columns = [["x" * 16], ["feedback:thumbs, span_error"], ["y" * 60]]
    widths = fit_widths(["id", "why", "asked"], columns, [Fit.WHOLE, Fit.ITEMS, Fit.CUT], 60)
    assert widths == [16, 20, 20]
    assert fit_widths(["id", "why", "asked"], columns, [Fit.WHOLE, Fit.ITEMS, Fit.CUT], 10) == [16, 16, LEAST_CELLS]


def test_a_header_is_never_cut() -> None:
    assert fit_widths(["failure mode"], [["x" * 40]], [Fit.CUT], 1) == [len("failure mode")]


def test_lists_break_between_items() -> None:
    text = "feedback:user said no, span_error, b"
    assert wrap(text, Fit.ITEMS, 22) == ["feedback:user said no,", "span_error, b"]
    assert wrap(text, Fit.ITEMS, 5) == ["feedback:user said no,", "span_error,", "b"]
    assert wrap("to be or not", Fit.WORDS, 5) == ["to be", "or", "not"]
    assert wrap("to be or not", Fit.CUT, 5) == ["to be or not"]
    assert wrap("", Fit.WORDS, 5) == [""]


@given(st.lists(COLUMN, min_size=1, max_size=6), st.integers(0, 120))
def test_a_table_is_as_wide_as_the_terminal_or_can_give_no_more(
    table: list[tuple[Fit, list[str]]], available: int
) -> None:
    fits, columns = [t[0] for t in table], [t[1] for t in table]
    headers = ["h"] * len(table)

    def total(room: int) -> int:
        return sum(fit_widths(headers, columns, fits, room)) + GAP_CELLS * (len(table) - 1)

    natural, least = total(10_000), total(0)
    assert total(available) == min(natural, max(available, least))


@given(WORDS, st.sampled_from([Fit.WORDS, Fit.ITEMS]), st.integers(1, 20))
def test_wrapping_loses_no_word(text: str, fit: Fit, width: int) -> None:
    assert " ".join(wrap(text, fit, width)).split() == text.split()
