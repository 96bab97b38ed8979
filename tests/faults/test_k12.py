"""K12: SIGTERM while the database is down or silent.

Injected: SIGTERM with acknowledged spans in the journal, while the database refuses connections; while it has fallen
silent with an INSERT under way; and while it was silent from the start.
Holds: a start is ready within 30 s also then; exit code 0 soon after the deadline of 2 s, and at the most 30;
everything stays in the journal, and once the database answers, the next start stores every acknowledged span once.
Figure: 2.9 s from the signal to the exit where the database is down, 8 to 13 s where it is silent; 0 lost, 0 twice.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.faults.harness import Producer, conserve, until
from tests.faults.harness.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Launch

WITHIN_S = 30.0
CONFIG = {"service": {"shutdown_timeout_s": 2}}


def test_the_database_is_down(launch: Launch, record_property: Callable[[str, object], None]) -> None:
    collector = launch(config=CONFIG)
    right = dict(collector.config["service"]), dict(collector.config["exporters"])
    collector.config["exporters"] = {"clickhouse": {"dsn": "http://127.0.0.1:9/default"}}
    collector.config["service"] = {**right[0], "extensions": ["health_check"]}
    collector.start()
    producer = Producer(collector)
    with producer:
        producer.until_acked(20)
    began_s = time.monotonic()
    assert collector.terminate(WITHIN_S) == 0
    took_s = time.monotonic() - began_s
    assert f"{producer.acked_requests} requests stay in the journal" in collector.log
    collector.config["service"], collector.config["exporters"] = right
    collector.start()
    record_property("figure", f"{took_s:.1f} s; {conserve(collector, producer)}")


@pytest.mark.server
@pytest.mark.parametrize("when", ["in the middle", "from the start"])
def test_the_database_is_silent(
    launch: Launch, server_dsn: str, when: str, record_property: Callable[[str, object], None]
) -> None:
    address = urlsplit(server_dsn)
    assert address.port is not None
    with Relay(address.port) as relay:
        collector = launch(dsn=server_dsn, config=CONFIG)
        through = server_dsn.replace(str(address.port), str(relay.port))
        collector.config["exporters"] = {"clickhouse": {"dsn": through}}
        if when == "from the start":
            relay.silence()
        collector.start()
        producer = Producer(collector)
        with producer:
            producer.until_acked(10)
            relay.silence()
            producer.until_acked(10)
            until(lambda: collector.status()["journal"]["backlog_records"], "something waits in the journal")
        began_s = time.monotonic()
        assert collector.terminate(WITHIN_S) == 0
        took_s = time.monotonic() - began_s
    assert "stay in the journal" in collector.log
    collector.config["exporters"] = {"clickhouse": {"dsn": server_dsn}}
    collector.start()
    record_property("figure", f"{took_s:.1f} s; {conserve(collector, producer)}")
