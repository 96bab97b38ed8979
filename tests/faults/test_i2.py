"""I2: bombs of compression and of chunks, and bodies whose length is a lie.

Injected: 300 MiB of zeros as gzip (over HTTP and gRPC), gzip of gzip, two codings, other codings, gzip members without
 end, rubbish behind gzip, chunks without end, 1 million chunks of a byte, bodies longer and shorter than announced.
Holds: 413, 415 or 400; RESOURCE_EXHAUSTED without RetryInfo over gRPC; nothing is kept, and good requests go on.
Figure: at most 80 MB of memory for any of them; 112 with the limit of the ratio lifted (64 MiB is that of a body).
"""

from __future__ import annotations

import gzip
import time
import zlib
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.decode.requests import field, in_request
from tests.faults.receiving import MIB, ReceiverProcess, status_of
from tests.faults.test_i3 import by_grpc

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

SPAN = field(1, b"t" * 16) + field(2, b"s" * 8)
GOOD = in_request(field(2, SPAN))
GZIP = "content-encoding: gzip"
ALLOWED_BYTES = 80 * MIB
NO_RATIO = {"protocols": {"http": {"max_inflate_ratio": 100_000}}}


def zeros(mib: int) -> bytes:
    """Return so many MiB of zeros as gzip, without having them in memory."""
    pack = zlib.compressobj(9, wbits=31)
    return b"".join(pack.compress(bytes(MIB)) for _ in range(mib)) + pack.flush()


ZEROS = zeros(300)


@pytest.mark.parametrize(
    ("ratio_is_limited", "body", "headers", "status"),
    [
        (True, ZEROS, (GZIP,), 413),
        (False, ZEROS, (GZIP,), 413),
        (False, gzip.compress(ZEROS, mtime=0), (GZIP,), 400),
        (True, gzip.compress(ZEROS, mtime=0), ("content-encoding: gzip, gzip",), 415),
        (True, gzip.compress(ZEROS, mtime=0), (GZIP, GZIP), 415),
        (True, zlib.compress(GOOD), ("content-encoding: deflate",), 415),
        (True, b"\x28\xb5\x2f\xfd", ("content-encoding: zstd",), 415),
        (True, b"\x0b", ("content-encoding: br",), 415),
        (True, zlib.compress(GOOD), (GZIP,), 400),
        (True, gzip.compress(GOOD, mtime=0) + b"rubbish", (GZIP,), 400),
        (True, gzip.compress(GOOD, mtime=0)[:-5], (GZIP,), 400),
        (True, gzip.compress(b"", mtime=0) * 800_000, (GZIP,), 400),
        (False, gzip.compress(bytes(2 * MIB), mtime=0) * 40, (GZIP,), 413),
    ],
    ids=[
        "zeros by their ratio",
        "zeros",
        "gzip of gzip",
        "two codings",
        "two headers",
        "deflate",
        "zstd",
        "br",
        "zlib",
        "rubbish behind",
        "cut",
        "members without end",
        "members together",
    ],
)
def test_a_bomb_is_refused(
    ratio_is_limited: bool,  # noqa: FBT001 - a row of the table
    body: bytes,
    headers: tuple[str, ...],
    status: int,
    record_property: Callable[[str, object], None],
) -> None:
    with ReceiverProcess({} if ratio_is_limited else NO_RATIO) as receiver:
        with receiver.peak() as peak:
            assert receiver.post(body, *headers) == status
        assert receiver.state["records"] == 0
        assert receiver.post(GOOD) == 200
    record_property("figure", f"{len(body)} bytes sent, {peak.growth_bytes / MIB:.0f} MB of memory")
    # Where only the size stops it, 64 MiB are in memory and half as much while the buffer grows.
    assert peak.growth_bytes <= ALLOWED_BYTES + (0 if ratio_is_limited else 32 * MIB)


def test_zeros_over_grpc(record_property: Callable[[str, object], None]) -> None:
    with ReceiverProcess() as receiver:
        assert by_grpc(receiver, GOOD) is grpc.StatusCode.OK
        with receiver.peak() as peak:
            assert by_grpc(receiver, bytes(300 * MIB)) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert by_grpc(receiver, GOOD) is grpc.StatusCode.OK
        assert receiver.state["records"] == 2
    record_property("figure", f"300 MiB of zeros over gRPC: {peak.growth_bytes / MIB:.0f} MB of memory")
    assert peak.growth_bytes <= ALLOWED_BYTES


def chunked(receiver: ReceiverProcess) -> socket.socket:
    """Begin a body of chunks."""
    sock = receiver.connect()
    sock.sendall(
        b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"
        b"transfer-encoding: chunked\r\n\r\n"
    )
    return sock


def test_chunks_without_end(record_property: Callable[[str, object], None]) -> None:
    chunk = b"100000\r\n" + bytes(MIB) + b"\r\n"
    with ReceiverProcess() as receiver:
        with receiver.peak() as peak, chunked(receiver) as sock:
            for _ in range(64):
                sock.sendall(chunk)
            sock.sendall(chunk)
            assert status_of(sock.recv(65536)) == 413
        assert receiver.post(GOOD) == 200
    record_property("figure", f"chunks without end: {peak.growth_bytes / MIB:.0f} MB of memory")
    # The pieces are joined when the body is whole, which this one never is.
    assert peak.growth_bytes <= ALLOWED_BYTES


def test_a_million_chunks_of_a_byte(record_property: Callable[[str, object], None]) -> None:
    """As CVE-2025-69229 has it: the cost of a piece, a million times."""
    body = in_request(field(2, SPAN + field(5, b"x" * 1_000_000)))
    packed = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    with ReceiverProcess() as receiver:
        before_s = time.monotonic()
        with receiver.peak() as peak, chunked(receiver) as sock:
            sock.sendall(packed + b"0\r\n\r\n")
            assert status_of(sock.recv(65536)) == 200
        took_s = time.monotonic() - before_s
        assert receiver.state["records"] == 1
    record_property("figure", f"1 million chunks: {took_s:.1f} s, {peak.growth_bytes / MIB:.0f} MB of memory")
    assert took_s < 15
    assert peak.growth_bytes <= ALLOWED_BYTES


def test_a_body_that_is_longer_than_announced_does_not_become_a_request() -> None:
    """What follows is read as the next request, and is none."""
    with ReceiverProcess() as receiver, receiver.connect() as sock:
        head = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"
        sock.sendall(head + b"content-length: %d\r\n\r\n" % len(GOOD) + GOOD + b"\x00\x01more\r\n\r\n")
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
        assert [line[9:12] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1")] == [b"200", b"400"]
        assert receiver.state["records"] == 1


def test_a_body_that_is_shorter_than_announced_is_never_taken() -> None:
    settings = {"protocols": {"http": {"body_timeout_s": 0.3}}}
    with ReceiverProcess(settings) as receiver, receiver.connect() as sock:
        head = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"
        sock.sendall(head + b"content-length: %d\r\n\r\n" % (len(GOOD) + 1) + GOOD)
        assert status_of(sock.recv(65536)) == 408
        assert receiver.state["records"] == 0
