"""One measurement: a fresh process, a warm-up, a load, and what it cost until everything was delivered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.tools.loadgen import Load, Sent
from bench.tools.machine import ROOT
from bench.tools.proc import await_idle, usage
from bench.tools.targets import Failed, Ours, spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bench.tools.databases import Endpoint, Rows
    from bench.tools.loadgen import WireProtocol
    from bench.tools.payloads import Kind
    from bench.tools.targets import Running, Target

CACHE: Final = ROOT / ".cache" / "bench"
"""Journals are written here: on the disk of the repository, never in a file system of memory."""
PREPARE_S: Final = 60.0
LOG_CHARS: Final = 600
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Case:
    """What is sent."""

    kind: Kind
    protocol: WireProtocol
    gzip: bool
    batch: int
    spans: int

    @property
    def name(self) -> str:
        """As genai-http-512, small-grpc-gzip-32."""
        return "-".join([self.kind, self.protocol, *(["gzip"] if self.gzip else []), str(self.batch)])


@dataclass(frozen=True, slots=True)
class Plan:
    """How it is measured."""

    warm_up_spans: int = 16_384
    connections: int = 8
    send_s: float = 30.0
    """The longest that is sent; a case whose spans do not fit is cut short and counts what was sent."""
    deliver_s: float = 60.0
    """The longest that delivery is waited for after the last answer."""
    target_cpus: str = ""
    other_cpus: str = ""
    """For the generator and the database."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one target did with one case."""

    target: str
    case: str
    sent: Sent
    cpu_s: float
    """User and system of the collector, from the first request until idle."""
    database_cpu_s: float
    seconds_until_idle: float
    rss_before_bytes: int
    rss_after_bytes: int
    rss_peak_bytes: int
    """Since the process began."""
    insert_bytes: int | None
    rows: Rows | None
    load_average: float
    """Of one minute, when the load began: what else ran on this machine."""
    problems: tuple[str, ...]

    @property
    def cpu_s_per_million(self) -> float:
        """CPU seconds of the collector for a million accepted spans."""
        return self.cpu_s / max(self.sent.accepted, 1) * 1e6

    @property
    def database_cpu_s_per_million(self) -> float:
        """CPU seconds of the database for a million accepted spans."""
        return self.database_cpu_s / max(self.sent.accepted, 1) * 1e6

    @property
    def delivered_per_s(self) -> float:
        """Accepted spans for a second of the whole, from the first request until idle."""
        return self.sent.accepted / self.seconds_until_idle


