"""L3: memory runs short.

Injected: the receiver's process takes memory until it is above 80 %, then above 90 % of its limit, and gives it back,
 ten times, while 8 senders send over both protocols and half a body is on its way.
Holds: 503 or UNAVAILABLE with a delay at both levels, before bodies are read; the half body is dropped at the second;
 requests are taken again as soon as memory is free; garbage is collected at most once in ten seconds.
Figure: 10 turns, 590 requests taken, 6 163 refused; 20 refused bodies of 50 MB cost no memory.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import grpc

from tests.decode.requests import field, in_request
from tests.faults.harness.waiting import until
from tests.faults.receiving import MIB, ReceiverProcess, status_of
from tests.faults.test_i3 import by_grpc

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = in_request(field(2, field(1, b"t" * 16) + field(2, b"s" * 8) + field(5, b"x" * 500)) * 20)
LARGE = (
    b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 50000000\r\n\r\n"
)
TURNS = 10


class Senders:
    """Threads that send until they are told to stop."""

    def __init__(self, receiver: ReceiverProcess) -> None:
        self._receiver = receiver
        self._stop = threading.Event()
        self.answers: Counter[object] = Counter()
        self._threads = [threading.Thread(target=self._send, args=(i % 4 == 0,)) for i in range(8)]

    def __enter__(self) -> Senders:  # noqa: PYI034 - final
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self, by_grpc_too: object) -> None:
        while not self._stop.is_set():
            answer: object = by_grpc(self._receiver, GOOD) if by_grpc_too else self._receiver.post(GOOD)
            self.answers[answer] += 1


def test_senders_wait_while_memory_is_short_and_are_welcome_afterwards(
    record_property: Callable[[str, object], None],
) -> None:
    with ReceiverProcess(memory_limit_mib=4000) as receiver:
        begin_s = time.monotonic()
        by_grpc(receiver, GOOD)
        receiver.ask(do="limit", mib=(receiver.status_field("VmRSS") >> 20) * 2)
        limit_mib = (receiver.status_field("VmRSS") >> 20) * 2
        with Senders(receiver) as senders, receiver.connect() as half:
            half.sendall(LARGE + bytes(1_000_000))
            for turn in range(TURNS):
                used_mib = receiver.status_field("VmRSS") >> 20
                wanted_mib = int(limit_mib * (0.85 if turn % 2 == 0 else 0.96))
                receiver.ask(do="hold", mib=wanted_mib - used_mib)
                level = "SOFT" if turn % 2 == 0 else "HARD"
                until(lambda level=level: receiver.state["level"] == level, f"level {level}")  # type: ignore[misc]  # bound now
                assert receiver.post(GOOD) == 503
                assert by_grpc(receiver, GOOD) is grpc.StatusCode.UNAVAILABLE
                if turn == 1:
                    assert status_of(half.recv(65536)) == 503
                receiver.ask(do="free")
                until(lambda: receiver.state["level"] == "FREE", "memory is free again")
                until(lambda: receiver.post(GOOD) == 200, "requests are taken again", deadline_s=5)
        took_s = time.monotonic() - begin_s
        state = receiver.state
    allowed = {200, 503, grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert set(senders.answers) <= allowed, senders.answers
    assert senders.answers[200] > 0
    assert senders.answers[503] > 0
    assert state["limits"]["memory"] > 2 * TURNS
    assert state["releases"] <= took_s / 10 + 1
    answered = {str(k): n for k, n in senders.answers.items()}
    record_property("figure", f"{TURNS} turns, {answered}, garbage collected {state['releases']} times")


def test_a_body_is_not_read_before_it_is_refused(record_property: Callable[[str, object], None]) -> None:
    with ReceiverProcess(memory_limit_mib=4000) as receiver:
        receiver.ask(do="limit", mib=int((receiver.status_field("VmRSS") >> 20) / 0.85))
        until(lambda: receiver.state["level"] == "SOFT", "level soft")
        with receiver.peak() as peak, contextlib.ExitStack() as stack:
            for _ in range(20):
                sock = stack.enter_context(receiver.connect())
                sock.sendall(LARGE + bytes(50_000_000))
                assert status_of(sock.recv(65536)) == 503
    record_property("figure", f"20 refused bodies of 50 MB: {peak.growth_bytes / MIB:.0f} MB of memory")
    assert peak.growth_bytes < 16 * MIB
