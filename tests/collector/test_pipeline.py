"""Delivery: the same token until it is stored, and what cannot be delivered is kept, not lost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collector.journal import Batch, Position, Record
from collector.pipeline import LONGEST_BACKOFF_S, Pipeline
from schema.errors import ConfigError, Permanent, Retryable
from tests.collector.conftest import logs_request, spans_request
from tests.collector.strangers import tripping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema.batch import SpanBatch


@dataclass
class Batches:
    """A journal of prepared batches."""

    waiting: list[Batch]
    confirmed: list[Batch] = field(default_factory=list)
    set_aside: list[tuple[tuple[int, ...], str]] = field(default_factory=list)
    faults: int = 0
    """How often `confirm` fails first."""

    async def next_batch(self) -> Batch | None:
        return self.waiting.pop(0) if self.waiting else None

    async def confirm(self, batch: Batch) -> None:
        if self.faults:
            self.faults -= 1
            raise Retryable("disk full")
        self.confirmed.append(batch)

    async def quarantine(self, records: Sequence[Record], reason: str) -> Path:
        self.set_aside.append((tuple(r.sequence for r in records), reason))
        return Path("kept")


@dataclass
class Scripted:
    """An exporter that raises what it is told to, then stores."""

    faults: list[Exception] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    stored: list[SpanBatch] = field(default_factory=list)

    async def start(self) -> None:
        if self.faults:
            raise self.faults.pop(0)

    async def export(self, batch: SpanBatch, token: str) -> None:
        self.tokens.append(token)
        if self.faults:
            raise self.faults.pop(0)
        self.stored.append(batch)

    async def shutdown(self) -> None:
        pass


def batch(*bodies: bytes, first: int = 1) -> Batch:
    records = tuple(
        Record(first + i, "default", "logs" if b == logs_request() else "traces", "protobuf", False, 1, b)  # noqa: FBT003
        for i, b in enumerate(bodies)
    )
    return Batch(records, f"token-{first}", Position(first + len(bodies), 1))


def deliver(source: Batches, *exporters: Scripted, tripping_on: bool = False) -> tuple[Pipeline, list[float]]:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    pipeline = Pipeline(
        source,
        {"tripping": tripping} if tripping_on else {},
        {f"e{i}": e for i, e in enumerate(exporters)},
        jitter=lambda: 1.0,
        sleep=sleep,
    )
    asyncio.run(pipeline.run())
    return pipeline, slept


def test_a_batch_is_decoded_exported_and_confirmed() -> None:
    source, exporter = (
        Batches([batch(spans_request(1, 2), logs_request()), batch(spans_request(3), first=3)]),
        Scripted(),
    )
    pipeline, slept = deliver(source, exporter)
    assert [len(b) for b in exporter.stored] == [2, 1]
    assert len(exporter.stored[0].logs) == 1
    assert exporter.tokens == ["token-1", "token-3"]
    assert len(source.confirmed) == 2
    progress = pipeline.progress
    assert (progress.batches, progress.records, progress.spans, progress.logs) == (2, 3, 3, 1)
    assert slept == []


def test_a_retryable_fault_is_tried_again_with_the_same_token_for_ever_and_slower() -> None:
    source, exporter = Batches([batch(spans_request(1))]), Scripted([Retryable("down")] * 12)
    pipeline, slept = deliver(source, exporter)
    assert set(exporter.tokens) == {"token-1"}
    assert len(exporter.stored) == 1
    assert slept[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(slept) == LONGEST_BACKOFF_S
    assert pipeline.progress.retries == 12
    assert pipeline.progress.waiting_for is None
    assert len(source.confirmed) == 1


def test_a_fault_that_is_no_error_of_ours_costs_nothing_either(caplog: pytest.LogCaptureFixture) -> None:
    source, exporter = Batches([batch(spans_request(1))]), Scripted([ZeroDivisionError("bug")])
    deliver(source, exporter)
    assert len(exporter.stored) == 1
    assert source.set_aside == []
    assert "failed in a way that it should not" in caplog.text


def test_what_is_refused_for_good_is_kept_and_the_next_batch_goes_on() -> None:
    source = Batches([batch(spans_request(1), spans_request(2)), batch(spans_request(3), first=3)])
    exporter = Scripted([Permanent("no such column")])
    pipeline, _ = deliver(source, exporter)
    assert source.set_aside == [((1, 2), "exporter e0: no such column")]
    assert len(source.confirmed) == 2
    assert [len(b) for b in exporter.stored] == [1]
    assert (pipeline.progress.quarantined_records, pipeline.progress.spans) == (2, 1)
    assert sum(pipeline.progress.quarantined_by_tenant.values()) == 2


@pytest.mark.parametrize("bad", [b"\xff\xff not protobuf", spans_request(9, name="trip")])
def test_a_record_that_cannot_be_read_costs_only_itself(bad: bytes) -> None:
    source = Batches([batch(spans_request(1), bad, spans_request(2))])
    exporter = Scripted()
    deliver(source, exporter, tripping_on=True)
    assert [s for s, _ in source.set_aside] == [(2,)]
    assert [len(b) for b in exporter.stored] == [2]
    assert exporter.tokens == ["token-1"]
    assert len(source.confirmed) == 1


def test_a_batch_of_nothing_but_damage_is_kept_and_confirmed() -> None:
    source, exporter = Batches([batch(b"\xff", b"\xfe")]), Scripted()
    deliver(source, exporter)
    assert [s for s, _ in source.set_aside] == [(1, 2)]
    assert exporter.tokens == []
    assert len(source.confirmed) == 1


def test_every_exporter_has_a_batch_before_it_is_confirmed() -> None:
    confirmed_when: list[int] = []

    class Watching(Batches):
        async def confirm(self, batch: Batch) -> None:
            confirmed_when.append(len(second.stored))
            await super().confirm(batch)

    first, second = Scripted(), Scripted([Retryable("slow")] * 3)
    deliver(Watching([batch(spans_request(1))]), first, second)
    assert confirmed_when == [1]
    assert len(first.tokens) == 1, "what one has is not sent to it again because of another"


def test_a_confirmation_that_fails_is_tried_again() -> None:
    source = Batches([batch(spans_request(1))], faults=2)
    exporter = Scripted()
    deliver(source, exporter)
    assert len(source.confirmed) == 1
    assert len(exporter.tokens) == 1


def test_an_exporter_that_is_not_ready_is_started_again_and_one_that_never_will_be_is_told() -> None:
    async def sleep(seconds: float) -> None:
        pass

    async def start(*faults: Exception) -> Scripted:
        exporter = Scripted(list(faults))
        await Pipeline(Batches([]), {}, {"e": exporter}, sleep=sleep).start_exporters()
        return exporter

    assert asyncio.run(start(Retryable("down"), Retryable("down"))).faults == []
    with pytest.raises(ConfigError, match="wrong schema"):
        asyncio.run(start(Retryable("down"), ConfigError("wrong schema")))


def test_cancelled_delivery_lets_an_export_end_and_confirms_nothing() -> None:
    source = Batches([batch(spans_request(1))])
    begun, go_on, ended = asyncio.Event(), asyncio.Event(), []

    class Slow(Scripted):
        async def export(self, batch: SpanBatch, token: str) -> None:  # noqa: ARG002 - the seam's signature
            begun.set()
            await go_on.wait()
            ended.append(token)

    async def work() -> None:
        delivery = asyncio.create_task(Pipeline(source, {}, {"slow": Slow()}).run())
        await begun.wait()
        delivery.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await delivery

    asyncio.run(work())
    assert ended == ["token-1"]
    assert source.confirmed == []
