"""How wide the columns of a table are on a terminal that is too narrow for all of them. Pure; widths are in cells."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GAP_CELLS = 2
"""Between two columns."""
LEAST_CELLS = 8
"""What is left of a column that gives way, at least."""


class Fit(StrEnum):
    """What a column does when there is not enough room."""

    WHOLE = "whole"
    """It keeps its width: an id that one copies, a number."""
    CUT = "cut"
    """Its texts are cut."""
    WORDS = "words"
    """Its texts go on in the next line, between words."""
    ITEMS = "items"
    """Its texts are lists, "a, b"; they go on in the next line, never inside an item."""


def pieces(text: str, fit: Fit) -> list[str]:
    """Return what of a text must stay on one line, in order; a comma stays with the item before it."""
    match fit:
        case Fit.WORDS:
            return text.split()
        case Fit.ITEMS:
            items = text.split(", ")
            return [f"{item}," for item in items[:-1]] + items[-1:]
        case _:
            return [text]


def fit_widths(
    headers: Sequence[str],
    columns: Sequence[Sequence[str]],
    fits: Sequence[Fit],
    available: int,
    *,
    cells: Callable[[str], int] = len,
) -> list[int]:
    """Return a width for each column: the widest one that can give way does so first, until all have room.

    Where even that is not enough, the sum is more than `available`.
    """
    widths = [max(map(cells, (header, *column))) for header, column in zip(headers, columns, strict=True)]
    least = [
        width if fit is Fit.WHOLE else min(width, max(cells(header), _least(column, fit, cells)))
        for header, column, fit, width in zip(headers, columns, fits, widths, strict=True)
    ]
    excess = sum(widths) + GAP_CELLS * (len(widths) - 1) - available
    while excess > 0:
        room = [(width, number) for number, width in enumerate(widths) if width > least[number]]
        if not room:
            break
        widths[max(room)[1]] -= 1
        excess -= 1
    return widths


def wrap(text: str, fit: Fit, width: int, *, cells: Callable[[str], int] = len) -> list[str]:
    """Return the lines of a text, broken where its column may; a piece that is too long stands alone."""
    lines = [""]
    for piece in pieces(text, fit):
        longer = f"{lines[-1]} {piece}" if lines[-1] else piece
        if lines[-1] and cells(longer) > width:
            lines.append(piece)
        else:
            lines[-1] = longer
    return lines


def _least(column: Sequence[str], fit: Fit, cells: Callable[[str], int]) -> int:
    if fit is Fit.CUT:
        return LEAST_CELLS
    return max((cells(piece) for text in column for piece in pieces(text, fit)), default=0)
