"""Measure one process with its own database: from OTLP to a row that a SELECT returns, beside Phoenix.

    python bench/embedded.py [--peer phoenix] [--kind genai] [--spans 51200] [--peer-spans 4096] [--runs 2]

Ours is the collector as `evalgate up` runs it, with the embedded ClickHouse; Phoenix writes to its SQLite file. Both
get the same load, and a count from outside, over HTTP or of the file, says how much is visible. CPU is user and
system of the process from the first request until the last span is visible, the counting included, and once more until
it is idle. `visible after` is what a person waits: single requests at moments of no load, from the send until a
SELECT returns their spans.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import time
import urllib.request
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, get_args
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from bench.tools.loadgen import HttpSender, Load, Sent, quantile_ms
from bench.tools.machine import RESULTS, keep, machine, settings
from bench.tools.measure import generate, generator, work_folder
from bench.tools.payloads import Kind, stamper
from bench.tools.phoenix import Phoenix
from bench.tools.proc import await_idle, usage
from bench.tools.report import Check, Document, checks_table, markdown_table, number
from bench.tools.targets import Embedded, Failed, Running

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

POLL_S: Final = 0.1
PROBE_POLL_S: Final = 0.01
PROBE_SPANS: Final = 8
VISIBLE_TARGET_S: Final = 2.0


class Target(Protocol):
    """A process with a database of its own."""

    @property
    def name(self) -> str:
        """How tables call it."""

    def start(self, folder: Path, cpus: str) -> tuple[Running, Callable[[], int]]:
        """Start it; return it and what counts the spans that are visible. Raises Failed."""


class Ours(Embedded):
    """Our collector, counted through its ClickHouse interface as any other program reads it."""

    def start(self, folder: Path, cpus: str) -> tuple[Running, Callable[[], int]]:
        """Start it, as above."""
        running, url = self.run(folder, cpus)
        return running, lambda: count(url)


TARGETS: Final[dict[str, tuple[Target, ...]]] = {"none": (Ours(),), "phoenix": (Ours(), Phoenix())}


@dataclass(frozen=True, slots=True)
class Visible:
    """What one process did with one load."""

    target: str
    kind: Kind
    sent: Sent
    seconds: float
    """From the first request until the last span was visible."""
    seconds_after_last_answer: float
    """Of them, those after everything had been acknowledged."""
    cpu_s: float
    """Until visible."""
    cpu_until_idle_s: float
    rss_peak_bytes: int
    probes_s: tuple[float, ...]
    """Of single requests: from the send until visible, ascending."""
    problems: tuple[str, ...]


def count(url: str) -> int:
    """Return how many spans a reader without credentials sees."""
    query = quote("SELECT count() FROM spans")
    with urllib.request.urlopen(f"{url}/?query={query}", timeout=30) as answer:  # noqa: S310 - loopback
        return int(answer.read())


def measure(target: Target, load: Load, probes: int, wait_s: float, cpus: tuple[str, str]) -> Visible:
    """Run one load on a fresh process; a tenth of it, sent before, warms it up.

    Raises:
        Failed: it ended before its time.

    """
    own, others = cpus
    with work_folder() as folder:
        running, visible = target.start(folder, own)
        try:
            load = replace(load, endpoint=running.http)
            warm = generate(replace(load, spans=max(load.batch, load.spans // 10)), folder, others)
            problems = [] if _await(visible, warm.accepted, wait_s) else ["the warm-up did not become visible"]
            await_idle([running.pid], timeout_s=wait_s, done=running.delivered)
            with generator(load, folder, others) as go:
                before = usage(running.pid)
                sent = go()
            if not _await(visible, warm.accepted + sent.accepted, wait_s):
                problems.append(f"{visible()} of {warm.accepted + sent.accepted} spans visible after {wait_s:.0f} s")
            after = max(0.0, time.monotonic() - sent.ended_at)
            then = usage(running.pid)
            await_idle([running.pid], timeout_s=wait_s, done=running.delivered)
            idle = usage(running.pid)
            if sent.failed or sent.rejected:
                problems.append(f"{sent.failed} spans failed, {sent.rejected} were rejected: {sent.errors}")
            return Visible(
                target=target.name,
                kind=load.kind,
                sent=sent,
                seconds=round(sent.seconds + after, 3),
                seconds_after_last_answer=round(after, 3),
                cpu_s=round(then.cpu_s - before.cpu_s, 2),
                cpu_until_idle_s=round(idle.cpu_s - before.cpu_s, 2),
                rss_peak_bytes=idle.rss_peak_bytes,
                probes_s=_probe(load, visible, probes, wait_s),
                problems=tuple(problems),
            )
        except OSError as e:
            raise Failed(f"{target.name}: {e}: {running.log.read_text(errors='replace')[-2000:]}") from e
        finally:
            running.stop()


def _await(visible: Callable[[], int], wanted: int, wait_s: float, poll_s: float = POLL_S) -> bool:
    deadline = time.monotonic() + wait_s
    while visible() < wanted:
        if time.monotonic() > deadline:
            return False
        time.sleep(poll_s)
    return True


def _probe(load: Load, visible: Callable[[], int], probes: int, wait_s: float) -> tuple[float, ...]:
    """Send single requests at moments that fall anywhere between two turns of whatever polls inside."""
    chance = random.Random(1)  # noqa: S311 - not a secret
    made = stamper(load.kind, PROBE_SPANS, start=1 << 24)
    found = []
    with closing(HttpSender(replace(load, gzip=False))) as sender:
        for _ in range(probes):
            time.sleep(chance.uniform(0.1, 0.6))
            wanted = visible() + PROBE_SPANS
            began = time.monotonic()
            if sender.send(made.next()).ok and _await(visible, wanted, wait_s, PROBE_POLL_S):
                found.append(round(time.monotonic() - began, 3))
            else:
                found.append(math.inf)
    return tuple(sorted(found))


def checks(document: Document) -> list[Check]:
    """Return how soon our rows are visible, and our CPU and pace beside the peer's."""
    found = document["visible"]
    ours = [one for one in found if one["target"] == Ours().name]
    probes = [s for one in ours for s in one["probes_s"]]
    result = [
        Check(
            "embedded: sent to visible, slowest of single requests",
            max(probes, default=math.nan),
            VISIBLE_TARGET_S,
            "s",
        )
    ]
    for kind in dict.fromkeys(one["kind"] for one in found):
        best: dict[str, float] = {}
        for one in found:
            if one["kind"] == kind:
                best[one["target"]] = min(_cpu_us(one), best.get(one["target"], math.inf))
        own = best.pop(Ours().name, math.nan)
        result += [
            Check(f"embedded {kind}: CPU until visible, ours ÷ {peer}", own / cpu_us, 1)
            for peer, cpu_us in best.items()
        ]
    return result


