"""Measure what the signals cost: CPU and memory of `evalgate signals`, by the number of traces that are compared.

    python bench/signals.py [--traces 10000 100000] [--json]

Traffic of bench/tools/planted.py (3.9 spans a trace, answers of 40 words) in an embedded database, in this process. CPU
is of the process, all threads; memory is its peak (RSS) so far, with the database's engine and the rows as they were
made, so the growth from one size to the next is what counts. `read` are the four statements, `measure` is the rest.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.tools.machine import RESULTS, machine
from bench.tools.planted import plant, store
from bench.tools.report import Check, Document, finish, markdown_table, table_of
from evalgate.database import TenantDatabase
from evalgate.select.where import Where
from evalgate.signals import Weights, measure, prioritise
from evalgate.signals.population import Window, read_population
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZES: Final = (1, 10_000, 100_000)
SMOKE_SIZES: Final = (1, 1_000)
LIMIT_S: Final = 15.0
"""CPU of the largest size."""
HEADER: Final = ("traces", "spans", "read, CPU s", "wall s", "measure, CPU s", "memory added, MiB")


def one_size(traces: int, folder: Path) -> dict[str, Any]:
    """Return what so many traces cost."""
    planted = plant(1, traces)
    spans = len(planted.spans)
    with connect(f"chdb://{folder}?database=signals_{traces}", create_database=True) as opened:
        migrate(opened)
        database = TenantDatabase(opened, "default")
        store(database, planted)
        planted.spans.clear()
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cpu, wall = time.process_time(), time.monotonic()
        population = read_population(database, Where(), Window())
        read_s, wall_s = time.process_time() - cpu, time.monotonic() - wall
        cpu = time.process_time()
        found = prioritise(measure(population), Weights())
        measure_s = time.process_time() - cpu
        opened.command(f"DROP DATABASE signals_{traces} SYNC")
    added_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) / 1024
    return {
        "traces": len(found.order), "spans": spans, "read_s": read_s, "wall_s": wall_s, "measure_s": measure_s,
        "added_mib": added_mib,
    }  # fmt: skip


def checks(document: Document) -> list[Check]:
    """Return the figures that have targets."""
    last = document["sizes"][-1]
    return [Check(f"signals of {last['traces']} traces", last["read_s"] + last["measure_s"], LIMIT_S, "s CPU")]


def _rows(document: Document) -> list[tuple[str, ...]]:
    return [
        (
            str(s["traces"]), str(s["spans"]), f"{s['read_s']:.2f}", f"{s['wall_s']:.2f}", f"{s['measure_s']:.2f}",
            f"{s['added_mib']:.0f}",
        )
        for s in document["sizes"]
    ]  # fmt: skip


def markdown(document: Document) -> str:
    """Return the table."""
    return markdown_table(HEADER, _rows(document))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=int, nargs="+", default=SIZES)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="few traces; nothing is kept")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        sizes = SMOKE_SIZES if options.smoke else sorted(options.traces)
        document = {"machine": machine(Path(folder)), "sizes": [one_size(n, Path(folder) / "db") for n in sizes]}
    return finish("signals", document, checks(document), table_of(HEADER, _rows(document)), options)


if __name__ == "__main__":
    sys.exit(main())
