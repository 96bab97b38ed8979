"""Everything that is received is in exactly one state of the ledger, per tenant, whatever goes wrong on the way.

The real intake, journal, lane, exporter and embedded database in one process; what is sent is counted by who sends it.
The same with a process that is killed: tests/faults/test_conservation.py.
"""

from __future__ import annotations

import asyncio
import gzip
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode.protobuf import decode
from collector.delivery import Lane
from collector.journal import Journal, JournalOptions
from collector.journal.options import ReaderOptions
from collector.ledger.accounting import Accounting
from collector.receivers.intake import Intake
from exporters.clickhouse.connect import connect
from exporters.clickhouse.exporter import ClickHouseExporter
from schema.errors import Permanent, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    import pyarrow as pa

    from collector.delivery.lane import Source
    from collector.journal import Batch
    from exporters.clickhouse.connect import Database
    from schema.batch import SpanBatch
    from schema.component import Signal

TENANTS = ("acme", "globex")
UNREADABLE = "a processor cannot read this"
POISON = "the database does not take this"
STATES = """
SELECT tenant, state, sum(count) AS n, sum(uncounted_requests) AS requests FROM ledger GROUP BY tenant, state
"""


class Killed(BaseException):
    """The process ends here."""


@dataclass(slots=True)
class Sender:
    """Sends whatever there is to send, and counts it by tenant."""

    intake: Intake
    rng: random.Random
    sent: Counter[str]
    uncounted: Counter[str]

    async def send(self) -> None:
        tenant = self.rng.choice(TENANTS)
        kind = self.rng.choice((self._good, self._partly_bad, self._logs, self._twice, self._garbage, self._feedback))
        await kind(tenant)

    async def _take(
        self, tenant: str, body: bytes, members: int, *, signal: Signal = "traces", zip_: bool = False
    ) -> None:
        self.sent[tenant] += members
        if not members:
            self.uncounted[tenant] += 1
        with suppress(Refused):
            await self.intake.take(signal, body, tenant=tenant, encoding="protobuf", gzip=zip_)

    async def _good(self, tenant: str) -> None:
        name = self.rng.choice((*["chat"] * 5, UNREADABLE, POISON))
        n = self.rng.randint(1, 5)
        await self._take(tenant, gzip.compress(self.spans(n, name=name)), n, zip_=True)

    async def _partly_bad(self, tenant: str) -> None:
        await self._take(tenant, self.spans(3, bad=2), 5)

    async def _logs(self, tenant: str) -> None:
        request = ExportLogsServiceRequest()
        scope = request.resource_logs.add().scope_logs.add()
        for _ in range(4):
            scope.log_records.add(time_unix_nano=self.rng.getrandbits(60) | 1)
        await self._take(tenant, request.SerializeToString(), 4, signal="logs")

    async def _twice(self, tenant: str) -> None:
        body = self.spans(2)
        await asyncio.gather(*(self._take(tenant, body, 2) for _ in range(3)))

    async def _garbage(self, tenant: str) -> None:
        await self._take(tenant, b"\xff" * 12 + self.rng.randbytes(30), 0)

    async def _feedback(self, tenant: str) -> None:
        good = self.rng.random() < 0.7
        self.sent[tenant] += 1 if good else 0
        self.uncounted[tenant] += 0 if good else 1
        body = b'{"session_id": "s", "value": true}' if good else b'{"value": true}'
        with suppress(Refused):
            await self.intake.take_feedback(
                body, tenant=tenant, gzip=False, now_unix_ns=self.rng.getrandbits(60), max_bytes=1 << 20
            )

    def spans(self, n: int, *, bad: int = 0, name: str = "chat") -> bytes:
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        for i in range(n + bad):
            trace_id = bytes(16) if i < bad else self.rng.randbytes(16)
            # One poison span among good ones.
            scope.spans.add(trace_id=trace_id, span_id=self.rng.randbytes(8), name=name if i == bad else "chat")
        return bytes(request.SerializeToString())


def trip(batch: SpanBatch) -> SpanBatch:
    """Raise for a batch with an unreadable span, as a stranger's processor may."""
    if UNREADABLE in batch.name.to_pylist():
        raise ZeroDivisionError
    return batch


@dataclass(slots=True)
class Mortal:
    """A reader at whose `confirm` the process may be killed: stored, and not known to be."""

    source: Source
    dies: Callable[[], bool]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    async def confirm(self, batch: Batch) -> None:
        if self.dies():
            raise Killed
        await self.source.confirm(batch)


