"""N3: senders that leave.

Injected: connections that end after half a head, half a body, a whole request before its answer; over HTTP (also with a
 reset) and gRPC (cancelled calls), while the journal takes its time.
Holds: half a request leaves no record and gives its memory back; a whole one is kept once though nobody hears of it.
Figure: 300 that left half way, 0 records; 100 that left after the last byte, 100 records.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

import grpc
import pytest

from tests.decode.requests import field, in_request
from tests.faults.harness.waiting import until
from tests.faults.receiving import EXPORT, ReceiverProcess


def body_of(name: int, size: int = 2000) -> bytes:
    return in_request(field(2, field(1, b"t" * 16) + field(2, b"s" * 8) + field(5, b"%d" % name + b"x" * size)))


def request(body: bytes) -> bytes:
    head = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


def leave(receiver: ReceiverProcess, sent: bytes, *, reset: bool) -> None:
    sock = receiver.connect()
    sock.sendall(sent)
    if reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.quick
def test_half_a_request_leaves_nothing_behind() -> None:
    budget = 2_000_000
    with ReceiverProcess({"max_in_flight_bytes": budget}) as receiver:
        for i in range(150):
            whole = request(body_of(i, 100_000 if i % 2 else 2000))
            leave(receiver, whole[: len(whole) * (i % 10 + 1) // 12], reset=i % 3 == 0)
        for i in range(150):
            whole = request(body_of(i))
            leave(receiver, whole[: 20 + i], reset=i % 3 == 0)
        # The room of all of them is there again: a request of nearly everything is taken.
        large = body_of(1, budget - 1000)
        until(lambda: receiver.post(large) == 200, "the room has come back")
        assert receiver.state["records"] == 1


@pytest.mark.parametrize("reset", [False, True])
def test_a_whole_request_is_kept_though_its_sender_has_gone(reset: bool) -> None:  # noqa: FBT001
    with ReceiverProcess(append_s=0.3) as receiver:
        for i in range(50):
            leave(receiver, request(body_of(i)), reset=False)
        until(lambda: receiver.state["records"] == 50, "all are kept")
        if reset:  # whether the last bytes arrive before a reset is the network's to decide: at most once, then
            for i in range(50):
                leave(receiver, request(body_of(i)), reset=True)
            assert receiver.post(body_of(51)) == 200
            assert 51 <= receiver.state["records"] <= 101


def test_a_cancelled_call_is_kept_once_or_not_at_all() -> None:
    with (
        ReceiverProcess(append_s=0.2) as receiver,
        grpc.insecure_channel(receiver.endpoints["grpc"]) as channel,
    ):
        export: Any = channel.unary_unary(EXPORT)
        assert export(body_of(0), timeout=10) == b""
        calls = [export.future(body_of(i), timeout=10) for i in range(50)]
        for call in calls:
            call.cancel()
        assert export(body_of(0), timeout=10) == b""
        assert 2 <= receiver.state["records"] <= 52
