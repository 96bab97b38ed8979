"""Pictures as SVG in the page: scores, cases before and now, rates with their intervals. Sizes in CSS pixels.

Each has a title and a description in words, and no style of its own: classes take the page's colours. Numbers are
ours; names are content and escaped.
"""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import TYPE_CHECKING, Final

from evalgate.figures import percent
from evalgate.gate.report.safe import line, xml
from evalgate.gate.report.words import interval
from evalgate.terminal import count_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from evalgate.gate.base import Base
    from evalgate.gate.decision import EvalResult
    from schema.run import Result, Run

BINS: Final = 10
MOST_PICTURES: Final = 8
MOST_ROWS: Final = 40
NAME_CHARS: Final = 40
TITLES: Final = {
    "rates": "Pass rates, their 95 % intervals, and what they need",
    "paired": "Each case before and now",
}


def score_pictures(run: Run, results: Sequence[EvalResult]) -> list[tuple[str, str]]:
    """Return histograms with their titles: of the cases, and of each evaluator that gives more than 0 and 1."""
    pass_at = {e.id: e.pass_at for e in run.evaluators}
    ids = count(1)
    pictures = []
    means = [m for r in run.results if (m := r.mean_score) is not None]
    if means:
        title = "Mean score of each case"
        pictures.append((title, histogram(means, title, None, f"scores-{next(ids)}")))
    for e in results:
        scores = [s for r in run.results if (s := r.score_of(e.evaluator)) is not None]
        if any(0 < s < 1 for s in scores) and len(pictures) < MOST_PICTURES:
            title = f"Scores of {line(e.evaluator, NAME_CHARS)}"
            pictures.append((title, histogram(scores, title, pass_at.get(e.evaluator), f"scores-{next(ids)}")))
    return pictures


def histogram(scores: Sequence[float], title: str, pass_at: float | None, ident: str) -> str:
    """Return how scores from 0 to 1 are spread over ten bins; 1 is in the last one."""
    counts = Counter(min(BINS - 1, max(0, int(s * BINS))) for s in scores)
    most = max(counts.values(), default=1)
    left, top, wide, high = 10, 34, 28, 120
    told = ", ".join(f"{b / BINS:.1f} to {(b + 1) / BINS:.1f}: {counts[b]}" for b in range(BINS) if counts[b])
    parts = []
    for b in range(BINS):
        tall = high * counts[b] / most
        x = left + b * wide
        state = "" if pass_at is None else " good" if b / BINS >= pass_at - 1e-9 else " bad"
        if counts[b]:
            size = f'width="{wide - 4}" height="{tall:.1f}"'
            parts.append(f'<rect class="bar{state}" x="{x + 2}" y="{top + high - tall:.1f}" {size}/>')
            parts.append(_text(x + wide / 2, top + high - tall - 4, str(counts[b]), "middle"))
    base = top + high
    parts.append(f'<line class="axis" x1="{left}" y1="{base}" x2="{left + BINS * wide}" y2="{base}"/>')
    parts += [_text(left + share * BINS * wide, base + 16, f"{share:g}", "middle") for share in (0, 0.5, 1)]
    if pass_at is not None:
        at = left + pass_at * BINS * wide
        parts.append(f'<line class="limit" x1="{at:.1f}" y1="{top - 12}" x2="{at:.1f}" y2="{base}"/>')
        parts.append(_text(at - 4, top - 16, f"passes at {pass_at:g}", "end"))
    return _svg(ident, (left * 2 + BINS * wide, base + 24), title, f"{count_of(len(scores), 'score')}. {told}", parts)