@dataclass(slots=True)
class Fussy:
    """A database that refuses every block with a poison row in it."""

    database: Database

    def __getattr__(self, name: str) -> Any:
        return getattr(self.database, name)

    def insert_arrow(self, table: str, rows: pa.Table, token: str) -> None:
        if table == "spans" and POISON in rows["name"].to_pylist():
            raise Permanent("no")
        self.database.insert_arrow(table, rows, token)


@dataclass
class World:
    """What outlives a process: the folder of the journal, the database, and what was sent."""

    folder: Path
    dsn: str
    rng: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - the same mix each time
    sent: Counter[str] = field(default_factory=Counter)
    uncounted: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    is_unsure: bool = False
    """A batch may be stored and still count as waiting: the process was killed in between."""

    async def live(self, requests: int, *, kills: int = 0, mends: bool = False) -> None:
        """Run a process: send, deliver, account; be killed so many times. Mended, it reads and stores everything."""
        options = JournalOptions(
            self.folder,
            max_bytes=64 << 20,
            segment_bytes=1 << 20,
            batch_linger_s=0,
            batch_records=24,
            readers=(ReaderOptions("clickhouse"),),
        )
        journal = await Journal.open(options)
        accounting = Accounting(journal, "clickhouse")
        exporter = ClickHouseExporter(self.dsn)
        await exporter.start()
        accounting.start([exporter])
        await accounting.survey()
        with ThreadPoolExecutor(2) as pool:
            sender = Sender(Intake(journal, pool, tally=accounting.tally), self.rng, self.sent, self.uncounted)
            for _ in range(requests):
                await sender.send()
        await accounting.books.write()
        await accounting.books.book([exporter])
        self.check(accounting)
        assert exporter.database is not None
        if mends:
            for kept in sorted((self.folder / "quarantine").glob("*.seg")):
                await journal.replay(kept.stem)
        else:
            exporter._db = cast("Database", Fussy(exporter.database))
        source = Mortal(accounting.watched(journal.reader("clickhouse")), lambda: self._dies(kills))
        lane = Lane("clickhouse", source, exporter, {} if mends else {"trip": trip}, decode=decode)
        journal.drain()
        kills_before = self.kills
        with suppress(Killed):
            await lane.run()
        self.is_unsure = self.kills > kills_before
        await accounting.stop(10)
        await exporter.shutdown()
        await journal.close()

    def _dies(self, kills: int) -> bool:
        dies = self.kills < kills and self.rng.random() < 0.5
        self.kills += dies
        return dies

    def states(self) -> dict[tuple[str, str], int]:
        with connect(self.dsn) as db:
            return {(r["tenant"], r["state"]): r["n"] for r in db.rows(STATES) if r["n"]}

    def check(self, accounting: Accounting | None = None) -> None:
        """Hold the sums equal: sent = in some state + in the journal, for each tenant.

        After a kill a batch may count in both, until it is delivered again and confirmed.
        """
        waiting = accounting.status()["in_journal"] if accounting else {}
        with connect(self.dsn) as db:
            rows = db.rows(STATES)
        for tenant in TENANTS:
            booked = sum(r["n"] for r in rows if r["tenant"] == tenant)
            in_journal = sum(waiting.get(tenant, {}).values())
            if self.is_unsure:
                assert booked <= self.sent[tenant] <= booked + in_journal
            else:
                assert booked + in_journal == self.sent[tenant], (tenant, rows, waiting)
            assert sum(r["requests"] for r in rows if r["tenant"] == tenant) == self.uncounted[tenant]


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


@pytest.fixture
def world(tmp_path: Path, embedded_dsn: str) -> World:
    return World(tmp_path / "journal", embedded_dsn)


@pytest.mark.thorough
def test_what_was_sent_is_in_one_state_each_after_kills_poison_and_replays(world: World) -> None:
    for _ in range(3):
        run(world.live(35, kills=world.kills + 2))
    run(world.live(0))
    world.check()
    assert world.kills >= 2
    found = world.states()
    for tenant in TENANTS:
        assert {state for t, state in found if t == tenant} == {"stored", "refused", "duplicate", "quarantined"}
    aside = sum(n for (_, state), n in found.items() if state == "quarantined")

    run(world.live(0, mends=True))
    world.check()
    mended = world.states()
    assert sum(n for (_, state), n in mended.items() if state == "quarantined") == 0
    for tenant in TENANTS:
        assert mended[tenant, "stored"] == found[tenant, "stored"] + found.get((tenant, "quarantined"), 0)
    with connect(world.dsn) as db:
        ((rows,),) = [
            tuple(r.values()) for r in db.rows("SELECT (SELECT count() FROM spans) + (SELECT count() FROM events)")
        ]
    assert rows == sum(n for (_, state), n in mended.items() if state == "stored")
    assert aside > 0
