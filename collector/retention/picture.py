"""What goes and when, as text."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from collector.retention.survey import GONE, HELD, TRACELESS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from collector.retention.settings import Settings
    from collector.retention.survey import Share

LOOSE: Final = (TRACELESS, GONE)
"""Classes of log records and feedback, not of traces."""
MOST_DAYS: Final = 14
BAR_CELLS: Final = 24
UNITS: Final = ("B", "kB", "MB", "GB", "TB")


@dataclass(slots=True)
class Line:
    """What goes on one day, of one class."""

    goes_on: date | None
    """None: never."""
    kind: str
    traces: int = 0
    spans: int = 0
    records: int = 0
    last_day: date | None = None


def lines(shares: Sequence[Share], settings: Settings, today: date) -> list[Line]:
    """Return what goes by day and class, the first first; what is due already goes today."""
    found: dict[tuple[bool, date, str], Line] = {}
    for share in shares:
        goes = share.goes_on(settings)
        goes = None if goes is None else max(goes, today)
        line = found.setdefault((goes is None, goes or today, share.kind), Line(goes, share.kind))
        line.traces += share.traces
        line.spans += share.spans
        line.records += share.records
        line.last_day = max(line.last_day or share.last_day, share.last_day)
    return [found[key] for key in sorted(found)]


def picture(found: Sequence[Line], today: date, bytes_per_span: float | None) -> Iterator[str]:
    """Yield the lines of a table with a bar for each day, and a last one that sums it up."""
    going = [line for line in found if line.goes_on is not None]
    if not going:
        yield "Nothing goes: nothing is stored that a holding time ends for."
    days = sorted({line.goes_on for line in going if line.goes_on})
    shown = [line for line in going if line.goes_on in days[:MOST_DAYS]]
    largest = max((line.traces or line.records for line in shown), default=0)
    if shown:
        yield f"{'GOES ON':<12}{'CLASS':<10}{'LAST RECEIVED':<15}{'TRACES':>10}{'SPANS':>12}{'SIZE':>11}"
    for line in shown:
        when = "now" if line.goes_on == today else str(line.goes_on)
        is_loose = line.kind in LOOSE
        count = "-" if is_loose else str(line.traces)
        members = f"{line.records} log" if is_loose else str(line.spans)
        size = "-" if is_loose else about(line.spans, bytes_per_span)
        bar = "█" * -(-(line.traces or line.records) * BAR_CELLS // largest) if largest else ""
        row = f"{when:<12}{line.kind:<10}{line.last_day!s:<15}{count:>10}{members:>12}{size:>11}  {bar}"
        yield row.rstrip()
    if more := [line for line in going if line.goes_on in days[MOST_DAYS:]]:
        traces, spans = sum(m.traces for m in more), sum(m.spans for m in more)
        yield (
            f"later, until {days[-1]}: {count_of(traces, 'trace')}, {count_of(spans, 'span')}, "
            f"{about(spans, bytes_per_span)}"
        )
    for line in found:
        if line.goes_on is None:
            why = "held: evalgate hold list" if line.kind == HELD else "kept for ever"
            yield f"never: {_what(line.traces, line.spans, line.records)} ({why})"
    if going:
        yield _summary(going, today, bytes_per_span)


def _summary(going: Sequence[Line], today: date, bytes_per_span: float | None) -> str:
    by_day: dict[date, list[Line]] = defaultdict(list)
    for line in going:
        if line.goes_on is not None:
            by_day[line.goes_on].append(line)
    first = min(by_day)
    traces, spans = sum(line.traces for line in by_day[first]), sum(line.spans for line in by_day[first])
    when = "now, with the next pass" if first == today else f"on {first}"
    what = _what(traces, spans, sum(line.records for line in by_day[first]), about(spans, bytes_per_span))
    return f"The first go {when}: {what}."


def _what(traces: int, spans: int, records: int, size: str = "") -> str:
    told = [count_of(traces, "trace"), count_of(spans, "span"), *([size] if size else [])]
    loose = [f"{count_of(records, 'record')} without a trace"] if records else []
    return ", ".join([*(told if traces or not records else []), *loose])


def count_of(number: int, noun: str) -> str:
    """Return "1 trace", "2 traces"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def about(spans: int, bytes_per_span: float | None) -> str:
    """Return what spans take on disk, in words."""
    if bytes_per_span is None:
        return "size unknown"
    size, unit = spans * bytes_per_span, 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"≈ {size:.0f} {UNITS[unit]}" if size >= 10 or unit == 0 else f"≈ {size:.1f} {UNITS[unit]}"
