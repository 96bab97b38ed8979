"""A window on rows that may be more than a screen holds, with what a reviewer has decided below it.

On a terminal every change draws the screen anew: that needs no more than clearing it, which every terminal can, also
over a slow line. Elsewhere, and on dumb terminals, a trace is printed once, and what changes is printed below it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evalgate.label.page import Row, fitted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evalgate.terminal import Terminal

CLEAR = "\x1b[H\x1b[2J"
PLAIN = (100, 0)
"""Columns and lines of what is no terminal; 0 lines: it has no end."""
LEAST_LINES = 3
"""Of a trace, on the smallest terminal."""


def terminal_size(terminal: Terminal) -> tuple[int, int]:
    """Return (columns, lines) of what the terminal writes to."""
    if not terminal.is_rich:
        return PLAIN
    try:
        size = os.get_terminal_size(terminal.out.fileno())
    except OSError:
        return 80, 24
    return size.columns or 80, size.lines or 24


@dataclass(slots=True)
class Screen:
    """What is on the screen; owns the place that the reviewer has scrolled to."""

    terminal: Terminal
    size: Callable[[], tuple[int, int]]
    top: int = 0
    _rows: Sequence[Row] = field(default=())
    _room: int = 0

    @property
    def width(self) -> int:
        """Cells of a row; the last column stays empty, for some terminals break the line there."""
        return max(self.size()[0] - 1, 20)

    def draw(self, rows: Sequence[Row], footer: Sequence[Row], prompt: str, *, is_new: bool) -> None:
        """Show the window, the footer and the prompt; `is_new`: the rows are of another trace than those before."""
        lines = self.size()[1]
        self._rows = rows
        if is_new:
            self.top = 0
        self._room = max(lines - len(footer) - 2, LEAST_LINES) if lines else len(rows)
        self.top = max(0, min(self.top, len(rows) - self._room))
        if lines:
            self.terminal.out.write(CLEAR)
        if is_new or lines:
            for row in rows[self.top : self.top + self._room]:
                self.terminal.say(row.text, style=row.style)
        self.terminal.say(self._rule(), style="dim")
        for row in footer:
            self.terminal.say(fitted(row.text, self.width), style=row.style)
        self.terminal.out.write(prompt)
        self.terminal.out.flush()

    def turn(self, pages: float) -> None:
        """Go down by so many screens, up where it is negative; it stops at either end."""
        step = max(1, round(abs(pages) * (self._room - 1)))
        self.top = max(0, min(self.top + (step if pages > 0 else -step), len(self._rows) - self._room))

    def line_down(self, lines: int) -> None:
        """Go down by so many rows, up where it is negative."""
        self.top = max(0, min(self.top + lines, len(self._rows) - self._room))

    def _rule(self) -> str:
        more = ""
        if len(self._rows) > self._room:
            last = min(self.top + self._room, len(self._rows))
            more = f" {self.top + 1}–{last} of {len(self._rows)}{', space: more' if last < len(self._rows) else ''} "
        return ("──" + more).ljust(min(self.width, 72), "─")
