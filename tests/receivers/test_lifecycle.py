"""Configuration, addresses, start and shutdown."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from collector.receivers.otlp import OtlpConfig, otlp
from schema.component import Component, Context
from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.receivers.conftest import EventLoopThread, MemoryJournal, Running


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_it_is_declared_as_the_otlp_receiver() -> None:
    assert isinstance(otlp, Component)
    assert (otlp.kind, otlp.name, otlp.config) == ("receiver", "otlp", OtlpConfig)


def test_the_ports_are_those_of_the_specification_on_loopback() -> None:
    config = OtlpConfig.model_validate({"protocols": {"grpc": None, "http": None}})
    assert config.protocols.grpc is not None
    assert config.protocols.http is not None
    assert config.protocols.grpc.endpoint == "127.0.0.1:4317"
    assert config.protocols.http.endpoint == "127.0.0.1:4318"


@pytest.mark.parametrize("only", ["grpc", "http"])
def test_a_protocol_that_is_left_out_is_not_served(start: Callable[..., Running], only: str) -> None:
    assert set(start(only=only).receiver.endpoints) == {only}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "protocols"),
        ({"protocols": {}}, "name at least one protocol: grpc, http"),
        ({"protocols": {"grcp": {}}}, "grcp"),
        ({"protocols": {"grpc": {"endpoint": "4317"}}}, "must be host:port"),
        ({"protocols": {"grpc": {"endpoint": "127.0.0.1:99999"}}}, "must be host:port"),
        ({"protocols": {"http": {"endpoint": "::1:4318"}}}, "in brackets"),
        ({"protocols": {"http": {"traces_url_path": "v1/traces"}}}, "traces_url_path"),
    ],
)
def test_a_wrong_configuration_is_named(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        OtlpConfig.model_validate(config)


@pytest.mark.parametrize("endpoint", ["0.0.0.0:4317", ":4317", "[::]:4317", "192.0.2.1:4317", "example.org:4317"])
def test_beyond_loopback_it_listens_only_when_told_that_this_is_insecure(endpoint: str) -> None:
    with pytest.raises(ValidationError, match="can be reached from other machines"):
        OtlpConfig.model_validate({"protocols": {"grpc": {"endpoint": endpoint}}})
    OtlpConfig.model_validate({"protocols": {"grpc": {"endpoint": endpoint, "insecure": True}}})


@pytest.mark.parametrize("endpoint", ["localhost:0", "127.1.2.3:0", "[::1]:0"])
def test_loopback_has_more_than_one_name(endpoint: str) -> None:
    OtlpConfig.model_validate({"protocols": {"http": {"endpoint": endpoint}}})


def test_it_listens_on_ipv6(start: Callable[..., Running]) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 on this machine")
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("no IPv6 on this machine")
    running = start(grpc={"endpoint": "[::1]:0"}, http={"endpoint": "[::1]:0"})
    for name, address in running.receiver.endpoints.items():
        assert address.startswith("[::1]:"), name
        with socket.create_connection(("::1", int(address.rpartition(":")[2]))):
            pass


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_taken_port_is_an_error_that_names_it_and_nothing_is_left_listening(
    event_loop_thread: EventLoopThread, journal: MemoryJournal, taken_port: int, tmp_path: Path, protocol: str
) -> None:
    other = "http" if protocol == "grpc" else "grpc"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free_port = probe.getsockname()[1]
    config = OtlpConfig.model_validate(
        {
            "protocols": {
                protocol: {"endpoint": f"127.0.0.1:{taken_port}"},
                other: {"endpoint": f"127.0.0.1:{free_port}"},
            }
        }
    )
    receiver = otlp(config, Context("otlp", tmp_path, journal))
    with pytest.raises(ConfigError) as caught:
        event_loop_thread.run(receiver.start())
    assert str(caught.value) == (
        f"receiver otlp: cannot listen for {'gRPC' if protocol == 'grpc' else 'HTTP'} on 127.0.0.1:{taken_port}: "
        f"Address already in use. Stop what uses it, or set another protocols.{protocol}.endpoint."
    )
    assert receiver.endpoints == {}
    with socket.create_server(("127.0.0.1", free_port)):
        pass


def test_two_receivers_cannot_share_a_grpc_port(
    receiver: Running, event_loop_thread: EventLoopThread, journal: MemoryJournal, tmp_path: Path
) -> None:
    config = OtlpConfig.model_validate({"protocols": {"grpc": {"endpoint": receiver.receiver.endpoints["grpc"]}}})
    second = otlp(config, Context("otlp", tmp_path, journal))
    with pytest.raises(ConfigError, match="Address already in use"):
        event_loop_thread.run(second.start())


def test_without_a_journal_it_is_not_made() -> None:
    config = OtlpConfig.model_validate({"protocols": {"http": {}}})
    with pytest.raises(ConfigError, match="otlp/x: it has no journal"):
        otlp(config, Context("otlp/x", Path()))


def test_shutdown_is_safe_without_start_and_twice(journal: MemoryJournal, tmp_path: Path) -> None:
    async def work() -> None:
        config = OtlpConfig.model_validate(
            {"protocols": {"http": {"endpoint": "127.0.0.1:0"}, "grpc": {"endpoint": "127.0.0.1:0"}}}
        )
        receiver = otlp(config, Context("otlp", tmp_path, journal))
        await receiver.shutdown()
        await receiver.start()
        ports = [int(e.rpartition(":")[2]) for e in receiver.endpoints.values()]
        await receiver.shutdown()
        await receiver.shutdown()
        for port in ports:
            with socket.create_server(("127.0.0.1", port)):
                pass

    asyncio.run(work())
