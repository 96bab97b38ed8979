"""N8: a bad request behind a good one on one connection.

Injected: pipelined requests whose second is not HTTP, has two lengths, both framings, a chunk that is none, an
 extension of a chunk of 20 MB, a body that does not parse, a path that is none; cut into pieces at every byte.
Holds: the good one is kept and answered first, the bad one gets its 4xx, and where framing is lost nothing behind it is
 read as a request.
Figure: 8 bad requests, one cut at each of its 350 bytes; 200 then 400 each time, never a third answer.
"""

from __future__ import annotations

import re
import socket

import pytest

from tests.decode.requests import field, in_request
from tests.faults.receiving import ReceiverProcess


def request(body: bytes, *headers: bytes, path: bytes = b"/v1/traces") -> bytes:
    lines = [b"POST %b HTTP/1.1" % path, b"host: x", b"content-type: application/x-protobuf", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def span(name: bytes) -> bytes:
    return in_request(field(2, field(1, b"t" * 16) + field(2, b"s" * 8) + field(5, name)))


def good(name: bytes) -> bytes:
    body = span(name)
    return request(body, b"content-length: %d" % len(body))


SMUGGLED = good(b"smuggled")
LOST = {
    "not HTTP": b"\x00\x01\x02\r\n\r\n",
    "two lengths": request(SMUGGLED, b"content-length: 3", b"content-length: %d" % len(SMUGGLED)),
    "both framings": request(b"0\r\n\r\n" + SMUGGLED, b"content-length: 5", b"transfer-encoding: chunked"),
    "another coding of transfer": request(b"0\r\n\r\n", b"transfer-encoding: chunked, identity"),
    "space before the colon": request(b"", b"content-length : 0"),
    "a chunk that is none": request(b"zz\r\n" + SMUGGLED, b"transfer-encoding: chunked"),
    "a chunk with a sign": request(b"-5\r\n" + SMUGGLED, b"transfer-encoding: chunked"),
    "a folded header": request(b"", b"x: a\r\n content-length: 5"),
}
KEPT = {
    "a body that does not parse": request(b"\xff" * 5, b"content-length: 5"),
    "no such path": request(b"abc", b"content-length: 3", path=b"/elsewhere"),
}


def answers(receiver: ReceiverProcess, stream: bytes, cut: int | None = None) -> list[int]:
    """Return the statuses of one connection, whose other end closes its half at the end."""
    out = b""
    with receiver.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (stream,) if cut is None else (stream[:cut], stream[cut:]):
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)
        while True:
            try:
                piece = sock.recv(65536)
            except ConnectionError:
                break
            if not piece:
                break
            out += piece
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", out)]


@pytest.mark.quick
def test_the_first_is_answered_and_a_lost_framing_ends_the_connection() -> None:
    with ReceiverProcess() as receiver:
        for n, (name, bad) in enumerate(LOST.items(), start=1):
            assert answers(receiver, good(b"first") + bad + SMUGGLED) == [200, 400], name
            assert receiver.state["records"] == n, name


@pytest.mark.quick
def test_where_the_framing_holds_the_next_one_is_taken() -> None:
    with ReceiverProcess() as receiver:
        for name, bad in KEPT.items():
            statuses = answers(receiver, good(b"first") + bad + good(b"third"))
            assert statuses[0] == statuses[2] == 200, name
            assert statuses[1] in (400, 404), name
        assert receiver.state["records"] == 4


@pytest.mark.quick
def test_extensions_of_chunks_are_ignored_up_to_a_size() -> None:
    body = span(b"x")

    def chunked(extension: bytes) -> bytes:
        return request(
            b"%x%b\r\n%b\r\n0%b\r\n\r\n" % (len(body), extension, body, extension), b"transfer-encoding: chunked"
        )

    with ReceiverProcess() as receiver:
        assert answers(receiver, chunked(b";a=b") + good(b"next")) == [200, 200]
        for extension in (b";a=" + b"b" * 20_000_000, b";\x00", b"\n", b" ;x\n"):
            found = answers(receiver, chunked(extension) + good(b"next"))
            assert set(found) <= {200, 400, 431}


@pytest.mark.quick
def test_it_does_not_matter_where_the_pieces_end() -> None:
    stream = good(b"first") + LOST["both framings"]
    with ReceiverProcess() as receiver:
        for cut in range(1, len(stream)):
            assert answers(receiver, stream, cut) == [200, 400], cut
        assert receiver.state["records"] == len(stream) - 1
