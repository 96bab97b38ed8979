"""What of a gRPC message counts while it is still being read."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from collector.receivers.otlp_grpc import GrpcServer
from collector.receivers.reading import FIRST_BYTES
from schema.errors import Limit
from tests.faults.harness.waiting import until
from tests.receivers.conftest import METHODS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.receivers.conftest import Running

MIB = 1 << 20


class Slow:
    """A sender that asks for a call, and sends its message when told."""

    def __init__(self, running: Running, message: bytes) -> None:
        self.send = threading.Event()
        self._message = message
        self._channel = grpc.insecure_channel(
            running.receiver.endpoints["grpc"], options=[("grpc.use_local_subchannel_pool", 1)]
        )
        export: Any = self._channel.stream_unary(METHODS["traces"])
        self.call = export.future(self._messages(), timeout=20)

    def _messages(self) -> Iterator[bytes]:
        self.send.wait(20)
        yield self._message

    def close(self) -> None:
        self.send.set()
        self._channel.close()


def budget_of(running: Running) -> Any:
    """Return what the messages of a receiver are counted in."""
    (server,) = running.receiver._servers
    assert isinstance(server, GrpcServer)
    return server._handlers._accounts._budget


def counted(running: Running) -> int:
    """Return the bytes in flight."""
    taken_bytes: int = budget_of(running).taken_bytes
    return taken_bytes


def test_messages_that_take_long_count_as_the_largest_and_the_longest_ends_for_others(
    start: Callable[..., Running], make_request: Callable[..., Any]
) -> None:
    running = start(only="grpc", grpc={"max_recv_msg_size_mib": 1}, max_in_flight_bytes=4 * MIB + 10 * FIRST_BYTES)
    body = make_request(1).SerializeToString()
    slow = [Slow(running, body) for _ in range(2)]
    try:
        until(lambda: counted(running) == 2 * MIB, "both count as the largest")
        assert running.grpc(METHODS["traces"], body).code == 0  # it needs little
        assert not slow[0].call.done()
        slow.append(Slow(running, body))
        until(lambda: any(s.call.done() for s in slow), "one had to end")
        (ended,) = [s for s in slow if s.call.done()]
        assert ended is not slow[2]  # the latest goes on
        assert ended.call.code() is grpc.StatusCode.UNAVAILABLE
        assert "grpc-status-details-bin" in dict(ended.call.trailing_metadata())
        assert running.receiver.limit_hits == {Limit.IN_FLIGHT: 1}
        for sender in slow:
            if sender is not ended:
                sender.send.set()
                assert sender.call.code() is grpc.StatusCode.OK
        until(lambda: counted(running) == 0, "everything was given back")
    finally:
        for sender in slow:
            sender.close()


def test_calls_whose_message_never_comes_leave_half_the_room_to_others(
    start: Callable[..., Running], make_request: Callable[..., Any]
) -> None:
    limit_bytes = 4 * MIB
    running = start(only="grpc", grpc={"max_recv_msg_size_mib": 1}, max_in_flight_bytes=limit_bytes)
    body = make_request(1).SerializeToString()
    stuck = [Slow(running, body) for _ in range(30)]
    try:
        until(lambda: sum(s.call.done() for s in stuck) >= 28, "those that go on have half")  # two, or fewer
        until(lambda: counted(running) <= 2 * MIB, "what the others had is given back")
        for _ in range(20):
            assert running.grpc(METHODS["traces"], body).code == 0
        assert {s.call.code() for s in stuck if s.call.done()} == {grpc.StatusCode.UNAVAILABLE}
    finally:
        for sender in stuck:
            sender.close()


def test_nothing_is_read_without_room_for_its_beginning(
    start: Callable[..., Running], make_request: Callable[..., Any]
) -> None:
    running = start(only="grpc", max_in_flight_bytes=FIRST_BYTES - 1)
    assert running.grpc(METHODS["traces"], make_request(1).SerializeToString()).code == 0  # the largest is smaller
    running = start(only="grpc", max_in_flight_bytes=FIRST_BYTES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget_of(running), "limit_bytes", FIRST_BYTES - 1)
        reply = running.grpc(METHODS["traces"], make_request(1).SerializeToString())
    assert reply.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert reply.retry_after_s
    assert counted(running) == 0
