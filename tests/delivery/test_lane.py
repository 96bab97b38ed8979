"""Delivery: the same token until it is stored, and what cannot be delivered is kept, not lost."""

from __future__ import annotations

import asyncio
import base64
import gzip
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import decode
from collector.delivery import Lane
from collector.delivery.halves import MAX_SINGLES, unreadable
from collector.delivery.retry import FAILURES_TO_OPEN, LONGEST_BACKOFF_S
from schema.component import Rejected
from schema.errors import ConfigError, Permanent, Retryable
from schema.ledger import CRASHED, REJECTED, UNREADABLE, Entry, State
from tests.collector.conftest import logs_request, spans_request
from tests.collector.strangers import tripping
from tests.delivery.fakes import Batches, Picky, Requests, Scripted, batch, deliver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.journal import Record
    from schema.batch import SpanBatch

TRIPPING = {"tripping": tripping}


def poison(*span_ids: int) -> bytes:
    return spans_request(*span_ids, name="poison")


def test_a_batch_is_decoded_exported_and_confirmed() -> None:
    source = Batches([batch(spans_request(1, 2), logs_request()), batch(spans_request(3), first=3)])
    exporter = Scripted()
    lane, slept = deliver(source, exporter)
    assert [len(b) for b in exporter.stored] == [2, 1]
    assert len(exporter.stored[0].logs) == 1
    assert exporter.tokens == ["token-1", "token-3"]
    assert len(source.confirmed) == 2
    progress = lane.progress
    assert (progress.batches, progress.records, progress.spans, progress.logs) == (2, 3, 3, 1)
    assert slept == []
    assert source.absolved == []


