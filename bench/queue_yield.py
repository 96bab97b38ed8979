"""How many true failures are in the first items of the queue, beside review at random.

    python bench/queue_yield.py [--seeds 5] [--traces 10000] [--items 100] [--json]

Traffic of bench/tools/planted.py, in which about 3 % of the traces fail in ten ways, is written to an embedded database
as the exporter writes it, and read by the statements of the product. The weights are the defaults. The interval over
seeds is Student's, 95 %. Random review finds the share of failures, which is what is compared with. What is planted is
what the signals look for, so the figures say that the machinery works and what decoys do to it, not what real traffic
gives. `plain`: a tenth of the failures shows nothing. `hard`: half of them does,
and there are half again as many decoys.

`kinds` is of how many of the ten kinds of failure there are three or more among the items.

    all          the priority order as it is
    no failing   without the parts of what is failing already: failure, low_score, pattern and
                more_of_same
    unseen       only of traces that no failure reason was raised for: what the signals add to a list of failing traces
    ambiguous   as unseen, without tool_loop: nothing that is nearly always a failure here
    only X       the order by one signal, ties at random: what X alone would find

Then a round of re-weighting: the first items as `evalgate queue fill` chooses them, a tenth of them at random, are
reviewed without mistakes, and `evalgate queue yield --reweight` proposes points. What those find is set beside what
the defaults find, in the next items of the same traffic and in the first items of the traffic of the next seed, which
nobody has looked at; the interval is that of the difference, seed by seed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import t

from bench.tools.machine import RESULTS, keep, machine
from bench.tools.planted import DECOYS, FAILURES, Mix, plant, store
from bench.tools.report import Check, Document, markdown_table
from evalgate.database import TenantDatabase
from evalgate.queue.fill import choose, draws, random_wanted
from evalgate.queue.reweight import reweight_by
from evalgate.queue.yields import Looked
from evalgate.select.where import Where
from evalgate.signals import Weights, prioritise, signals
from evalgate.signals.measure import NAMES
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evalgate.signals import Signals

TARGET: Final = 5.0
SEEN: Final = 3
MIXES: Final = {"plain": Mix(), "hard": Mix(invisible=0.5, decoys=1.5)}
RANDOM_SHARE: Final = 0.1
RAISED: Final = ("failure", "low_score", "pattern", "more_of_same")
"""Parts that know of what is failing already."""


@dataclass(slots=True)
class Seed:
    """What one seed gave."""

    share: float
    """Of all traces that fail in truth."""
    found: dict[str, int] = field(default_factory=dict)
    """True failures among the first items, by order."""
    items: dict[str, int] = field(default_factory=dict)
    named: dict[str, int] = field(default_factory=dict)
    """Of how many kinds of failure there are three and more, enough to see that it is a kind."""
    kinds: dict[str, int] = field(default_factory=dict)
    """Of the order `all`: what is in the first items, "" is plain traffic."""
    unseen_share: float = 0.0
    signals: Signals | None = None
    fails: NDArray[np.bool_] | None = None


def first(score: NDArray[np.float64], among: NDArray[np.bool_], items: int, seed: int) -> NDArray[np.int64]:
    """Return the rows with the highest scores above 0, ties at random."""
    order = np.lexsort((np.random.default_rng(seed).random(len(score)), -score))
    order = order[among[order] & (score[order] > 0)]
    return order[:items]


def one_seed(seed: int, traces: int, items: int, folder: Path, mix: Mix) -> Seed:
    """Write the traffic of a seed, and look at the first items of each order."""
    planted = plant(seed, traces, mix)
    with connect(f"chdb://{folder}?database=yield_{seed}", create_database=True) as opened:
        migrate(opened)
        database = TenantDatabase(opened, "default")
        store(database, planted)
        found = signals(database, Where())
        opened.command(f"DROP DATABASE yield_{seed} SYNC")
    priority = prioritise(found, Weights())
    p = found.population
    kind = np.array([planted.kinds[x] for x in p.trace])
    fails = np.isin(kind, FAILURES)
    every = np.ones(p.size, bool)
    silent = priority.score - sum(priority.parts[name] for name in RAISED)
    unseen = ~p.failing
    orders = {
        "all": (priority.score, every),
        "no failing": (silent, every),
        "unseen": (silent, unseen),
        "ambiguous": (silent - priority.parts["tool_loop"], unseen),
        **{f"only {name}": (found.columns[name].strength, every) for name in NAMES},
    }
    result = Seed(float(fails.mean()), unseen_share=float(fails[unseen].mean()), signals=found, fails=fails)
    for name, (score, among) in orders.items():
        rows = first(score, among, items, seed)
        result.found[name], result.items[name] = int(fails[rows].sum()), len(rows)
        result.named[name] = sum(int((kind[rows] == k).sum()) >= SEEN for k in FAILURES)
        if name == "all":
            result.kinds = {str(k): int((kind[rows] == k).sum()) for k in ("", *FAILURES, *DECOYS)}
    return result


def reviewed_first(found: Signals, items: int, seed: int) -> NDArray[np.int64]:
    """Return the rows that a fill of an empty queue takes, a share of them drawn at random."""
    order = prioritise(found, Weights()).order
    choice = choose(order, draws("bench", found.population.trace, seed), items, random_wanted(RANDOM_SHARE, items, []))
    return np.union1d(choice.by_score, choice.at_random)


def learned(found: Signals, fails: NDArray[np.bool_], rows: NDArray[np.int64]) -> Weights:
    """Return the points that reviewing these rows leads to."""
    priority = prioritise(found, Weights())
    looked = []
    for row in rows:
        strengths = {n: float(c.strength[row]) for n, c in found.columns.items()}
        strengths["pattern"] = float(priority.parts["pattern"][row]) / Weights().pattern
        looked.append(Looked(strengths, priority.parts_of(int(row)), bool(fails[row])))
    return reweight_by(looked, Weights()).weights


def best(found: Signals, weights: Weights, items: int, without: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows of the best items, those left out that were reviewed."""
    order = prioritise(found, weights).order
    return order[~np.isin(order, without)][:items]


