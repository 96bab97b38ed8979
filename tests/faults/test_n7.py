"""N7: addresses that are taken, of IPv6 alone, or that vanish.

Injected: each port of a collector taken by another process, an address that is none of the machine's, a machine without
 IPv4 on its loopback, an address that is removed from the running machine and comes back.
Holds: start ends with 2 and one line of ours that names address and setting, nothing listens and no lock is left; on
 IPv6 all is served; what has another address goes on, and the lost one serves again when it is back.
Figure: 5 starts that fail whole, each followed by one that works on the same folder.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.decode.requests import field, in_request
from tests.faults.harness import Producer, conserve

if TYPE_CHECKING:
    from tests.faults.harness import Collector, Launch

GOOD = in_request(field(2, field(1, b"t" * 16) + field(2, b"s" * 8)))
POST = """
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=5)
c.request("POST", "/v1/traces", bytes.fromhex(sys.argv[3]), {"content-type": "application/x-protobuf"})
print(c.getresponse().status)
"""
KEYS = {"grpc": "protocols.grpc.endpoint", "http": "protocols.http.endpoint"}


def listens(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def fails_whole(collector: Collector, taken: str = "") -> str:
    """Start; return the error, having seen that nothing is left of the start."""
    assert collector.start(wait=False).wait() == 2
    for name, port in collector.ports.items():
        assert listens(port) == (name == taken), name
    lines = [line for line in collector.log.splitlines() if line]
    assert not any(re.match(r"[EWI]\d{4} \d\d:", line) for line in lines), "gRPC said it in its own words"
    return lines[-1]


@pytest.mark.parametrize("name", ["grpc", "http", "health", "clickhouse"])
def test_a_port_that_is_taken(launch: Launch, name: str) -> None:
    collector = launch()
    with socket.create_server(("127.0.0.1", collector.ports[name])):
        error = fails_whole(collector, name)
    assert error.startswith("evalgate-collector: ")
    assert f"127.0.0.1:{collector.ports[name]}" in error
    assert "ddress already in use" in error
    assert KEYS.get(name, "endpoint") in error
    collector.start()
    assert collector.status()["ready"]


@pytest.mark.parametrize("name", ["grpc", "http"])
def test_an_address_that_is_none_of_ours(launch: Launch, name: str) -> None:
    far: Any = {"endpoint": "192.0.2.1:4000", "insecure": True}
    error = fails_whole(launch(config={"receivers": {"otlp": {"protocols": {name: far}}}}))
    assert "192.0.2.1:4000: Cannot assign requested address" in error


def in_network(pid: int, *command: str) -> str:
    """Run a command where the collector's network is."""
    enter = ["nsenter", "--user", "--net", "--preserve-credentials", "--target", str(pid)]
    return subprocess.run([*enter, *command], check=True, capture_output=True, text=True).stdout.strip()


def post(collector: Collector, host: str, port: int) -> str:
    body = GOOD + in_request(field(2, field(1, b"u" * 16) + field(2, b"s" * 8) + field(5, host.encode())))
    return in_network(collector.pid, sys.executable, "-c", POST, host, str(port), body.hex())


def network_of_its_own(setup: str) -> list[str]:
    if subprocess.run(["unshare", "-rn", "ip", "link", "set", "lo", "up"], check=False, capture_output=True).returncode:
        pytest.skip("no network of its own can be made here (unshare -rn, ip)")
    return ["unshare", "-rn", "sh", "-c", f'{setup}; exec "$@"', "sh"]


def test_without_ipv4_all_is_served_on_ipv6(launch: Launch) -> None:
    collector = launch(wrap=network_of_its_own("ip link set lo up && ip addr del 127.0.0.1/8 dev lo"))
    ports = collector.ports
    tree = collector.config
    for name in ("grpc", "http"):
        tree["receivers"]["otlp"]["protocols"][name]["endpoint"] = f"[::1]:{ports[name]}"
    tree["extensions"]["health_check"]["endpoint"] = f"[::1]:{ports['health']}"
    tree["extensions"]["clickhouse_http"]["endpoint"] = f"[::1]:{ports['clickhouse']}"
    collector.start()
    assert post(collector, "::1", ports["http"]) == "200"
    assert collector.terminate() == 0


def test_an_address_that_vanishes_and_comes_back(launch: Launch) -> None:
    setup = "ip link set lo up && ip addr add 10.99.0.1/32 dev lo"
    collector = launch(wrap=network_of_its_own(setup))
    protocols = collector.config["receivers"]["otlp"]["protocols"]
    http_port, other_port = collector.ports["http"], collector.ports["grpc"]
    protocols["http"] = {"endpoint": f"10.99.0.1:{http_port}", "insecure": True}
    collector.config["receivers"]["otlp/local"] = {"protocols": {"http": {"endpoint": f"127.0.0.1:{other_port}"}}}
    protocols.pop("grpc")
    for pipeline in collector.config["service"]["pipelines"].values():
        pipeline["receivers"] = ["otlp", "otlp/local"]
    collector.start()
    assert post(collector, "10.99.0.1", http_port) == "200"
    in_network(collector.pid, "ip", "addr", "del", "10.99.0.1/32", "dev", "lo")
    with pytest.raises(subprocess.CalledProcessError):
        post(collector, "10.99.0.1", http_port)
    assert post(collector, "127.0.0.1", other_port) == "200"
    in_network(collector.pid, "ip", "addr", "add", "10.99.0.1/32", "dev", "lo")
    assert post(collector, "10.99.0.1", http_port) == "200"
    assert collector.terminate() == 0


def test_after_a_start_that_failed_nothing_is_lost(launch: Launch) -> None:
    """What waits in the journal is delivered by the start that works."""
    collector = launch()
    collector.start(failpoints=f"exporter.after_insert=pause:{collector.folder}/never")
    producer = Producer(collector, threads=1)
    producer.send(3)
    collector.kill()
    with socket.create_server(("127.0.0.1", collector.ports["http"])):
        fails_whole(collector, "http")
    collector.start()
    conserve(collector, producer)
