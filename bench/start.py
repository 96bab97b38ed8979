"""Measure the start: from exec until the first request is acknowledged, with a warm, a cold and no kernel cache.

    python bench/start.py [--runs 3]

`warm` has the machine code of the kernels on disk, `cold` an empty cache folder, `read-only` no folder that can be
written but the data directory: every process compiles for itself. Acknowledged means synced to the journal;
`delivered` is when that first request was at the database; `settled` when the process had nothing left to do, its
kernels compiled. Memory is that of the settled process.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import yaml
from rich.console import Console
from rich.table import Table

from bench.tools.databases import sink
from bench.tools.loadgen import HttpSender, Load
from bench.tools.machine import RESULTS, ROOT, keep, machine, settings
from bench.tools.measure import work_folder
from bench.tools.payloads import stamper
from bench.tools.proc import await_idle, usage
from bench.tools.report import Check, Document, checks_table, markdown_table, number
from bench.tools.targets import COLLECTOR, Failed, Ours, Running, embedded_config, free_port, spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Cache = Literal["warm", "cold", "read-only"]
Database = Literal["server", "embedded"]
ACCEPTING_TARGET_S: Final = 2.0
"""With every cache: what compiles does so beside the receivers."""
POLL_S: Final = 0.005
DEADLINE_S: Final = 120.0
SPANS: Final = 10
READ_ONLY: Final = """\
set -e
mount --bind "$1" "$1"
mount -o remount,ro,bind "$1"
mount --bind "$2" "$2"
mount -o remount,rw,bind "$2"
shift 2
exec "$@"
"""
"""Makes the repository read-only for one process, but for one folder of it."""


@dataclass(frozen=True, slots=True)
class Start:
    """One start."""

    cache: Cache
    database: Database
    acknowledged_s: float
    delivered_s: float
    settled_s: float
    cpu_s: float
    """User and system until settled."""
    rss_bytes: int
    rss_peak_bytes: int
    log: str


def measure(cache: Cache, database: Database, sink_url: str, warm: Path) -> Start:
    """Start once.

    Raises:
        Failed: it ended, or did not get there in time.

    """
    with work_folder() as folder:
        empty = folder / "kernels"
        address = {name: f"127.0.0.1:{free_port()}" for name in ("http", "grpc", "health", "clickhouse")}
        config = folder / "collector.yaml"
        config.write_text(yaml.safe_dump(_config(folder, database, sink_url, address)))
        environment = {"NUMBA_CACHE_DIR": str(warm if cache == "warm" else empty)}
        command = [*COLLECTOR, "run", "--config", str(config)]
        if cache == "read-only":
            command = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(ROOT), str(folder), *command]
            nowhere = {"NUMBA_CACHE_DIR": "/proc/none", "HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none"}
            environment |= nowhere
        began = time.monotonic()
        process, log = spawn(command, folder, environment=environment)
        running = Running(process, address["http"], address["grpc"], log, f"http://{address['health']}")
        try:
            return _follow(running, cache, database, began)
        finally:
            running.stop()


def _config(folder: Path, database: Database, sink_url: str, address: Mapping[str, str]) -> dict[str, Any]:
    config = embedded_config(folder) if database == "embedded" else Ours().config(folder, sink_url)
    protocols = {name: {"endpoint": address[name]} for name in ("http", "grpc")}
    config["receivers"] = {"otlp": {"protocols": protocols}}
    config["extensions"]["health_check"] = {"endpoint": address["health"]}
    if database == "embedded":
        config["extensions"]["clickhouse_http"] = {"endpoint": address["clickhouse"]}
    return config


def _follow(running: Running, cache: Cache, database: Database, began: float) -> Start:
    body = stamper("genai", SPANS, start=1).next()
    sender = HttpSender(Load(running.http))
    _until(running, lambda: sender.send(body).ok, "acknowledged")
    acknowledged = time.monotonic()
    sender.close()
    _until(running, running.delivered, "delivered")
    delivered = time.monotonic()
    settled, _ = await_idle([running.pid], timeout_s=DEADLINE_S)
    seen = usage(running.pid)
    return Start(
        cache=cache,
        database=database,
        acknowledged_s=round(acknowledged - began, 3),
        delivered_s=round(delivered - began, 3),
        settled_s=round(max(settled, delivered) - began, 3),
        cpu_s=round(seen.cpu_s, 2),
        rss_bytes=seen.rss_bytes,
        rss_peak_bytes=seen.rss_peak_bytes,
        log=running.log.read_text(errors="replace").replace(f"{ROOT}/", "")[-500:],
    )


def _until(running: Running, holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and running.process.poll() is None:
        if holds():
            return
        time.sleep(POLL_S)
    raise Failed(f"never {what}: {running.log.read_text(errors='replace')[-2000:]}")


def caches() -> tuple[Cache, ...]:
    """Return the states of the cache that can be made here: a read-only file system takes root and Linux."""
    can_mount = os.geteuid() == 0 and shutil.which("unshare") is not None
    return get_args(Cache) if can_mount else ("warm", "cold")


def checks(document: Document) -> list[Check]:
    """Return how soon the first request is acknowledged: the slowest run of each."""
    slowest: dict[tuple[str, str], float] = {}
    for one in document["starts"]:
        key = one["cache"], one["database"]
        slowest[key] = max(one["acknowledged_s"], slowest.get(key, 0.0))
    return [
        Check(f"start, {cache} cache, {database} database: accepting", s, ACCEPTING_TARGET_S, "s")
        for (cache, database), s in slowest.items()
    ]


MOMENTS: Final = ("acknowledged", "delivered", "settled")
HEADER: Final = ("kernel cache", "database", *(f"{one} s" for one in MOMENTS), "CPU s", "memory MB", "peak MB")


def rows(document: Document) -> list[list[str]]:
    """Return a line for each start."""
    return [
        [
            *(one["cache"], one["database"], *(f"{one[f'{moment}_s']:.2f}" for moment in MOMENTS)),
            *(number(one["cpu_s"]), f"{one['rss_bytes'] / 1e6:.0f}", f"{one['rss_peak_bytes'] / 1e6:.0f}"),
        ]
        for one in document["starts"]
    ]


def markdown(document: Document) -> str:
    """Return the table."""
    return markdown_table(HEADER, rows(document))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cache", choices=get_args(Cache), action="append", help="repeatable. Default: all")
    parser.add_argument("--database", choices=get_args(Database), action="append", help="repeatable. Default: both")
    parser.add_argument("--smoke", action="store_true", help="one warm start: does everything run?")
    parser.add_argument("--json", action="store_true", help="print the raw results instead of a table")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the raw results")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 1 when a start failed."""
    options = parse(arguments)
    if options.smoke:
        options.runs, options.cache, options.database = 1, ["warm"], ["server"]
    console = Console(stderr=options.json, width=160)
    found, failed = [], False
    # A cache that outlives the run: machine code of other sources is left where it is, and not used.
    warm = ROOT / ".cache" / "bench-kernels"
    warm.mkdir(parents=True, exist_ok=True)
    with work_folder() as folder, sink(folder) as endpoint:
        for database in options.database or get_args(Database):
            for cache in options.cache or caches():
                try:
                    if cache == "warm":
                        measure(cache, database, endpoint.url, warm)
                    found += [measure(cache, database, endpoint.url, warm) for _ in range(options.runs)]
                except Failed as e:
                    failed = True
                    console.print(f"[red]{cache} {database}: {e}", highlight=False)
        where = machine(folder)
    kept: Document = {"machine": where, "options": settings(options), "starts": [asdict(one) for one in found]}
    if options.json:
        print(json.dumps(kept, indent=1))
    else:
        table = Table(*HEADER, title="from exec")
        for row in rows(kept):
            table.add_row(*row)
        console.print(table)
        console.print(checks_table(checks(kept)))
    if not options.smoke:
        console.print(f"raw results: {keep('start', kept, options.results)}", highlight=False)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