def test_a_retryable_fault_is_tried_again_with_the_same_token_for_ever_and_slower() -> None:
    source, exporter = Batches([batch(spans_request(1))]), Scripted([Retryable("down")] * 12)
    lane, slept = deliver(source, exporter)
    assert set(exporter.tokens) == {"token-1"}
    assert len(exporter.stored) == 1
    assert slept[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(slept) == LONGEST_BACKOFF_S
    assert lane.progress.retries == 12
    assert lane.progress.waiting_for is None
    assert len(source.confirmed) == 1
    assert len(source.absolved) == 1, "the batch is not to blame, which is put on record once"


def test_a_destination_that_says_how_long_to_wait_is_believed_within_reason() -> None:
    soon, never = Retryable("busy"), Retryable("busy")
    soon.after_s, never.after_s = 7.0, 1e9
    _, slept = deliver(Batches([batch(spans_request(1))]), Scripted([soon, never]))
    assert slept == [7.5, 301.0]


def test_a_fault_that_is_no_error_of_ours_costs_nothing_either(caplog: pytest.LogCaptureFixture) -> None:
    source, exporter = Batches([batch(spans_request(1))]), Scripted([ZeroDivisionError("bug")])
    deliver(source, exporter)
    assert len(exporter.stored) == 1
    assert source.set_aside == []
    assert "failed in a way that it should not" in caplog.text


def test_after_several_failures_a_probe_goes_ahead_of_the_batch() -> None:
    states: list[str] = []

    @dataclass
    class Probed(Scripted):
        ill: int = 3
        probes: int = 0

        async def probe(self) -> None:
            self.probes += 1
            states.append(lane.progress.breaker)
            if self.probes <= self.ill:
                raise Retryable("still ill")

    async def sleep(seconds: float) -> None:
        states.append(lane.progress.breaker)

    exporter = Probed([Retryable("ill")] * FAILURES_TO_OPEN)
    lane = Lane("e", Batches([batch(spans_request(1))]), exporter, sleep=sleep)
    asyncio.run(lane.run())
    assert exporter.probes == 4
    assert len(exporter.tokens) == FAILURES_TO_OPEN + 1, "the batch is not sent while the probe fails"
    assert states == ["closed"] * (FAILURES_TO_OPEN - 1) + ["open", "half_open"] * 4
    assert lane.progress.breaker == "closed"


def test_what_is_refused_for_good_is_found_by_halving_and_the_rest_is_stored_once() -> None:
    bodies = [poison(i) if i in (7, 40) else spans_request(i) for i in range(1, 65)]
    source, exporter = Batches([batch(*bodies), batch(spans_request(100), first=100)]), Picky()
    lane, _ = deliver(source, exporter)
    [(sequences, reason)] = source.set_aside
    assert sequences == (7, 40)
    assert reason == "exporter e: a word that cannot be stored"
    stored = sorted(i for b in exporter.stored for i in b.origins.sequence.tolist())
    assert stored == [i for i in range(1, 65) if i not in (7, 40)] + [100]
    assert len(set(exporter.tokens)) == len(exporter.tokens), "each part has a token of its own"
    assert len(exporter.tokens) < 40
    assert len(source.confirmed) == 2
    assert (lane.progress.quarantined_records, lane.progress.spans) == (2, 63)
    assert sum(lane.progress.quarantined_by_tenant.values()) == 2


def test_a_replay_cuts_the_same_parts_under_the_same_tokens() -> None:
    bodies = [poison(i) if i == 5 else spans_request(i) for i in range(1, 20)]
    tokens = []
    for _ in range(2):
        exporter = Picky()
        deliver(Batches([batch(*bodies)]), exporter)
        tokens.append(exporter.tokens)
    assert tokens[0] == tokens[1]


def test_where_nothing_can_be_stored_the_search_ends() -> None:
    many = 4 * MAX_SINGLES
    source, exporter = Batches([batch(*[poison(i) for i in range(1, many + 1)])]), Picky()
    deliver(source, exporter)
    assert sum(len(s) for s, _ in source.set_aside) == many
    assert len(exporter.tokens) < 3 * MAX_SINGLES


def test_rows_that_an_exporter_rejects_are_kept_as_a_request_of_their_own() -> None:
    @dataclass
    class Rejecting(Scripted):
        async def export(self, batch: SpanBatch, token: str) -> Rejected | None:
            await super().export(batch, token)
            return Rejected("no such number", spans=(1, 3), logs=(0,))

    source = Batches([batch(spans_request(1, 2, 3), spans_request(4, 5), logs_request())])
    lane, _ = deliver(source, Rejecting())
    assert source.set_aside == [((1, 2, 3), "no such number")]
    kept = decode(source.kept)
    assert [s for _, s, _ in kept.hex_ids()] == [f"{2:016x}", f"{4:016x}"]
    assert len(kept.logs) == 1
    assert [r.members for r in source.kept] == [1, 1, 1]
    assert kept.resources.attributes.of(0) == {"service.name": "app"}
    assert (lane.progress.spans, lane.progress.logs) == (3, 0)
    assert lane.progress.spans_by_tenant == {"default": 3}
    assert len(source.confirmed) == 1


@pytest.mark.parametrize("bad", [b"\xff\xff not protobuf", spans_request(9, name="trip")])
def test_a_record_that_cannot_be_read_costs_only_itself(bad: bytes) -> None:
    source = Batches([batch(spans_request(1), bad, spans_request(2))])
    exporter = Scripted()
    deliver(source, exporter, processors=TRIPPING)
    assert [s for s, _ in source.set_aside] == [(2,)]
    assert [len(b) for b in exporter.stored] == [2]
    assert exporter.tokens == ["token-1"]
    assert len(source.confirmed) == 1
    assert exporter.stored[0].booked == (Entry("default", 0, "traces", State.QUARANTINED, UNREADABLE, 1),)


def test_one_record_in_ten_thousand_is_found_in_few_steps() -> None:
    records = batch(*[b""] * 10_000).records
    sizes: list[int] = []

    def read(some: Sequence[Record]) -> None:
        sizes.append(len(some))
        if any(r.sequence == 6_543 for r in some):
            raise ValueError("bad")

    assert [(r.sequence, why) for r, why in unreadable(records, read)] == [(6_543, "ValueError: bad")]
    assert len(sizes) < 30
    assert sum(sizes) < 2 * len(records) + 30


def test_too_little_memory_is_no_fault_of_a_record() -> None:
    calls = []

    def starved(batch: SpanBatch) -> SpanBatch:
        calls.append(len(batch))
        if len(calls) < 3:
            raise MemoryError
        return batch

    source, exporter = Batches([batch(spans_request(1), spans_request(2))]), Scripted()
    deliver(source, exporter, processors={"starved": starved})
    assert calls == [2, 2, 2]
    assert source.set_aside == []
    assert exporter.tokens == ["token-1"]


@dataclass
class Deadly:
    """Says that these kill."""

    killers_: list[tuple[int, str]]
    asked: int = 0

    async def killers(self, records: Sequence[Record]) -> list[tuple[int, str]]:  # noqa: ARG002 - as above
        self.asked += 1
        return self.killers_


def test_what_hangs_is_looked_for_in_a_child_and_set_aside() -> None:
    go_on = threading.Event()

    def hanging(batch: SpanBatch) -> SpanBatch:
        if "hang" in batch.name.to_pylist():
            go_on.wait(30)
        return batch

    @dataclass
    class Freeing(Deadly):
        async def killers(self, records: Sequence[Record]) -> list[tuple[int, str]]:
            go_on.set()  # the thread that hangs would be left behind; here it ends
            return await super().killers(records)

    source, exporter = Batches([batch(spans_request(1), spans_request(2, name="hang"))]), Booking()
    deadly = Freeing([(1, "took longer than 60 s to read")])
    deliver(source, exporter, processors={"hanging": hanging}, read_timeout_s=0.05, rehearsal=deadly)
    assert deadly.asked == 1
    assert source.set_aside == [((2,), "took longer than 60 s to read")]
    assert [len(b) for b in exporter.stored] == [1]
    assert exporter.stored[0].booked == (Entry("default", 0, "traces", State.QUARANTINED, CRASHED, 1),)


@dataclass
class Booking(Scripted):
    """An exporter with a ledger."""

    booked: list[tuple[Entry, ...]] = field(default_factory=list)

    async def book(self, entries: Sequence[Entry], token: str) -> None:  # noqa: ARG002 - the seam's signature
        self.booked.append(tuple(entries))


def test_a_batch_of_nothing_but_damage_is_kept_booked_and_confirmed() -> None:
    source, exporter = Batches([batch(b"\xff", b"\xfe")]), Booking()
    deliver(source, exporter)
    assert [s for s, _ in source.set_aside] == [(1, 2)]
    assert exporter.tokens == []
    assert exporter.booked == [(Entry("default", 0, "traces", State.QUARANTINED, UNREADABLE, 2),)]
    assert len(source.confirmed) == 1


def test_what_is_refused_as_a_record_is_booked() -> None:
    @dataclass
    class PickyBooking(Picky, Booking):
        pass

    source, exporter = Batches([batch(spans_request(1), poison(2), b"\xff")]), PickyBooking()
    deliver(source, exporter)
    assert [s for s, _ in source.set_aside] == [(3,), (2,)]
    assert {(e.reason, e.count) for booked in exporter.booked for e in booked} == {(REJECTED, 1), (UNREADABLE, 1)}


def test_a_confirmation_that_fails_is_tried_again() -> None:
    source = Batches([batch(spans_request(1))], faults=2)
    exporter = Scripted()
    deliver(source, exporter)
    assert len(source.confirmed) == 1
    assert len(exporter.tokens) == 1


def test_a_lane_that_is_not_required_counts_what_is_refused_and_keeps_nothing() -> None:
    source, exporter = Batches([batch(spans_request(1), poison(2), b"\xff")]), Picky()
    lane, _ = deliver(source, exporter, required=False)
    assert source.set_aside == []
    assert lane.progress.rejected_records == 2
    assert [len(b) for b in exporter.stored] == [1]
    assert len(source.confirmed) == 1


def test_a_lane_that_is_not_required_goes_on_without_a_batch_that_it_is_too_far_behind_for() -> None:
    exporter = Scripted([Retryable("down")] * 3)
    source = Batches(
        [batch(spans_request(1)), batch(spans_request(2), first=2)], behind=lambda: len(exporter.tokens) == 3
    )
    deliver(source, exporter, required=False)
    assert [b.token for b in source.skipped] == ["token-1"]
    assert [b.token for b in source.confirmed] == ["token-2"]
    assert exporter.tokens == ["token-1"] * 3 + ["token-2"]


def test_a_lane_that_is_required_never_skips() -> None:
    source, exporter = Batches([batch(spans_request(1))], behind=lambda: True), Scripted([Retryable("down")] * 3)
    deliver(source, exporter)
    assert (len(source.skipped), len(source.confirmed)) == (0, 1)


def test_requests_are_handed_on_as_they_came_and_nothing_is_decoded() -> None:
    def never(records: Sequence[Record]) -> SpanBatch:
        raise AssertionError("decoded")

    bodies = [spans_request(1), poison(2), spans_request(3), b"\xff"]
    source, exporter = Batches([batch(*bodies)]), Requests()
    lane, _ = deliver(source, exporter, decode=never, required=False)
    assert [b for _, sent in exporter.got for b in sent] == [bodies[2], bodies[3], bodies[0]]
    assert len({token for token, _ in exporter.got}) == len(exporter.got)
    assert lane.progress.rejected_records == 1
    assert len(source.confirmed) == 1


def test_where_content_is_masked_no_request_leaves_as_it_came() -> None:
    exporter = Requests()
    deliver(Batches([batch(spans_request(1, 2))]), exporter, masks=True)
    assert exporter.got == []
    assert [(token, len(b)) for token, b in exporter.masked] == [("token-1", 2)]


def test_requests_in_json_or_compressed_are_brought_to_protobuf_and_damage_costs_itself() -> None:
    given = batch(spans_request(1), spans_request(2), b"{", b"\xff")
    one, two, broken, damaged = given.records
    text = json_format.MessageToJson(ExportTraceServiceRequest.FromString(spans_request(1))).encode()
    text = text.replace(base64.b64encode((1).to_bytes(16, "big")), b"0" * 31 + b"1")
    text = text.replace(base64.b64encode((1).to_bytes(8, "big")), b"0" * 15 + b"1")
    records = (
        replace(one, encoding="json", body=text),
        replace(two, gzip=True, body=gzip.compress(two.body)),
        replace(broken, encoding="json"),
        replace(damaged, gzip=True),
    )
    source, exporter = Batches([replace(given, records=records)]), Requests()
    deliver(source, exporter)
    [(_, bodies)] = exporter.got
    assert bodies == [spans_request(1), spans_request(2)]
    assert [s for s, _ in source.set_aside] == [(3, 4)]


def test_a_batch_that_took_the_process_down_twice_is_read_elsewhere_first() -> None:
    waiting = [
        batch(spans_request(1), spans_request(2), attempt=2),
        batch(spans_request(3), spans_request(4), first=3, attempt=3),
    ]
    source, exporter, deadly = Batches(waiting), Booking(), Deadly([(1, "signal 9")])
    lane, _ = deliver(source, exporter, rehearsal=deadly)
    assert deadly.asked == lane.progress.suspects == 1
    assert source.set_aside == [((4,), "signal 9")]
    assert [len(b) for b in exporter.stored] == [2, 1]
    assert exporter.stored[1].booked == (Entry("default", 0, "traces", State.QUARANTINED, CRASHED, 1),)


def test_a_batch_that_ends_the_process_each_time_is_kept_in_the_end() -> None:
    source, exporter = (
        Batches([batch(spans_request(1), attempt=9), batch(spans_request(2), first=2, attempt=10)]),
        Scripted(),
    )
    deliver(source, exporter, rehearsal=Deadly([]))
    [(sequences, reason)] = source.set_aside
    assert sequences == (2,)
    assert "ended 9 times" in reason
    assert "a replay would store that twice" in reason
    assert exporter.tokens == ["token-1"]


def test_an_exporter_that_is_not_ready_is_started_again_and_one_that_never_will_be_is_told() -> None:
    async def sleep(seconds: float) -> None:
        pass

    async def start(*faults: Exception) -> Scripted:
        exporter = Scripted(list(faults))
        await Lane("e", Batches([]), exporter, sleep=sleep).start_exporter()
        return exporter

    assert asyncio.run(start(Retryable("down"), Retryable("down"))).faults == []
    with pytest.raises(ConfigError, match="wrong schema"):
        asyncio.run(start(Retryable("down"), ConfigError("wrong schema")))


def test_cancelled_delivery_lets_an_export_end_and_confirms_nothing() -> None:
    source = Batches([batch(spans_request(1))])
    begun, go_on, ended = asyncio.Event(), asyncio.Event(), []

    class Slow(Scripted):
        async def export(self, batch: SpanBatch, token: str) -> None:  # noqa: ARG002 - as above
            begun.set()
            await go_on.wait()
            ended.append(token)

    async def work() -> None:
        delivery = asyncio.create_task(Lane("slow", source, Slow()).run())
        await begun.wait()
        delivery.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await delivery

    asyncio.run(work())
    assert ended == ["token-1"]
    assert source.confirmed == []


def test_a_permanent_fault_of_one_record_alone_sets_it_aside() -> None:
    source = Batches([batch(spans_request(1))])
    deliver(source, Scripted([Permanent("no"), Permanent("no")]))
    assert source.set_aside == [((1,), "exporter e: no")]