def reweighting(runs: Sequence[Seed], items: int) -> list[Document]:
    """Return what the points that were learned find, beside what the defaults find."""
    found: dict[str, list[tuple[int, int]]] = {"next items of the same traffic": [], "first items of other traffic": []}
    nothing = np.zeros(0, np.int64)
    for seed, run in enumerate(runs):
        other = runs[(seed + 1) % len(runs)]
        if run.signals is None or run.fails is None or other.signals is None or other.fails is None:
            continue
        rows = reviewed_first(run.signals, items, seed)
        weights = learned(run.signals, run.fails, rows)
        for name, (signals_of, fails, without) in {
            "next items of the same traffic": (run.signals, run.fails, rows),
            "first items of other traffic": (other.signals, other.fails, nothing),
        }.items():
            old, new = (int(fails[best(signals_of, w, items, without)].sum()) for w in (Weights(), weights))
            found[name].append((old, new))
    told = []
    for name, pairs in found.items():
        mean, low, high = interval([new - old for old, new in pairs])
        before, after = (float(np.mean([pair[i] for pair in pairs])) for i in (0, 1))
        told.append({"where": name, "before": before, "after": after, "gain": mean, "low": low, "high": high})
    return told


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean over seeds and its 95 % interval (Student)."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, -math.inf, math.inf
    half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return mean, mean - half, mean + half


def measure(seeds: int, traces: int, items: int) -> Document:
    """Return the tables of both mixes."""
    with tempfile.TemporaryDirectory() as folder:
        mixes = [
            measure_mix(name, mix, seeds, traces, items, folder=Path(folder) / "db") for name, mix in MIXES.items()
        ]
    return {"seeds": seeds, "traces": traces, "items": items, "mixes": mixes}


