"""Measure whether the cost of a span stays what it is while things grow: the database, traces, tenants, attributes.

    python bench/growth.py [--full] [--rounds 3] [--picture]

    spans in the database   CPU of decode to stored row, merges included, while an embedded database fills
    INSERTs alone           the same with merges stopped: what is above that is rows written anew
    spans a trace           CPU of decode to encoded rows, traces of 1 to 5 000 spans: agents, tools, model calls
    nested model calls      the same, every span a model call inside the one above: 8 to 5 000
    tenants                 the same, 1 to 100 tenants in one batch
    attributes              the same; spans of 5 to 200, which cannot cost the same
    one more attribute      what each of them adds, between two points of the curve above: this should be flat

Flat is what does not rise by more than 15 %: each point is the cost beside that of the first. Batches are cut at the
bytes of the journal's default. `--full` goes on to ten million spans in the database. Of the first point of the
database nothing is merged yet, and merges write a row anew by the logarithm of what is there: that curve is not flat.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

from bench.stages import inserting, processors
from bench.tools.limits import best_cpu_us
from bench.tools.machine import RESULTS, keep, machine, settings
from bench.tools.measure import work_folder
from bench.tools.payloads import Stamper, stamper
from bench.tools.pictures import IMAGES, curves
from bench.tools.proc import await_idle
from bench.tools.report import Check, Document, markdown_table
from bench.tools.shapes import Shape, records
from collector.config import JournalConfig
from collector.decode import decode
from collector.journal.record import Record
from collector.process import tune
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from exporters.clickhouse.native import encode
from exporters.clickhouse.rows import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FLAT: Final = 1.15
SPANS: Final = 10_000
TRACE_SIZES: Final = (1, 8, 50, 500, 5_000)
TENANTS: Final = (1, 10, 100)
ATTRIBUTES: Final = (5, 25, 50, 100, 200)
SIZES: Final = (10_000, 30_000, 100_000, 300_000, 1_000_000)
FULL_SIZES: Final = (*SIZES, 3_000_000, 10_000_000)
SMOKE_SIZES: Final = (10_000, 20_000)
BATCH_SPANS: Final = 10_000
UNMERGED_SPANS: Final = 1_000_000
"""As many parts as INSERTs: ClickHouse delays them from a thousand."""
REQUEST_SPANS: Final = 500
IN_THE_DATABASE: Final = "spans in the database"
INSERTS_ALONE: Final = "INSERTs alone"
SPANS_A_TRACE: Final = "spans a trace"
MORE_ATTRIBUTES: Final = "one more attribute"

Point = dict[str, Any]
"""curve, at, us (a span; of one more attribute, an attribute), relative."""


def process(found: Sequence[Record]) -> list[Any]:
    """Return the rows of records, by every step of a collector that is not the journal's."""
    batch: Any = decode(found)
    for processor in processors().values():
        batch = processor(batch)
    return list(blocks(batch))


