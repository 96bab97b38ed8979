"""The answer table of collector/receivers/answers.py, row by row, over every transport."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest
from google.rpc import code_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import parse
from collector.receivers import answers
from schema.errors import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.receivers.conftest import HeldJournal, Running, Transport


def http_status(transport: Transport, expected: int) -> int | None:
    return None if transport == "grpc" else expected


def test_accepted_spans_are_journalled_before_the_answer_and_partial_success_stays_unset(
    receiver: Running, transport: Transport, make_request: Callable[..., Any]
) -> None:
    reply = receiver.send(transport, make_request(3))
    assert (reply.code, reply.http_status, reply.partial_success) == (0, http_status(transport, 200), False)
    (record,) = receiver.journal.records
    assert (record.tenant, record.signal, record.gzip) == ("default", "traces", False)
    assert record.encoding == ("json" if transport == "http-json" else "protobuf")
    assert parse(record) == make_request(3)
    assert receiver.receiver.counts["traces", "accepted"] == 3


def test_no_answer_comes_before_the_journal_has_the_spans(
    start: Callable[..., Running], held_journal: HeldJournal, make_request: Callable[..., Any], transport: Transport
) -> None:
    import threading  # noqa: PLC0415 - the one test with a second sender

    running = start(journal=held_journal)
    replies: list[Any] = []
    sender = threading.Thread(target=lambda: replies.append(running.send(transport, make_request(1))))
    sender.start()
    assert held_journal.holding.wait(10)
    assert replies == []
    running.loop.loop.call_soon_threadsafe(held_journal.release.set)
    sender.join(10)
    assert [r.code for r in replies] == [0]


def test_protobuf_is_journalled_byte_for_byte(receiver: Running, make_request: Callable[..., Any]) -> None:
    # An unknown field (number 99) is what a re-encoding might lose.
    body = make_request(2).SerializeToString() + b"\x9a\x06\x03new"
    for transport in ("grpc", "http-protobuf"):
        assert receiver.send(transport, body).code == 0
    assert [r.body for r in receiver.journal.records] == [body, body]


def test_a_gzipped_body_is_accepted_and_over_http_journalled_as_it_came(
    receiver: Running, transport: Transport, make_request: Callable[..., Any]
) -> None:
    assert receiver.send(transport, make_request(2), compressed=True).code == 0
    (record,) = receiver.journal.records
    assert record.gzip == (transport != "grpc")
    assert parse(record) == make_request(2)


def test_log_records_are_accepted(receiver: Running, transport: Transport) -> None:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(severity_text="INFO", event_name="gen_ai.choice")
    reply = receiver.send(transport, request, signal="logs")
    assert (reply.code, reply.partial_success) == (0, False)
    (record,) = receiver.journal.records
    assert (record.signal, parse(record)) == ("logs", request)


@pytest.mark.parametrize("signal", ["traces", "logs"])
def test_an_empty_request_is_a_success_and_is_not_journalled(
    receiver: Running, transport: Transport, signal: Any
) -> None:
    request = ExportTraceServiceRequest() if signal == "traces" else ExportLogsServiceRequest()
    reply = receiver.send(transport, request, signal=signal)
    assert (reply.code, reply.partial_success) == (0, False)
    assert receiver.journal.records == []


def test_spans_with_bad_ids_are_refused_by_partial_success_and_the_rest_is_kept(
    receiver: Running, transport: Transport, make_request: Callable[..., Any]
) -> None:
    request = make_request(2)
    scope = request.resource_spans[0].scope_spans[0]
    for trace_id, span_id in (
        (b"", b"s" * 8),
        (bytes(16), b"s" * 8),
        (b"t" * 15, b"s" * 8),
        (b"t" * 16, bytes(8)),
        (b"t" * 16, b"s" * 9),
    ):
        scope.spans.insert(1, scope.spans[0])
        scope.spans[1].trace_id, scope.spans[1].span_id = trace_id, span_id
    reply = receiver.send(transport, request)
    assert (reply.code, reply.http_status, reply.rejected) == (0, http_status(transport, 200), 5)
    assert reply.message == (
        "5 of 7 spans refused: 3 without a trace id of 16 bytes that are not all zero, "
        "2 without a span id of 8 bytes that are not all zero"
    )
    (record,) = receiver.journal.records
    assert (record.encoding, record.gzip) == ("protobuf", False)
    assert parse(record) == make_request(2)
    assert (receiver.receiver.counts["traces", "accepted"], receiver.receiver.counts["traces", "refused"]) == (2, 5)


def test_when_all_spans_are_refused_nothing_is_journalled(
    receiver: Running, transport: Transport, make_request: Callable[..., Any]
) -> None:
    reply = receiver.send(transport, make_request(4, trace_id=bytes(16)))
    assert (reply.code, reply.rejected) == (0, 4)
    assert receiver.journal.records == []


@pytest.mark.parametrize("signal", ["traces", "logs"])
def test_a_warning_is_a_partial_success_that_rejects_nothing(signal: Any) -> None:
    """Nothing that is known before the acknowledgement is a warning today; what is cut is cut when it is stored."""
    response: Any = answers.success(signal, 0, "2 attributes were cut")
    assert response.HasField("partial_success")
    partial = response.partial_success
    assert partial.error_message == "2 attributes were cut"
    assert (partial.rejected_spans if signal == "traces" else partial.rejected_log_records) == 0


def test_bad_data_is_refused_for_good(receiver: Running, transport: Transport) -> None:
    reply = receiver.send(transport, b"\xff\xfe not a request")
    assert (reply.code, reply.http_status) == (code_pb2.INVALID_ARGUMENT, http_status(transport, 400))
    assert reply.bad_request
    assert reply.retry_after_s is None
    assert reply.retry_after_header is None
    assert receiver.journal.records == []
    assert receiver.receiver.counts["traces", "bad_data"] == 1


def test_too_many_spans_are_bad_data_and_the_limit_itself_is_not(
    start: Callable[..., Running], transport: Transport, make_request: Callable[..., Any]
) -> None:
    running = start(max_spans_per_request=5)
    assert running.send(transport, make_request(5)).code == 0
    reply = running.send(transport, make_request(6))
    assert reply.code == code_pb2.INVALID_ARGUMENT
    assert "6 spans; the limit is 5" in reply.message
    assert len(running.journal.records) == 1


@pytest.mark.parametrize("compressed", [False, True])
def test_a_body_over_the_limit_is_refused_for_good_also_after_decompression(
    start: Callable[..., Running], transport: Transport, make_request: Callable[..., Any], *, compressed: bool
) -> None:
    running = start(grpc={"max_recv_msg_size_mib": 1}, http={"max_body_bytes": 1 << 20, "max_inflated_bytes": 1 << 20})
    reply = running.send(transport, make_request(1, name="x" * (1 << 20)), compressed=compressed)
    assert (reply.code, reply.http_status) == (code_pb2.RESOURCE_EXHAUSTED, http_status(transport, 413))
    assert reply.retry_after_s is None  # RESOURCE_EXHAUSTED with RetryInfo would be sent again
    assert reply.retry_after_header is None
    assert running.journal.records == []
    assert running.send(transport, make_request(1, name="x" * 1000), compressed=compressed).code == 0


@pytest.mark.parametrize(
    ("reason", "grpc_code", "status", "retryable"),
    [
        (Reason.UNAVAILABLE, code_pb2.UNAVAILABLE, 503, True),
        (Reason.RATE_LIMITED, code_pb2.RESOURCE_EXHAUSTED, 429, True),
        (Reason.TOO_LARGE, code_pb2.RESOURCE_EXHAUSTED, 413, False),
        (Reason.BAD_DATA, code_pb2.INVALID_ARGUMENT, 400, False),
        (Reason.UNAUTHENTICATED, code_pb2.UNAUTHENTICATED, 401, False),
        (Reason.FORBIDDEN, code_pb2.PERMISSION_DENIED, 403, False),
        (Reason.UNSUPPORTED_MEDIA_TYPE, code_pb2.UNIMPLEMENTED, 415, False),
    ],
)
def test_each_reason_has_its_one_answer(  # noqa: PLR0917 - the row of the table
    receiver: Running,
    transport: Transport,
    make_request: Callable[..., Any],
    reason: Reason,
    grpc_code: int,
    status: int,
    *,
    retryable: bool,
) -> None:
    receiver.journal.error = Refused(reason, "the journal says no", retry_after_s=2.0)
    reply = receiver.send(transport, make_request(1))
    assert (reply.code, reply.http_status) == (grpc_code, http_status(transport, status))
    assert reply.message == "the journal says no"
    if retryable:
        assert reply.retry_after_s is not None
        assert 2.0 <= reply.retry_after_s < 3.0
        assert transport == "grpc" or reply.retry_after_header in ("2", "3")
    else:
        assert reply.retry_after_s is None
        assert reply.retry_after_header is None
    assert receiver.receiver.counts["traces", reason.value] == 1


def test_every_reason_is_in_the_table() -> None:
    from collector.receivers.answers import CODES  # noqa: PLC0415 - named here alone

    assert set(CODES) == set(Reason)


def test_a_bug_before_durability_is_retryable_and_logged_without_content(
    receiver: Running, transport: Transport, make_request: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    receiver.journal.error = KeyError("the user's secret question")
    reply = receiver.send(transport, make_request(1))
    assert (reply.code, reply.http_status) == (code_pb2.UNAVAILABLE, http_status(transport, 503))
    assert reply.retry_after_s is not None
    assert [r.levelname for r in caplog.records] == ["ERROR"]
    assert "KeyError" in caplog.text
    assert "in append" in caplog.text
    assert "secret" not in caplog.text
    assert "secret" not in reply.message


def test_no_room_for_more_requests_is_retryable_and_the_room_comes_back(
    start: Callable[..., Running], held_journal: HeldJournal, make_request: Callable[..., Any], transport: Transport
) -> None:
    import threading  # noqa: PLC0415

    request, other = make_request(1, name="x" * 1000), make_request(1, name="y" * 1000)
    limit = 5300 if transport == "http-json" else 1700  # for one and a half; of JSON, while it is read
    running = start(journal=held_journal, max_in_flight_bytes=limit)
    first = threading.Thread(target=lambda: running.send(transport, request))
    first.start()
    assert held_journal.holding.wait(10)
    reply = running.send(transport, other)
    assert (reply.code, reply.http_status) == (code_pb2.UNAVAILABLE, http_status(transport, 503))
    assert reply.retry_after_s is not None
    assert running.receiver.counts["traces", "unavailable"] == 1
    running.loop.loop.call_soon_threadsafe(held_journal.release.set)
    first.join(10)
    assert running.send(transport, other).code == 0


def test_what_is_in_flight_at_shutdown_is_answered(
    start: Callable[..., Running], held_journal: HeldJournal, make_request: Callable[..., Any], transport: Transport
) -> None:
    import asyncio  # noqa: PLC0415
    import threading  # noqa: PLC0415

    running = start(journal=held_journal)
    replies: list[Any] = []
    sender = threading.Thread(target=lambda: replies.append(running.send(transport, make_request(1))))
    sender.start()
    assert held_journal.holding.wait(10)
    shutdown = asyncio.run_coroutine_threadsafe(running.receiver.shutdown(), running.loop.loop)
    running.loop.loop.call_soon_threadsafe(held_journal.release.set)
    shutdown.result(10)
    sender.join(10)
    assert [r.code for r in replies] == [0]
    assert len(held_journal.records) == 1


@pytest.mark.parametrize("body", [b"\x1f\x8b", b"garbage", gzip.compress(b"\x0a\x00", mtime=0)[:-3], b""])
def test_broken_gzip_is_bad_data(receiver: Running, body: bytes) -> None:
    headers = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}
    reply = receiver.http("/v1/traces", body, headers)
    assert (reply.code, reply.http_status) == (code_pb2.INVALID_ARGUMENT, 400)
    assert "gzip" in reply.message
