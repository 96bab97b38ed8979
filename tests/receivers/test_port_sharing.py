"""Workers listen on one address; nobody else gets in beside them unseen."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from collector.receivers.otlp import OtlpConfig, OtlpReceiver, otlp
from schema.component import Context
from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from schema.component import PortSharing
    from tests.receivers.conftest import EventLoopThread, MemoryJournal


class Receivers:
    """Makes receivers of one address, and stops them."""

    def __init__(self, loop: EventLoopThread, journal: MemoryJournal, folder: Path) -> None:
        self._loop, self._journal, self._folder = loop, journal, folder
        self.started: list[OtlpReceiver] = []

    def start(self, protocol: str, port: int, sharing: PortSharing) -> OtlpReceiver:
        config = OtlpConfig.model_validate({"protocols": {protocol: {"endpoint": f"127.0.0.1:{port}"}}})
        receiver: OtlpReceiver = otlp(config, Context("otlp", self._folder, self._journal, port_sharing=sharing))
        self._loop.run(receiver.start())
        self.started.append(receiver)
        return receiver

    def stop(self) -> None:
        for receiver in self.started:
            self._loop.run(receiver.shutdown())


@pytest.fixture
def receivers(event_loop_thread: EventLoopThread, journal: MemoryJournal, tmp_path: Path) -> Iterator[Receivers]:
    made = Receivers(event_loop_thread, journal, tmp_path)
    yield made
    made.stop()


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_first_worker_opens_the_address_and_more_join_it(
    receivers: Receivers, free_port: int, protocol: str
) -> None:
    first = receivers.start(protocol, free_port, "first")
    second = receivers.start(protocol, free_port, "more")
    assert first.endpoints == second.endpoints == {protocol: f"127.0.0.1:{free_port}"}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("sharing", ["first", "alone"])
def test_nobody_else_joins_workers(receivers: Receivers, free_port: int, protocol: str, sharing: PortSharing) -> None:
    receivers.start(protocol, free_port, "first")
    with pytest.raises(ConfigError, match="Address already in use"):
        receivers.start(protocol, free_port, sharing)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_workers_need_a_port_with_a_number(receivers: Receivers, protocol: str) -> None:
    with pytest.raises(ConfigError, match="port 0 would be another one for each worker"):
        receivers.start(protocol, 0, "first")
