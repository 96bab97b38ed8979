"""K13: a second signal, and SIGHUP.

Injected: under load with a dead database and an hour to drain: SIGTERM or SIGINT, and once it drains another one;
SIGHUP while the database answers.
Holds: the second signal ends the process at once with exit code 0 and the rest in the journal, from where the next
start stores it; SIGHUP changes nothing and says so. Conserved.
Figure: 0.1 s from the second signal to the exit; 0 lost, 0 twice.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.harness import Producer, conserve, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Launch

AT_ONCE_S = 8.0
"""A component may take 5 s to be released."""


@pytest.mark.parametrize(
    ("first", "second"),
    [(signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)],
    ids=lambda s: s.name,
)
def test_the_second_signal_ends_it_at_once(
    launch: Launch, first: signal.Signals, second: signal.Signals, record_property: Callable[[str, object], None]
) -> None:
    collector = launch(config={"service": {"shutdown_timeout_s": 3600}})
    right = dict(collector.config["service"]), dict(collector.config["exporters"])
    collector.config["exporters"] = {"clickhouse": {"dsn": "http://127.0.0.1:9/default"}}
    collector.config["service"] = {**right[0], "extensions": ["health_check"]}
    collector.start()
    producer = Producer(collector)
    with producer:
        producer.until_acked(10)
        collector.signal(first)
        until(lambda: collector.health()[0] == 503, "readiness is off")
        until(lambda: producer.answers["503"], "requests are refused")
        began_s = time.monotonic()
        collector.signal(second)
        assert collector.wait(AT_ONCE_S) == 0
        took_s = time.monotonic() - began_s
    assert f"{producer.acked_requests} requests stay in the journal" in collector.log
    collector.config["service"], collector.config["exporters"] = right
    collector.start()
    record_property("figure", f"{took_s:.1f} s; {conserve(collector, producer)}")


def test_sighup_changes_nothing(launch: Launch) -> None:
    collector = launch().start()
    pid = collector.pid
    with Producer(collector) as producer:
        producer.until_acked(5)
        collector.signal(signal.SIGHUP)
        until(lambda: "SIGHUP is ignored" in collector.log, "the log says that it is ignored")
        producer.until_acked(20)
    assert collector.health()[0] == 200
    assert collector.pid == pid
    conserve(collector, producer)
