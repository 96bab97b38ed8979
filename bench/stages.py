"""Measure what each stage costs, from the socket to the database: CPU microseconds a span.

    python bench/stages.py [--spans 16384] [--rounds 3] [--server] [--picture] [--json] [--profile STAGE]

The stages run one after another on the same spans, as in a collector with every processor on, each `rounds` times; the
best counts. Beside each stands what the machine itself takes for the same bytes: taking them from a socket, copying
them, their checksum, their fdatasync, inflating them. `receive` and `receive gRPC` are a process of their own with the
receiver in front of a journal that forgets; `send` goes to a sink that keeps nothing. `--server` adds what a ClickHouse
server spends on the rows, its limit being the same rows into the Null engine. `--profile` shows where a stage spends
its time; `--picture` draws docs/images/stages.svg.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gzip
import json
import pstats
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from rich.console import Console
from rich.table import Table

from bench.tools.databases import server, sink
from bench.tools.limits import best_cpu_us, copy_us, crc32c_us, inflate_us, receive_us, send_us, sync_us
from bench.tools.machine import keep, machine, settings
from bench.tools.measure import work_folder
from bench.tools.payloads import Kind, stamper
from bench.tools.pictures import IMAGES, bars
from bench.tools.proc import await_idle, usage
from bench.tools.receiving import cpu_us as receiving_us
from bench.tools.report import Check, Document, markdown_table
from collector.decode import decode
from collector.decode.inflate import gunzip
from collector.journal import Journal, JournalOptions
from collector.process import tune
from collector.processors import compiled
from collector.processors.cost import CostProcessor
from collector.processors.failure import with_failures
from collector.processors.limits import LimitsProcessor
from collector.processors.normalise import canonical
from collector.processors.redact import RedactProcessor
from collector.processors.sample import Sample
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from exporters.clickhouse.native import encode
from exporters.clickhouse.rows import blocks
from schema.policy import SamplePolicy
from schema.policy.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from exporters.clickhouse.connect import Database

BASELINE_RATE: Final = 0.1
SPANS_PER_REQUEST: Final = 512
GZIP_LEVEL: Final = 6
LARGEST_BYTES: Final = 64 << 20
BESIDE: Final = frozenset({"inflate", "receive gRPC", "insert, embedded", "server"})
"""Stages that take the place of another, or are another process's: not in the total."""
TARGET_US: Final = {"genai": 8.0, "small": 3.2}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage; `work` is called again and again and gives what the next stage takes."""

    name: str
    us: float
    limit_us: float | None = None
    limit: str = ""
    """What the limit is."""


@dataclass(slots=True)
class Chain:
    """Stages that were measured so far, of one kind of spans."""

    spans: int
    rounds: int
    profile: str | None
    found: list[Stage] = field(default_factory=list)

    def run(self, name: str, work: Callable[[], Any], limit: str = "", limit_us: float | None = None) -> Any:
        """Measure a call, and return what it returns."""
        result = work()
        us = best_cpu_us(work, self.rounds)
        if name == self.profile:
            profiler = cProfile.Profile()
            profiler.runcall(work)
            pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(25)
        self.add(name, us, limit, limit_us)
        return result

    def add(self, name: str, us: float, limit: str = "", limit_us: float | None = None) -> None:
        """Take a figure, in microseconds for all spans."""
        of_one = None if limit_us is None else limit_us / self.spans
        self.found.append(Stage(name, us / self.spans, of_one, limit))


def measure(kind: Kind, spans: int, rounds: int, *, profile: str | None = None, real: bool = False) -> dict[str, Any]:
    """Run the chain on spans of one kind."""
    made = stamper(kind, SPANS_PER_REQUEST, start=1)
    bodies = [made.next() for _ in range(max(1, spans // SPANS_PER_REQUEST))]
    n = len(bodies) * SPANS_PER_REQUEST
    chain = Chain(n, rounds, profile)
    with work_folder() as folder:
        _into_the_process(chain, bodies, kind)
        asyncio.run(_from_the_journal(chain, bodies, folder, real=real))
    return {
        "kind": kind,
        "spans": n,
        "bytes_per_span": sum(map(len, bodies)) // n,
        "stages": [
            {"stage": s.name, "us": round(s.us, 3), "limit": s.limit,
             "limit_us": None if s.limit_us is None else round(s.limit_us, 3)}
            for s in chain.found
        ],
        "total_us": round(sum(s.us for s in chain.found if s.name not in BESIDE), 3),
    }  # fmt: skip


def _into_the_process(chain: Chain, bodies: Sequence[bytes], kind: Kind) -> None:
    total = sum(map(len, bodies))
    floor = receive_us(total, chain.rounds)
    ways: tuple[tuple[str, Literal["http", "grpc"]], ...] = (("receive", "http"), ("receive gRPC", "grpc"))
    for name, protocol in ways:
        us = receiving_us(protocol, kind, SPANS_PER_REQUEST, len(bodies) * chain.rounds) * chain.spans
        chain.add(name, us, "taking the bytes from a socket", floor)
    packed = [gzip.compress(body, GZIP_LEVEL) for body in bodies]
    limit_us = inflate_us(packed, chain.rounds)
    chain.run("inflate", lambda: [gunzip(body, LARGEST_BYTES) for body in packed], "isal alone", limit_us)


async def _from_the_journal(chain: Chain, bodies: Sequence[bytes], folder: Path, *, real: bool) -> None:
    """Journal, read back, and hand on, without a step of Python for each span."""
    synced = sync_us(bodies, folder, chain.rounds) + crc32c_us(bodies, chain.rounds)
    copied = copy_us(bodies, chain.rounds)
    options = JournalOptions(folder / "journal", max_bytes=16 << 30, batch_bytes=1 << 30, batch_linger_s=0)
    journal = await Journal.open(options)
    reader = journal.reader("delivery")
    try:
        times_us, read_us, batch = [], [], None
        for _ in range(chain.rounds + 1):
            began = time.process_time()
            appending = [
                journal.append("default", "traces", b, encoding="protobuf", gzip=False, members=SPANS_PER_REQUEST)
                for b in bodies
            ]
            await asyncio.gather(*appending)
            appended = time.process_time()
            if batch is not None:
                await reader.confirm(batch)
            reading = time.process_time()
            batch = await reader.next_batch()
            read_us.append((time.process_time() - reading) * 1e6)
            times_us.append((appended - began) * 1e6)
        assert batch is not None  # noqa: S101 - it was appended
        chain.add("journal write", min(times_us), "crc32c and fdatasync of the bytes", synced)
        chain.add("journal read", min(read_us), "crc32c of the bytes", crc32c_us(bodies, chain.rounds))
        _to_the_database(chain, batch.records, copied, folder, real=real)
    finally:
        await journal.close()


def _to_the_database(chain: Chain, records: Any, copied_us: float, folder: Path, *, real: bool) -> None:
    value: Any = chain.run("decode", lambda: decode(records), "copying the bytes", copied_us)
    for name, stage in processors().items():
        before = value
        limit = ("copying the bytes", copied_us) if name == "normalise" else ()
        value = chain.run(name, partial(stage, before), *limit)
    rows = chain.run("rows", lambda: list(blocks(value)), "copying the bytes", copied_us)
    encoded = sum(len(piece) for block in rows for piece in encode(block.rows))
    target = bytearray(encoded)
    chain.run(
        "encode",
        lambda: [sum(map(len, encode(block.rows))) for block in rows],
        "copying what comes out",
        copy_us([bytes(target)], chain.rounds),
    )
    with sink(folder) as endpoint, connect(endpoint.url) as db:
        us = best_cpu_us(inserting(db, rows), chain.rounds)
    encode_us = chain.found[-1].us * chain.spans
    chain.add("send", max(0.0, us - encode_us), "putting it into a socket", send_us(encoded, chain.rounds))
    with connect(f"chdb://{folder}/db") as db:
        migrate(db)
        chain.run("insert, embedded", inserting(db, rows))
    if real:
        _on_the_server(chain, rows, folder)


def processors() -> dict[str, Callable[[Any], Any]]:
    """Return the processors in order, compiled; each takes what the one before it gives."""
    compiled.load()
    return {
        "redact": RedactProcessor(),
        "normalise": canonical,
        "cost": CostProcessor(),
        "failure": with_failures,
        "sample": Sample(Rates.of(SamplePolicy(baseline_rate=BASELINE_RATE)), policy_version="0123456789ab"),
        "limits": LimitsProcessor(),
    }


def inserting(db: Database, rows: Sequence[Any], table: str | None = None) -> Callable[[], None]:
    """Return what inserts the rows, each time with tokens of their own; `table` stands for that of the spans alone."""
    numbers = count()

    def insert() -> None:
        for block in rows:
            if table is None or block.table == "spans":
                db.insert_arrow(table or block.table, block.rows, f"bench/{next(numbers)}")

    return insert


def _on_the_server(chain: Chain, rows: Sequence[Any], folder: Path) -> None:
    """Add the CPU of a server for our tables and views, merges included; the limit is the Null engine."""
    with server(folder) as endpoint:
        endpoint.prepare(peer=False)
        with connect(endpoint.url) as db:
            migrate(db)
            db.command("CREATE TABLE nothing AS spans ENGINE = Null")
            figures = [
                _server_us(endpoint.pid, inserting(db, rows, table), chain.rounds) for table in ("nothing", None)
            ]
    chain.add("server", figures[1], "its parse of the rows, into the Null engine", figures[0])


def _server_us(pid: int, insert: Callable[[], None], rounds: int) -> float:
    """Return the CPU time of another process for one call, over all rounds: ticks are 10 ms."""
    insert()
    await_idle([pid], timeout_s=20)
    before = usage(pid).cpu_s
    for _ in range(rounds):
        insert()
    await_idle([pid], timeout_s=30)
    return (usage(pid).cpu_s - before) / rounds * 1e6


def checks(document: Document) -> list[Check]:
    """Return the sum of all stages beside what DESIGN.md hopes for."""
    return [
        Check(f"stages, {k['kind']}: receive to send together", k["total_us"], TARGET_US[k["kind"]], "µs")
        for k in document["kinds"]
    ]


def _lines(document: Document) -> Iterator[list[str]]:
    kinds = document["kinds"]
    for stages in zip(*(k["stages"] for k in kinds), strict=True):
        first = stages[0]
        name = f"({first['stage']})" if first["stage"] in BESIDE else first["stage"]
        figures = [
            c for s in stages for c in (f"{s['us']:.2f}", "" if s["limit_us"] is None else f"{s['limit_us']:.2f}")
        ]
        yield [name, *figures, first["limit"]]
    yield ["together", *(c for k in kinds for c in (f"{k['total_us']:.2f}", "")), "without what is in brackets"]


def _header(document: Document) -> list[str]:
    return ["stage", *(c for k in document["kinds"] for c in (f"{k['kind']} µs", "limit µs")), "the limit is"]


def markdown(document: Document) -> str:
    """Return a line for each stage."""
    return markdown_table(_header(document), list(_lines(document)))


def picture(document: Document, folder: Path = IMAGES) -> Path:
    """Draw the stages of both kinds."""
    rows = [{"kind": k["kind"], **s} for k in document["kinds"] for s in k["stages"]]
    where = document["machine"]
    return bars(rows, folder / "stages.svg", title=f"Where the time goes · {where['at'][:10]} · {where['commit']}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--kind", choices=get_args(Kind), action="append", help="repeatable. Default: both")
    parser.add_argument("--spans", type=int, default=16_384)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", action="store_true", help="a real ClickHouse server too")
    parser.add_argument(
        "--picture", nargs="?", type=Path, const=IMAGES, help="draw stages.svg, into docs/images or a folder"
    )
    parser.add_argument("--smoke", action="store_true", help="few spans: does everything run?")
    parser.add_argument("--json", action="store_true", help="print the raw results instead of a table")
    parser.add_argument("--profile", metavar="STAGE")
    parser.add_argument("--results", type=Path, help="keep the raw results, in this folder")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench."""
    options = parse(arguments)
    tune()
    if options.smoke:
        options.spans, options.rounds = 1024, 1
    kinds = [
        measure(k, options.spans, options.rounds, profile=options.profile, real=options.server)
        for k in options.kind or get_args(Kind)
    ]
    with work_folder() as folder:
        kept: Document = {"machine": machine(folder), "options": settings(options), "kinds": kinds}
    if options.json:
        print(json.dumps(kept, indent=1))
    else:
        table = Table(*_header(kept), title="CPU µs a span")
        for line in _lines(kept):
            table.add_row(*line)
        Console(width=140).print(table)
    if options.picture:
        print(f"picture: {picture(kept, options.picture)}", file=sys.stderr)
    if options.results and not options.smoke:
        print(f"raw results: {keep('stages', kept, options.results)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
