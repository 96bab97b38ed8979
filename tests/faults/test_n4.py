"""N4: senders that take their time.

Injected: 500 connections that send a byte of their head each half second, 500 that send a byte of their body, 100 that
 send nothing, 100 calls of gRPC whose message never ends, beside a sender that behaves.
Holds: each is told 408 (gRPC: UNAVAILABLE) and closed within its time; good senders are all answered, and wait less
 than twice as long.
Figure: 1 200 slow senders; the good one's 99th percentile is 0.4 ms beside them, 0.2 ms alone.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.decode.requests import field, in_request
from tests.faults.receiving import EXPORT, ReceiverProcess, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SPANS = in_request(field(2, field(1, b"t" * 16) + field(2, b"s" * 8) + field(5, b"x" * 500)) * 50)
GOOD = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: %d\r\n\r\n"
TIMEOUTS = {
    "grpc": {"body_timeout_s": 3},
    "http": {"header_timeout_s": 3, "body_timeout_s": 3, "idle_timeout_s": 3},
}
FLOOR_S = 0.02
"""Below this a percentile is noise of a machine with two cores."""


def p99_s(receiver: ReceiverProcess, seconds: float) -> float:
    """Return how long a sender waits for its answers, who sends all the time."""
    took = []
    with receiver.connect() as sock:
        until_s = time.monotonic() + seconds
        while (start_s := time.monotonic()) < until_s:
            sock.sendall(GOOD % len(SPANS) + SPANS)
            assert status_of(sock.recv(65536)) == 200
            took.append(time.monotonic() - start_s)
    return sorted(took)[int(len(took) * 0.99)]


class Drip:
    """Connections that send a little now and then, until each is closed."""

    def __init__(self, receiver: ReceiverProcess) -> None:
        self._selector = selectors.DefaultSelector()
        self.answers: list[bytes] = []
        self.longest_s = 0.0
        self._open: dict[socket.socket, tuple[bytes, float]] = {}
        self._receiver = receiver

    def add(self, n: int, first: bytes, drop: bytes) -> None:
        for _ in range(n):
            sock = self._receiver.connect()
            sock.sendall(first)
            sock.settimeout(0)
            self._selector.register(sock, selectors.EVENT_READ)
            self._open[sock] = (drop, time.monotonic())

    def run(self, deadline_s: float) -> None:
        """Send drops every half second, until all are closed."""
        end_s, next_s = time.monotonic() + deadline_s, 0.0
        got: dict[socket.socket, bytes] = {}
        while self._open and time.monotonic() < end_s:
            if time.monotonic() > next_s:
                next_s = time.monotonic() + 0.5
                for sock, (drop, _) in self._open.items():
                    if not got.get(sock):
                        self._send(sock, drop)
            for key, _ in self._selector.select(timeout=0.1):
                slow = key.fileobj
                assert isinstance(slow, socket.socket)
                try:
                    piece = slow.recv(4096)
                except ConnectionError:
                    piece = b""
                got[slow] = got.get(slow, b"") + piece
                if not piece:
                    self._selector.unregister(slow)
                    self.longest_s = max(self.longest_s, time.monotonic() - self._open.pop(slow)[1])
                    self.answers.append(got.pop(slow))
                    slow.close()

    @staticmethod
    def _send(sock: socket.socket, drop: bytes) -> None:
        try:
            if drop:
                sock.send(drop)
        except (BlockingIOError, ConnectionError):
            pass

    @property
    def open(self) -> int:
        return len(self._open)


@pytest.mark.alone
def test_slow_senders_are_closed_and_the_good_one_does_not_notice(
    record_property: Callable[[str, object], None],
) -> None:
    never = threading.Event()

    def endless() -> Iterator[bytes]:
        never.wait(60)
        yield b""

    with ReceiverProcess({"protocols": TIMEOUTS}) as receiver:
        p99_s(receiver, 0.5)
        quiet_s = p99_s(receiver, 2)
        drip = Drip(receiver)
        drip.add(500, b"POST /v1/traces HTTP/1.1\r\n", b"x")
        drip.add(500, GOOD % 1_000_000 + b"x", b"x")
        drip.add(100, b"", b"")
        channels = [
            grpc.insecure_channel(receiver.endpoints["grpc"], options=[("grpc.use_local_subchannel_pool", 1)])
            for _ in range(2)
        ]
        exports: list[Any] = [channel.stream_unary(EXPORT) for channel in channels]
        calls = [export.future(endless(), timeout=40) for export in exports for _ in range(50)]
        thread = threading.Thread(target=drip.run, args=(30.0,))
        thread.start()
        busy_s = p99_s(receiver, 2)
        good: Any = grpc.insecure_channel(receiver.endpoints["grpc"]).unary_unary(EXPORT)
        for _ in range(50):
            good(SPANS, timeout=10)  # raises unless it is OK
        thread.join()
        codes = [call.code() for call in calls]
        never.set()
        for channel in channels:
            channel.close()
        assert drip.open == 0
        statuses = [status_of(a) for a in drip.answers]
        assert statuses.count(408) == 1000
        assert statuses.count(0) == 100
        assert drip.longest_s < 3 + 3 + 2  # a timeout, a linger, how often both are looked at and a busy machine
        assert set(codes) == {grpc.StatusCode.UNAVAILABLE}
        # Calls that never end have half the budget together: the oldest of them end before their time.
        limits = receiver.state["limits"]
        assert limits["body_timeout"] > 500
        assert limits["body_timeout"] + limits["in_flight"] == 600
        assert limits["header_timeout"] == 500
    record_property("figure", f"p99 {quiet_s * 1000:.1f} ms alone, {busy_s * 1000:.1f} ms beside 1200 slow senders")
    assert busy_s < max(2 * quiet_s, FLOOR_S)
