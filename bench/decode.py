"""Measure decoding: the kernels beside the protobuf library, CPU microseconds a span.

    python bench/decode.py [--spans 16384] [--rounds 5] [--json]

The best of the rounds counts. Beside them stands the floor of this machine: copying the same bytes once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from bench.tools.limits import best_cpu_us
from bench.tools.payloads import Kind, stamper
from collector.decode import columns, protobuf
from collector.journal import Journal, JournalOptions
from collector.journal.record import Record
from collector.memory import keep_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SPANS_PER_REQUEST: Final = 512


def records_of(kind: Kind, spans: int) -> list[Record]:
    """Make journal records, each a request of its own bytes."""
    make = stamper(kind, SPANS_PER_REQUEST, start=1)
    now = time.time_ns()
    return [
        Record(i, "default", "traces", "protobuf", gzip=False, received_unix_ns=now, body=make.next())
        for i in range(max(1, spans // SPANS_PER_REQUEST))
    ]


async def as_read(records: Sequence[Record]) -> Sequence[Record]:
    """Return them as the journal hands them out: in one buffer, as it was read."""
    with tempfile.TemporaryDirectory() as folder:
        size = sum(len(r.body) + 100 for r in records)
        options = JournalOptions(Path(folder), max_bytes=8 * size, segment_bytes=2 * size, batch_bytes=2 * size)
        journal = await Journal.open(options)
        appends = (
            journal.append(r.tenant, r.signal, r.body, encoding="protobuf", gzip=False, members=SPANS_PER_REQUEST)
            for r in records
        )
        await asyncio.gather(*appends)
        journal.drain()
        batch = await journal.reader("delivery").next_batch()
        await journal.close()
    if batch is None or len(batch.records) != len(records):
        raise SystemExit("the journal gave other records than it took")
    return batch.records


def measure(kind: Kind, spans: int, rounds: int) -> dict[str, Any]:
    """Decode the same records both ways."""
    records = asyncio.run(as_read(records_of(kind, spans)))
    n = len(records) * SPANS_PER_REQUEST
    bodies = [r.body for r in records]
    ways: Sequence[tuple[str, Callable[[], object]]] = (
        ("kernels", lambda: columns.decode(records)),
        ("library", lambda: protobuf.decode(records)),
        ("copy", lambda: b"".join(bodies)),
    )
    figures = {name: round(best_cpu_us(work, rounds) / n, 2) for name, work in ways}
    return {"kind": kind, "spans": n, "bytes_per_span": sum(map(len, bodies)) // n} | {
        f"{name}_us_per_span": us for name, us in figures.items()
    }


def main() -> None:
    """Print a line per kind of span."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--spans", type=int, default=16_384)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    keep_memory()
    rows = [measure(kind, arguments.spans, arguments.rounds) for kind in get_args(Kind)]
    if arguments.json:
        json.dump(rows, sys.stdout, indent=1)
        print()
        return
    for row in rows:
        print(
            "{kind:6} {bytes_per_span:5} B   kernels {kernels_us_per_span:6.2f} µs CPU/span   "
            "library {library_us_per_span:6.2f}   one copy of the bytes {copy_us_per_span:5.2f}".format(**row)
        )


if __name__ == "__main__":
    main()
