r"""A conversation as the pages show it: lines, each in pieces, with what people pointed at marked.

A place in a line is told in characters of the text as it was recorded. What a page shows is the cleaned text, in which
a control character is several ("\x1b"): `recorded` and `shown` go from one to the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from evalgate.review.anchors import locate
from evalgate.terminal import UNSAFE, clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from evalgate.review.anchors import Place
    from evalgate.select.reading import Line
    from schema.verdict import Anchor

FOLD_CHARS: Final = 1_200
"""Tool calls, results, system texts and thoughts that are longer are folded."""
MAX_LINE_CHARS: Final = 20_000
"""Of one message; the page has a link to all of it."""
MAX_LINES: Final = 400
HEAD_LINES: Final = 20
"""Of a conversation that is too long, its beginning; the rest is its end."""
KINDS: Final = ("system", "user", "assistant", "thinking", "call", "result", "other")
QUIET: Final = frozenset({"system", "thinking", "call", "result"})
"""Kinds of line that are folded when long: what a reader looks at second."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text that is marked as a whole, or not at all."""

    text: str
    """Cleaned."""
    marks: tuple[int, ...] = ()
    """Which anchors lie here, by their place in what was given."""

    @property
    def notes(self) -> str:
        """The anchors as a page numbers them."""
        return _notes(self.marks)


@dataclass(frozen=True, slots=True)
class Said:
    """One line of the conversation."""

    number: int
    """Its index in `evalgate.select.reading.conversation`."""
    role: str
    kind: str
    """One of KINDS."""
    pieces: tuple[Piece, ...]
    characters: int
    """Of the text as recorded."""
    cut: int
    """Characters at the end that are not shown."""
    is_folded: bool
    marks: tuple[int, ...]
    """Anchors that mean the line as a whole."""

    @property
    def notes(self) -> str:
        """The anchors of the whole line as a page numbers them."""
        return _notes(self.marks)

    @property
    def first_words(self) -> str:
        """What a folded line shows."""
        return " ".join("".join(p.text for p in self.pieces)[:200].split())[:120]


@dataclass(frozen=True, slots=True)
class View:
    """A conversation, bounded."""

    lines: tuple[Said, ...]
    total: int
    gap_after: int | None
    """The number of the line after which lines are left out; None: none are."""
    answer: int | None
    """The number of the last line that the assistant said."""

    @property
    def left_out(self) -> int:
        """How many lines are not shown."""
        return self.total - len(self.lines)


def view(lines: Sequence[Line], anchors: Sequence[Anchor] = (), *, is_whole: bool = False) -> View:
    """Return the lines as pieces; of too many, the first and the last, and those that an anchor means."""
    placed = [locate(a, lines) for a in anchors]
    pointed = {p.message for p in placed if p is not None}
    total = len(lines)
    numbers: Iterable[int] = range(total)
    gap = None
    if not is_whole and total > MAX_LINES:
        tail = total - (MAX_LINES - HEAD_LINES)
        numbers = [n for n in range(total) if n < HEAD_LINES or n >= tail or n in pointed]
        gap = HEAD_LINES - 1
    shown = tuple(_said(n, lines[n], placed, is_whole=is_whole) for n in numbers)
    answers = [n for n, line in enumerate(lines) if kind_of(line.role) == "assistant"]
    return View(shown, total, gap, answers[-1] if answers else None)


def kind_of(role: str) -> str:
    """Return what a line is, by its role (see `evalgate.select.reading.Line`)."""
    if role.endswith(", thinking"):
        return "thinking"
    known = {"tool call": "call", "tool": "result", "user": "user", "assistant": "assistant"}
    return "system" if role in ("system", "developer") else known.get(role, "other")


def shown(text: str, recorded_at: int) -> int:
    """Return where a place of the recorded text is in the shown one."""
    return len(clean(text[:recorded_at]))


def recorded(text: str, shown_at: int) -> int:
    """Return where a place of the shown text is in the recorded one; within a code, its beginning."""
    at = moved = 0
    for match in UNSAFE.finditer(text):
        begin = match.start() + moved
        if shown_at <= begin:
            break
        width = len(clean(match[0]))
        if shown_at < begin + width:
            return match.start()
        moved += width - 1
        at = match.end()
    return min(max(shown_at - moved, at), len(text))


def _notes(marks: Sequence[int]) -> str:
    return ", ".join(str(i + 1) for i in marks)


def _said(number: int, line: Line, placed: Sequence[Place | None], *, is_whole: bool) -> Said:
    here = [(i, p) for i, p in enumerate(placed) if p is not None and p.message == number]
    text = line.text if is_whole else line.text[:MAX_LINE_CHARS]
    kind = kind_of(line.role)
    return Said(
        number=number,
        role=line.role,
        kind=kind,
        pieces=tuple(_pieces(text, [(i, p.start, p.end) for i, p in here if not p.is_whole])),
        characters=len(line.text),
        cut=len(line.text) - len(text),
        is_folded=kind in QUIET and len(line.text) > FOLD_CHARS and not here,
        marks=tuple(i for i, p in here if p.is_whole),
    )


def _pieces(text: str, ranges: Sequence[tuple[int, int, int]]) -> Iterator[Piece]:
    cuts = sorted({0, len(text), *(min(at, len(text)) for _, start, end in ranges for at in (start, end))})
    for begin, end in pairwise(cuts):
        marks = tuple(i for i, start, stop in ranges if start <= begin and end <= stop)
        yield Piece(clean(text[begin:end]), marks)
    if not text:
        yield Piece("")
