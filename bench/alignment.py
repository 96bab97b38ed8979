"""Count how often the bound of MCC holds, who gets permission by it, and how often an alarm is false.

    python bench/alignment.py [--draws 1000] [--seed 1] [--json]

The first two tables are exact: of so many labels every confusion matrix is judged by the product's own functions
(schema/alignment.py) and weighed by its probability. The others draw labels.

    bound       how often the one-sided 95 % lower bound is at most the true MCC, over a grid of TPR and TNR; and how
                often an evaluator whose true MCC is below 0.6 gets permission to block, at worst
    permission  how often an evaluator of a TPR, which is its TNR too, may block, by the bound and by MCC alone
    looks       how often an evaluator may block at some time, measured anew after every ten labels from 20 to 100, and
                how often in the end
    drop        how often new labels raise the alarm, where the evaluator is what it was and where it is worse
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import binom

from bench.tools.machine import RESULTS, keep, machine, settings
from bench.tools.measure import work_folder
from bench.tools.report import Check, Document, markdown_table
from schema.alignment import (
    Confusion,
    Measurement,
    Permission,
    PermissionPolicy,
    PermissionRule,
    Split,
    drop_of,
    grant,
    mcc_at,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CLASSES: Final = ((5, 5), (3, 7), (10, 10), (5, 15), (20, 20), (10, 30), (5, 35), (50, 50), (10, 90))
"""Bad and good labels."""
RATES: Final = (0.5, 0.6, 0.7, *(x / 100 for x in range(75, 101)))
"""Of TPR and of TNR."""
EVALUATORS: Final = ((0.5, "a coin"), (0.7, ""), (0.8, ""), (0.85, ""), (0.9, ""), (0.95, ""), (0.99, ""))
SIZES: Final = (5, 10, 20, 30, 50)
"""Labels of each class."""
DROPS: Final = ((0.95, 0.95), (0.85, 0.85), (0.95, 0.85), (0.95, 0.75), (0.95, 0.65), (0.85, 0.65))
"""What TPR and TNR were, and are."""
LOOKED_AT: Final = (0.7, 0.75, 0.78, 0.8, 0.9)
STEPS: Final = tuple(range(10, 51, 5))
"""Labels of each class at which one looks."""
NEW: Final = ((20, 5), (20, 10), (20, 20), (50, 20))
"""Earlier and new labels of each class."""
LIMIT: Final = 0.6
SMOKE_CLASSES, SMOKE_SIZES, SMOKE_NEW = CLASSES[:2], SIZES[:1], NEW[:1]


def chances(bad: int, good: int, tpr: float, tnr: float) -> Floats:
    """Return how probable each matrix is, [tp, tn]."""
    return np.outer(binom.pmf(range(bad + 1), bad, tpr), binom.pmf(range(good + 1), good, tnr))


def matrices(bad: int, good: int) -> Iterator[tuple[int, int, Confusion]]:
    """Yield every matrix of so many labels."""
    for tp, tn in product(range(bad + 1), range(good + 1)):
        yield tp, tn, Confusion(tp, good - tn, bad - tp, tn)


def blocks(bad: int, good: int, rule: PermissionRule) -> Floats:
    """Return for each matrix whether it gives permission to block."""
    found = np.zeros((bad + 1, good + 1))
    policy = PermissionPolicy(rule=rule)
    for tp, tn, confusion in matrices(bad, good):
        measured = Measurement("e", "v", "d", Split.ALL, "t", confusion)
        found[tp, tn] = grant(measured, deterministic_by_hand=False, policy=policy).permission is Permission.BLOCK
    return found


def bound(bad: int, good: int) -> dict[str, Any]:
    """Return how the bound does with these labels."""
    low = np.full((bad + 1, good + 1), -1.0)
    for tp, tn, confusion in matrices(bad, good):
        low[tp, tn] = confusion.mcc_lower_bound() or 0.0
    may_block = blocks(bad, good, PermissionRule.LOWER_BOUND)
    holds, wrongly = [], [0.0]
    for tpr, tnr in product(RATES, RATES):
        true = mcc_at(tpr, tnr, bad / (bad + good))
        if true is None:
            continue
        chance = chances(bad, good, tpr, tnr)
        holds.append(float(chance[low <= true + 1e-9].sum()))
        if true < LIMIT - 1e-9:
            wrongly.append(float((chance * may_block).sum()))
    return {"bad": bad, "good": good, "worst": min(holds), "mean": math.fsum(holds) / len(holds), "wrong": max(wrongly)}


def permission(size: int) -> list[dict[str, Any]]:
    """Return who gets permission with so many labels of each class."""
    may = {rule: blocks(size, size, rule) for rule in PermissionRule}
    return [
        {
            "rate": rate,
            "mcc": 2 * rate - 1,
            "labels": 2 * size,
            **{str(r): float((chances(size, size, rate, rate) * may[r]).sum()) for r in PermissionRule},
        }
        for rate, _ in EVALUATORS
    ]


def drops(earlier: int, new: int, draws: int, seed: int) -> list[dict[str, Any]]:
    """Return how often the alarm is raised with so many labels of each class before and since."""
    random = np.random.default_rng(seed)
    known: dict[tuple[int, ...], bool] = {}
    found = []
    for was, now in DROPS:
        alarms = 0
        for _ in range(draws):
            counts = (*random.binomial(earlier, was, 2), *random.binomial(new, now, 2))
            tp, tn, new_tp, new_tn = key = tuple(int(x) for x in counts)
            if key not in known:
                before = Confusion(tp, earlier - tn, earlier - tp, tn)
                after = Confusion(new_tp, new - new_tn, new - new_tp, new_tn)
                drop = drop_of(before, after)
                known[key] = drop is not None and drop.is_alarm
            alarms += known[key]
        found.append({"was": was, "now": now, "earlier": 2 * earlier, "new": 2 * new, "alarms": alarms / draws})
    return found


def looks(draws: int, seed: int) -> list[dict[str, Any]]:
    """Return what measuring again and again gives; of each class five labels come at a time."""
    random = np.random.default_rng(seed)
    known: dict[tuple[int, int, int], bool] = {}

    def may_block(n: int, tp: int, tn: int) -> bool:
        if (n, tp, tn) not in known:
            known[n, tp, tn] = (Confusion(tp, n - tn, n - tp, tn).mcc_lower_bound() or 0.0) >= LIMIT
        return known[n, tp, tn]

    found = []
    for rate in LOOKED_AT:
        ever = last = 0
        for _ in range(draws):
            right = np.cumsum(random.random((2, STEPS[-1])) < rate, axis=1)
            blocked = [may_block(n, int(right[0, n - 1]), int(right[1, n - 1])) for n in STEPS]
            ever, last = ever + any(blocked), last + blocked[-1]
        found.append({"rate": rate, "mcc": 2 * rate - 1, "ever": ever / draws, "last": last / draws})
    return found


def checks(document: Document) -> list[Check]:
    """Return the figures that have targets."""
    false = [d["alarms"] for d in document["drops"] if d["was"] == d["now"]]
    coins = [p[PermissionRule.LOWER_BOUND] for p in document["permissions"] if p["rate"] == 0.5]
    return [
        Check(
            "the bound holds, worst of all evaluators", min(b["worst"] for b in document["bounds"]), 0.9, at_least=True
        ),
        Check("the bound holds, mean", min(b["mean"] for b in document["bounds"]), 0.95, at_least=True),
        Check("an evaluator below 0.6 may block, at worst", max(b["wrong"] for b in document["bounds"]), 0.07),
        Check("a coin may block", max(coins), 0.0001),
        Check("a false alarm of a drop", max(false), 0.03),
    ]


def tables(document: Document) -> list[tuple[Sequence[str], Sequence[Sequence[str]]]]:
    """Return header and rows of each table."""
    bounds = [
        (f"{b['bad']} + {b['good']}", _percent(b["worst"]), _percent(b["mean"]), _percent(b["wrong"]))
        for b in document["bounds"]
    ]
    sizes = sorted({p["labels"] for p in document["permissions"]})
    by = {(p["rate"], p["labels"]): p for p in document["permissions"]}
    who = [
        (
            f"{rate:g} (MCC {2 * rate - 1:.2f}){f', {name}' if name else ''}",
            *(f"{_percent(by[rate, n]['lower_bound'])} / {_percent(by[rate, n]['point'])}" for n in sizes),
        )
        for rate, name in EVALUATORS
    ]
    alarms = [
        (f"{d['was']:g} → {d['now']:g}", str(d["earlier"]), str(d["new"]), _percent(d["alarms"]))
        for d in document["drops"]
    ]
    again = [
        (f"{x['rate']:g} (MCC {x['mcc']:.2f})", _percent(x["ever"]), _percent(x["last"])) for x in document["looks"]
    ]
    return [
        (("labels, bad + good", "bound holds, worst", "mean", "may block below 0.6, at worst"), bounds),
        (("TPR = TNR", *(f"{n} labels" for n in sizes)), who),
        (("TPR = TNR", "may block at some time", "may block in the end"), again),
        (("TPR = TNR, was → is", "earlier labels", "new labels", "alarm"), alarms),
    ]


def markdown(document: Document) -> str:
    """Return the tables of docs/alignment.md."""
    return "\n\n".join(markdown_table(header, rows) for header, rows in tables(document))


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %" if share >= 0.0005 else "0"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--draws", type=int, default=1_000, help="pairs of matrices for each alarm")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="few labels: does everything run?")
    parser.add_argument("--json", action="store_true", help="print the raw results instead of tables")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the raw results")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 1 when a target is missed."""
    options = parse(arguments)
    draws = 10 if options.smoke else options.draws
    kept: Document = {
        "options": settings(options),
        "bounds": [bound(*c) for c in (SMOKE_CLASSES if options.smoke else CLASSES)],
        "permissions": [p for n in (SMOKE_SIZES if options.smoke else SIZES) for p in permission(n)],
        "looks": looks(draws, options.seed),
        "drops": [d for e, n in (SMOKE_NEW if options.smoke else NEW) for d in drops(e, n, draws, options.seed)],
    }
    with work_folder() as folder:
        kept["machine"] = machine(folder)
    if options.json:
        print(json.dumps(kept, indent=1))
    else:
        for header, rows in tables(kept):
            table = Table(*header)
            for row in rows:
                table.add_row(*row)
            Console(width=150).print(table)
    if not options.smoke:
        print(f"raw results: {keep('alignment', kept, options.results)}", file=sys.stderr)
    return 0 if options.smoke or all(c.is_met for c in checks(kept)) else 1


if __name__ == "__main__":
    sys.exit(main())