@contextmanager
def work_folder() -> Iterator[Path]:
    """Return a folder on the repository's disk that is removed in the end."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def measure(target: Target, case: Case, plan: Plan, endpoint: Endpoint) -> Measurement:
    """Measure one case on a fresh process of one target.

    Raises:
        Failed: the target or the generator ended before its time.

    """
    peer = not isinstance(target, Ours)
    endpoint.prepare(peer=peer)
    with work_folder() as folder:
        running = target.start(folder, endpoint.url, plan.target_cpus)
        try:
            return _measure(running, target.name, case, plan, endpoint, peer=peer)
        except OSError as e:
            raise Failed(f"{target.name}: {e}: {running.log.read_text(errors='replace')[-2000:]}") from e
        finally:
            running.stop()


def _measure(running: Running, name: str, case: Case, plan: Plan, endpoint: Endpoint, *, peer: bool) -> Measurement:
    load = Load(
        endpoint=running.grpc if case.protocol == "grpc" else running.http,
        protocol=case.protocol,
        kind=case.kind,
        spans=case.spans,
        batch=case.batch,
        gzip=case.gzip,
        connections=plan.connections,
        max_seconds=plan.send_s,
    )
    watched = [running.pid, endpoint.pid]
    folder = running.log.parent
    warm = generate(replace(load, spans=plan.warm_up_spans), folder, plan.other_cpus)
    _, settled = await_idle(watched, timeout_s=plan.deliver_s, done=running.delivered)
    problems = [] if settled else ["the warm-up was not delivered in time: its cost is in the figure"]
    bytes_before = endpoint.insert_bytes() or 0
    with generator(load, folder, plan.other_cpus) as go:
        health_before = running.health()
        busy, before, database_before = os.getloadavg()[0], usage(running.pid), usage(endpoint.pid)
        sent = go()
    idle_since, settled = await_idle(watched, timeout_s=plan.deliver_s, done=running.delivered)
    after, database_after = usage(running.pid), usage(endpoint.pid)
    health = running.health()
    rows = endpoint.rows(peer=peer)
    problems += _problems(sent, health, settled=settled, plan=plan)
    problems += not_accounted(sent, health_before, health)
    if rows is not None:
        problems += differences(warm.accepted + sent.accepted, rows)
    if problems:
        problems.append(f"its log ends: {running.log.read_text(errors='replace')[-LOG_CHARS:].strip()}")
    return Measurement(
        target=name,
        case=case.name,
        sent=sent,
        cpu_s=round(after.cpu_s - before.cpu_s, 2),
        database_cpu_s=round(database_after.cpu_s - database_before.cpu_s, 2),
        seconds_until_idle=round(sent.seconds + max(0.0, idle_since - sent.ended_at), 2),
        rss_before_bytes=before.rss_bytes,
        rss_after_bytes=after.rss_bytes,
        rss_peak_bytes=after.rss_peak_bytes,
        insert_bytes=None if endpoint.real else (endpoint.insert_bytes() or 0) - bytes_before,
        rows=rows,
        load_average=round(busy, 2),
        problems=tuple(problems),
    )


def differences(accepted: int, rows: Rows) -> list[str]:
    """Return what is stored otherwise than acknowledged: lost, or twice."""
    if (rows.rows, rows.spans) == (accepted, accepted):
        return []
    return [f"{accepted} spans were acknowledged, {rows.rows} rows with {rows.spans} ids are stored"]


def not_accounted(sent: Sent, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return where the collector's own counts differ from what it acknowledged: journalled, handed to the database.

    A collector that says nothing of itself has no counts to differ.
    """
    if not before or not after:
        return []
    delivered = after["delivery"]["spans"] - before["delivery"]["spans"]
    journalled = after["journal"]["next_sequence"] - before["journal"]["next_sequence"]
    acknowledged = round(sent.requests * sent.accepted / max(sent.spans, 1))
    found = []
    if delivered != sent.accepted:
        found.append(f"{sent.accepted} spans were acknowledged, {delivered} handed to the database")
    if journalled < acknowledged:
        found.append(f"{acknowledged} requests were acknowledged, {journalled} were journalled")
    return found


def _problems(sent: Sent, health: dict[str, Any], *, settled: bool, plan: Plan) -> list[str]:
    """Return what went wrong, in words."""
    found = []
    if sent.failed:
        found.append(f"{sent.failed} spans failed: {sent.errors}")
    if sent.rejected:
        found.append(f"{sent.rejected} spans were rejected in partial success")
    if sent.retries:
        found.append(f"{sent.retries} requests were refused for now and sent again")
    if not settled:
        backlog = health.get("journal", {}).get("backlog_records")
        found.append(f"not idle {plan.deliver_s:.0f} s after the last answer; requests not delivered: {backlog}")
    delivery = health.get("delivery", {})
    counts = {name: n for name in ("retries", "quarantined_records") if (n := delivery.get(name))}
    if counts:
        found.append(f"delivery: {counts}; waits for {delivery.get('waiting_for')}")
    return found


def generate(load: Load, folder: Path, cpus: str = "") -> Sent:
    """Send a load from a process of its own."""
    with generator(load, folder, cpus) as go:
        return go()


@contextmanager
def generator(load: Load, folder: Path, cpus: str = "") -> Iterator[Callable[[], Sent]]:
    """Prepare a load in a process of its own; yield the function that sends it and returns what became of it."""
    command = [sys.executable, "-m", "bench.tools.loadgen", "--wait", *load.arguments()]
    process, log = spawn(command, folder, cpus, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def go() -> Sent:
        answer, _ = process.communicate(b"go\n", timeout=load.max_seconds + PREPARE_S)
        if process.returncode:
            raise Failed(f"the generator ended with {process.returncode}: {log.read_text(errors='replace')[-2000:]}")
        return Sent(**json.loads(answer))

    try:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        if not process.stdout.readline():
            raise Failed(f"the generator ended: {log.read_text(errors='replace')[-2000:]}")
        yield go
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
