"""Small charts as SVG, made on the server: bars, lines with a band, stacked bars, segments, sparklines.

A chart is as wide as its place, so that its text has one size everywhere (drawing.py). Colours come from charts.css by
class, for both themes. Each has a title and a description, and `Chart.rows` are the same numbers for the table below
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from evalgate.terminal import one_line
from evalgate.web import drawing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST_DOTS: Final = 40
SPARK: Final = (84, 20)
ACROSS: Final = 1000
"""Units of the inner drawing of lines, which is stretched."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture, and its numbers as a table."""

    title: str
    svg: Markup
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    legend: tuple[tuple[str, str], ...] = ()
    """Class of a swatch and what it stands for."""
    note: str = ""
    """What must be known to read it, in a sentence."""
    is_empty: bool = False
    """There is nothing to see: the page says so instead."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram."""

    label: str
    value: float
    low: float | None = None
    """The expected band; None: nobody can say."""
    high: float | None = None
    is_above: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a line. Without a value the interval alone is drawn: too little is known for a point."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A named line; all lines of a chart have the same labels."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a whole. `kind` is one of the classes of charts.css."""

    name: str
    count: float
    kind: str


def histogram(ident: str, title: str, bars: Sequence[Bar], show: Callable[[float], str], noun: str) -> Chart:
    """Return bars with their expected band behind them; what is above it has a mark, not only another colour."""
    known = [b.high for b in bars if b.high is not None]
    top = drawing.nice_top(max([b.value for b in bars] + known, default=0))
    slots = max(len(bars), drawing.LEAST_SLOTS)
    parts = drawing.grid(top)
    for n, b in enumerate(bars):
        x, wide = drawing.slot(n, slots)
        if b.low is not None and b.high is not None:
            edge = 100 / slots
            parts.append(drawing.rect("band", n * edge, edge, drawing.y_of(b.high, top), drawing.y_of(b.low, top)))
        if b.value > 0:
            parts.append(
                drawing.rect(
                    "bar above" if b.is_above else "bar",
                    x,
                    wide,
                    drawing.y_of(b.value, top),
                    drawing.TOP + drawing.PLOT,
                )
            )
        if b.is_above:
            parts.append(drawing.text(x + wide / 2, max(drawing.y_of(b.value, top) - 4, 10), "▲", "middle", "mark"))
        parts.append(drawing.target(n, slots, f"{b.label}: {show(b.value)} {noun}{_band_words(b.low, b.high, show)}"))
    parts += drawing.labels([b.label for b in bars], slots)
    has_band = bool(known)
    rows = [
        (b.label, show(b.value), *((_between(b.low, b.high, show), "above" if b.is_above else "") if has_band else ()))
        for b in bars
    ]
    above = [b.label for b in bars if b.is_above]
    told = f"{show(sum(b.value for b in bars))} {noun} on {len(bars)} days, at most {show(_most(bars))} on one"
    told += f"; above the expected band on {', '.join(above)}" if above else ""
    return Chart(
        title,
        drawing.plot(ident, title, told, parts, drawing.scale(top, show)),
        ("day", noun, *(("expected", "") if has_band else ())),
        tuple(rows),
        (("bar", noun), ("band", "expected, 95 %"), ("bar above", "▲ above it")) if has_band else (),
        is_empty=not any(b.value for b in bars) and not has_band,
    )


def lines(ident: str, title: str, of: Sequence[Line], show: Callable[[float], str], *, whole: float = 0.0) -> Chart:
    """Return lines, the first with its interval as a band. `whole`: where the axis ends at the latest (1 of a rate)."""
    ends = [v for line in of for p in line.points for v in (p.value, p.high) if v is not None]
    middle = [p.value for line in of for p in line.points if p.value is not None]
    most = max(ends, default=0)
    if middle:  # an interval of one thin day must not flatten all the others
        most = min(most, max(2.5 * max(middle), 1e-12))
    top = drawing.nice_top(most)
    top = min(top, whole) if whole else top
    count = max((len(line.points) for line in of), default=0)
    slots = max(count, drawing.LEAST_SLOTS)
    inner: list[Markup] = []
    parts = drawing.grid(top)
    dots: list[Markup] = []
    for number, line in enumerate(of):
        if not number:
            inner += _band(line.points, slots, top)
        inner += _strokes(line.points, slots, top, f"line line-{number + 1}")
        dots += _dots(line.points, slots, top, f"dot dot-{number + 1}", are_all=count <= MOST_DOTS)
    stretched = Markup(
        '<svg x="0" y="0" width="100%" height="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>'
    ).format(drawing.HEIGHT, ACROSS, drawing.HEIGHT, Markup("").join(inner))
    parts += [stretched, *dots]
    labels = [p.label for p in of[0].points] if of else []
    parts += [drawing.target(n, slots, _said(label, n, of, show)) for n, label in enumerate(labels)]
    parts += drawing.labels(labels, slots)
    has_band = any(p.high is not None for line in of[:1] for p in line.points)
    head = ("day", *(line.name for line in of), *(("95 % interval",) if has_band else ()))
    rows = [
        (
            label,
            *("–" if (v := line.points[n].value) is None else show(v) for line in of),
            *((_between(of[0].points[n].low, of[0].points[n].high, show),) if has_band else ()),
        )
        for n, label in enumerate(labels)
    ]
    told = "; ".join(_line_words(line, show) for line in of)
    legend = (
        tuple((f"line-{n + 1}", one_line(line.name, drawing.NAME_CHARS)) for n, line in enumerate(of)) if of[1:] else ()
    )
    return Chart(
        title,
        drawing.plot(ident, title, told or "no data", parts, drawing.scale(top, show)),
        head,
        tuple(rows),
        (*legend, *((("band", "95 % interval"),) if has_band else ())),
        is_empty=not ends,
    )


def stacked(
    ident: str,
    title: str,
    labels: Sequence[str],
    layers: Sequence[tuple[str, Sequence[float]]],
    show: Callable[[float], str],
) -> Chart:
    """Return stacked bars; `layers`: a name and a value for each label, the lowest first."""
    totals = [sum(values[n] for _, values in layers) for n in range(len(labels))]
    top = drawing.nice_top(max(totals, default=0))
    slots = max(len(labels), drawing.LEAST_SLOTS)
    parts = drawing.grid(top)
    for n, label in enumerate(labels):
        x, wide = drawing.slot(n, slots)
        below = 0.0
        for number, (_, values) in enumerate(layers):
            if values[n] > 0:
                ends = drawing.y_of(below + values[n], top), drawing.y_of(below, top)
                parts.append(drawing.rect(f"layer layer-{number + 1}", x, wide, *ends))
            below += values[n]
        said = ", ".join(f"{name} {show(values[n])}" for name, values in layers)
        parts.append(drawing.target(n, slots, f"{label}: {said}"))
    parts += drawing.labels(labels, slots)
    sums = ", ".join(f"{name} {show(sum(values))}" for name, values in layers)
    return Chart(
        title,
        drawing.plot(ident, title, f"In all: {sums}", parts, drawing.scale(top, show)),
        ("day", *(name for name, _ in layers)),
        tuple((label, *(show(values[n]) for _, values in layers)) for n, label in enumerate(labels)),
        tuple((f"layer-{n + 1}", one_line(name, drawing.NAME_CHARS)) for n, (name, _) in enumerate(layers))
        if layers
        else (),
        is_empty=not any(totals),
    )


def segments(ident: str, title: str, of: Sequence[Segment], show: Callable[[float], str]) -> Chart:
    """Return one bar of parts in their order; the legend has the numbers."""
    total = sum(max(s.count, 0.0) for s in of)
    parts, x = [], 0.0
    for s in of:
        wide = 100 * max(s.count, 0.0) / total if total else 0.0
        if wide:
            said = f"{one_line(s.name, drawing.NAME_CHARS)}: {show(s.count)}"
            parts.append(
                Markup('<rect class="part {}" x="{}%" y="0" width="{}%" height="14"><title>{}</title></rect>').format(
                    s.kind, drawing.short(x), drawing.short(wide), said
                )
            )
        x += wide
    told = ", ".join(f"{s.name} {show(s.count)}" for s in of)
    return Chart(
        title,
        drawing.svg(ident, title, told, parts, height=14, kind="segments"),
        ("part", "count"),
        tuple((s.name, show(s.count)) for s in of),
        tuple((s.kind, f"{show(s.count)} {one_line(s.name, drawing.NAME_CHARS)}") for s in of),
        is_empty=not total,
    )


def sparkline(values: Sequence[float], title: str) -> Markup:
    """Return bars that fit into a line of text; all of nothing are a base line."""
    wide, high = SPARK
    top = max(values, default=0) or 1
    slot = wide / max(len(values), 1)
    bars = Markup("").join(
        Markup('<rect class="bar" x="{}" y="{}" width="{}" height="{}"/>').format(
            drawing.short(n * slot + slot * 0.12),
            drawing.short(high - tall),
            drawing.short(slot * 0.76),
            drawing.short(tall),
        )
        for n, v in enumerate(values)
        if (tall := max((high - 2) * v / top, 2.0 if v > 0 else 0.0))
    )
    return Markup(
        '<svg class="spark" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img" aria-label="{}">'
        '<line class="axis" x1="0" y1="{y}" x2="{w}" y2="{y}"/>{}</svg>'
    ).format(drawing.cleaned(title), bars, w=wide, h=high, y=high - 0.5)


def _band(points: Sequence[Point], slots: int, top: float) -> list[Markup]:
    """Return the interval as areas of neighbours that have one; one alone is a post."""
    runs: list[list[tuple[float, float, float]]] = [[]]
    for n, p in enumerate(points):
        if p.low is None or p.high is None:
            runs.append([])
        else:
            runs[-1].append(
                (drawing.middle(n, slots) * ACROSS / 100, drawing.y_of(min(p.high, top), top), drawing.y_of(p.low, top))
            )
    made = []
    for run in runs:
        if len(run) == 1:
            ((x, high, low),) = run
            run = [(x - 6, high, low), (x + 6, high, low)]  # noqa: PLW2901 - a post is a run of two
        if run:
            path = [(x, high) for x, high, _ in run] + [(x, low) for x, _, low in reversed(run)]
            made.append(
                Markup('<path class="band" d="M{}Z"/>').format(
                    "L".join(f"{drawing.short(x)} {drawing.short(y)}" for x, y in path)
                )
            )
    return made


def _strokes(points: Sequence[Point], slots: int, top: float, kind: str) -> list[Markup]:
    runs: list[list[str]] = [[]]
    for n, p in enumerate(points):
        if p.value is None:
            runs.append([])
        else:
            x, y = drawing.middle(n, slots) * ACROSS / 100, drawing.y_of(min(p.value, top), top)
            runs[-1].append(f"{drawing.short(x)} {drawing.short(y)}")
    return [
        Markup('<path class="{}" d="M{}" vector-effect="non-scaling-stroke"/>').format(kind, "L".join(run))
        for run in runs
        if len(run) > 1
    ]


def _dots(points: Sequence[Point], slots: int, top: float, kind: str, *, are_all: bool) -> list[Markup]:
    """Return a dot for each value; of many only for those that have no neighbour, which no line shows."""
    made = []
    for n, p in enumerate(points):
        if p.value is None:
            continue
        around = [q.value for q in (*points[max(n - 1, 0) : n], *points[n + 1 : n + 2])]
        if are_all or all(v is None for v in around):
            at = drawing.short(drawing.middle(n, slots)), drawing.short(drawing.y_of(min(p.value, top), top))
            made.append(Markup('<circle class="{}" cx="{}%" cy="{}" r="2.5"/>').format(kind, *at))
    return made


def _said(label: str, n: int, of: Sequence[Line], show: Callable[[float], str]) -> str:
    told = []
    for number, line in enumerate(of):
        p = line.points[n]
        value = "not enough to tell" if p.value is None else show(p.value)
        band = _band_words(p.low, p.high, show) if not number else ""
        told.append(f"{line.name + ' ' if of[1:] else ''}{value}{band}")
    return f"{label}: {', '.join(told)}"


def _line_words(line: Line, show: Callable[[float], str]) -> str:
    values = [p.value for p in line.points if p.value is not None]
    if not values:
        return f"{line.name}: no value"
    return f"{line.name}: from {show(min(values))} to {show(max(values))}, last {show(values[-1])}"


def _band_words(low: float | None, high: float | None, show: Callable[[float], str]) -> str:
    return "" if low is None or high is None else f" ({_between(low, high, show)})"


def _between(low: float | None, high: float | None, show: Callable[[float], str]) -> str:
    return "–" if low is None or high is None else f"{show(low)} to {show(high)}"


def _most(bars: Sequence[Bar]) -> float:
    return max((b.value for b in bars), default=0.0)