def batches(found: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Cut records where the journal cuts them by default: a process sees no larger batches."""
    limit_bytes, first, held_bytes = JournalConfig().batch_bytes, 0, 0
    for i, record in enumerate(found):
        if i > first and held_bytes + len(record.body) > limit_bytes:
            yield found[first:i]
            first, held_bytes = i, 0
        held_bytes += len(record.body)
    yield found[first:]


def encoded_us(shape: Shape, rounds: int) -> float:
    """Return CPU microseconds a span, decode to encoded rows."""
    found = list(batches(records(shape)))

    def work() -> None:
        for batch in found:
            for block in process(batch):
                for _ in encode(block.rows):
                    pass

    return best_cpu_us(work, rounds) / shape.spans


def curve(name: str, shapes: Sequence[tuple[int, Shape]], rounds: int) -> list[Point]:
    """Measure the shapes of one curve."""
    return relative(name, [(at, encoded_us(shape, rounds)) for at, shape in shapes])


def relative(name: str, points: Sequence[tuple[int, float]]) -> list[Point]:
    """Return points with their cost beside the first's."""
    return [{"curve": name, "at": at, "us": round(us, 3), "relative": round(us / points[0][1], 3)} for at, us in points]


def of_attributes(rounds: int, spans: int) -> list[Point]:
    """Return what one more attribute costs, between each two numbers of them."""
    found = [(n, encoded_us(Shape(spans, attributes=n), rounds)) for n in ATTRIBUTES]
    marginal = [(n, (us - less_us) / (n - fewer)) for (fewer, less_us), (n, us) in pairwise(found)]
    return relative("attributes", found) + relative(MORE_ATTRIBUTES, marginal)


def of_the_database(sizes: Sequence[int], *, merging: bool) -> list[Point]:
    """Fill an embedded database; a point is the CPU a span since the point before, merges that were due included."""
    made = stamper("small", REQUEST_SPANS, start=1)
    points: list[tuple[int, float]] = []
    with work_folder() as folder, connect(f"chdb://{folder}/db") as db:
        migrate(db)
        if not merging:
            db.command("SYSTEM STOP MERGES")
        inserting(db, process(_requests(made)))()  # what is compiled and opened the first time is not growth
        held = 0
        for size in sizes:
            spent_s, before = 0.0, held
            while held < size:
                found = _requests(made)
                began = time.process_time()
                for block in process(found):
                    db.insert_arrow(block.table, block.rows, f"growth/{held}")
                spent_s += time.process_time() - began
                held += BATCH_SPANS
            began = time.process_time()
            await_idle([os.getpid()], timeout_s=60)
            spent_s += time.process_time() - began
            points.append((size, spent_s / (held - before) * 1e6))
    return relative(IN_THE_DATABASE if merging else INSERTS_ALONE, points)


def _requests(made: Stamper) -> list[Record]:
    now = time.time_ns()
    return [
        Record(i, "default", "traces", "protobuf", gzip=False, received_unix_ns=now, body=made.next())
        for i in range(BATCH_SPANS // REQUEST_SPANS)
    ]


def checks(document: Document) -> list[Check]:
    """Return for each curve how far its worst point is above the first."""
    points = document["points"]
    return [
        Check(f"growth, {name}: worst ÷ first", max(p["relative"] for p in points if p["curve"] == name), FLAT)
        for name in dict.fromkeys(p["curve"] for p in points)
        if name != "attributes"
    ]


def markdown(document: Document) -> str:
    """Return a line for each point."""
    return markdown_table(HEADER, _rows(document))


HEADER: Final = ("what grows", "at", "CPU µs a span (an attribute)", "beside the first")


def _rows(document: Document) -> list[list[str]]:
    return [[p["curve"], f"{p['at']:,}", f"{p['us']:.3g}", f"{p['relative']:.2f}"] for p in document["points"]]


def picture(document: Document, folder: Path = IMAGES) -> Path:
    """Draw the curves that should be flat."""
    where = f"{document['machine']['at'][:10]} · {document['machine']['commit']}"
    rows = [p for p in document["points"] if p["curve"] != "attributes"]
    return curves(rows, folder / "growth.svg", title=f"Cost of a span as things grow · {where}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--full", action="store_true", help="up to ten million spans in the database: some minutes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--picture", nargs="?", type=Path, const=IMAGES, help="draw it: in docs/images, or a folder")
    parser.add_argument("--smoke", action="store_true", help="few spans: does everything run?")
    parser.add_argument("--json", action="store_true", help="print the raw results instead of a table")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the raw results")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench."""
    options = parse(arguments)
    tune()
    spans = SPANS
    sizes: Sequence[int] = FULL_SIZES if options.full else SIZES
    if options.smoke:
        spans, sizes, options.rounds = 1024, SMOKE_SIZES, 1
    points = [
        *curve(SPANS_A_TRACE, [(n, Shape(spans, spans_per_trace=n)) for n in TRACE_SIZES], options.rounds),
        *curve(
            "nested model calls a trace",
            [(n, Shape(spans, spans_per_trace=n, nested_calls=True)) for n in TRACE_SIZES[1:]],
            options.rounds,
        ),
        *curve("tenants", [(n, Shape(spans, tenants=n)) for n in TENANTS], options.rounds),
        *of_attributes(options.rounds, spans),
        *of_the_database([n for n in sizes if n <= UNMERGED_SPANS], merging=False),
        *of_the_database(sizes, merging=True),
    ]
    with work_folder() as folder:
        kept: Document = {"machine": machine(folder), "options": settings(options), "points": points}
    if options.json:
        print(json.dumps(kept, indent=1))
    else:
        table = Table(*HEADER)
        for row in _rows(kept):
            table.add_row(*row)
        Console(width=120).print(table)
    if options.picture:
        print(f"picture: {picture(kept, options.picture)}", file=sys.stderr)
    if not options.smoke:
        print(f"raw results: {keep('growth', kept, options.results)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
