"""What charts are drawn with: where things stand, the lines and words around a plot, and elements of SVG.

Across in percent, down in pixels. Names are content: they are cleaned and escaped here, and nothing else is let in but
numbers of ours.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from markupsafe import Markup, escape

from evalgate.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HEIGHT: Final = 168
TOP: Final = 14
BOTTOM: Final = 20
PLOT: Final = HEIGHT - TOP - BOTTOM
LEAST_SLOTS: Final = 7
"""One bar alone is not as wide as the page."""
FILLED: Final = 0.72
"""The part of its slot that a bar takes."""
TICKS: Final = 3
NAME_CHARS: Final = 60
CHAR_PX: Final = 6.4
"""A digit in the text of charts, about."""
GAP_PX: Final = 6


def nice_top(most: float) -> float:
    """Return the end of an axis that holds `most` and divides into round numbers; 1 of nothing."""
    if not math.isfinite(most) or most <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(most))
    return next(step * size for step in (1, 2, 4, 6, 8, 10) if most <= step * size * (1 + 1e-9))


def grid(top: float) -> list[Markup]:
    """Return the lines across; their numbers stand beside the picture."""
    made = []
    for n in range(TICKS):
        y = short(y_of(top * n / (TICKS - 1), top))
        kind = "grid" if n else "axis"
        made.append(Markup('<line class="{}" x1="0" y1="{y}" x2="100%" y2="{y}"/>').format(kind, y=y))
    return made


def scale(top: float, show: Callable[[float], str]) -> Markup:
    """Return the numbers of the lines across, as wide as the longest needs; the base has none, it is 0."""
    ticks = [(top * n / (TICKS - 1), show(top * n / (TICKS - 1))) for n in range(1, TICKS)]
    wide = short(CHAR_PX * max(len(said) for _, said in ticks) + GAP_PX)
    texts = Markup("").join(
        Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>').format(
            short(float(wide) - GAP_PX), short(y_of(value, top) + 4), one_line(said, NAME_CHARS)
        )
        for value, said in ticks
    )
    return Markup('<svg class="chart scale" width="{}" height="{}" aria-hidden="true">{}</svg>').format(
        wide, HEIGHT, texts
    )


def labels(names: Sequence[str], slots: int) -> list[Markup]:
    """Return the first and the last label, and one between where there is room."""
    if not names:
        return []
    y = HEIGHT - 5
    if len(names) == 1:
        return [text(middle(0, slots), y, names[0], "middle", "tick")]
    made = [text(0, y, names[0], "start", "tick")]
    last = len(names) - 1
    is_full = len(names) == slots
    made.append(text(100 if is_full else middle(last, slots), y, names[last], "end" if is_full else "middle", "tick"))
    if is_full and last >= LEAST_SLOTS - 1:
        made.append(text(middle(last // 2, slots), y, names[last // 2], "middle", "tick"))
    return made


def target(n: int, slots: int, said: str) -> Markup:
    """Return what a pointer finds: the whole slot, with its numbers."""
    return Markup('<rect class="hit" x="{}%" y="0" width="{}%" height="{}"><title>{}</title></rect>').format(
        short(100 * n / slots), short(100 / slots), HEIGHT - BOTTOM, one_line(said)
    )


def slot(n: int, slots: int) -> tuple[float, float]:
    """Return where bar n begins and how wide it is, in percent."""
    wide = 100 / slots
    return (n + (1 - FILLED) / 2) * wide, wide * FILLED


def middle(n: int, slots: int) -> float:
    """Return where the middle of bar n is, in percent."""
    return 100 * (n + 0.5) / slots


def y_of(value: float, top: float) -> float:
    """Return the height of a value below an axis that ends at `top`, in pixels from above."""
    return TOP + PLOT * (1 - min(max(value, 0.0), top) / top)


def rect(kind: str, x: float, wide: float, upper: float, lower: float) -> Markup:
    """Return an area from one height to another; half a pixel is seen of nothing."""
    return Markup('<rect class="{}" x="{}%" y="{}" width="{}%" height="{}"/>').format(
        kind, short(x), short(upper), short(wide), short(max(lower - upper, 0.5))
    )


def text(x: float, y: float, said: str, anchor: str, kind: str) -> Markup:
    """Return words at a place."""
    return Markup('<text class="{}" x="{}%" y="{}" text-anchor="{}">{}</text>').format(
        kind, short(x), short(y), anchor, one_line(said, NAME_CHARS)
    )


def cleaned(said: str) -> Markup:
    """Return what somebody named something, fit for a page."""
    return escape(one_line(said, 2000))


def plot(ident: str, title: str, told: str, parts: Sequence[Markup], scale: Markup) -> Markup:
    """Return a drawing with its scale at the left."""
    return Markup('<div class="plot">{}{}</div>').format(scale, svg(ident, title, told, parts))


def svg(
    ident: str, title: str, told: str, parts: Sequence[Markup], *, height: int = HEIGHT, kind: str = "chart"
) -> Markup:
    """Return a drawing with its title and what it tells, for who does not see it."""
    return Markup(
        '<svg class="{kind}" width="100%" height="{height}" role="img" aria-labelledby="{ident}-title {ident}-told">'
        '<title id="{ident}-title">{title}</title><desc id="{ident}-told">{told}</desc>{parts}</svg>'
    ).format(
        kind=kind,
        height=height,
        ident=ident,
        title=cleaned(title),
        told=cleaned(told),
        parts=Markup("").join(parts),
    )


def short(value: float) -> str:
    """Return a number as geometry has it: two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
