"""Measure whether clusters find known ways to fail again, keep their ids, and what they cost.

    python bench/clusters.py [--seeds 10] [--first-seed 1] [--traces 20000] [--json]

    recovery   adjusted Rand index beside the ways in which traces of bench/tools/failures.py fail, over seeds, of an
               easy, a medium and a hard mix. A trace that is called like no others is a group of its own. Beside it
               k-means on TF-IDF of the texts alone, and on our features, both told the true number of ways; and ours
               without joining groups
    novelty    of the traces that fail in a way of their own: how many are called like no others, and how many of those
               that are called so are
    ids        a second window that shares half its traces with the first: how many traces of it are in a cluster whose
               id the first window gave to most traces of that way
    traffic    the same index of `--all`, beside what was asked, in traces of which one in ten fails
    cost       of 20 000 traces in an embedded database: seconds and memory of `evalgate cluster run`, part by part

Weights, dimensions and bounds of evalgate/cluster were chosen on seeds 101 and 102, which no figure here has.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.tools.failures import ITEMS, MIXES, NEEDS, failures, store
from bench.tools.machine import RESULTS, keep, machine, settings
from bench.tools.measure import work_folder
from bench.tools.report import Check, Document, markdown_table
from evalgate.cluster.behaviour import Scope, conditions_of, read_corpus
from evalgate.cluster.features import reduced
from evalgate.cluster.find import Found, Known, Settings, find
from evalgate.cluster.store import ALONG, read_known, save
from evalgate.database import TenantDatabase
from evalgate.select.where import Where
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.tools.failures import Mix
    from evalgate.cluster.behaviour import Behaviour

SIZES: Final = (300, 1_500)


def index(truth: Sequence[int], found: Sequence[int]) -> float:
    """Return the adjusted Rand index over traces that fail in a known way; 0 in `found` is a group for each trace."""
    from sklearn.metrics import adjusted_rand_score  # noqa: PLC0415 - 1.7 s

    pairs = [(t, f or -i) for i, (t, f) in enumerate(zip(truth, found, strict=True), 1) if t >= 0]
    return float(adjusted_rand_score([t for t, _ in pairs], [f for _, f in pairs]))


def ids_of(found: Found, behaviours: Sequence[Behaviour]) -> list[int]:
    """Return the cluster of each trace."""
    where = {m.behaviour.trace_id: m.cluster_id for m in found.members}
    return [where[b.trace_id] for b in behaviours]


def by_kmeans(behaviours: Sequence[Behaviour], groups: int, seed: int) -> list[int]:
    """Return groups as people make them first: k-means on TF-IDF of all texts of a trace, told the number of groups."""
    from sklearn.cluster import KMeans  # noqa: PLC0415 - as above
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415

    texts = [" ".join((b.asked, b.answered, *b.errors, b.comments)) for b in behaviours]
    matrix = TfidfVectorizer(stop_words="english", sublinear_tf=True, min_df=2).fit_transform(texts)
    return [int(x) + 1 for x in KMeans(groups, n_init=10, random_state=seed).fit_predict(matrix)]


def by_kmeans_on_ours(behaviours: Sequence[Behaviour], groups: int, seed: int) -> list[int]:
    """Return groups by k-means on the points that ours groups: what is left is the difference of the way to group."""
    from sklearn.cluster import KMeans  # noqa: PLC0415 - as above

    points = reduced(behaviours, dimensions=Settings().dimensions, seed=seed)
    return [int(x) + 1 for x in KMeans(groups, n_init=10, random_state=seed).fit_predict(points)]


def recovery(mix: Mix, size: int, seed: int) -> dict[str, Any]:
    """Measure one mix of one seed."""
    traces, truth = failures(mix, size, seed)
    ways = len({t for t in truth if t >= 0})
    found = find(traces, Settings())
    ours = ids_of(found, traces)
    loose = ids_of(find(traces, Settings(join_below=0.0)), traces)
    own = [f == 0 for f, t in zip(ours, truth, strict=True) if t < 0]
    called = [t < 0 for f, t in zip(ours, truth, strict=True) if f == 0]
    return {
        "mix": mix.name,
        "traces": size,
        "seed": seed,
        "ways": ways,
        "clusters": len(found.clusters),
        "ours": index(truth, ours),
        "not_joined": index(truth, loose),
        "kmeans": index(truth, by_kmeans(traces, ways, seed)),
        "kmeans_ours": index(truth, by_kmeans_on_ours(traces, ways, seed)),
        "novel_found": float(np.mean(own)) if own else None,
        "novel_right": float(np.mean(called)) if called else None,
    }


def kept_ids(mix: Mix, size: int, seed: int) -> float:
    """Return the part of traces of a second window that are where the first window put most of their way."""
    traces, truth = failures(mix, size * 3 // 2, seed)
    first, second = traces[:size], traces[size // 2 :]
    before = find(first, Settings())
    places = ids_of(before, first)
    most = {}
    for way in set(truth):
        seen = Counter(p for p, t in zip(places, truth, strict=False) if t == way)
        most[way] = seen.most_common(1)[0][0] if seen else 0
    deepest: dict[int, list[Any]] = {}
    for m in sorted(before.members, key=lambda m: (m.representative == 0, -m.strength, m.behaviour.trace_id)):
        if m.cluster_id:
            deepest.setdefault(m.cluster_id, []).append(m.behaviour)
    ids = {b.trace_id: c for c, some in deepest.items() for b in some[:ALONG]}
    window = {b.trace_id for b in second}
    along = [replace(b, in_window=False) for b in first if b.trace_id in ids and b.trace_id not in window]
    known = Known(ids, max(deepest, default=0) + 1)
    after = ids_of(find([*second, *along], Settings(), known), second)
    same = [a == most[t] for a, t in zip(after, truth[size // 2 :], strict=True) if t >= 0 and most[t]]
    return float(np.mean(same))


def traffic(size: int, seed: int) -> dict[str, Any]:
    """Measure clusters of all traffic beside what was asked."""
    chance = np.random.default_rng(seed)
    traces, _ = failures(MIXES[1], size, seed)
    fine = ("lookup_order",), ("search_policy",), ("search_products", "describe_product"), ("change_account",)
    kinds = [f for f, _ in NEEDS]
    rows, truth = [], []
    for b in traces:
        need = next(i for i, (_, text) in enumerate(NEEDS) if _asks(b.asked, text))
        tools = fine[sorted(set(kinds)).index(kinds[need])]
        answer = f"Here is what I found about the {chance.choice(ITEMS)}."
        well = replace(b, failing=False, failure_reasons=(), errors=(), errors_counted=0, comments="", tools_failed=())
        ok = replace(well, tools=tools, answered=answer, weight=10.0)
        rows.append(b if chance.random() < 0.1 else ok)
        truth.append(need)
    found = find(rows, Settings(scope=Scope.ALL))
    return {"traces": size, "seed": seed, "clusters": len(found.clusters), "ours": index(truth, ids_of(found, rows)),
            "kmeans": index(truth, by_kmeans(rows, len(NEEDS), seed))}  # fmt: skip


def _asks(asked: str, text: str) -> bool:
    return text.split("{", maxsplit=1)[0] in asked and text.rsplit("}", 1)[-1] in asked


@contextmanager
def timed(parts: dict[str, float], name: str) -> Iterator[None]:
    """Note the wall seconds of a part."""
    began = time.perf_counter()
    yield
    parts[name] = round(time.perf_counter() - began, 2)


def cost(size: int, folder: Path) -> dict[str, Any]:
    """Measure a first and a second run over an embedded database."""
    traces, _ = failures(MIXES[1], size, 1)
    parts: dict[str, float] = {}
    with connect(f"chdb://{folder / 'db'}") as opened:
        migrate(opened)
        store(opened, traces)
        database = TenantDatabase(opened, "default")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        for turn in ("first", "second"):
            cpu = time.process_time()
            with timed(parts, f"{turn}: read"):
                known, number = read_known(database, Scope.FAILING)
                where = conditions_of(Where(), Scope.FAILING)
                corpus = read_corpus(database, where, size, known.cluster_of)
            with timed(parts, f"{turn}: find"):
                found = find(corpus.behaviours, Settings(), known)
            with timed(parts, f"{turn}: write"):
                save(database, found, number, Scope.FAILING, {}, actor="bench")
            parts[f"{turn}: CPU"] = round(time.process_time() - cpu, 2)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return {
        "traces": len(corpus.window), "clusters": len(found.clusters), "seconds": parts, "rss_before_mib": before,
        "rss_peak_mib": after, "born_again": sum(e.kind == "born" for e in found.events),
    }  # fmt: skip


def checks(document: Document) -> list[Check]:
    """Return the figures that have targets."""
    found = [
        Check(
            f"index of ours less that of k-means, {mix}, {size} traces",
            _mean(document, mix, size, "ours") - _mean(document, mix, size, "kmeans"),
            0.0,
            at_least=True,
        )
        for mix, size in _groups(document)
    ]
    return [*found, Check("new clusters where nothing changed", document["cost"]["born_again"], 0)]


def tables(document: Document) -> list[tuple[Sequence[str], Sequence[Sequence[str]]]]:
    """Return header and rows of each table."""
    rows = [
        (
            mix,
            str(size),
            *(_spread(document, mix, size, name) for name in ("ours", "kmeans", "kmeans_ours", "not_joined")),
            f"{_mean(document, mix, size, 'clusters'):.1f} / {_mean(document, mix, size, 'ways'):.0f}",
            *(_spread(document, mix, size, name) for name in ("novel_found", "novel_right")),
        )
        for mix, size in _groups(document)
    ]
    ids = [(m, f"{np.mean(v):.2f} ({min(v):.2f}-{max(v):.2f})") for m, v in document["ids"].items()]
    asked = document["traffic"]
    whole = [(str(asked[0]["traces"]), *(_of([t[name] for t in asked]) for name in ("ours", "kmeans", "clusters")))]
    seconds = document["cost"]["seconds"]
    costs = [(name, f"{s:.1f} s") for name, s in seconds.items()]
    memory = document["cost"]
    costs.append(("memory", f"{memory['rss_peak_mib']} MiB, {memory['rss_before_mib']} of them before"))
    ways = ("ours", "k-means on texts, true k", "k-means on ours, true k", "ours, not joined")
    header = ("mix", "traces", *ways, "clusters / ways", "novel found", "novel right")
    return [
        (header, rows),
        (("mix", "traces that keep the id of their way"), ids),
        (("all traffic", "ours", "k-means, true k", "clusters of 8"), whole),
        ((f"{memory['traces']} traces", "takes"), costs),
    ]


def markdown(document: Document) -> str:
    """Return its tables."""
    return "\n".join(markdown_table(header, rows) for header, rows in tables(document))


def _groups(document: Document) -> list[tuple[str, int]]:
    return list(dict.fromkeys((r["mix"], r["traces"]) for r in document["recovery"]))


def _values(document: Document, mix: str, size: int, name: str) -> list[float]:
    own = [r[name] for r in document["recovery"] if (r["mix"], r["traces"]) == (mix, size)]
    return [v for v in own if v is not None]


def _mean(document: Document, mix: str, size: int, name: str) -> float:
    return float(np.mean(_values(document, mix, size, name)))


def _spread(document: Document, mix: str, size: int, name: str) -> str:
    return _of(_values(document, mix, size, name))


def _of(values: Sequence[float]) -> str:
    """Return mean, least and most."""
    return f"{np.mean(values):.2f} ({min(values):.2f}-{max(values):.2f})" if values else "–"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--traces", type=int, default=20_000, help="of which the cost is measured")
    parser.add_argument("--smoke", action="store_true", help="few traces: does everything run?")
    parser.add_argument("--json", action="store_true", help="print raw results")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where raw results are kept")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 1 when a target is missed."""
    options = parse(arguments)
    seeds = range(options.first_seed, options.first_seed + (1 if options.smoke else options.seeds))
    sizes = SIZES[:1] if options.smoke else SIZES
    kept: Document = {
        "options": settings(options),
        "recovery": [recovery(mix, size, seed) for mix in MIXES for size in sizes for seed in seeds],
        "ids": {mix.name: [kept_ids(mix, sizes[-1], seed) for seed in seeds] for mix in MIXES},
        "traffic": [traffic(sizes[-1], seed) for seed in seeds],
    }
    with work_folder() as folder:
        kept["cost"] = cost(300 if options.smoke else options.traces, folder)
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
        print(f"raw results: {keep('clusters', kept, options.results)}", file=sys.stderr)
    return 0 if options.smoke or all(c.is_met for c in checks(kept)) else 1


if __name__ == "__main__":
    sys.exit(main())
