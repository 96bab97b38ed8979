"""A journal, a look-ahead and lanes that forward, in one loop, with a clock that tests move."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from collector.delivery import Lane, Lanes
from collector.delivery.forwarding import Clocks, Forwarding
from collector.journal import Journal, JournalOptions, ReaderOptions
from collector.journal.fs import Fs
from collector.processors.asymmetric_sampler import AsymmetricSamplerConfig
from schema.sampling import Trust, read_tracestate
from tests.clickhouse.otlp import spans_record
from tests.delivery.fakes import Scripted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from collector.delivery.look_ahead import LookAhead
    from schema.batch import SpanBatch

MIB = 1 << 20
WAIT_S = 30.0
NAME = "asymmetric_sampler"


@dataclass
class Clock:
    """Both clocks: seconds since the start of the test."""

    s: float = 0.0
    hold: Any = None

    def now_s(self) -> float:
        return self.s

    def now_unix_ns(self) -> int:
        return 1_790_000_000_000_000_000 + int(self.s * 1e9)

    def pass_s(self, seconds: float) -> None:
        """Move both, and release what is due."""
        self.s += seconds
        self.hold.release_due()


class NoSync(Fs):
    """Files of a test that no power cut can meet: nothing waits for the disk."""

    def sync(self, fd: int) -> None:
        pass

    def sync_directory(self, path: Path) -> None:
        pass


def flags(batch: SpanBatch, *, rate: float = 0.1, baseline: Callable[[int], bool] = lambda t: t % 10 == 0) -> SpanBatch:
    """Stand for failure and sample: a span named "fails" does, and a trace is in the baseline by its number."""
    number = [int.from_bytes(t.tobytes(), "big") for t in batch.trace_id]
    return batch.with_columns(
        {
            "failing": pa.array([n == "fails" for n in batch.name.to_pylist()], pa.bool_()),
            "baseline": pa.array([baseline(n) for n in number], pa.bool_()),
            "baseline_rate": pa.array([rate] * len(batch), pa.float64()),
        }
    )


@dataclass
class Sidecar:
    """One life of a sidecar."""

    journal: Journal
    clock: Clock
    ahead: LookAhead
    lanes: Lanes
    exporters: dict[str, Scripted]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def send(self, *spans: Any, tenant: str = "default") -> None:
        """Append a request of these spans."""
        body = spans_record(list(spans)).body
        await self.journal.append(tenant, "traces", body, encoding="protobuf", gzip=False, members=len(spans))

    async def send_logs(self, *trace_ids: int) -> None:
        """Append a request with a log record for each trace; 0 is none."""
        request = ExportLogsServiceRequest()
        records = request.resource_logs.add().scope_logs.add().log_records
        for t in trace_ids:
            records.add(trace_id=t.to_bytes(16, "big") if t else b"").body.string_value = f"of {t}"
        body = bytes(request.SerializeToString())
        await self.journal.append("default", "logs", body, encoding="protobuf", gzip=False, members=len(trace_ids))

    async def decided(self) -> None:
        """Return when the look-ahead has read everything."""
        await until(lambda: self.ahead.hold.read >= self.journal.next_sequence)

    async def pass_s(self, seconds: float = WAIT_S) -> None:
        """Let the look-ahead read, let time pass, and let the lanes deliver what is due then."""
        await self.decided()
        self.clock.pass_s(seconds)
        await self.settled()

    async def settled(self) -> None:
        """Return when every lane has all that is released."""
        await until(
            lambda: all(self.journal.reader(n).position.sequence >= self.ahead.hold.released for n in self.lanes.lanes)
        )

    async def drain(self) -> None:
        """End cleanly."""
        self.journal.drain()
        await asyncio.gather(*self.tasks)

    def progress(self, name: str = "out") -> Any:
        return self.lanes.lanes[name].progress

    def counts(self, name: str = "out") -> dict[str, Any]:
        return dict(self.lanes.status()["exporters"][name])


@asynccontextmanager
async def sidecar(
    folder: Path,
    *,
    exporters: dict[str, Scripted] | None = None,
    processors: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    policy: str = "aaaaaaaaaaaa",
    clock: Clock | None = None,
    batch_records: int = 4,
    max_wait_bytes: int = 64 * MIB,
    not_required: Sequence[str] = (),
    trust: Trust | None = None,
) -> AsyncIterator[Sidecar]:
    """Run a sidecar; leaving it without `drain` is a crash, but that everything appended is durable."""
    exporters = exporters or {"out": Scripted()}
    clock = clock or Clock()
    config = AsymmetricSamplerConfig.model_validate({"decision_wait_s": WAIT_S, **(settings or {})})
    options = JournalOptions(
        folder,
        256 * MIB,
        segment_bytes=MIB,
        sync=False,
        batch_linger_s=0,
        batch_records=batch_records,
        readers=(*(ReaderOptions(n) for n in exporters), ReaderOptions(NAME, is_addressed=False)),
    )
    journal = await Journal.open(options, fs=NoSync(), now_unix_ns=clock.now_unix_ns)
    lanes = {
        n: Lane(
            n,
            journal.reader(n),
            e,
            processors or {"flags": flags},
            required=n not in not_required,
            sleep=nap,
        )
        for n, e in exporters.items()
    }
    clocks = Clocks(clock.now_s, clock.now_unix_ns)
    forwarding = Forwarding(NAME, config, max_wait_bytes, policy, trust or Trust(), fs=NoSync(), clocks=clocks)
    ahead, following = await forwarding.over(journal, lanes)
    clock.hold = ahead.hold
    together = Lanes(following, next(iter(following)))
    await together.start()
    one = Sidecar(journal, clock, ahead, together, exporters)
    one.tasks = [asyncio.create_task(ahead.run()), asyncio.create_task(together.run())]
    try:
        async with asyncio.timeout(60):
            yield one
    finally:
        for task in one.tasks:
            task.cancel()
        await asyncio.gather(*one.tasks, return_exceptions=True)
        await journal.close()


async def nap(_: float) -> None:
    await asyncio.sleep(0.001)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - the caller has a deadline
        await asyncio.sleep(0.001)


def spans_of(exporter: Scripted) -> list[tuple[int, int]]:
    """Return (trace, span) of what an exporter got, in order."""
    return [
        (int.from_bytes(t.tobytes(), "big"), int.from_bytes(s.tobytes(), "big"))
        for b in exporter.stored
        for t, s in zip(b.trace_id, b.span_id, strict=True)
    ]


def traces_of(exporter: Scripted) -> list[int]:
    """Return the traces of what an exporter got, sorted."""
    return sorted({t for t, _ in spans_of(exporter)})


def thresholds_of(exporter: Scripted) -> dict[tuple[int, int], int | None]:
    """Return what each span that an exporter got says as `th`."""
    states = [s for b in exporter.stored for s in b.trace_state.to_pylist()]
    return dict(zip(spans_of(exporter), (read_tracestate(s).threshold for s in states), strict=True))
