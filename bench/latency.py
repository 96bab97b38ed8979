"""Measure how long an acknowledgement takes at 10, 50 and 90 % of capacity, beside the floor of the disk.

    python bench/latency.py [--kind genai] [--protocol http] [--batch 64] [--seconds 15] [--peer rotel]

Capacity is what the collector delivers to the sink for good: spans of a closed loop, divided by the seconds until the
last of them was delivered. At each share of it requests are then due at fixed times, and latency counts from when a
request was due, so that a stall shows in every request it held up. Our acknowledgement means synced to disk; the floor
is one write of 1 MiB into an existing file and its fdatasync, on the same disk. Rotel's means taken into memory.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from rich.console import Console
from rich.table import Table

from bench.tools.databases import Endpoint, sink
from bench.tools.loadgen import Load, Sent, WireProtocol
from bench.tools.machine import RESULTS, keep, machine, settings
from bench.tools.measure import generate, work_folder
from bench.tools.payloads import Kind
from bench.tools.proc import await_idle
from bench.tools.report import Check, Document, markdown_table
from bench.tools.targets import Ours, Rotel, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.tools.targets import Running

SHARES: Final = (0.1, 0.5, 0.9)
CAPACITY_S: Final = 5.0
"""How long the load that finds the capacity should take."""
TARGETS: Final[dict[str, tuple[Target, ...]]] = {"none": (Ours(),), "rotel": (Ours(), Rotel())}


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one target at one share of its capacity."""

    target: str
    share: float
    capacity_spans_per_s: float
    due_per_s: float
    """Requests."""
    sent: Sent
    delivered: bool
    """Whether everything was at the sink in time; else the share was more than it can keep up with."""


def measure(target: Target, load: Load, endpoint: Endpoint, cpus: tuple[str, str], wait_s: float) -> list[Latency]:
    """Measure one target at every share; `load.max_seconds` is how long each is sent."""
    own, others = cpus
    with work_folder() as folder:
        running = target.start(folder, endpoint.url, own)
        try:
            address = running.grpc if load.protocol == "grpc" else running.http
            load = replace(load, endpoint=address)
            watched = [running.pid, endpoint.pid]
            capacity = _capacity(running, load, watched, others, wait_s)
            found = []
            for share in SHARES:
                rate = share * capacity / load.batch
                spans = max(1, round(rate * load.max_seconds)) * load.batch
                sent = generate(replace(load, rate=rate, spans=spans), folder, others)
                _, delivered = await_idle(watched, timeout_s=wait_s, done=running.delivered)
                found.append(Latency(target.name, share, round(capacity), round(rate, 2), sent, delivered))
            return found
        finally:
            running.stop()


def _capacity(running: Running, load: Load, watched: list[int], cpus: str, wait_s: float) -> float:
    """Return how many spans for a second are delivered for good.

    The first load warms up and says how many spans the second needs to take a few seconds.
    """
    folder = running.log.parent
    capacity = 0.0
    for _ in range(2):
        spans = max(load.spans, round(capacity * CAPACITY_S))
        sent = generate(replace(load, spans=spans), folder, cpus)
        idle_since, _ = await_idle(watched, timeout_s=wait_s, done=running.delivered)
        capacity = sent.accepted / (sent.seconds + max(0.0, idle_since - sent.ended_at))
    return capacity


def table(found: Sequence[Latency], floor: dict[str, float]) -> Table:
    """Return a table, a line for each share."""
    result = Table(title=f"acknowledgement; fdatasync floor p50 {floor['p50']} ms, max {floor['max']} ms")
    for name in ("target", "capacity spans/s", "share", "requests/s", "p50 ms", "p99 ms", "max ms", "sent", "problems"):
        result.add_column(name, justify="left" if name == "target" else "right")
    for one in found:
        problems = [] if one.delivered else ["not delivered in time"]
        problems += [f"{one.sent.failed} failed"] if one.sent.failed else []
        problems += [f"{one.sent.retries} retries"] if one.sent.retries else []
        result.add_row(
            *(one.target, f"{one.capacity_spans_per_s:.0f}", f"{one.share:.0%}", f"{one.due_per_s:.1f}"),
            *(f"{one.sent.p50_ms:.1f}", f"{one.sent.p99_ms:.1f}", f"{one.sent.max_ms:.1f}"),
            *(str(one.sent.requests), ", ".join(problems)),
        )
    return result


def checks(document: Document) -> list[Check]:
    """Return nothing: how long it takes has no target, but stands beside the floor of the disk."""
    del document
    return []


def markdown(document: Document) -> str:
    """Return a line for each target and share."""
    floor = document["machine"]["fdatasync_ms"]
    rows = [
        [
            *(
                one["target"],
                f"{one['capacity_spans_per_s']:.0f}",
                f"{one['share']:.0%}",
                f"{one['sent']['p50_ms']:.1f}",
            ),
            *(
                f"{one['sent']['p99_ms']:.1f}",
                f"{one['sent']['max_ms']:.1f}",
                f"{floor['p50']} (at most {floor['max']})",
            ),
        ]
        for one in document["latencies"]
    ]
    header = ("collector", "capacity spans/s", "share", "p50 ms", "p99 ms", "max ms", "fdatasync floor ms")
    return markdown_table(header, rows)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--kind", choices=get_args(Kind), default="genai")
    parser.add_argument("--protocol", choices=get_args(WireProtocol), default="http")
    parser.add_argument("--batch", type=int, default=64, help="spans in a request")
    parser.add_argument("--spans", type=int, default=20_480, help="that find the capacity")
    parser.add_argument("--seconds", type=float, default=15.0, help="of sending at each share")
    parser.add_argument("--wait", type=float, default=60.0, help="seconds that delivery may take after the last answer")
    parser.add_argument("--peer", choices=TARGETS, default="none")
    parser.add_argument("--smoke", action="store_true", help="very short: does everything run?")
    parser.add_argument("--json", action="store_true", help="print the raw results instead of a table")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the raw results")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 1 when something was refused for good, or not delivered in time."""
    options = parse(arguments)
    if options.smoke:
        options.spans, options.seconds = 1_024, 1.0
    load = Load("", options.protocol, options.kind, options.spans, options.batch, max_seconds=options.seconds)
    pinned = (os.cpu_count() or 1) > 1 and not options.smoke
    cpus = ("0", f"1-{(os.cpu_count() or 2) - 1}") if pinned else ("", "")
    console = Console(stderr=options.json, width=160)
    found: list[Latency] = []
    with work_folder() as folder, sink(folder, cpus[1]) as endpoint:
        for target in TARGETS[options.peer]:
            found += measure(target, load, endpoint, cpus, options.wait)
        where = machine(folder)
    kept: dict[str, Any] = {"machine": where, "options": settings(options), "latencies": [asdict(one) for one in found]}
    if options.json:
        print(json.dumps(kept, indent=1))
    else:
        console.print(table(found, where["fdatasync_ms"]))
    if not options.smoke:
        console.print(f"raw results: {keep('latency', kept, options.results)}", highlight=False)
    return 1 if any(one.sent.failed or not one.delivered for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
