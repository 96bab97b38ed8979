"""Memory that runs short: levels, what is refused at each, and that it ends."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc import code_pb2

from collector.receivers.memory_guard import RELEASE_EVERY_S, Level, MemoryGuard, release, resident_bytes
from schema.errors import Limit, Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.receivers.conftest import HeldJournal, Running, Transport

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Machine:
    """Memory and a clock that a test moves."""

    def __init__(self) -> None:
        self.used_bytes = 0
        self.now_s = 100.0
        self.after_release: int | None = None
        self.releases = 0
        self.guard = MemoryGuard(
            1000, in_use=lambda: self.used_bytes, release_now=self._release, clock_s=lambda: self.now_s
        )

    def _release(self) -> None:
        self.releases += 1
        if self.after_release is not None:
            self.used_bytes = self.after_release

    def at(self, used_bytes: int) -> Level:
        self.used_bytes = used_bytes
        return self.guard.sample()


def test_levels_are_exact_and_a_level_ends_a_little_below_where_it_began() -> None:
    machine = Machine()
    levels = [machine.at(used) for used in (0, 800, 801, 900, 901, 900, 771, 770, 800, 950, 700)]
    free, soft, hard = Level
    assert levels == [free, free, soft, soft, hard, soft, soft, free, free, hard, free]


def test_what_can_be_given_back_is_given_back_before_anybody_is_refused() -> None:
    machine = Machine()
    machine.after_release = 500
    assert machine.at(950) is Level.FREE
    assert machine.releases == 1


def test_memory_is_not_searched_for_garbage_all_the_time() -> None:
    machine = Machine()
    for _ in range(99):
        machine.at(950)
        machine.now_s += RELEASE_EVERY_S / 50
    assert machine.releases == 2


def test_without_a_limit_memory_is_always_free() -> None:
    guard = MemoryGuard(None, in_use=lambda: 1 << 60)
    assert guard.sample() is Level.FREE
    guard.admit()


def test_a_refusal_says_how_much_is_in_use_and_when_to_come_back() -> None:
    machine = Machine()
    machine.guard = MemoryGuard(512 << 20, in_use=lambda: 500 << 20, release_now=lambda: None)
    machine.guard.sample()
    with pytest.raises(Refused, match="500 MiB of memory are in use; the limit is 512") as caught:
        machine.guard.admit()
    assert (caught.value.reason, caught.value.limit) == (Reason.UNAVAILABLE, Limit.MEMORY)
    assert caught.value.retry_after_s is not None


def test_the_memory_of_this_process_is_read_and_given_back() -> None:
    before = resident_bytes()
    kept = bytearray(64 << 20)
    assert resident_bytes() - before > 40 << 20  # the rest may lie in what was free before
    del kept
    release()
    assert resident_bytes() - before < 48 << 20


@pytest.fixture
def pressed(start: Callable[..., Running], held_journal: HeldJournal) -> Iterator[Callable[[Level], Running]]:
    """Return a way to bring a running receiver to a level; None yet runs in it."""
    running = start(http={"body_timeout_s": 30}, grpc={"body_timeout_s": 30})
    guard = running.receiver._guard

    def to(level: Level) -> Running:
        used = {Level.FREE: 0, Level.SOFT: 850, Level.HARD: 950}[level]
        guard._limit_bytes, guard._in_use, guard._release = 1000 << 20, lambda: used << 20, lambda: None

        async def sample() -> None:
            guard.sample()

        running.loop.run(sample())
        return running

    yield to
    to(Level.FREE)


@pytest.mark.parametrize("level", [Level.SOFT, Level.HARD])
def test_senders_are_told_to_wait_and_are_welcome_afterwards(
    pressed: Callable[[Level], Running], transport: Transport, make_request: Any, level: Level
) -> None:
    running = pressed(level)
    reply = running.send(transport, make_request(1))
    assert (reply.code, reply.http_status) == (code_pb2.UNAVAILABLE, None if transport == "grpc" else 503)
    assert reply.retry_after_s is not None
    assert reply.retry_after_s >= 2
    assert transport == "grpc" or int(reply.retry_after_header or 0) >= 2
    assert running.receiver.limit_hits[Limit.MEMORY] == 1
    pressed(Level.FREE)
    assert running.send(transport, make_request(1)).code == 0
    assert len(running.journal.records) == 1


@pytest.mark.parametrize("level", [Level.SOFT, Level.HARD])
def test_over_http_the_connection_lives_at_the_soft_level_and_is_closed_at_the_hard_one(
    pressed: Callable[[Level], Running], level: Level
) -> None:
    running = pressed(Level.FREE)
    head = b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/x-protobuf\r\ncontent-length: 50000000\r\n\r\n"
    with socket.create_connection(running.address("http"), timeout=10) as sock:
        pressed(level)
        sock.sendall(head)
        answer = b"" if level is Level.SOFT else sock.recv(10_000)
        if level is Level.SOFT:  # the answer comes in turn, when the body has gone by
            sock.sendall(bytes(50_000_000))
            answer = sock.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert (b"connection: close" in answer) == (level is Level.HARD)


def test_at_the_hard_level_bodies_that_are_being_read_are_dropped(pressed: Callable[[Level], Running]) -> None:
    running = pressed(Level.FREE)
    head = b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/x-protobuf\r\nexpect: 100-continue\r\n"
    reading = threading.Event()
    replies: list[Any] = []

    def endless() -> Iterator[bytes]:
        reading.set()
        threading.Event().wait(20)  # until the server ends the call
        yield b""

    with (
        socket.create_connection(running.address("http"), timeout=10) as sock,
        grpc.insecure_channel(running.receiver.endpoints["grpc"]) as channel,
    ):
        sock.sendall(head + b"content-length: 50000000\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        sock.sendall(bytes(1_000_000))
        export: Any = channel.stream_unary(EXPORT)
        call = export.future(endless(), timeout=30)
        while not running.receiver._servers[-1]._handlers._readings._readings:  # type: ignore[union-attr]  # gRPC's is the last
            threading.Event().wait(0.01)
        pressed(Level.HARD)
        assert sock.recv(10_000).startswith(b"HTTP/1.1 503 ")
        with pytest.raises(grpc.RpcError) as caught:
            call.result(timeout=20)
        replies.append(caught.value)
    assert replies[0].code() is grpc.StatusCode.UNAVAILABLE
    assert "memory" in replies[0].details()
