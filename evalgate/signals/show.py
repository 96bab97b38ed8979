"""Signals for people and for machines."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from evalgate.layout import Fit
from evalgate.signals.priority import MORE
from evalgate.signals.weights import PATTERN
from evalgate.signals.words import SHORT_ID, cohort_words, part_words, words_of
from evalgate.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evalgate.signals.measure import Signals
    from evalgate.signals.priority import Priority
    from evalgate.signals.weights import Weights
    from evalgate.terminal import Terminal

MAX_WORDS_CHARS = 160
LEAST_SHOWN = 0.5
"""Points of a part that the list names; `explain` and JSON have all."""


def print_list(terminal: Terminal, signals: Signals, priority: Priority, rows: Iterable[int]) -> None:
    """Print a table: the most deserving traces, and what adds up to that."""
    p = signals.population
    cells = [
        (
            str(p.trace[r][:SHORT_ID]),
            _points(float(priority.score[r])),
            one_line(str(p.root[r]), 32),
            _parts(signals, priority, r),
        )
        for r in rows
    ]
    fits = {"name": Fit.CUT, "points": Fit.WHOLE, "why": Fit.WORDS}
    terminal.table(("trace", "points", "name", "why"), cells, fits=fits)


def print_trace(terminal: Terminal, signals: Signals, priority: Priority, weights: Weights, row: int) -> None:
    """Print every signal of one trace: what it adds, how strong it is, and what was found."""
    p = signals.population
    terminal.say(f"trace {p.trace[row]}", style="bold")
    place = int((priority.score > priority.score[row]).sum()) + 1
    terminal.say(f"  priority  {_points(float(priority.score[row]))}, place {place} of {p.size}")
    terminal.say(f"  cohort    {one_line(cohort_words(signals, row))}")
    cells = []
    for name in sorted(priority.parts, key=lambda n: -priority.parts[n][row]):
        points = float(priority.parts[name][row])
        if name == MORE and points == 0:
            continue
        told = one_line(part_words(signals, priority, name, row), MAX_WORDS_CHARS)
        added = (
            f"{_points(points)} of {_points(weights.of(name))}" if points > 0 else _points(points) if points else "–"
        )
        cells.append((name, added, told))
    terminal.table(("signal", "points", "found"), cells, fits={"points": Fit.WHOLE})


def trace_json(signals: Signals, priority: Priority, row: int) -> dict[str, Any]:
    """Return one trace as JSON: its score, its parts, and every signal with its number."""
    p = signals.population
    return {
        "trace_id": str(p.trace[row]),
        "start_time": datetime.fromtimestamp(int(p.start_ns[row]) / 1e9, UTC).isoformat(),
        "service_name": str(p.service[row]),
        "root_name": str(p.root[row]),
        "session_id": str(p.session[row]),
        "failing": bool(p.failing[row]),
        "sample_weight": float(p.weight[row]),
        "cohort": cohort_words(signals, row),
        "priority": round(float(priority.score[row]), 3),
        "parts": {name: round(points, 3) for name, points in priority.parts_of(row).items()},
        "signals": {
            name: {
                "value": _number(float(column.value[row])),
                "strength": round(float(column.strength[row]), 4),
                "compared_with": _number(float(column.compared[row])),
                "words": words_of(signals, name, row),
            }
            for name, column in signals.columns.items()
        },
        "pattern": {"traces": int(signals.pattern_size[row]), "words": words_of(signals, PATTERN, row)},
    }


def _parts(signals: Signals, priority: Priority, row: int) -> str:
    said = []
    for name, points in priority.parts_of(row).items():
        if abs(points) < LEAST_SHOWN:
            continue
        if name not in (PATTERN, MORE):
            said.append(f"{name} +{_points(points)} ({one_line(words_of(signals, name, row), 70)})")
        else:
            said.append(f"{name} {'+' if points > 0 else ''}{_points(points)}")
    return ", ".join(said) or "nothing unusual"


def _points(points: float) -> str:
    return f"{points:.1f}".removesuffix(".0")


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
