"""N5: floods.

Injected: 10 000 idle connections; 20 000 connections reset at once; on gRPC 50 000 streams opened and reset (rapid
 reset), CONTINUATION frames without end, headers that grow in HPACK, pings, a bad `te`, frames of every type at random.
Holds: connections beyond the limit are told 503 or closed, HTTP/2 abuse ends its connection alone, and a good sender is
 served during and after each; memory stays within bounds.
Figure: 10 000 connections cost 10 MB, 20 000 resets 4 MB, 50 000 streams 4 MB, 400 MiB of headers 76 MB.
"""

from __future__ import annotations

import contextlib
import random
import resource
import socket
import struct
import time
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.decode.requests import field, in_request
from tests.faults.receiving import EXPORT, MIB, ReceiverProcess, status_of
from tests.faults.test_i3 import by_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GOOD = in_request(field(2, field(1, b"t" * 16) + field(2, b"s" * 8)))
ALLOWED_BYTES = 256 * MIB
CONTINUATION_BYTES = 400 * MIB
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, END_HEADERS = 1, 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return an HTTP/2 frame (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def literal(name: bytes, value: bytes, *, indexed: bool = False) -> bytes:
    """Return a header as HPACK has it, without Huffman (RFC 7541, 6.2)."""

    def text(data: bytes) -> bytes:
        assert len(data) < 127
        return bytes((len(data),)) + data

    return (b"\x40" if indexed else b"\x00") + text(name) + text(value)


def request_headers(te: bytes = b"trailers") -> bytes:
    return b"".join(
        literal(name, value)
        for name, value in (
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", EXPORT.encode()),
            (b":authority", b"x"),
            (b"content-type", b"application/grpc"),
            (b"te", te),
        )
    )


class Http2:
    """A connection on which any frames can be sent."""

    def __init__(self, receiver: ReceiverProcess) -> None:
        self.sock = socket.create_connection(receiver.grpc_address, timeout=20)
        self.sock.sendall(PREFACE + frame(SETTINGS, 0, 0))
        self.is_open = True

    def send(self, data: bytes) -> bool:
        """Send; return whether the server still takes it. What it says is read meanwhile, so that it can go on."""
        if not self.is_open:
            return False
        self.sock.settimeout(5)
        try:
            self.sock.sendall(data)
            self.sock.settimeout(0)
            while True:
                if not self.sock.recv(1 << 20):
                    self.is_open = False
                    break
        except BlockingIOError:
            pass
        except OSError:
            self.is_open = False
        return self.is_open

    def ends(self, deadline_s: float = 20) -> bool:
        """Tell whether the server closes the connection."""
        end_s = time.monotonic() + deadline_s
        self.sock.settimeout(deadline_s)
        try:
            while time.monotonic() < end_s:
                if not self.sock.recv(1 << 20):
                    return True
        except TimeoutError:
            return False
        except OSError:
            return True
        return False

    def close(self) -> None:
        self.sock.close()


@pytest.fixture
def receiver() -> Iterator[ReceiverProcess]:
    with ReceiverProcess() as started:
        by_grpc(started, GOOD)
        yield started


def serves(receiver: ReceiverProcess) -> None:
    assert receiver.post(GOOD) == 200
    assert by_grpc(receiver, GOOD) is grpc.StatusCode.OK


@pytest.mark.alone
def test_ten_thousand_idle_connections(record_property: Callable[[str, object], None]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 10_000
    most = min(wanted, (hard if hard != resource.RLIM_INFINITY else wanted * 2) - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most + 500), hard))
    settings = {"protocols": {"http": {"idle_timeout_s": 40, "header_timeout_s": 40}}}
    with ReceiverProcess(settings) as receiver, contextlib.ExitStack() as stack, receiver.peak() as peak:
        first = stack.enter_context(receiver.connect())
        refused = 0
        held = []
        for _ in range(most):
            sock = stack.enter_context(receiver.connect())
            held.append(sock)
        for sock in held:
            sock.settimeout(0)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                refused += status_of(sock.recv(4096)) == 503
        # Who is inside is served; who is not is told to come back.
        first.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n")
        first.sendall(b"content-length: %d\r\n\r\n" % len(GOOD) + GOOD)
        assert status_of(first.recv(4096)) == 200
        assert receiver.post(GOOD) in (0, 503)
        assert by_grpc(receiver, GOOD) is grpc.StatusCode.OK
        stack.close()
    record_property("figure", f"{most} connections: {refused} refused, {peak.growth_bytes / MIB:.0f} MB of memory")
    assert most - 2000 <= refused <= most - 1990
    assert peak.growth_bytes <= ALLOWED_BYTES


def test_connections_that_are_reset_at_once(
    receiver: ReceiverProcess, record_property: Callable[[str, object], None]
) -> None:
    with receiver.peak() as peak:
        for i in range(20_000):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.connect(receiver.grpc_address if i % 2 else receiver.address)
            if i % 3 == 0:
                sock.send(PREFACE if i % 2 else b"POST /v1/traces HT")
            sock.close()
            if i % 5000 == 0:
                serves(receiver)
    serves(receiver)
    record_property("figure", f"20 000 resets: {peak.growth_bytes / MIB:.0f} MB of memory")
    assert peak.growth_bytes <= ALLOWED_BYTES


