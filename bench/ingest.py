"""Measure the whole path, OTLP in to ClickHouse out: CPU for a million spans, beside a native collector.

    python bench/ingest.py [--peer rotel] [--sink server] [--case 'genai-http-*' | --full] [--spans 51200] [--runs 2]

Ours runs with its journal synced and every processor on. Each measurement starts a fresh process in front of the same
sink, warms it up, sends a load and waits until everything is delivered; targets take turns (A B C A B C). CPU is user
and system of the process from the first request until it is idle; the best of the runs is shown, all are kept in
bench/results/. With `--sink server` a real ClickHouse server takes the rows, its CPU is counted too, and the rows are
counted in the end.
"""

from __future__ import annotations

import argparse
import fnmatch
import itertools
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

from bench.tools.databases import server, sink
from bench.tools.machine import RESULTS, keep, machine, settings
from bench.tools.measure import MIB, Case, Measurement, Plan, measure, work_folder
from bench.tools.ratios import OURS_NAME, checks, markdown
from bench.tools.report import checks_table
from bench.tools.targets import Failed, Ours, Rotel, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["checks", "main", "markdown"]

OURS: Final = Ours(OURS_NAME)
PEERS: Final[dict[str, tuple[Target, ...]]] = {
    "none": (),
    "rotel": (Rotel(), Rotel("rotel-plain", compression="none")),
}
DEFAULT_CASES: Final = (
    "genai-http-512",
    "genai-http-32",
    "genai-http-2048",
    "genai-http-gzip-512",
    "genai-grpc-512",
    "genai-grpc-gzip-512",
    "small-http-512",
    "small-http-32",
    "small-http-gzip-512",
    "small-grpc-512",
)
"""One thing varied at a time; `--full` is every combination of protobuf."""
FULL: Final = ("*-http-*", "*-grpc-*")
SERVER_CASES: Final = ("genai-http-512", "small-http-512")
SMALL_SPANS_FACTOR: Final = 2
"""Small spans are cheap: more of them are sent, so that what is measured stays well above the 10 ms of a tick."""
SMOKE_SPANS: Final = 1_024


def all_cases(spans: int) -> Iterator[Case]:
    """Yield every combination there is."""
    protocols: tuple[Any, ...] = ("http", "grpc", "http-json")
    kinds: tuple[Any, ...] = ("genai", "small")
    for kind, protocol, gzip, batch in itertools.product(kinds, protocols, (False, True), (512, 32, 2048)):
        yield Case(kind, protocol, gzip, batch, spans * (SMALL_SPANS_FACTOR if kind == "small" else 1))


def chosen(patterns: Sequence[str], spans: int) -> list[Case]:
    """Return the cases whose names match, in the order of the patterns.

    Raises:
        SystemExit: a pattern matches nothing.

    """
    known = {case.name: case for case in all_cases(spans)}
    found: dict[str, Case] = {}
    for pattern in patterns:
        names = fnmatch.filter(known, pattern)
        if not names:
            raise SystemExit(f"no case is called {pattern!r}; there are {', '.join(known)}")
        found |= {name: known[name] for name in names}
    return list(found.values())


def run(
    targets: Sequence[Target], cases: Sequence[Case], runs: int, plan: Plan, *, real: bool, console: Console
) -> list[Measurement]:
    """Measure every case on every target in turn; a target that fails is told and left out."""
    found = []
    with work_folder() as folder, (server if real else sink)(folder, plan.other_cpus) as endpoint:
        for case, number, target in itertools.product(cases, range(1, runs + 1), targets):
            try:
                one = measure(target, case, plan, endpoint)
            except Failed as e:
                console.print(f"[red]{case.name} {target.name} run {number}: {e}", highlight=False)
                continue
            found.append(one)
            console.print(_line(one, number), highlight=False)
            for problem in one.problems:
                console.print(f"    [yellow]{problem}", highlight=False)
    return found


def _line(one: Measurement, number: int) -> str:
    return (
        f"{one.case:22} {one.target:12} run {number}: {one.cpu_s_per_million:8.2f} CPU-s/M  "
        f"{one.delivered_per_s:9.0f} spans/s  ack p50 {one.sent.p50_ms:.1f} p99 {one.sent.p99_ms:.1f} ms  "
        f"RSS peak {one.rss_peak_bytes / MIB:.0f} MiB  load {one.load_average}"
    )


