"""A trace as rows of a screen: folded to its width, every text cleaned. Pure."""

from __future__ import annotations

import io
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalgate.review.anchors import locate
from evalgate.review.decided import latest_each
from evalgate.select.reading import conversation
from evalgate.select.show import MAX_TEXT_CHARS, duration, print_failures, print_feedback, print_trace, tokens
from evalgate.terminal import Terminal, clean, count_of, one_line
from schema.verdict import anchors_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from evalgate.label.form import Form
    from evalgate.select.traces import Trace
    from schema.verdict import Anchor

BAR = "  │ "
"""Before every line of a text, so that it cannot pose as ours."""
LEAST_CELLS = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a screen."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a reviewer is shown of an item beside the trace itself."""

    why: tuple[str, ...] = ()
    """Why it is here, most important first; holds words of spans."""
    instructions: str = ""
    labels: tuple[Mapping[str, Any], ...] = ()
    """Labels of others that he may see: those that differ, where he decides."""
    is_full: bool = False
    """Nothing is cut, and the spans are there."""


def rows(trace: Trace, form: Form, shown: Shown, width: int) -> list[Row]:
    """Return the rows of a trace, none wider than `width` cells (or `LEAST_CELLS`)."""
    wide = max(width, LEAST_CELLS)
    return [Row(piece, row.style) for row in _rows(trace, form, shown, wide) for piece in fold(row.text, wide)]


def fold(text: str, width: int) -> Iterator[str]:
    """Yield the pieces of one line that are at most `width` cells wide, as far to the right as it began.

    What stands behind a bar stays behind it.
    """
    lead = BAR if text.startswith(BAR) else text[: min(len(text) - len(text.lstrip(" ")), width // 2)]
    rest, room = text[len(lead) :], width - len(lead)
    while True:
        cut = _fitting(rest, room)
        if cut < len(rest):
            space = rest.rfind(" ", 0, cut + 1)
            cut = space + 1 if space > cut // 2 else cut
        yield lead + rest[:cut].rstrip(" ") if cut < len(rest) else lead + rest
        rest = rest[cut:]
        if not rest:
            return


def cells(text: str) -> int:
    """Return how many cells of a terminal a clean text takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def fitted(text: str, width: int) -> str:
    """Return a line cut to so many cells."""
    return text if cells(text) <= width else text[: _fitting(text, width - 1)] + "…"


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _fitting(text: str, width: int) -> int:
    """Return how many characters fit, at least one."""
    taken = 0
    for at, character in enumerate(text):
        taken += _cells(character)
        if taken > width:
            return max(at, 1)
    return len(text)


def _rows(trace: Trace, form: Form, shown: Shown, width: int) -> Iterator[Row]:
    row = trace.row
    facts = [
        row.service_name,
        row.feature or row.root_name,
        duration(row.duration_ms),
        count_of(row.span_count, "span"),
        tokens(row.input_tokens, row.output_tokens),
        row.start_time[:16].replace("T", " "),
    ]
    yield Row(fitted(f"trace {row.trace_id}", width), "bold")
    yield Row("  " + " · ".join(one_line(str(f), 48) for f in facts if f))
    yield Row(f"  why         {one_line(row.why or 'not flagged')}", "red" if row.failing else "")
    for line in shown.why:
        yield Row(f"  {one_line(line)}")
    if shown.instructions:
        for number, line in enumerate(clean(shown.instructions).strip().split("\n")):
            yield Row(f"  {'' if number else 'asked of you: '}{line}", "italic")
    yield from _labels(trace, shown)
    if shown.is_full:
        yield from _captured(print_trace, trace, full=True)
        return
    yield Row("")
    yield from _conversation(trace, (*form.anchors, *(a for x in shown.labels for a in anchors_of(x["anchor"]))))
    yield from _captured(print_failures, trace, MAX_TEXT_CHARS)
    yield from _captured(print_feedback, trace)


def _conversation(trace: Trace, anchors: Sequence[Anchor]) -> Iterator[Row]:
    lines = conversation(trace)
    if not lines:
        yield Row("conversation: none recorded (is content capture on in the app?)", "bold")
    marked = {p.message for a in anchors if (p := locate(a, lines)) is not None}
    for number, line in enumerate(lines):
        mark = "▸ " if number in marked else ""
        yield Row(f"{mark}{number + 1} {one_line(line.role)}", "bold cyan" if mark else "cyan")
        text = line.text[:MAX_TEXT_CHARS]
        for piece in clean(text).expandtabs(4).split("\n"):
            yield Row(BAR + piece)
        if len(text) < len(line.text):
            yield Row(f"{BAR}… {count_of(len(line.text) - len(text), 'more character')}: o", "italic")


def _labels(trace: Trace, shown: Shown) -> Iterator[Row]:
    if not shown.labels:
        return
    lines: Sequence[Any] = conversation(trace)
    yield Row("  what reviewers said", "bold")
    for name, said in sorted(latest_each(shown.labels).items()):
        words = [said["verdict"], said["failure_mode"], said["severity"]]
        about = [p.message + 1 for a in anchors_of(said["anchor"]) if (p := locate(a, lines)) is not None]
        words += [f"about message {', '.join(map(str, sorted(set(about))))}"] if about else []
        words += [f"“{said['comment']}”"] if said["comment"] else []
        yield Row(f"  {one_line(name or '(nobody)', 24)}: {one_line(', '.join(w for w in words if w))}", "yellow")


def _captured(show: Any, trace: Trace, *arguments: Any, **options: Any) -> Iterator[Row]:
    """Yield what one of the functions prints that show a trace in plain text elsewhere."""
    out = io.StringIO()
    show(Terminal(out, out), trace, *arguments, **options)
    for line in out.getvalue().expandtabs(4).rstrip("\n").split("\n") if out.getvalue() else ():
        yield Row(line, "bold red" if line.startswith("failed: ") else "")
