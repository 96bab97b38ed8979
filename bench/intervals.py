"""Simulate sampling policies, and count how many 95 % intervals of the failing rate hold the truth.

    python bench/intervals.py [--populations 4000] [--seed 1] [--picture] [--json]

A cell is a policy, a number of traces, a failing rate and a baseline rate; in each, so many populations are drawn and
sampled (bench/tools/populations.py). Ways to make an interval, from the same sums:

    ours                   evalgate/stats/estimate.py: what `evalgate stats` tells
    ours without sessions  the same, traces of a session taken to be independent
    Wilson, Kish's n       the weighted rate, as if of (Σw)² / Σw² equal traces
    normal, weighted       the weighted rate ± 1.96 of its linearised standard error
    Wilson, unweighted     of the rows that are left, as they are

Cells in which a rate is told in less than nine of ten populations are judged apart: there an interval may be too wide,
never too narrow. Where one failure in ten comes late, or some do at 1 %, figures are shown and have no target: the
sample seldom sees them, and docs/statistics.md says what is lost.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.tools.machine import RESULTS, keep, machine, settings
from bench.tools.measure import work_folder
from bench.tools.pictures import IMAGES, spread
from bench.tools.populations import (
    Part,
    Reading,
    behind_a_sampler,
    draw,
    late,
    mixed,
    mode_truth,
    often_late,
    plain,
    read,
    rules,
    sessions,
    truth,
)
from bench.tools.report import Check, Document, markdown_table
from evalgate.stats.estimate import Sums, rates
from evalgate.stats.measures import MIN_EVENTS
from evalgate.stats.strata import overall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from bench.tools.populations import Policy

    Limits = tuple[NDArray[np.float64], NDArray[np.float64]]

NOMINAL: Final = (0.93, 0.97)
MOSTLY: Final = 0.9
Z_95: Final = 1.959963984540054
SESSIONS_AT_ONCE: Final = 10_000_000
OURS: Final = "ours"
LATE: Final = "1 in 20 late"
OFTEN_LATE: Final = "1 in 10 late"
LATE_AT_1: Final = "1 in 20 late, at 1 %"
NO_TARGET: Final = frozenset({OFTEN_LATE, LATE_AT_1})

TRACES: Final = (200, 500, 2_000, 10_000, 50_000)
FAILING: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
RATES: Final = (0.01, 0.03, 0.1, 0.25, 0.5)
POLICIES: Final[dict[str, tuple[Callable[[int, float, float], Policy], Sequence[int], Sequence[float]]]] = {
    "one rate": (plain, TRACES, RATES),
    "several rates": (rules, TRACES, RATES),
    "half has expired": (mixed, TRACES, RATES),
    "behind a sampler": (behind_a_sampler, TRACES, RATES),
    "sessions": (sessions, TRACES[:4], RATES),
    LATE: (late, TRACES, RATES[2:]),
    OFTEN_LATE: (often_late, TRACES, RATES[2:]),
    LATE_AT_1: (late, TRACES, RATES[:1]),
}
LABELS: Final = "modes, labelled"
READINGS: Final = tuple(
    Reading(*shares, *modes)
    for shares, modes in product(((1.0, 0.5), (0.5, 0.1), (0.2, 0.05)), ((0.3, 0.02), (0.1, 0.1), (0.6, 0.01)))
)
SMOKE: Final = (TRACES[2:3], FAILING[3:5], RATES[2:3])

Point = dict[str, Any]
"""policy, traces, failing, rate, way, coverage, told."""


def without_sessions(sums: Sums) -> Sums:
    """Return the sums as if each trace were a session of its own."""
    nothing = np.zeros(sums.weight.shape)
    rest = np.maximum(sums.weight2 - sums.event_weight2, 0.0)
    return replace(sums, session_aa=sums.event_weight2, session_ac=nothing, session_cc=rest)


def ways(sums: Sums) -> Iterator[tuple[str, Limits]]:
    """Yield the intervals by each way."""
    found = rates(sums)
    yield OURS, (found.low, found.high)
    alone = rates(without_sessions(sums))
    yield "ours without sessions", (alone.low, alone.high)
    n = np.maximum(sums.weight * sums.weight / np.maximum(sums.weight2, 1e-300), 1e-9)
    rate = np.nan_to_num(found.rate)
    yield "Wilson, Kish's n", wilson(rate, n)
    rest2 = np.maximum(sums.weight2 - sums.event_weight2, 0.0)
    variance = (sums.event_weight2 * (1 - rate) ** 2 + rest2 * rate**2) / np.maximum(sums.weight, 1e-9) ** 2
    half = Z_95 * np.sqrt(variance)
    yield "normal, weighted", (rate - half, rate + half)
    rows = np.maximum(sums.traces, 1e-9)
    yield "Wilson, unweighted", wilson(sums.events / rows, rows)


def wilson(rate: NDArray[np.float64], n: NDArray[np.float64]) -> Limits:
    """Return Wilson's interval, elementwise."""
    z2 = Z_95 * Z_95
    centre = rate + z2 / (2 * n)
    half = Z_95 * np.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    return (centre - half) / (1 + z2 / n), (centre + half) / (1 + z2 / n)


