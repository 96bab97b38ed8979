"""OTLP/HTTP on the wire: paths, types, codings, limits, timeouts, connections; on both event loops."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

from collector.receivers.body import DIRECT_BYTES, RESERVED_BYTES, Body
from schema.errors import Limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.receivers.conftest import EventLoopThread, HeldJournal, Running

PROTOBUF = {"content-type": "application/x-protobuf"}


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest, event_loop_thread: EventLoopThread) -> Iterator[EventLoopThread]:
    new = uvloop.new_event_loop() if request.param == "uvloop" else asyncio.new_event_loop()
    thread = type(event_loop_thread)(new)
    yield thread
    thread.close()


@pytest.fixture
def serve(start: Callable[..., Running], loop: EventLoopThread) -> Callable[..., Running]:
    """Start an HTTP-only receiver; keywords are those of protocols.http, and `settings` those beside it."""

    def begin(journal: Any = None, settings: Any = None, **http: Any) -> Running:
        return start(journal=journal, loop=loop, http=http, only="http", **(settings or {}))

    return begin


def read_all(sock: socket.socket) -> bytes:
    """Read until the other side closes."""
    out = b""
    while piece := sock.recv(65536):
        out += piece
    return out


def connect(running: Running) -> socket.socket:
    return socket.create_connection(running.address("http"), timeout=10)


def post(body: bytes, *headers: str, close: bool = False) -> bytes:
    lines = [
        "POST /v1/traces HTTP/1.1",
        "host: x",
        "content-type: application/x-protobuf",
        f"content-length: {len(body)}",
        *headers,
        *(["connection: close"] if close else []),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("content_type", ["application/x-protobuf", "Application/JSON; charset=utf-8"])
def test_content_type_is_compared_without_parameters_and_case(serve: Callable[..., Running], content_type: str) -> None:
    body = b"{}" if "JSON" in content_type else b""
    response, _ = serve().exchange("/v1/traces", body, {"content-type": content_type})
    assert response.status == 200


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/grpc", "application/x-protobuf2"])
def test_another_content_type_is_415_and_names_the_two(serve: Callable[..., Running], content_type: str) -> None:
    reply = serve().http("/v1/traces", b"x", {"content-type": content_type})
    assert (reply.http_status, reply.code) == (415, code_pb2.UNIMPLEMENTED)
    assert reply.message == "send Content-Type application/x-protobuf or application/json"


@pytest.mark.parametrize("coding", ["br", "zstd", "deflate", "gzip, gzip", "gzip,identity"])
def test_another_coding_is_415_and_names_those_taken(serve: Callable[..., Running], coding: str) -> None:
    running = serve()
    response, body = running.exchange("/v1/traces", b"x", {**PROTOBUF, "content-encoding": coding})
    assert (response.status, response.headers["accept-encoding"]) == (415, "gzip, identity")
    assert "gzip" in Status.FromString(body).message
    assert running.receiver.counts["traces", "unsupported_media_type"] == 1


@pytest.mark.parametrize("coding", ["identity", "GZIP", "x-gzip"])
def test_coding_names_are_case_insensitive(serve: Callable[..., Running], coding: str, make_request: Any) -> None:
    body = make_request(1).SerializeToString()
    sent = body if coding == "identity" else gzip.compress(body)
    running = serve()
    assert running.http("/v1/traces", sent, {**PROTOBUF, "content-encoding": coding}).code == 0
    assert len(running.journal.records) == 1


@pytest.mark.parametrize(
    "path", ["/", "/v1/trace", "/v1/traces/", "/v1%2Ftraces", "//v1/traces", "/v1/traces/../logs", "/" + "x" * 5000]
)
def test_another_path_is_404_and_says_what_lives_here(serve: Callable[..., Running], path: str) -> None:
    for method in ("POST", "GET"):
        reply = serve().http(path, b"", PROTOBUF, method)
        assert (reply.http_status, reply.code) == (404, code_pb2.UNIMPLEMENTED)
        assert "POST /v1/traces and POST /v1/logs" in reply.message


def test_metrics_are_told_to_go_elsewhere(serve: Callable[..., Running]) -> None:
    reply = serve().http("/v1/metrics", b"", PROTOBUF)
    assert reply.http_status == 404
    assert "metrics are not taken" in reply.message
    assert "OTEL_METRICS_EXPORTER=none" in reply.message


def test_a_browser_gets_json(serve: Callable[..., Running]) -> None:
    response, body = serve().exchange("/", b"", {}, "GET")
    assert response.headers["content-type"] == "application/json"
    assert "OTLP/HTTP receiver" in json.loads(body)["message"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_another_method_is_405_with_allow(serve: Callable[..., Running], method: str) -> None:
    response, body = serve().exchange("/v1/traces", b"", PROTOBUF, method)
    assert (response.status, response.headers["allow"]) == (405, "POST")
    assert Status.FromString(body).code == code_pb2.UNIMPLEMENTED


def test_head_is_405_without_a_body(serve: Callable[..., Running]) -> None:
    with connect(serve()) as sock:
        sock.sendall(b"HEAD /v1/traces HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.endswith(b"\r\n\r\n")


def test_the_configured_paths_are_the_paths(serve: Callable[..., Running], make_request: Any) -> None:
    running = serve(traces_url_path="/otel/spans", logs_url_path="/otel/logs")
    assert running.http("/otel/spans", make_request(1).SerializeToString(), PROTOBUF).code == 0
    assert running.http("/otel/logs", b"", PROTOBUF, signal="logs").code == 0
    assert "POST /otel/spans and POST /otel/logs" in running.http("/v1/traces", b"", PROTOBUF).message
    assert len(running.journal.records) == 1


def test_a_query_string_is_no_part_of_the_path(serve: Callable[..., Running]) -> None:
    assert serve().http("/v1/traces?key=1", b"", PROTOBUF).code == 0


def test_one_connection_carries_many_requests_also_after_a_refusal(
    serve: Callable[..., Running], make_request: Any
) -> None:
    body = make_request(1).SerializeToString()
    with connect(serve()) as sock:
        reader = sock.makefile("rb")
        statuses = []
        for request in (post(body), post(b"\xff"), b"POST /x HTTP/1.1\r\ncontent-length: 4\r\n\r\nbody", post(body)):
            sock.sendall(request)
            statuses.append(_read_answer(reader))
        reader.close()
    assert statuses == [200, 400, 404, 200]


def test_a_request_may_come_byte_by_byte(serve: Callable[..., Running], make_request: Any) -> None:
    running = serve()
    body = make_request(1).SerializeToString()
    with connect(running) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post(body, close=True):
            sock.sendall(bytes((byte,)))
        assert read_all(sock).startswith(b"HTTP/1.1 200 ")
    assert running.journal.records[0].body == body


def test_a_chunked_body_is_joined_and_its_trailers_ignored(serve: Callable[..., Running], make_request: Any) -> None:
    running = serve()
    body = make_request(1).SerializeToString()
    chunks = b"".join(b"1;ext=1\r\n%c\r\n" % byte for byte in body)
    head = b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/x-protobuf\r\ntransfer-encoding: chunked\r\n\r\n"
    with connect(running) as sock:
        sock.sendall(head + chunks + b"0\r\ncontent-encoding: gzip\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock).startswith(b"HTTP/1.1 200 ")
    assert running.journal.records[0].body == body


def test_pipelined_requests_are_answered_in_order_and_a_bad_one_ends_the_connection(
    serve: Callable[..., Running], make_request: Any
) -> None:
    running = serve()
    bodies = [make_request(1, name=f"n{i}" + "x" * 50_000).SerializeToString() for i in range(20)]
    with connect(running) as sock:
        sock.sendall(b"".join(post(b) for b in bodies) + b"\x00not http\r\n\r\n" + post(bodies[0]))
        answer = read_all(sock)
    assert [line for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1")] == [
        *[b"HTTP/1.1 200 OK"] * 20,
        b"HTTP/1.1 400 Bad Request",
    ]
    assert [r.body for r in running.journal.records] == bodies


@pytest.mark.parametrize("cut", [1, 150, 65_000, 70_001, 1 << 20])
def test_large_bodies_that_are_read_past_the_parser_are_whole_and_what_follows_them_is_seen(
    serve: Callable[..., Running], make_request: Any, cut: int
) -> None:
    """Sent in pieces that end inside heads, inside bodies, and between them."""
    running = serve()
    sizes = (DIRECT_BYTES, 300_000, 1, DIRECT_BYTES - 200, RESERVED_BYTES + 100_000, 100_000)
    bodies = [make_request(1, name=f"n{i}" + "x" * size).SerializeToString() for i, size in enumerate(sizes)]
    stream = b"".join(post(b) for b in bodies) + b"GET /v1/traces HTTP/1.1\r\nconnection: close\r\n\r\n"
    cuts = [cut, *range(cut + 1, len(stream), max(cut, 50_000))] if cut > 1 else [*range(1, 300), len(stream) - 80]
    with connect(running) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            sock.sendall(stream[start:end])
        answer = read_all(sock)
    assert [line for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1")] == [
        *[b"HTTP/1.1 200 OK"] * len(sizes),
        b"HTTP/1.1 405 Method Not Allowed",
    ]
    assert [r.body for r in running.journal.records] == bodies


def test_a_large_body_of_a_refused_request_is_thrown_away_and_the_connection_goes_on(
    serve: Callable[..., Running], make_request: Any
) -> None:
    running = serve()
    body = make_request(1).SerializeToString()
    refused = post(bytes(3 * DIRECT_BYTES)).replace(b"/v1/traces", b"/elsewhere")
    with connect(running) as sock:
        sock.sendall(refused + post(body, close=True))
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"HTTP/1.1 200 OK" in answer
    assert [r.body for r in running.journal.records] == [body]


def test_what_is_missing_of_a_large_body_leaves_no_record_and_gives_its_room_back(
    serve: Callable[..., Running], make_request: Any
) -> None:
    body = make_request(1, name="x" * 2 * DIRECT_BYTES).SerializeToString()
    running = serve(settings={"max_in_flight_bytes": len(body) + 500})
    with connect(running) as half:
        half.sendall(post(body, "expect: 100-continue")[:-5])
        assert half.recv(100).startswith(b"HTTP/1.1 100 ")
    deadline = time.monotonic() + 10
    while running.http("/v1/traces", body, PROTOBUF).http_status != 200:  # until the server has seen it leave
        assert time.monotonic() < deadline
    assert len(running.journal.records) == 1


def test_no_room_while_a_large_body_is_read_is_retryable(serve: Callable[..., Running]) -> None:
    running = serve(settings={"max_in_flight_bytes": 5 * DIRECT_BYTES})
    with connect(running) as half, connect(running) as sock:
        half.sendall(post(bytes(4 * DIRECT_BYTES), "expect: 100-continue")[: 3 * DIRECT_BYTES])
        assert half.recv(100).startswith(b"HTTP/1.1 100 ")
        answer = b""
        while not answer.startswith(b"HTTP/1.1 503 "):  # until the other half has been read
            sock.sendall(post(bytes(4 * DIRECT_BYTES), "x-try: 1"))
            answer = sock.recv(10_000)
            assert answer.startswith((b"HTTP/1.1 503 ", b"HTTP/1.1 400 "))
    assert running.journal.records == []
    assert running.receiver.limit_hits[Limit.IN_FLIGHT] == 1


def test_what_can_never_have_room_is_too_large(serve: Callable[..., Running]) -> None:
    running = serve(settings={"max_in_flight_bytes": 2 * DIRECT_BYTES})
    with connect(running) as sock:
        sock.sendall(post(bytes(2 * DIRECT_BYTES)))
        assert sock.recv(10_000).startswith(b"HTTP/1.1 400 ")
        sock.sendall(post(bytes(2 * DIRECT_BYTES + 1), close=True))
        assert read_all(sock).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v1/traces HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n",
        b"POST /v1/traces HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n",
        b"POST /v1/traces HTTP/1.1\r\ncontent-length: -1\r\n",
        b"POST /v1/traces HTTP/1.1\r\ntransfer-encoding: gzip, x\r\n",
        b"POST /v1/traces HTTP/1.1\r\ncontent-length : 5\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=["both lengths", "two lengths", "negative", "unknown coding", "space before colon", "TLS hello"],
)
def test_ambiguous_framing_is_refused_and_the_connection_closed(serve: Callable[..., Running], head: bytes) -> None:
    running = serve()
    with connect(running) as sock:
        sock.sendall(head + b"content-type: application/x-protobuf\r\n\r\n0\r\n\r\n" + post(b""))
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert running.journal.records == []


def test_grpc_on_the_http_port_is_told_so(serve: Callable[..., Running]) -> None:
    with connect(serve()) as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert b"4317" in read_all(sock)


def test_an_upgrade_offer_is_not_taken_and_the_connection_goes_on(
    serve: Callable[..., Running], make_request: Any
) -> None:
    # As Java's HttpClient offers h2c with its first POST.
    running = serve()
    body = make_request(1).SerializeToString()
    offer = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAEAAEAA")
    with connect(running) as sock:
        reader = sock.makefile("rb")
        first = post(body, *offer)
        sock.sendall(first[:150])
        sock.sendall(first[150:])
        assert _read_answer(reader) == 200
        sock.sendall(post(make_request(2).SerializeToString()))
        assert _read_answer(reader) == 200
        reader.close()
    assert len(running.journal.records) == 2


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"CONNECT x:1 HTTP/1.1\r\n\r\n", b"405"),
        (b"GET /v1/traces HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", b"405"),
    ],
)
def test_other_protocols_are_not_spoken(serve: Callable[..., Running], request_head: bytes, status: bytes) -> None:
    with connect(serve()) as sock:
        sock.sendall(request_head)
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock).startswith(b"HTTP/1.1 " + status)


def test_100_continue_comes_before_the_body_and_a_refusal_instead_of_it(serve: Callable[..., Running]) -> None:
    running = serve(max_body_bytes=10)
    with connect(running) as sock:
        head = b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/x-protobuf\r\nexpect: 100-continue\r\n"
        sock.sendall(head + b"content-length: 2\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"\x0a\x00")
        sock.sendall(head + b"content-length: 11\r\n\r\n")
        answer = read_all(sock)
    assert [line for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1")] == [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 413 Content Too Large",
    ]


def test_too_large_by_its_header_is_refused_at_once_and_the_sender_can_read_it(
    serve: Callable[..., Running],
) -> None:
    running = serve(max_body_bytes=1000)
    with connect(running) as sock:
        sock.sendall(b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n")
        for _ in range(100):
            sock.sendall(b"x" * 10_000)  # a sender that does not look: a reset would lose it the answer
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 413 Content Too Large\r\n")
    assert b"99999999 bytes or more; the limit is 1000" in answer
    assert running.receiver.counts["traces", "too_large"] == 1


def test_too_large_in_chunks_is_refused_while_reading(serve: Callable[..., Running]) -> None:
    running = serve(max_body_bytes=1000)
    with connect(running) as sock:
        sock.sendall(
            b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for _ in range(3):
            sock.sendall(b"1f4\r\n" + b"x" * 500 + b"\r\n")
        assert read_all(sock).startswith(b"HTTP/1.1 413 ")
    assert running.journal.records == []


@pytest.mark.parametrize(
    "head",
    [
        b"x: " + b"y" * 20_000 + b"\r\n\r\n",
        b"x: " + b"y" * 20_000,
        b"a: b\r\n" * 101 + b"\r\n",
    ],
    ids=["long", "long and never ending", "many"],
)
def test_too_many_headers_are_431(serve: Callable[..., Running], head: bytes) -> None:
    with connect(serve()) as sock:
        sock.sendall(b"POST /v1/traces HTTP/1.1\r\n" + head)
        assert read_all(sock).startswith(b"HTTP/1.1 431 ")


def test_a_long_request_target_is_431(serve: Callable[..., Running]) -> None:
    with connect(serve()) as sock:
        sock.sendall(b"GET /" + b"x" * 30_000)
        assert read_all(sock).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (b"POST /v1/traces HTTP/1.1\r\nx: ", b"HTTP/1.1 408 "),
        (post(b"1234")[:-1], b"HTTP/1.1 408 "),
        (post(bytes(2 * DIRECT_BYTES))[:150], b"HTTP/1.1 408 "),
    ],
    ids=["nothing", "half a header", "half a body", "half a large body"],
)
def test_a_slow_sender_is_cut_off(serve: Callable[..., Running], sent: bytes, answer: bytes) -> None:
    with connect(serve(header_timeout_s=0.05, body_timeout_s=0.05)) as sock:
        sock.sendall(sent)
        got = read_all(sock)
    assert got.startswith(answer)
    assert bool(got) == bool(answer)


def test_an_idle_connection_is_closed_after_its_answer(serve: Callable[..., Running]) -> None:
    with connect(serve(idle_timeout_s=0.05)) as sock:
        sock.sendall(post(b""))
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" not in answer


def test_a_body_that_keeps_coming_may_take_longer_than_its_timeout(
    serve: Callable[..., Running], make_request: Any
) -> None:
    # 0.05 s and one second for each 1000 bytes: after 4000 bytes the rest has 4 s.
    running = serve(body_timeout_s=0.05)
    body = make_request(1, name="x" * 5000).SerializeToString()
    request = post(body, close=True)
    with connect(running) as sock, connect(running) as stalled:
        sock.sendall(request[:4500])
        stalled.sendall(request[: -len(body)])
        assert read_all(stalled).startswith(b"HTTP/1.1 408 ")  # by now the timeout itself has passed
        sock.sendall(request[4500:])
        assert read_all(sock).startswith(b"HTTP/1.1 200 ")


def test_more_connections_than_allowed_are_told_to_come_back(serve: Callable[..., Running]) -> None:
    running = serve(max_connections=2)
    with connect(running) as first, connect(running) as second:
        for sock in (first, second):  # both are known to be accepted once they are answered
            sock.sendall(post(b""))
            assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
        with connect(running) as third:
            answer = read_all(third)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 2\r\n" in answer  # a second and up to half of it
    assert running.receiver.limit_hits == {Limit.CONNECTIONS: 1}


def test_a_sender_that_leaves_half_way_leaves_no_record_and_gives_its_room_back(
    serve: Callable[..., Running], make_request: Any
) -> None:
    body = make_request(1, name="x" * 1000).SerializeToString()
    running = serve(settings={"max_in_flight_bytes": len(body) + 500})
    with connect(running) as half:
        half.sendall(post(body, "expect: 100-continue")[:-5])
        assert half.recv(100).startswith(b"HTTP/1.1 100 ")
    deadline = time.monotonic() + 10
    while running.http("/v1/traces", body, PROTOBUF).http_status != 200:  # until the server has seen it leave
        assert time.monotonic() < deadline
    assert len(running.journal.records) == 1


def test_shutdown_answers_what_is_whole_and_closes_the_rest(
    serve: Callable[..., Running], held_journal: HeldJournal, make_request: Any
) -> None:
    running = serve(journal=held_journal)
    with connect(running) as busy, connect(running) as idle, connect(running) as half:
        idle.sendall(post(b""))
        assert idle.recv(1000).startswith(b"HTTP/1.1 200 ")
        half.sendall(post(b"", "expect: 100-continue").replace(b"content-length: 0", b"content-length: 9"))
        assert half.recv(100).startswith(b"HTTP/1.1 100 ")
        busy.sendall(post(make_request(1).SerializeToString()))
        assert held_journal.holding.wait(10)
        shutdown = asyncio.run_coroutine_threadsafe(running.receiver.shutdown(), running.loop.loop)
        assert read_all(idle) == b""
        assert read_all(half).startswith(b"HTTP/1.1 503 ")
        running.loop.loop.call_soon_threadsafe(held_journal.release.set)
        answer = read_all(busy)
        shutdown.result(10)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer


def test_many_senders_at_once_lose_nothing(serve: Callable[..., Running], make_request: Any) -> None:
    running = serve()
    bodies = [[make_request(2, name=f"{t}-{i}").SerializeToString() for i in range(40)] for t in range(8)]

    def work(mine: list[bytes]) -> None:
        with connect(running) as sock:
            reader = sock.makefile("rb")
            for body in mine:
                sock.sendall(post(body))
                assert _read_answer(reader) == 200
            reader.close()

    threads = [threading.Thread(target=work, args=(mine,)) for mine in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(r.body for r in running.journal.records) == sorted(b for mine in bodies for b in mine)
    assert running.receiver.counts["traces", "accepted"] == 8 * 40 * 2


def _read_answer(reader: Any) -> int:
    status = int(reader.readline().split()[1])
    length = 0
    while (line := reader.readline()) != b"\r\n":
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    reader.read(length)
    return status


def test_a_body_grows_as_it_arrives_not_as_it_is_announced() -> None:
    body = Body(100 * RESERVED_BYTES)
    assert len(body.room()) == RESERVED_BYTES
    body.write(b"a" * RESERVED_BYTES)
    assert len(body.room()) == RESERVED_BYTES
    assert not body.is_whole
    small = Body(3)
    small.room()[:2] = b"ab"
    small.arrived(2)
    assert len(small.room()) == 1
    small.write(b"c")
    assert small.is_whole
    assert bytes(small.content()) == b"abc"
    assert small.content().readonly
