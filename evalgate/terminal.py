"""What people and programs read: plain text, tables, JSON.

Span content is data. Everything printed goes through `clean`, so that no control character, ANSI escape, bidirectional
override or markup in it can act on the terminal. Colour and boxes appear on a terminal only; NO_COLOR is honoured.
"""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from evalgate.layout import GAP_CELLS, Fit, fit_widths, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Control characters except tab and newline, bidirectional controls, lone surrogates, tags."""

NOT_ASCII = re.compile(r"[^\x00-\x7f]")

NO_FITS: Mapping[str, Fit] = MappingProxyType({})


def clean(text: str) -> str:
    """Return the text with every character that could act on a terminal shown as its code."""
    return UNSAFE.sub(_show, text)


def one_line(text: str, limit: int | None = None) -> str:
    """Return clean text on one line, cut at `limit` characters with an ellipsis."""
    line = clean(" ".join(text.split()))
    return line if limit is None or len(line) <= limit else line[: limit - 1].rstrip() + "…"


def count_of(number: int, noun: str) -> str:
    """Return "1 case", "2 cases": our nouns add an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def safe_json(value: Any, *, indent: int | None = None) -> str:
    """Return JSON in which no character can act on a terminal."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent, default=str)
    return UNSAFE.sub(json_escape, text)


def _show(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def json_escape(match: re.Match[str]) -> str:
    """Return what was matched as escapes of JSON: one of four hex digits for each UTF-16 unit."""
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{int.from_bytes(units[i : i + 2], 'big'):04x}" for i in range(0, len(units), 2))


class Step(Protocol):
    """What a bar is told after each step."""

    def __call__(self, status: str = "", /) -> None:
        """Go on by one; `status` stands beside the bar."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where a command speaks: results on `out`, remarks on `err`."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)

    @property
    def is_rich(self) -> bool:
        """Whether a person looks at `out` right now."""
        return self.out.isatty() and os.environ.get("TERM") != "dumb"

    def say(self, text: str = "", *, style: str = "") -> None:
        """Print clean text on `out`."""
        if style and self.is_rich:
            from rich.console import Console  # noqa: PLC0415 - rich costs 0.1 s and is needed on terminals only
            from rich.text import Text  # noqa: PLC0415

            Console(file=self.out, soft_wrap=True, highlight=False).print(Text(clean(text), style))
        else:
            self.out.write(clean(text) + "\n")

    def note(self, text: str) -> None:
        """Print a remark on `err`."""
        self.err.write(clean(text) + "\n")

    def emit(self, value: Any) -> None:
        """Print one JSON document on one line, valid in any encoding of the stream."""
        text = safe_json(value)
        try:
            text.encode(self.out.encoding or "utf-8")
        except UnicodeEncodeError:
            text = NOT_ASCII.sub(json_escape, text)
        self.out.write(text + "\n")

    def table(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        verbatim: bool = False,
        fits: Mapping[str, Fit] = NO_FITS,
    ) -> None:
        """Print a table, laid out for the width of a terminal, plain columns elsewhere. Cells are one line each.

        `verbatim` names are names of columns; others are our words and stand in capitals in plain text. Unless `fits`
        says otherwise, the first column is what one copies and stays whole, the last is what one reads and is wrapped,
        and those between are cut where there is no room.
        """
        cells = [[one_line(c) for c in row] for row in rows]
        if self.is_rich:
            own = [one_line(h) for h in header]
            last = len(own) - 1
            default = [Fit.WORDS if i == last else Fit.CUT if i or verbatim else Fit.WHOLE for i in range(last + 1)]
            self._lay_out(own, cells, [fits.get(h, d) for h, d in zip(header, default, strict=True)])
            return
        names = [one_line(h) if verbatim else h.upper() for h in header]
        widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
        for line in (names, *cells):
            self.out.write("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() + "\n")

    def _lay_out(self, header: Sequence[str], rows: Sequence[Sequence[str]], fits: Sequence[Fit]) -> None:
        from rich.cells import cell_len  # noqa: PLC0415 - as above
        from rich.console import Console  # noqa: PLC0415 - as above
        from rich.table import Table  # noqa: PLC0415 - as above
        from rich.text import Text  # noqa: PLC0415 - as above

        console = Console(file=self.out)
        columns = [[row[i] for row in rows] for i in range(len(header))]
        widths = fit_widths(header, columns, fits, console.width, cells=cell_len)
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP_CELLS, 0, 0))
        for name, width, fit in zip(header, widths, fits, strict=True):
            table.add_column(Text(name), width=width, overflow="ellipsis" if fit is Fit.CUT else "fold")
        for row in rows:
            lines = (wrap(c, f, w, cells=cell_len) for c, f, w in zip(row, fits, widths, strict=True))
            # no_wrap: the lines are broken as they should be, but for pieces that are wider than their column
            table.add_row(*(Text("\n".join(x), no_wrap=f is Fit.CUT) for x, f in zip(lines, fits, strict=True)))
        console.print(table)

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Step]:
        """Show a bar on `err` while it is a terminal; yields what to call after each step, with what came of it."""
        if not self.err.isatty() or os.environ.get("TERM") == "dumb":
            yield lambda _="": None
            return
        from rich.console import Console  # noqa: PLC0415 - as above
        from rich.progress import Progress  # noqa: PLC0415

        with Progress(console=Console(file=self.err), transient=True) as bar:
            name = clean(what).replace("[", r"\[")
            task = bar.add_task(name, total=total)

            def step(status: str = "") -> None:
                told = clean(status).replace("[", r"\[")
                bar.update(task, advance=1, description=f"{name}: {told}" if told else name)

            yield step
