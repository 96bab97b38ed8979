"""Simulate reviewers, and count how many 95 % intervals of their agreement hold the truth.

    python bench/agreement.py [--populations 1000] [--seed 1] [--json]

Each reviewer of a trace sees what it is with a chance of √κ, and else says good or bad by the share of bad ones, so any
two agree by κ beyond chance. κ is of two who label all; α of three, of whom two label each trace. Beside κ's interval
stands the usual one: its asymptotic standard error (Fleiss, Cohen, Everitt 1969), as statsmodels has it.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections import Counter
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table
from statsmodels.stats.inter_rater import cohens_kappa

from bench.tools.machine import RESULTS, keep, machine, settings
from bench.tools.measure import work_folder
from bench.tools.report import Check, Document, markdown_table
from schema.statistics import cohen_kappa, krippendorff_alpha

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from schema.statistics import Coefficient

SIZES: Final = (10, 20, 30, 50, 100, 200)
BAD: Final = (0.5, 0.2, 0.1)
"""Shares of bad traces."""
TRUTHS: Final = (0.4, 0.8)
WORDS: Final = np.array(["good", "bad"])
WAYS: Final = ("kappa", "alpha", "unbounded", "asymptotic")
HEADER: Final = (
    "traces",
    "bad",
    "true κ",
    "told",
    "κ holds",
    "α holds",
    "κ without bounds",
    "asymptotic κ",
    "width of κ's",
)
HELD: Final = 0.9
"""The least part of intervals of 95 % that should hold the truth."""
TOLD: Final = 0.9
"""Of the populations of a cell; where coefficients are told less often, those that are told are no fair sample."""


def said(traces: int, bad: float, truth: float, reviewers: int, chance: Generator) -> NDArray[np.int64]:
    """Return what each reviewer says of each trace, 0 good and 1 bad, in the shape (reviewers, traces)."""
    is_bad = chance.random(traces) < bad
    sees = chance.random((reviewers, traces)) < np.sqrt(truth)
    return np.where(sees, is_bad, chance.random((reviewers, traces)) < bad).astype(np.int64)


def measure(traces: int, bad: float, truth: float, populations: int, chance: Generator) -> dict[str, Any]:
    """Return which part of the intervals of one cell holds the truth, and how wide they are."""
    held, told = Counter[str](), Counter[str]()
    width = 0.0
    for _ in range(populations):
        each = said(traces, bad, truth, 3, chance)
        pairs = [(str(WORDS[a]), str(WORDS[b])) for a, b in zip(each[0], each[1], strict=True)]
        left_out = chance.integers(0, 3, traces)
        items = [[str(WORDS[each[r, i]]) for r in range(3) if r != left_out[i]] for i in range(traces)]
        kappa = cohen_kappa(pairs)
        found = {
            "kappa": limits(kappa),
            "alpha": limits(krippendorff_alpha(items)),
            "unbounded": limits(cohen_kappa(pairs, min_items=1, min_rare=1)),
            "asymptotic": asymptotic(each[:2]),
        }
        for name, (low, high) in found.items():
            if low is not None and high is not None:
                told[name] += 1
                held[name] += low <= truth <= high
        width += kappa.high - kappa.low if kappa.high is not None and kappa.low is not None else 0.0
    return {
        "traces": traces,
        "bad": bad,
        "truth": truth,
        "told": told["kappa"] / populations,
        **{name: held[name] / told[name] if told[name] else None for name in WAYS},
        "width": width / told["kappa"] if told["kappa"] else None,
    }


def limits(found: Coefficient) -> tuple[float | None, float | None]:
    """Return the interval of a coefficient."""
    return found.low, found.high


def asymptotic(each: NDArray[np.int64]) -> tuple[float | None, float | None]:
    """Return the usual interval of κ; None where both always say one word."""
    table = np.zeros((2, 2))
    np.add.at(table, (each[0], each[1]), 1)
    if len(np.unique(each)) < 2:
        return None, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a standard error of 0
        usual = cohens_kappa(table)
    return float(usual.kappa_low), float(usual.kappa_upp)


def checks(document: Document) -> list[Check]:
    """Return the figures that have targets: of cells in which a coefficient is told in nine of ten populations."""
    cells = [p for p in document["points"] if p["told"] >= TOLD]
    return [
        Check(f"{name}: least part that holds the truth", min(p[name] for p in cells), HELD, at_least=True)
        for name in ("kappa", "alpha")
    ]


def markdown(document: Document) -> str:
    """Return its table."""
    return markdown_table(HEADER, [_cells(p) for p in document["points"]])


def _cells(point: dict[str, Any]) -> list[str]:
    width = "–" if point["width"] is None else f"{point['width']:.2f}"
    shares = [_share(point[name]) for name in ("told", *WAYS)]
    return [str(point["traces"]), f"{point['bad']:.0%}", str(point["truth"]), *shares, width]


def _share(part: float | None) -> str:
    return "–" if part is None else f"{part:.0%}"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--populations", type=int, default=1000, help="of each cell")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the raw results instead of tables")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the raw results")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench."""
    options = parse(arguments)
    cells = list(product(SIZES, BAD, TRUTHS))
    points = [
        measure(*cell, options.populations, np.random.default_rng([options.seed, number]))
        for number, cell in enumerate(cells)
    ]
    with work_folder() as folder:
        kept = {"machine": machine(folder), "options": settings(options), "points": points}
    if options.json:
        print(json.dumps(kept, indent=1))
    else:
        table = Table(*HEADER)
        for p in points:
            table.add_row(*_cells(p))
        Console().print(table)
        for check in checks(kept):
            print(" · ".join(check.cells()))
    print(f"raw results: {keep('agreement', kept, options.results)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
