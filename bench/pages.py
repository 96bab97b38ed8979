"""Measure how long the pages take the service, over many spans: the time of the server, and its CPU.

    python bench/pages.py [--spans 10000000] [--requests 20] [--database FOLDER] [--json]

The spans are made inside the embedded engine (bench/tools/pages.sql: four a trace, 30 days to now, 3 % failing); a
database that is kept with --database is used again. The pages are asked for one after another, over HTTP, as a browser
does; `Server-Timing` of the answer says what the server took, from the first byte of the request to that of the answer.
CPU is that of the whole process, which here does nothing else. What else the machine does is in `load_average`.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import re
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import track

from bench.tools.machine import RESULTS, machine
from bench.tools.report import Check, Document, finish, markdown_table, table_of
from collector.web import WebListener
from evalgate.web.extension import WebConfig, web
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from schema.component import Context

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SPANS: Final = 10_000_000
SMOKE_SPANS: Final = 4_000
SPANS_A_TRACE: Final = 4
DAYS: Final = 30
REQUESTS: Final = 20
LIMIT_MS: Final = 200.0
"""Of the list page, at the median."""
TIMING: Final = re.compile(r"app;dur=([0-9.]+), db;dur=([0-9.]+)")
HEADER: Final = ("page", "server ms, p50", "p95", "database ms, p50", "CPU ms a request", "kB")


@dataclass(frozen=True, slots=True)
class Asked:
    """One page that is measured."""

    name: str
    path: str
    is_list: bool = False
    """The target holds for it."""


def pages(now: datetime, trace_id: str) -> list[Asked]:
    """Return what is measured."""
    deep_ns = int((now - timedelta(days=DAYS / 2)).timestamp()) * 10**9
    return [
        Asked("list, newest", "/traces", is_list=True),
        Asked("list, failing", "/traces?state=failing", is_list=True),
        Asked("list, service and feature", "/traces?service=shop&where=feature+%3D+refunds", is_list=True),
        Asked("list, half of all traces further back", f"/traces?after={deep_ns}_{'0' * 32}", is_list=True),
        Asked("list, common words", "/traces?q=refund+card"),
        Asked("list, a word in one trace of 100 003", "/traces?q=zeppelin"),
        Asked("list, slowest of 24 hours", "/traces?sort=slowest&since=24h"),
        Asked("list, slowest of about 200 000", "/traces?sort=slowest"),
        Asked("new ones on top", f"/traces/newer?came={int(now.timestamp()) * 10**9}"),
        Asked("sessions", "/sessions"),
        Asked("one session", "/sessions/session-10"),
        Asked("one trace", f"/traces/{trace_id}"),
        Asked("dashboard", "/"),
        Asked("intake, 15 minutes", "/waiting"),
    ]


def fill(dsn: str, spans: int, now: datetime) -> None:
    """Make the spans, where there are none."""
    text = Path(__file__).with_name("tools").joinpath("pages.sql").read_text(encoding="utf-8")
    with connect(dsn, create_database=True) as db:
        migrate(db)
        if db.rows("SELECT 1 AS x FROM spans LIMIT 1"):
            return
        traces = spans // SPANS_A_TRACE // DAYS
        for day in track(range(DAYS), "making spans", console=Console(stderr=True)):
            begin = now - timedelta(days=DAYS - day)
            db.command(text, {"first": day * traces, "day": f"{begin:%Y-%m-%d %H:%M:%S}", "traces": traces})


@contextmanager
def served(dsn: str, folder: Path) -> Iterator[tuple[str, int]]:
    """Serve the pages in a thread; yield host and port."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    context = Context("web", folder, dsn=dsn, listener=partial(WebListener, name="web", data_dir=folder))
    service = web(WebConfig(endpoint="127.0.0.1:0", folder=folder, max_execution_time_s=60), context)
    try:
        asyncio.run_coroutine_threadsafe(service.start(), loop).result(60)
        host, _, port = service.url.removeprefix("http://").rpartition(":")
        yield host, int(port)
    finally:
        asyncio.run_coroutine_threadsafe(service.shutdown(), loop).result(120)
        loop.call_soon_threadsafe(loop.stop)


def measure(at: tuple[str, int], asked: Asked, requests: int) -> dict[str, Any]:
    """Return what one page takes; the first request is not counted."""
    app, database, cpu, size = [], [], [], 0
    for number in range(requests + 1):
        with closing(http.client.HTTPConnection(*at, timeout=300)) as connection:
            before = time.process_time()
            connection.request("GET", asked.path)
            answer = connection.getresponse()
            size = len(answer.read())
            used = time.process_time() - before
        found = TIMING.search(answer.headers["server-timing"])
        if found is None or answer.status not in (200, 204):
            raise SystemExit(f"{asked.path} answered {answer.status}")
        if number:
            app.append(float(found[1]))
            database.append(float(found[2]))
            cpu.append(used * 1000)
    return {
        "page": asked.name, "path": asked.path, "is_list": asked.is_list, "p50_ms": _at(app, 0.5),
        "p95_ms": _at(app, 0.95), "database_p50_ms": _at(database, 0.5), "cpu_ms": _at(cpu, 0.5), "bytes": size,
    }  # fmt: skip


def _at(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def checks(document: Document) -> list[Check]:
    """Return the figures that have targets."""
    return [Check(p["page"], p["p50_ms"], LIMIT_MS, "ms") for p in document["pages"] if p["is_list"]]


def _rows(document: Document) -> list[tuple[str, ...]]:
    return [
        (
            p["page"], f"{p['p50_ms']:.0f}", f"{p['p95_ms']:.0f}", f"{p['database_p50_ms']:.0f}", f"{p['cpu_ms']:.0f}",
            f"{p['bytes'] / 1000:.0f}",
        )
        for p in document["pages"]
    ]  # fmt: skip


def markdown(document: Document) -> str:
    """Return the table."""
    return markdown_table(HEADER, _rows(document))


def run(folder: Path, spans: int, requests: int) -> Document:
    """Fill, serve, measure."""
    now = datetime.now(UTC)
    dsn = f"chdb://{folder / 'db'}"
    fill(dsn, spans, now)
    with connect(dsn) as db:
        (row,) = db.rows("SELECT lower(hex(max(trace_id))) AS trace_id, count() AS n FROM spans")
        document: Document = {"machine": machine(folder), "spans": row["n"], "pages": []}
        with served(dsn, folder) as at:
            found = pages(now, row["trace_id"])
            for asked in track(found, "asking for pages", console=Console(stderr=True)):
                document["pages"].append(measure(at, asked, requests))
    return document


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=SPANS)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--database", type=Path, help="a folder to keep the database in, or in which it is")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="few spans; nothing is kept")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    spans, requests = (SMOKE_SPANS, 2) if options.smoke else (options.spans, options.requests)
    if options.database is not None:
        options.database.mkdir(parents=True, exist_ok=True)
        document = run(options.database.absolute(), spans, requests)
    else:
        with tempfile.TemporaryDirectory() as folder:
            document = run(Path(folder), spans, requests)
    return finish("pages", document, checks(document), table_of(HEADER, _rows(document)), options)


if __name__ == "__main__":
    sys.exit(main())