def test_rapid_reset(receiver: ReceiverProcess, record_property: Callable[[str, object], None]) -> None:
    """CVE-2023-44487: streams are opened and reset faster than the limit of streams at once can see."""
    headers, n, connections = request_headers(), 0, 0
    with receiver.peak() as peak:
        end_s = time.monotonic() + 20
        while n < 50_000 and time.monotonic() < end_s:
            attacker, connections = Http2(receiver), connections + 1
            for first in range(1, 20_001, 200):
                streams = range(first, first + 200, 2)
                sent = attacker.send(
                    b"".join(
                        frame(HEADERS, END_HEADERS, s, headers) + frame(RST_STREAM, 0, s, bytes((0, 0, 0, 8)))
                        for s in streams
                    )
                )
                n += len(streams)
                if not sent:
                    break
            attacker.close()
            serves(receiver)
    serves(receiver)
    record_property("figure", f"{n} streams on {connections} connections: {peak.growth_bytes / MIB:.0f} MB of memory")
    assert n >= 10_000
    assert peak.growth_bytes <= ALLOWED_BYTES


def test_continuation_without_end(receiver: ReceiverProcess, record_property: Callable[[str, object], None]) -> None:
    """CVE-2024-27316 and its kin: a header block that never ends."""
    with receiver.peak() as peak:
        attacker = Http2(receiver)
        attacker.send(frame(HEADERS, 0, 1, request_headers()))
        piece = b"".join(literal(b"x-%d" % i, b"y" * 100) for i in range(100))
        sent = 0
        while attacker.send(frame(CONTINUATION, 0, 1, piece)) and sent < CONTINUATION_BYTES:
            sent += len(piece)
        # gRPC throws away what is beyond the limit; when the block ends at last, the request is refused.
        attacker.send(frame(CONTINUATION, END_HEADERS, 1) + frame(DATA, END_STREAM, 1, bytes(5)))
        attacker.close()
    serves(receiver)
    assert receiver.state["counts"]["traces.accepted"] == 3
    assert "traces.bad_data" not in receiver.state["counts"], "a request with so many headers was let in"
    record_property("figure", f"{sent >> 20} MiB of CONTINUATION: {peak.growth_bytes / MIB:.0f} MB of memory")
    assert peak.growth_bytes <= 160 * MIB  # what it keeps does not grow with what is sent


def test_headers_that_grow_in_hpack(receiver: ReceiverProcess) -> None:
    """CVE-2023-33953: a small index that stands for a large header, many times."""
    with receiver.peak() as peak:
        attacker = Http2(receiver)
        attacker.send(
            frame(HEADERS, END_HEADERS | END_STREAM, 1, request_headers() + literal(b"a", b"v" * 120, indexed=True))
        )
        for stream in range(3, 403, 2):
            # 16 000 references of a byte to the newest entry, 62 in the index
            if not attacker.send(
                frame(HEADERS, END_HEADERS | END_STREAM, stream, request_headers() + b"\xbe" * 16_000)
            ):
                break
        attacker.close()
    serves(receiver)
    assert peak.growth_bytes <= ALLOWED_BYTES / 2


def test_pings_without_a_request() -> None:
    with ReceiverProcess({"protocols": {"grpc": {"idle_timeout_s": 2}}}) as receiver:
        attacker = Http2(receiver)
        heard = b""
        for _ in range(200):
            try:
                attacker.sock.sendall(frame(PING, 0, 0, bytes(8)) * 100)
                heard += attacker.sock.recv(1 << 20)
            except OSError:
                break
        assert b"too_many_pings" in heard
        assert attacker.ends()
        attacker.close()
        serves(receiver)


@pytest.mark.quick
def test_a_bad_te_and_other_odd_headers(receiver: ReceiverProcess) -> None:
    """CVE-2023-1428: a header that made gRPC abort."""
    for headers in (
        request_headers(te=b"x"),
        request_headers(te=b""),
        request_headers() * 2,
        literal(b":path", b"/"),
        literal(b"UPPER", b"x") + request_headers(),
        request_headers() + literal(b"grpc-timeout", b"99999999999S"),
        request_headers() + literal(b"grpc-encoding", b"zstd"),
        request_headers() + literal(b"content-length", b"-1"),
        request_headers() + literal(b"x-bin", b"%%%"),
        b"\xff" * 100,
        b"",
    ):
        attacker = Http2(receiver)
        attacker.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, headers))
        attacker.close()
        serves(receiver)


def test_frames_at_random(receiver: ReceiverProcess, record_property: Callable[[str, object], None]) -> None:
    chance = random.Random(9)  # noqa: S311 - the same each time
    n = 0
    with receiver.peak() as peak:
        for _ in range(300):
            attacker = Http2(receiver)
            for _ in range(30):
                payload = chance.randbytes(chance.choice((0, 4, 5, 8, 9, 100, 20_000)))
                n += 1
                if not attacker.send(
                    frame(chance.randrange(12), chance.randrange(256), chance.choice((0, 1, 2, 3, 2**31 - 1)), payload)
                ):
                    break
            attacker.close()
    serves(receiver)
    record_property("figure", f"{n} frames at random: {peak.growth_bytes / MIB:.0f} MB of memory")
    assert peak.growth_bytes <= ALLOWED_BYTES