def cell(name: str, parts: Policy, at: tuple[int, float, float], populations: int, random: Generator) -> list[Point]:
    """Return the coverage of each way in one cell."""
    traces, failing, rate = at
    most = SESSIONS_AT_ONCE * 4 // traces if any(p.session_size > 1 for p in parts) else populations
    sums = draw(parts, min(populations, most), random).sums
    told, true = float(rates(sums).sufficient.mean()), truth(parts)
    common = {"policy": name, "traces": traces, "failing": failing, "rate": rate, "told": round(told, 4)}
    return [{**common, "way": way, "coverage": _inside(limits, true)} for way, limits in ways(sums)]


def labelled(populations: int, random: Generator, sizes: Sequence[int]) -> list[Point]:
    """Return the coverage of ours for failure modes of which some traces are labelled."""
    points = []
    for traces, failing, rate, reading in product(sizes, (0.01, 0.1), (0.03, 0.1), READINGS):
        part = Part(traces, failing, rate)
        p, shown, others = (rates(s) for s in read(part, reading, populations, random))
        found = overall(p, shown, others, min_events=MIN_EVENTS)
        told = round(float(found.sufficient.mean()), 4)
        common = {"policy": LABELS, "traces": traces, "failing": failing, "rate": rate, "told": told, "way": OURS}
        points.append({**common, "coverage": _inside((found.low, found.high), mode_truth(part, reading))})
    return points


def measure(populations: int, seed: int, *, smoke: bool) -> list[Point]:
    """Return the coverage of each way in every cell."""
    random = np.random.default_rng(seed)
    points = []
    for name, (policy, sizes, baseline) in POLICIES.items():
        for at in product(
            *(SMOKE if smoke and name not in NO_TARGET else (sizes[:1] if smoke else sizes, FAILING, baseline))
        ):
            points += cell(name, policy(*at), at, populations, random)
    return points + labelled(populations, random, (2_000,) if smoke else (2_000, 20_000, 50_000))


def _inside(limits: Limits, true: float) -> float:
    low, high = limits
    return round(float(np.mean((low <= true) & (true <= high))), 4)


def _lines(document: Document) -> list[list[str]]:
    lines = []
    found: dict[tuple[str, str], list[Point]] = {}
    for point in document["points"]:
        found.setdefault((point["policy"], point["way"]), []).append(point)
    for (policy, way), points in found.items():
        told = [p["coverage"] for p in points if p["told"] >= MOSTLY]
        rest = [p["coverage"] for p in points if p["told"] < MOSTLY]
        middle = f"{np.mean(told):.1%}" if told else "–"
        lines.append([policy, way, f"{len(told)} of {len(points)}", _range(told), middle, _range(rest)])
    return lines


def _range(coverages: Sequence[float]) -> str:
    return f"{min(coverages):.1%} to {max(coverages):.1%}" if coverages else "–"


HEADER: Final = ("policy", "interval", "cells with a rate", "hold the truth", "mean", "cells without a rate")


def checks(document: Document) -> list[Check]:
    """Return the least and the greatest coverage of ours where a rate is told, and the least where none is."""
    ours = [p for p in document["points"] if p["way"] == OURS and p["policy"] not in NO_TARGET]
    told = [p["coverage"] for p in ours if p["told"] >= MOSTLY and p["policy"] != LABELS]
    modes = [p["coverage"] for p in ours if p["told"] >= MOSTLY and p["policy"] == LABELS]
    rest = [p["coverage"] for p in ours if p["told"] < MOSTLY]
    return [
        Check("intervals, rates: least coverage", min(told, default=0.0), NOMINAL[0], at_least=True),
        Check("intervals, rates: greatest coverage", max(told, default=1.0), NOMINAL[1]),
        Check("intervals, modes: least coverage", min(modes, default=0.0), NOMINAL[0], at_least=True),
        Check("intervals, no rate told: least coverage", min(rest, default=1.0), NOMINAL[0], at_least=True),
    ]


def markdown(document: Document) -> str:
    """Return a line for each policy and way."""
    return markdown_table(HEADER, _lines(document))


def picture(document: Document, folder: Path = IMAGES) -> Path:
    """Draw every cell in which a rate is told."""
    where = f"{document['machine']['at'][:10]} · {document['machine']['commit']}"
    rows = [p for p in document["points"] if p["told"] >= MOSTLY]
    title = f"How many 95 % intervals hold the failing rate; a tick is a cell, the band 93 to 97 % · {where}"
    return spread(rows, folder / "intervals.svg", title=title, band=NOMINAL)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--populations", type=int, default=4_000, help="in each cell")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--picture", nargs="?", type=Path, const=IMAGES, help="draw it: in docs/images, or a folder")
    parser.add_argument("--smoke", action="store_true", help="few cells: does everything run?")
    parser.add_argument("--json", action="store_true", help="print the raw results instead of a table")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the raw results")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 1 when a told interval of ours is too narrow or too wide."""
    options = parse(arguments)
    if options.smoke:
        options.populations = 400
    points = measure(options.populations, options.seed, smoke=options.smoke)
    with work_folder() as folder:
        kept: Document = {"machine": machine(folder), "options": settings(options), "points": points}
    if options.json:
        print(json.dumps(kept, indent=1))
    else:
        table = Table(*HEADER)
        for line in _lines(kept):
            table.add_row(*line)
        Console(width=130).print(table)
    if options.picture:
        print(f"picture: {picture(kept, options.picture)}", file=sys.stderr)
    if not options.smoke:
        print(f"raw results: {keep('intervals', kept, options.results)}", file=sys.stderr)
    return 0 if options.smoke or all(c.is_met for c in checks(kept)) else 1


if __name__ == "__main__":
    sys.exit(main())