def summary(found: Sequence[Measurement], *, real: bool) -> Table:
    """Return a table of the best run of each case and target, with our ratio to each peer."""
    table = Table(title="best of the runs; ratio = ours / peer, of collector and database together" if real else
                  "best of the runs; ratio = ours / peer")  # fmt: skip
    columns = ["case", "target", "CPU-s/M", *(["database CPU-s/M", "rows"] if real else ["insert B/span"])]
    columns += ["ratio", "spans/s", "ack p50 ms", "ack p99 ms", "RSS peak MiB", "problems"]
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i < 2 else "right")
    for case in dict.fromkeys(one.case for one in found):
        best = _best([one for one in found if one.case == case])
        for one in best.values():
            ours = best.get(OURS.name)
            ratio = f"{_cost(ours) / _cost(one):.2f}" if ours is not None and one is not ours else ""
            behind = [f"{one.database_cpu_s_per_million:.1f}", f"{one.rows.rows if one.rows else ''}"]
            per_span = [f"{(one.insert_bytes or 0) / max(one.sent.accepted, 1):.0f}"]
            table.add_row(
                *(case, one.target, f"{one.cpu_s_per_million:.2f}", *(behind if real else per_span), ratio),
                *(f"{one.delivered_per_s:.0f}", f"{one.sent.p50_ms:.1f}", f"{one.sent.p99_ms:.1f}"),
                *(f"{one.rss_peak_bytes / MIB:.0f}", str(len(one.problems) or "")),
            )
    return table


def _best(found: Sequence[Measurement]) -> dict[str, Measurement]:
    best: dict[str, Measurement] = {}
    for one in found:
        if one.target not in best or _cost(one) < _cost(best[one.target]):
            best[one.target] = one
    return best


def _cost(one: Measurement) -> float:
    """Return CPU seconds for a million spans; those of the database count where it is a real one."""
    return one.cpu_s_per_million + (one.database_cpu_s_per_million if one.rows is not None else 0.0)


def document(found: Sequence[Measurement], plan: Plan, options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return everything that is kept of a run of the bench."""
    rows = [{**asdict(one), "cpu_s_per_million": round(one.cpu_s_per_million, 3)} for one in found]
    return {"machine": machine(folder), "options": options, "plan": asdict(plan), "measurements": rows}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--peer", choices=PEERS, default="none")
    parser.add_argument("--sink", choices=("sink", "server"), default="sink")
    parser.add_argument("--case", action="append", help=f"a name or pattern; repeatable. Default: {DEFAULT_CASES}")
    parser.add_argument("--full", action="store_true", help="every combination of kind, protocol, gzip and batch")
    parser.add_argument("--spans", type=int, default=51_200, help="of a genai case; small ones send twice as many")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--smoke", action="store_true", help="two short cases: does everything run?")
    parser.add_argument("--unpinned", action="store_true", help="let every process use every processor")
    parser.add_argument("--json", action="store_true", help="print the raw results instead of tables")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the raw results")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 1 when something was lost, refused or failed."""
    options = parse(arguments)
    real = options.sink == "server"
    targets: tuple[Target, ...] = (Ours(OURS_NAME, create_schema=real), *PEERS[options.peer])
    usual = FULL if options.full else SERVER_CASES if real else DEFAULT_CASES
    cases = chosen(options.case or usual, options.spans)
    pinned = not options.unpinned and (os.cpu_count() or 1) > 1
    plan = Plan(target_cpus="0" if pinned else "", other_cpus=f"1-{(os.cpu_count() or 2) - 1}" if pinned else "")
    if options.smoke:
        cases = chosen(options.case or ("genai-http-gzip-512", "small-grpc-512"), SMOKE_SPANS)
        plan = Plan(warm_up_spans=SMOKE_SPANS, send_s=10, deliver_s=30)
        options.runs = 1
    console = Console(stderr=options.json, width=160)
    found = run(targets, cases, options.runs, plan, real=real, console=console)
    with work_folder() as folder:
        kept = document(found, plan, settings(options), folder)
    if options.json:
        print(json.dumps(kept, indent=1))
    else:
        console.print(summary(found, real=real))
        console.print(checks_table(checks(kept)))
    if not options.smoke:
        console.print(f"raw results: {keep(f'ingest-{options.sink}', kept, options.results)}", highlight=False)
    complete = len(found) == len(cases) * options.runs * len(targets)
    return 0 if complete and not any(one.problems for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
