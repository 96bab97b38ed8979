"""A trace as a waterfall: rows of a tree with the place of each bar. Pure; nothing here knows of HTML.

The window is from the first start to the last end of the spans that are shown. Places are in thousandths of it, so that
a picture of any width can use them. Clocks of services differ and spans may end before they start: a bar is put where
its own span says, cut to the window, and never narrower than can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evalgate.select.reading import tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalgate.select.traces import Span

WIDTH: Final = 1000.0
LEAST_WIDTH: Final = 2.0
"""Of a bar: a span of no duration is seen."""
MAX_DEPTH: Final = 16
"""At which rows are no longer moved to the right; the number of the level is in the text."""
TICKS: Final = 4


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of the waterfall."""

    span: Span
    depth: int
    children: int
    x: float
    width: float
    offset_ms: float
    """From the start of the window."""
    is_critical: bool
    """On the way of spans that decided when the trace ended."""
    is_failed: bool


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The rows that are shown, and what is left out."""

    bars: tuple[Bar, ...]
    total: int
    duration_ms: float
    ticks_ms: tuple[float, ...]
    """Evenly over the window, its end included."""

    @property
    def left_out(self) -> int:
        """How many spans are not shown."""
        return self.total - len(self.bars)


def waterfall(spans: tuple[Span, ...], limit: int | None = None) -> Waterfall:
    """Lay out spans as a tree; with a limit, the first of the tree and every one that failed, with what is above it.

    What failed may take half of the limit: a trace in which everything fails is still read from its beginning.
    """
    ordered = list(tree(spans))
    shown = ordered if limit is None or len(ordered) <= limit else _first(ordered, limit)
    start = min((s.start_unix_ns for s in spans), default=0)
    end = max((_end_ns(s) for s in spans), default=start)
    window = max(end - start, 1)
    critical = critical_path(spans)
    children = _children(spans)
    bars = []
    for depth, span in shown:
        x = min((span.start_unix_ns - start) / window * WIDTH, WIDTH - LEAST_WIDTH)
        width = min(max((_end_ns(span) - span.start_unix_ns) / window * WIDTH, LEAST_WIDTH), WIDTH - x)
        bars.append(
            Bar(
                span=span,
                depth=depth,
                children=len(children.get(span.span_id, ())),
                x=round(x, 2),
                width=round(width, 2),
                offset_ms=(span.start_unix_ns - start) / 1e6,
                is_critical=span.span_id in critical,
                is_failed=span.failing or span.error,
            )
        )
    duration_ms = (end - start) / 1e6
    ticks = tuple(duration_ms * i / TICKS for i in range(TICKS + 1))
    return Waterfall(tuple(bars), len(ordered), duration_ms, ticks)


def critical_path(spans: Sequence[Span]) -> frozenset[str]:
    """Return the spans that decided when the trace ended: to make any other one faster would not have helped.

    From the end of the last root backwards: the child that ends last before the moment is on the path, then the one
    that ends last before that child began, and so on, each with its own children. A child that ends after its parent
    (work that nobody waited for) is not waited for here either.
    """
    if not spans:
        return frozenset()
    children = _children(spans)
    ids = {s.span_id for s in spans}
    roots = [s for s in spans if s.parent_span_id not in ids] or [spans[0]]
    found: set[str] = set()
    stack = [max(roots, key=_end_ns)]
    while stack:
        span = stack.pop()
        if span.span_id in found:
            continue
        found.add(span.span_id)
        moment = _end_ns(span)
        for child in sorted(children.get(span.span_id, ()), key=_end_ns, reverse=True):
            if _end_ns(child) <= moment and child.start_unix_ns < moment:
                stack.append(child)
                moment = child.start_unix_ns
    return frozenset(found)


def _first(ordered: Sequence[tuple[int, Span]], limit: int) -> list[tuple[int, Span]]:
    above: dict[str, str] = {s.span_id: s.parent_span_id for _, s in ordered}
    kept: set[str] = set()
    for _, span in ordered:
        if not (span.failing or span.error) or len(kept) >= limit // 2:
            continue
        at = span.span_id
        while at in above and at not in kept:
            kept.add(at)
            at = above[at]
    for _, span in ordered:
        if len(kept) >= limit:
            break
        kept.add(span.span_id)
    return [pair for pair in ordered if pair[1].span_id in kept]


def _children(spans: Sequence[Span]) -> Mapping[str, Sequence[Span]]:
    found: dict[str, list[Span]] = {}
    for s in spans:
        found.setdefault(s.parent_span_id, []).append(s)
    return found


def _end_ns(span: Span) -> int:
    return span.start_unix_ns + max(int(span.duration_ms * 1e6), 0)
