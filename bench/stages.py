"""Measure what each stage between journal and database costs: CPU microseconds a span.

    python bench/stages.py [--spans 16384] [--rounds 5] [--json] [--profile STAGE]

The stages run one after another on one batch, as in a collector with every processor on; insert is into an embedded
database in a temporary folder. The best of the rounds counts. `--profile` shows where one stage spends its time.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sys
import tempfile
import time
from itertools import count
from typing import TYPE_CHECKING, Any, Final, get_args

from bench.decode import SPANS_PER_REQUEST, records_of
from bench.tools.payloads import Kind
from collector.decode import decode
from collector.processors.cost import CostProcessor
from collector.processors.failure import with_failures
from collector.processors.normalise import canonical
from collector.processors.sample import with_baseline
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from exporters.clickhouse.rows import blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporters.clickhouse.connect import Database

BASELINE_RATE: Final = 0.1


def stages(db: Database) -> dict[str, Callable[[Any], Any]]:
    """Return the stages in order; each takes what the one before it gives."""
    price = CostProcessor()
    numbers = count()

    def insert(found: Any) -> None:
        for block in found:
            db.insert_arrow(block.table, block.rows, f"bench/{next(numbers)}")

    return {
        "decode": decode,
        "normalise": canonical,
        "cost": price,
        "failure": with_failures,
        "sample": lambda batch: with_baseline(batch, BASELINE_RATE),
        "rows": lambda batch: list(blocks(batch)),
        "insert": insert,
    }


def measure(kind: Kind, spans: int, rounds: int, *, profile: str | None = None) -> dict[str, Any]:
    """Run the chain, each stage `rounds` times on the same input, after one call that warms it up."""
    records = records_of(kind, spans)
    n = len(records) * SPANS_PER_REQUEST
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, connect(f"chdb://{folder}/db") as db:
        migrate(db)
        value: Any = records
        for name, stage in stages(db).items():
            result = stage(value)
            times_s = []
            for _ in range(rounds):
                began = time.process_time()
                result = stage(value)
                times_s.append(time.process_time() - began)
            if name == profile:
                profiler = cProfile.Profile()
                profiler.runcall(stage, value)
                pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(25)
            figures[name] = round(min(times_s) / n * 1e6, 2)
            value = result
    return {"kind": kind, "spans": n, "us_per_span": figures | {"total": round(sum(figures.values()), 2)}}


def main() -> None:
    """Print a table: a row for each stage, a column for each kind of span."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--spans", type=int, default=16_384)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", metavar="STAGE")
    arguments = parser.parse_args()
    rows = [measure(k, arguments.spans, arguments.rounds, profile=arguments.profile) for k in get_args(Kind)]
    if arguments.json:
        json.dump(rows, sys.stdout, indent=1)
        print()
        return
    print("µs CPU/span", *(f"{row['kind']:>9}" for row in rows))
    for name in rows[0]["us_per_span"]:
        print(f"{name:11}", *(f"{row['us_per_span'][name]:9.2f}" for row in rows))


if __name__ == "__main__":
    main()