def markdown(document: Document) -> str:
    """Return a line for each run."""
    header = ("kind", "process", "spans", "spans/s until visible", "CPU-s/M until visible", "CPU-s/M until idle",
              "single request visible after: median, slowest", "peak MB")  # fmt: skip
    return markdown_table(header, [_cells(one) for one in document["visible"]])


def _cells(one: dict[str, Any]) -> list[str]:
    accepted = one["sent"]["accepted"]
    probes = one["probes_s"]
    return [
        *(one["kind"], one["target"], f"{accepted}", f"{accepted / one['seconds']:.0f}", number(_cpu_us(one))),
        number(one["cpu_until_idle_s"] / max(accepted, 1) * 1e6),
        f"{quantile_ms(probes, 0.5) / 1e3:.2f}, {max(probes):.2f} s" if probes else "",
        f"{one['rss_peak_bytes'] / 1e6:.0f}",
    ]


def _cpu_us(one: dict[str, Any]) -> float:
    """CPU microseconds a span, which are CPU seconds for a million."""
    cpu_s: float = one["cpu_s"] / max(one["sent"]["accepted"], 1)
    return cpu_s * 1e6


def table(found: Sequence[Visible]) -> Table:
    """Return what markdown says, for a terminal, with the problems."""
    result = Table(title="until visible in a SELECT")
    names = ("kind", "process", "spans", "spans/s", "CPU-s/M", "CPU-s/M idle", "visible after", "peak MB")
    for name in (*names, "problems"):
        result.add_column(name, justify="right")
    for one in found:
        result.add_row(*_cells(asdict(one)), "; ".join(one.problems))
    return result


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--peer", choices=TARGETS, default="none")
    parser.add_argument("--kind", choices=get_args(Kind), action="append", help="repeatable. Default: both")
    parser.add_argument("--batch", type=int, default=512, help="spans in a request")
    parser.add_argument("--spans", type=int, default=51_200)
    parser.add_argument("--peer-spans", type=int, default=4_096, help="a peer may take a thousand times as long")
    parser.add_argument("--probes", type=int, default=20, help="single requests")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--wait", type=float, default=120.0, help="seconds until all must be visible")
    parser.add_argument("--smoke", action="store_true", help="very short: does everything run?")
    parser.add_argument("--json", action="store_true", help="print the raw results instead of a table")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the raw results")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 1 when something failed or did not become visible."""
    options = parse(arguments)
    kinds: list[Kind] = options.kind or list(get_args(Kind))
    if options.smoke:
        options.spans, options.peer_spans, options.probes, options.runs = 2_048, 512, 3, 1
    pinned = (os.cpu_count() or 1) > 1 and not options.smoke
    cpus = ("0", f"1-{(os.cpu_count() or 2) - 1}") if pinned else ("", "")
    console = Console(stderr=options.json, width=160)
    found = []
    failed = False
    for kind in kinds:
        for target in TARGETS[options.peer] * options.runs:
            spans = options.spans if isinstance(target, Ours) else options.peer_spans
            load = Load("", kind=kind, spans=spans, batch=min(options.batch, spans // 8), max_seconds=options.wait)
            try:
                found.append(measure(target, load, options.probes, options.wait, cpus))
            except Failed as e:
                failed = True
                console.print(f"[red]{kind} {target.name}: {e}", highlight=False)
    with work_folder() as folder:
        where = machine(folder)
    kept: Document = {"machine": where, "options": settings(options), "visible": [asdict(one) for one in found]}
    if options.json:
        print(json.dumps(kept, indent=1))
    else:
        console.print(table(found))
        console.print(checks_table(checks(kept)))
    if not options.smoke:
        console.print(f"raw results: {keep('embedded', kept, options.results)}", highlight=False)
    return 1 if failed or any(one.problems for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
