"""Every limit of receiving: exact at its number, refused one past it, and counted by its name."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc import code_pb2

from collector.decode.protobuf_backend import refuse_slow_protobuf
from collector.receivers.budget import Budget, Hold
from schema.errors import ConfigError, Limit, Reason, Refused
from tests.decode.requests import field, in_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.receivers.conftest import Running

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
GZIP = {**PROTOBUF, "content-encoding": "gzip"}
SPAN = field(1, b"t" * 16) + field(2, b"s" * 8)


def one_span(name_bytes: int = 0, *more: bytes) -> bytes:
    return in_request(field(2, SPAN + field(5, b"x" * name_bytes) + b"".join(more)))


def padded(n_bytes: int) -> bytes:
    """Return a request of exactly so many bytes."""
    body = one_span(n_bytes)
    return one_span(n_bytes - (len(body) - n_bytes))


def gzipped(n_bytes: int) -> bytes:
    """Return a good gzipped body of exactly so many bytes: its header holds a name of any length."""
    packed = gzip.compress(one_span())
    return packed[:3] + b"\x08" + packed[4:10] + b"n" * (n_bytes - len(packed) - 1) + b"\x00" + packed[10:]


@pytest.mark.parametrize(
    ("settings", "at", "past", "headers", "status", "limit"),
    [
        ({"http": {"max_body_bytes": 5000}}, padded(5000), padded(5001), PROTOBUF, 413, Limit.BODY),
        ({"http": {"max_compressed_bytes": 500}}, gzipped(500), gzipped(501), GZIP, 413, Limit.COMPRESSED_BODY),
        (
            {"http": {"max_inflated_bytes": 5000}},
            gzip.compress(padded(5000), mtime=0),
            gzip.compress(padded(5001), mtime=0),
            GZIP,
            413,
            Limit.INFLATED_BODY,
        ),
        (
            {"http": {"max_inflate_ratio": 1}},
            gzip.compress(padded(1 << 20), mtime=0),
            gzip.compress(padded((1 << 20) + 1), mtime=0),
            GZIP,
            413,
            Limit.INFLATE_RATIO,
        ),
        (
            {"max_spans_per_request": 3},
            in_request(field(2, SPAN) * 3),
            in_request(field(2, SPAN) * 4),
            PROTOBUF,
            400,
            Limit.SPANS,
        ),
        (
            {"max_items_per_request": 30},
            one_span(200, field(9, b"") * 10, field(11, b"") * 10, field(13, b"") * 10),
            one_span(200, field(9, b"") * 10, field(11, b"") * 11, field(13, b"") * 10),
            PROTOBUF,
            400,
            Limit.ITEMS,
        ),
        ({"max_json_objects": 5}, b'{"a":[{},{},{}]}', b'{"a":[{},{},{},{}]}', JSON, 400, Limit.JSON_OBJECTS),
        (
            {},
            b'{"a":' + b"[" * 63 + b"]" * 63 + b"}",
            b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
            JSON,
            400,
            Limit.JSON_DEPTH,
        ),
    ],
    ids=["body", "compressed", "inflated", "ratio", "spans", "items", "JSON objects", "JSON depth"],
)
def test_a_body_at_its_limit_is_taken_and_one_past_it_refused(  # noqa: PLR0917 - a row of the table
    start: Callable[..., Running],
    settings: dict[str, Any],
    at: bytes,
    past: bytes,
    headers: dict[str, str],
    status: int,
    limit: Limit,
) -> None:
    running = start(only="http", **settings)
    assert running.http("/v1/traces", at, headers).http_status == 200
    assert running.receiver.limit_hits == Counter()
    reply = running.http("/v1/traces", past, headers)
    assert (reply.http_status, reply.retry_after_s) == (status, None)
    assert re.search("the limit is|times its size|inflates to more than 5000 bytes", reply.message)
    assert running.receiver.limit_hits == {limit: 1}


def test_a_compressed_body_may_be_refused_by_what_it_announces(start: Callable[..., Running]) -> None:
    running = start(only="http", http={"max_compressed_bytes": 500})
    head = b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n"
    with socket.create_connection(running.address("http"), timeout=10) as sock:
        sock.sendall(head + b"content-length: 501\r\n\r\n")
        assert b"the compressed body has 501 bytes or more; the limit is 500" in sock.recv(10_000)


def test_chunks_of_a_compressed_body_count_against_its_limit(start: Callable[..., Running]) -> None:
    running = start(only="http", http={"max_compressed_bytes": 500})
    head = b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/x-protobuf\r\ncontent-encoding: gzip\r\n"
    body = gzipped(501)
    with socket.create_connection(running.address("http"), timeout=10) as sock:
        sock.sendall(head + b"transfer-encoding: chunked\r\n\r\n" + b"1f5\r\n" + body + b"\r\n0\r\n\r\n")
        assert sock.recv(10_000).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(("n", "status"), [(100, b"200"), (101, b"431")])
def test_the_number_of_headers(start: Callable[..., Running], n: int, status: bytes) -> None:
    running = start(only="http")
    more = b"".join(b"x-%d: y\r\n" % i for i in range(n - 2))
    with socket.create_connection(running.address("http"), timeout=10) as sock:
        sock.sendall(b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n")
        sock.sendall(more + b"\r\n")
        assert sock.recv(10_000)[9:12] == status
    assert running.receiver.limit_hits == ({} if status == b"200" else {Limit.HEADERS: 1})


@pytest.mark.parametrize(
    ("sent", "limit"),
    [(b"POST /v1/traces HTTP/1.1\r\nx: ", Limit.HEADER_TIMEOUT), (None, Limit.BODY_TIMEOUT)],
    ids=["header", "body"],
)
def test_timeouts_are_counted(start: Callable[..., Running], sent: bytes | None, limit: Limit) -> None:
    running = start(only="http", http={"header_timeout_s": 0.05, "body_timeout_s": 0.05})
    head = b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n1"
    with socket.create_connection(running.address("http"), timeout=10) as sock:
        sock.sendall(sent or head)
        assert sock.recv(10_000).startswith(b"HTTP/1.1 408 ")
    assert running.receiver.limit_hits == {limit: 1}


def test_empty_lines_do_not_keep_a_connection(start: Callable[..., Running]) -> None:
    """They may come before a request (RFC 9112, 2.2), and are none."""
    running = start(only="http", http={"header_timeout_s": 0.3})
    with socket.create_connection(running.address("http"), timeout=10) as sock:
        sock.settimeout(0.05)
        for _ in range(200):
            try:
                sock.sendall(b"\r\n")
                if sock.recv(100) == b"":
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return
    pytest.fail("the connection was kept for 10 s")


def test_a_sender_that_closes_its_half_gets_its_answer(start: Callable[..., Running], held_journal: Any) -> None:
    running = start(only="http", journal=held_journal)
    with socket.create_connection(running.address("http"), timeout=10) as sock:
        body = one_span()
        sock.sendall(b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/x-protobuf\r\n")
        sock.sendall(b"content-length: %d\r\n\r\n" % len(body) + body)
        sock.shutdown(socket.SHUT_WR)
        assert held_journal.holding.wait(10)
        running.loop.loop.call_soon_threadsafe(held_journal.release.set)
        assert sock.recv(10_000).startswith(b"HTTP/1.1 200 ")
        assert sock.recv(10_000) == b""


def test_what_inflates_at_the_same_time_counts_against_what_is_in_flight() -> None:
    budget = Budget(1000)
    with Hold(budget, 0) as hold:
        hold.take(600)
        assert budget.taken_bytes == 600
        with Hold(budget, 0) as other, pytest.raises(Refused) as caught:
            other.take(401)
        assert (caught.value.reason, caught.value.limit) == (Reason.UNAVAILABLE, Limit.IN_FLIGHT)
        hold.take(400)
        with pytest.raises(Refused) as caught:
            hold.take(1)  # alone it is too much: to send it again would not help
        assert (caught.value.reason, caught.value.limit) == (Reason.TOO_LARGE, Limit.IN_FLIGHT)
    assert budget.taken_bytes == 0
    with Hold(budget, 900) as hold, pytest.raises(Refused, match="takes 1001 bytes"):
        hold.take(101)


@pytest.mark.parametrize("kind", ["gzip", "json"])
def test_a_body_that_needs_more_than_there_is_for_all_is_too_large(start: Callable[..., Running], kind: str) -> None:
    running = start(only="http", max_in_flight_bytes=200_000)
    if kind == "gzip":
        small, large, headers = gzip.compress(padded(190_000)), gzip.compress(padded(200_001)), GZIP
    else:
        small, large = (json.dumps({"a": [{}] * n}).encode() for n in (400, 500))
        headers = JSON
    assert running.http("/v1/traces", small, headers).http_status == 200
    assert running.http("/v1/traces", large, headers).http_status == 413


def test_in_flight_is_at_most_a_quarter_of_the_memory(start: Callable[..., Running]) -> None:
    receiver = start().receiver
    assert receiver._max_in_flight_bytes() == 256 << 20
    receiver._memory_limit_bytes = 400 << 20
    assert receiver._max_in_flight_bytes() == 100 << 20


def test_grpc_gives_a_message_so_long_and_no_longer(start: Callable[..., Running]) -> None:
    running = start(only="grpc", grpc={"body_timeout_s": 0.2})
    done = threading.Event()

    def endless() -> Iterator[bytes]:
        done.wait(20)
        yield b""

    with grpc.insecure_channel(running.receiver.endpoints["grpc"]) as channel:
        export: Any = channel.stream_unary(EXPORT)
        with pytest.raises(grpc.RpcError) as caught:
            export(endless(), timeout=20)
        done.set()
    assert isinstance(caught.value, grpc.Call)
    assert (caught.value.code(), caught.value.details()) == (
        grpc.StatusCode.UNAVAILABLE,
        "the request came too slowly; try again",
    )
    assert running.receiver.limit_hits == {Limit.BODY_TIMEOUT: 1}


def test_grpc_without_a_message_is_bad_data(start: Callable[..., Running]) -> None:
    running = start(only="grpc")
    with grpc.insecure_channel(running.receiver.endpoints["grpc"]) as channel:
        export: Any = channel.stream_unary(EXPORT)
        with pytest.raises(grpc.RpcError) as caught:
            export(iter(()), timeout=20)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_the_size_of_a_grpc_message_is_exact(start: Callable[..., Running]) -> None:
    running = start(only="grpc", grpc={"max_recv_msg_size_mib": 1})
    for compressed in (False, True):
        assert running.grpc(EXPORT, padded(1 << 20), compressed=compressed).code == 0
        reply = running.grpc(EXPORT, padded((1 << 20) + 1), compressed=compressed)
        assert (reply.code, reply.retry_after_s) == (code_pb2.RESOURCE_EXHAUSTED, None)
    deadline_s = time.monotonic() + 10  # gRPC answers before it tells us
    while running.receiver.limit_hits[Limit.INFLATED_BODY] < 2 and time.monotonic() < deadline_s:
        threading.Event().wait(0.01)
    assert running.receiver.limit_hits == {Limit.INFLATED_BODY: 2}
    assert running.receiver.counts["traces", "too_large"] == 2
    assert running.receiver.counts["traces", "bad_data"] == 0


def test_grpc_inflates_gzip_alone(start: Callable[..., Running]) -> None:
    running = start(only="grpc")
    for compression, code in (
        (grpc.Compression.Gzip, grpc.StatusCode.OK),
        (grpc.Compression.Deflate, grpc.StatusCode.UNIMPLEMENTED),
    ):
        with grpc.insecure_channel(
            running.receiver.endpoints["grpc"], compression=compression, options=[("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            export: Any = channel.unary_unary(EXPORT)
            assert export.future(one_span(10_000), timeout=20).code() is code


def test_more_grpc_connections_than_allowed_are_closed(start: Callable[..., Running]) -> None:
    running = start(only="grpc", grpc={"max_connections": 2})
    address = running.address("grpc")
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
    with (
        socket.create_connection(address, timeout=10) as first,
        socket.create_connection(address, timeout=10) as second,
    ):
        for sock in (first, second):
            sock.sendall(preface)
            assert sock.recv(100)  # its SETTINGS
        with socket.create_connection(address, timeout=10) as third:
            third.sendall(preface)
            with contextlib.suppress(ConnectionResetError):
                assert third.recv(100) == b""


def test_protobuf_in_pure_python_is_refused() -> None:
    refuse_slow_protobuf()
    refuse_slow_protobuf("upb")
    with pytest.raises(ConfigError, match="pure Python"):
        refuse_slow_protobuf("python")
