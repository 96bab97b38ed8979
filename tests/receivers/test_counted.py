"""What ends at the receiver is counted for the ledger, whatever the transport; a request sent again is kept once."""

from __future__ import annotations

import gzip
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from collector.journal.record import Record
from schema.errors import Reason, Refused
from schema.ledger import LedgerSignal, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.receivers.conftest import MemoryJournal, Running, Transport

Key = tuple[str, LedgerSignal, State, str]


class Counting:
    """A tally in memory."""

    def __init__(self) -> None:
        self.counts: Counter[Key] = Counter()
        self.requests: Counter[Key] = Counter()

    def __call__(
        self,
        tenant: str,
        signal: LedgerSignal,
        state: State,
        reason: str = "",
        *,
        count: int = 0,
        uncounted_requests: int = 0,
    ) -> None:
        key = (tenant, signal, state, reason)
        self.counts[key] += count
        self.requests[key] += uncounted_requests


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def running(start: Callable[..., Running], counting: Counting) -> Running:
    return start(context={"tally": counting}, redelivery_window_s=300)


def test_what_is_accepted_is_the_journal_s_to_count(
    running: Running, counting: Counting, transport: Transport, make_request: Callable[..., Any]
) -> None:
    assert running.send(transport, make_request(3)).code == 0
    assert not +counting.counts
    assert not +counting.requests


def test_a_request_that_nobody_could_read_has_no_spans(
    running: Running, counting: Counting, transport: Transport
) -> None:
    assert running.send(transport, b"\xff" * 20).code != 0
    assert +counting.counts == Counter()
    assert +counting.requests == {("default", "traces", State.REFUSED, "bad_data"): 1}


def test_spans_refused_of_a_request_are_counted_as_spans(
    running: Running, counting: Counting, transport: Transport, make_request: Callable[..., Any]
) -> None:
    request = make_request(2)
    request.MergeFrom(make_request(3, trace_id=b""))
    assert running.send(transport, request).rejected == 3
    assert +counting.counts == {("default", "traces", State.REFUSED, "invalid_id"): 3}
    assert not +counting.requests


def test_spans_of_a_request_that_the_journal_refuses_are_counted_as_spans(
    running: Running, counting: Counting, transport: Transport, make_request: Callable[..., Any]
) -> None:
    running.journal.error = Refused(Reason.UNAVAILABLE, "full", retry_after_s=1)
    assert running.send(transport, make_request(4)).code != 0
    assert +counting.counts == {("default", "traces", State.REFUSED, "unavailable"): 4}
    assert not +counting.requests


def test_what_the_head_tells_is_a_request(running: Running, counting: Counting) -> None:
    json = {"content-type": "application/json"}
    running.exchange("/v1/logs", b"{}", {"content-type": "text/plain"})
    running.exchange("/v1/traces", b"{}", {**json, "content-encoding": "br"})
    running.exchange("/v1/feedback", b"{}", {"content-type": "text/plain"})
    running.exchange("/v1/feedback", b'{"value": 1}', json)
    running.exchange("/v1/feedback", b'{"value": 1, "session_id": "s"}', json)
    assert +counting.requests == {
        ("default", "logs", State.REFUSED, "unsupported_media_type"): 1,
        ("default", "traces", State.REFUSED, "unsupported_media_type"): 1,
        ("default", "feedback", State.REFUSED, "unsupported_media_type"): 1,
        ("default", "feedback", State.REFUSED, "bad_data"): 1,
    }
    assert not +counting.counts


def test_the_same_bytes_again_get_the_same_answer_and_are_kept_once(
    running: Running, counting: Counting, transport: Transport, make_request: Callable[..., Any]
) -> None:
    request = make_request(2)
    request.MergeFrom(make_request(3, trace_id=b""))
    replies = [running.send(transport, request) for _ in range(3)]
    assert replies[0] == replies[1] == replies[2]
    assert replies[0].rejected == 3
    assert len(running.journal.records) == 1
    assert +counting.counts == {
        ("default", "traces", State.DUPLICATE, ""): 4,
        ("default", "traces", State.REFUSED, "invalid_id"): 9,
    }
    assert running.receiver.counts["traces", "accepted"] == 2
    assert running.receiver.counts["traces", "duplicate"] == 4


def test_the_same_bytes_by_another_transport_are_the_same_request(
    running: Running, make_request: Callable[..., Any]
) -> None:
    for transport in ("grpc", "http-protobuf"):
        assert running.send(transport, make_request(2)).code == 0
    assert len(running.journal.records) == 1


def test_a_body_compressed_anew_is_the_same_request(running: Running, make_request: Callable[..., Any]) -> None:
    plain = make_request(2).SerializeToString()
    headers = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}
    for at in (1_790_000_000, 1_790_000_005):
        assert running.http("/v1/traces", gzip.compress(plain, mtime=at), headers).code == 0
    assert len(running.journal.records) == 1


def test_what_was_refused_is_taken_when_it_comes_again(
    running: Running, transport: Transport, make_request: Callable[..., Any]
) -> None:
    running.journal.error = Refused(Reason.UNAVAILABLE, "full", retry_after_s=1)
    assert running.send(transport, make_request(4)).code != 0
    running.journal.error = None
    assert running.send(transport, make_request(4)).code == 0
    assert len(running.journal.records) == 1


@pytest.mark.parametrize(
    ("time_unix_nano", "kept"), [(0, 2), (1_790_000_000_123_000_000, 2), (1_790_000_000_000_000_001, 1)]
)
def test_equal_log_records_are_two_events_unless_a_time_says_that_they_are_one(
    running: Running, transport: Transport, time_unix_nano: int, kept: int
) -> None:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=time_unix_nano)
    for _ in range(2):
        assert running.send(transport, request, signal="logs").code == 0
    assert len(running.journal.records) == kept


def test_what_was_answered_before_a_restart_is_known(
    start: Callable[..., Running], journal: MemoryJournal, make_request: Callable[..., Any]
) -> None:
    body = make_request(2).SerializeToString()
    asked: list[float] = []

    def recent(within_s: float) -> list[Record]:
        asked.append(within_s)
        return [Record(0, "default", "traces", "protobuf", gzip=False, received_unix_ns=1, body=body, members=2)]

    running = start(journal=journal, context={"recent": recent}, redelivery_window_s=77)
    assert running.send("grpc", make_request(2)).code == 0
    assert running.send("grpc", make_request(3)).code == 0
    assert [r.members for r in journal.records] == [3]
    assert asked == [77]