def rates_picture(results: Iterable[EvalResult]) -> str | None:
    """Return pass rates with their 95 % intervals against the thresholds, one row an evaluator."""
    rows = [e for e in results if e.pass_rate is not None and not e.skipped]
    if not rows:
        return None
    shown = sorted(rows, key=lambda e: (e.passed is not False, e.pass_rate or 0))[:MOST_ROWS]
    left, wide, top, step = 20, 300, 26, 40
    bottom = top + step * len(shown)
    parts = [
        f'<line class="grid" x1="{left + s * wide:g}" y1="{top - 6}" x2="{left + s * wide:g}" y2="{bottom}"/>'
        for s in (0, 0.25, 0.5, 0.75, 1)
    ]
    parts += [_text(left + s * wide, top - 10, percent(s), "middle") for s in (0, 0.5, 1)]
    told = []
    for number, e in enumerate(shown):
        y = top + step * number + 28
        low, high = e.interval or (0.0, 1.0)
        state = "good" if e.passed else "bad"
        rate = e.pass_rate or 0.0
        parts.append(_text(left + 4, y - 12, line(e.evaluator, NAME_CHARS), "start"))
        ends = f'x1="{left + low * wide:.1f}" y1="{y}" x2="{left + high * wide:.1f}" y2="{y}"'
        parts.append(f'<line class="range {state}" {ends}/>')
        at = left + e.threshold * wide
        parts.append(f'<line class="limit" x1="{at:.1f}" y1="{y - 9}" x2="{at:.1f}" y2="{y + 9}"/>')
        parts.append(_dot(left + rate * wide, y, state, passed=bool(e.passed)))
        told.append(f"{e.evaluator} {percent(rate)}, {interval((low, high))}, needs {percent(e.threshold)}")
    more = f" {len(rows) - len(shown)} more are in the table." if len(rows) > len(shown) else ""
    return _svg("rates", (left * 2 + wide, bottom + 8), TITLES["rates"], f"{'; '.join(told)}.{more}", parts)


def paired_picture(run: Run, base: Base | None) -> str | None:
    """Return each case's mean score before against now; where many coincide, one dot with their number."""
    if base is None:
        return None
    pairs = Counter(_pairs(run.results, base))
    if not pairs:
        return None
    size, left, top = 230, 62, 26
    bottom = top + size
    parts = [
        f'<rect class="frame" x="{left}" y="{top}" width="{size}" height="{size}"/>',
        f'<line class="limit" x1="{left}" y1="{bottom}" x2="{left + size}" y2="{top}"/>',
    ]
    most = max(pairs.values())
    for (before, now), n in sorted(pairs.items()):
        state = "good" if now > before else "bad" if now < before else "same"
        radius = 4 + 14 * (n / most) ** 0.5 if n > 1 else 4
        x, y = left + before * size, bottom - now * size
        parts.append(f'<circle class="dot {state}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>')
        if n > 1:
            parts.append(_text(x, y + 4, str(n), "middle", "count"))
    parts += [_text(left + s * size, bottom + 34, f"{s:g}", "middle") for s in (0, 0.5, 1)]
    parts += [_text(left - 26, bottom - s * size + 4, f"{s:g}", "end") for s in (0, 0.5, 1)]
    parts.append(_text(left + size / 2, bottom + 52, "score before", "middle"))
    parts.append(_text(left + 22, top + 24, "now better", "start"))
    parts.append(_text(left + size - 26, bottom - 16, "now worse", "end"))
    worse = sum(n for (b, a), n in pairs.items() if a < b)
    better = sum(n for (b, a), n in pairs.items() if a > b)
    total = sum(pairs.values())
    told = f"{count_of(total, 'case')} in both: {better} better, {worse} worse, {total - better - worse} the same."
    return _svg("paired", (left + size + 28, bottom + 60), TITLES["paired"], told, parts)


def _pairs(results: Iterable[Result], base: Base) -> Iterator[tuple[float, float]]:
    """Yield the mean scores of a case before and now, by the evaluators that gave one in both, to the twentieth."""
    for r in results:
        before = base.cases.get(r.case_id)
        if before is None or before.content_hash != r.content_hash:
            continue
        both = [(old, new) for e, old in before.scores.items() if (new := r.score_of(e)) is not None]
        if both:
            yield _grid(sum(o for o, _ in both) / len(both)), _grid(sum(n for _, n in both) / len(both))


def _grid(score: float) -> float:
    return min(1.0, max(0.0, round(score * 20) / 20))


def _dot(x: float, y: float, state: str, *, passed: bool) -> str:
    """Return a disc for what reaches its threshold and a square for what does not: colour is not all."""
    if passed:
        return f'<circle class="dot {state}" cx="{x:.1f}" cy="{y}" r="5"/>'
    return f'<rect class="dot {state}" x="{x - 5:.1f}" y="{y - 5}" width="10" height="10"/>'


def _text(x: float, y: float, said: str, anchor: str, kind: str = "") -> str:
    klass = f' class="{kind}"' if kind else ""
    return f'<text{klass} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{xml(said, 100)}</text>'


def _svg(ident: str, size: tuple[float, float], title: str, told: str, parts: Sequence[str]) -> str:
    wide, high = size
    return (
        f'<svg viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" height="{high:g}" role="img" '
        f'aria-labelledby="{ident}-title {ident}-told"><title id="{ident}-title">{xml(title, 100)}</title>'
        f'<desc id="{ident}-told">{xml(told, 2000)}</desc>{"".join(parts)}</svg>'
    )
