"""Measure what a sidecar that forwards less adds: CPU microseconds a span received, and bytes a trace remembered.

    python bench/forwarding.py [--spans 16384] [--traces 100000] [--rounds 3] [--json]

    look-ahead   decode and processors, as in any lane, and then: what a batch says of its traces, into the table
    lane         decode again, leave out what is not kept, processors and OTLP for the rest

The table is full from the beginning. Beside the kernels that write what leaves stands the protobuf library. Memory is
what the process grows by when so many traces are remembered, and as many left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import tracemalloc
from functools import partial
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.stages import SPANS_PER_REQUEST, processors
from bench.tools.limits import best_cpu_us
from bench.tools.machine import machine, settings
from bench.tools.measure import work_folder
from bench.tools.payloads import Kind, stamper
from collector.decode import decode
from collector.journal.fs import Fs
from collector.journal.record import Record
from collector.process import tune
from collector.processors.asymmetric_sampler.decisions import FACT, FAILING, Recent
from collector.processors.asymmetric_sampler.evidence import evidence
from collector.processors.asymmetric_sampler.file import DecisionFile
from collector.processors.asymmetric_sampler.memory import Memory
from collector.processors.asymmetric_sampler.sampler import Sampler
from exporters.otlp.encode import by_library, to_requests

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.tools.report import Document
    from schema.batch import SpanBatch

NOON_NS: Final = 1_790_000_000_000_000_000
SALT: Final = b"bench"


def measure(kind: Kind, spans: int, traces: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Run both sides on spans of one kind; figures are of a span received."""
    made = stamper(kind, SPANS_PER_REQUEST, start=1)
    bodies = [made.next() for _ in range(max(1, spans // SPANS_PER_REQUEST))]
    records = [
        Record(i, "default", "traces", "protobuf", gzip=False, received_unix_ns=NOON_NS, body=b, members=1)
        for i, b in enumerate(bodies)
    ]
    n = len(bodies) * SPANS_PER_REQUEST
    steps = processors()

    def processed(batch: SpanBatch) -> SpanBatch:
        for step in steps.values():
            batch = step(batch)
        return batch

    def us(work: Any) -> float:
        return round(best_cpu_us(work, rounds) / n, 3)

    memory = Memory(DecisionFile(folder, Fs()), SALT, max_traces=traces, policy="bench")
    memory.load(0, mark=0)
    memory.observe(strangers(traces))
    raw = decode(records)
    full = processed(raw)
    found = evidence(full, SALT)
    figures = {
        "decode": us(partial(decode, records)),
        "processors": us(partial(processed, raw)),
        "evidence": us(partial(evidence, full, SALT)),
        "remember": us(partial(memory.observe, found)),
    }
    sampler = Sampler(memory, traces, lambda sequence: np.zeros(len(sequence), np.bool_))
    kept = sampler(raw)
    leaving = processed(kept)
    figures |= {
        "leave out": us(partial(sampler, raw)),
        "processors of what is kept": us(partial(processed, kept)),
        "write what is kept": us(partial(to_requests, leaving)),
        "write it by the library": us(partial(by_library, leaving)),
    }
    return {"kind": kind, "spans": n, "kept_spans": len(kept), "us": figures}


def strangers(traces: int, *, seed: int = 1) -> Any:
    """Return facts of traces that no batch here has."""
    rng = np.random.default_rng(seed)
    found = np.zeros(traces, FACT)
    found["key"] = np.sort(rng.choice(2**62, traces, replace=False).astype(np.uint64))
    found["flags"] = FAILING
    return found


def bytes_per_trace(traces: int, folder: Path) -> float:
    """Return what remembering costs, measured: kept and left out, each so many."""
    facts = strangers(traces)
    tracemalloc.start()
    memory = Memory(DecisionFile(folder, Fs()), SALT, max_traces=traces, policy="bench")
    recent = Recent.empty(traces)
    for i in range(0, traces, 1000):
        memory.observe(facts[i : i + 1000])
        memory.save()
        recent.add(facts["key"][i : i + 1000])
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return round(grown / traces, 1)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--spans", type=int, default=16_384)
    parser.add_argument("--traces", type=int, default=100_000, help="that are remembered")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="few spans: does everything run?")
    parser.add_argument("--json", action="store_true", help="print the raw results instead of a table")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench."""
    options = parse(arguments)
    tune()
    if options.smoke:
        options.spans, options.traces, options.rounds = 1024, 5000, 1
    with work_folder() as folder:
        kinds = [measure(k, options.spans, options.traces, options.rounds, folder) for k in get_args(Kind)]
        document: Document = {
            "machine": machine(folder),
            "options": settings(options),
            "kinds": kinds,
            "bytes_per_trace": bytes_per_trace(options.traces, folder),
        }
    if options.json:
        print(json.dumps(document, indent=1))
        return 0
    table = Table("step", *(f"{k['kind']}, µs" for k in kinds), title="CPU of a span received")
    for step in kinds[0]["us"]:
        table.add_row(step, *(f"{k['us'][step]:.2f}" for k in kinds))
    kept = (f"{k['kept_spans'] / k['spans']:.0%}" for k in kinds)
    table.add_row("kept", *kept)
    Console().print(table)
    print(f"{document['bytes_per_trace']} bytes a trace, of {options.traces} kept and as many left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