def measure_mix(name: str, mix: Mix, seeds: int, traces: int, items: int, *, folder: Path) -> Document:
    """Return the tables of all seeds."""
    runs = [one_seed(seed, traces, items, folder, mix) for seed in range(1, seeds + 1)]
    orders = []
    for order in runs[0].found:
        share = [r.unseen_share if order in {"unseen", "ambiguous"} else r.share for r in runs]
        shown = [max(1, r.items[order]) for r in runs]
        precision, *_ = interval([r.found[order] / n for r, n in zip(runs, shown, strict=True)])
        lift, low, high = interval([r.found[order] / n / s for r, n, s in zip(runs, shown, share, strict=True)])
        mean = float(np.mean([r.items[order] for r in runs]))
        named = float(np.mean([r.named[order] for r in runs]))
        told = {"precision": precision, "lift": lift, "low": low, "high": high, "named": named}
        orders.append({"order": order, "items": mean, **told})
    kinds = {k: float(np.mean([r.kinds[k] for r in runs])) for k in runs[0].kinds}
    failing = float(np.mean([r.share for r in runs]))
    return {"mix": name, "share": failing, "orders": orders, "kinds": kinds, "reweighting": reweighting(runs, items)}


def checks(document: Document) -> list[Check]:
    """Return the figures that have targets."""
    what = "true failures in the queue, times those of random review (lower limit)"
    return [
        Check(
            f"{what}, {mix['mix']}",
            next(o["low"] for o in mix["orders"] if o["order"] == "all"),
            TARGET,
            "×",
            at_least=True,
        )
        for mix in document["mixes"]
    ]


def _rows(mix: Document) -> list[tuple[str, ...]]:
    return [
        (
            o["order"],
            f"{o['items']:.0f}",
            f"{o['precision'] * 100:.0f} %",
            f"{o['lift']:.1f}",
            _between(o),
            f"{o['named']:.1f}",
        )
        for o in mix["orders"]
        if o["items"] > 0
    ]


def _between(order: Document) -> str:
    return f"{max(0.0, order['low']):.1f} to {order['high']:.1f}"


def _kinds(mix: Document) -> list[tuple[str, str]]:
    return [(name or "plain traffic", f"{n:.1f}") for name, n in mix["kinds"].items() if n]


def _gains(mix: Document) -> list[tuple[str, ...]]:
    return [
        (
            g["where"],
            f"{g['before']:.1f}",
            f"{g['after']:.1f}",
            f"{g['gain']:+.1f}",
            f"{g['low']:+.1f} to {g['high']:+.1f}",
        )
        for g in mix["reweighting"]
    ]


GAINS: Final = ("true failures", "defaults", "learned", "more", "95 % over seeds")
HEADER: Final = ("order", "items", "true failures", "times random", "95 % over seeds", "kinds")


def markdown(document: Document) -> str:
    """Return the tables."""
    return "\n\n".join(
        text
        for mix in document["mixes"]
        for text in (
            f"{mix['mix']}: {mix['share'] * 100:.2f} % of the traces fail in truth",
            markdown_table(HEADER, _rows(mix)),
            markdown_table(("kind", "in the first items, mean"), _kinds(mix)),
            markdown_table(GAINS, _gains(mix)),
        )
    )


def show(document: Document) -> None:
    """Print the tables."""
    console = Console(width=120)
    for mix in document["mixes"]:
        console.print(
            f"{mix['mix']}: {mix['share'] * 100:.2f} % of the traces fail in truth; random review finds as many"
        )
        for header, rows in ((HEADER, _rows(mix)), (("kind", "mean"), _kinds(mix)), (GAINS, _gains(mix))):
            table = Table(*header)
            for row in rows:
                table.add_row(*row)
            console.print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--traces", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="one seed, few traces; nothing is kept")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.seeds, options.traces = 2, 1000
    document = {"machine": machine(Path()), **measure(options.seeds, options.traces, options.items)}
    if options.json:
        print(json.dumps(document))
    else:
        show(document)
    if options.smoke:
        return 0
    print(f"raw results: {keep('queue_yield', document, options.results)}", file=sys.stderr)
    return 0 if all(c.is_met for c in checks(document)) else 1


if __name__ == "__main__":
    sys.exit(main())
