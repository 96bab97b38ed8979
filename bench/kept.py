"""Count how often the gate is red for an unchanged target when one baseline is kept, lucky or not.

    python bench/kept.py [--baselines 30] [--runs 30] [--seed 1] [--json]

The promise of one false alarm in twenty is of base and run that are drawn alike. A baseline that was accepted is drawn
once: its luck is in every comparison. Sixty cases pass with a chance of 0.6; the baseline is one run, or the best of
ten; so many runs of the same target are judged by the paired checks, for each of so many baselines.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.gate import World, draw, results_of, side_of
from bench.tools.machine import RESULTS, keep, machine, settings
from bench.tools.measure import work_folder
from evalgate.gate.base import Base
from evalgate.gate.decision import CheckStatus
from evalgate.gate.paired import Pairs, paired_checks
from evalgate.gate.policy import GatePolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator

CASES: Final = 60
CHANCE: Final = 0.6


@dataclass(frozen=True, slots=True)
class Way:
    """How a baseline is kept."""

    accepted: int
    """Attempts of the run that was accepted."""
    attempts: int
    """Of the runs that are compared with it."""
    best_of: int
    """It is the best of so many runs."""


WAYS: Final = (Way(1, 1, 1), Way(1, 1, 10), Way(5, 5, 1), Way(5, 5, 10), Way(10, 1, 1), Way(10, 1, 10))


def measure(way: Way, baselines: int, runs: int, random: Generator) -> dict[str, Any]:
    """Return how many of the runs were red: over all baselines, and with the worst of them."""
    policy = GatePolicy(resamples=2000)
    world = World("kept", CASES, repeats=way.attempts)
    accepted = replace(world, repeats=way.accepted)
    chances, results = np.full(CASES, CHANCE), results_of(world)
    shares = []
    for _ in range(baselines):
        then = max((draw(accepted, 0.0, chances, random) for _ in range(way.best_of)), key=lambda s: float(s.mean()))
        base = Base("base", "v", None, {}, side_of(accepted, then))
        red = 0
        for _ in range(runs):
            now = side_of(world, draw(world, 0.0, chances, random))
            checks = paired_checks(Pairs(base, now, frozenset(), tuple(base.cases)), results, policy)
            red += any(c.status is CheckStatus.FAIL for c in checks if c.blocking)
        shares.append(red / runs)
    return {
        "accepted_attempts": way.accepted,
        "attempts": way.attempts,
        "best_of": way.best_of,
        "red": sum(shares) / len(shares),
        "red_with_the_worst": max(shares),
    }


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--baselines", type=int, default=30)
    parser.add_argument("--runs", type=int, default=30, help="for each baseline")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the raw results instead of a table")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the raw results")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench."""
    options = parse(arguments)
    points = [
        measure(way, options.baselines, options.runs, np.random.default_rng(options.seed + n))
        for n, way in enumerate(WAYS)
    ]
    with work_folder() as folder:
        kept = {"machine": machine(folder), "options": settings(options), "points": points}
    if options.json:
        print(json.dumps(kept, indent=1))
    else:
        table = Table("accepted: attempts", "run: attempts", "best of", "red", "with the worst baseline")
        for p in points:
            counts = (p["accepted_attempts"], p["attempts"], p["best_of"])
            table.add_row(*map(str, counts), f"{p['red']:.1%}", f"{p['red_with_the_worst']:.0%}")
        Console().print(table)
    print(f"raw results: {keep('kept', kept, options.results)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
