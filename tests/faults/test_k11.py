"""K11: SIGTERM under load while the database answers.

Injected: SIGTERM while senders go on over HTTP and gRPC, and the database is up.
Holds: readiness goes off at once; new requests get 503 or UNAVAILABLE, those under way an answer; the journal is
empty at the end; exit code 0 within 30 s; the next start has every acknowledged span once.
Figure: 1.4 to 3.9 s from the signal to the exit, 10 to 16 requests refused in between; 0 lost, 0 twice.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from tests.faults.harness import Producer, conserve, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Collector, Launch

DEADLINE_S = 30.0


def test_it_refuses_drains_and_ends(launch: Launch, store: str, record_property: Callable[[str, object], None]) -> None:
    # Held up in the thread that inserts, the delivery lasts until readiness was seen to be off.
    collector = launch(dsn=store)
    go = collector.folder / "go"
    collector.start(failpoints=f"exporter.after_insert=pause:{go}@3")
    by_http, by_grpc = Producer(collector), Producer(collector, transport="grpc", threads=1)
    with by_http, by_grpc:
        until((collector.folder / "go.reached").exists, "the third batch is under way")
        began_s = time.monotonic()
        collector.signal(signal.SIGTERM)
        until(lambda: collector.health()[0] == 503, "readiness is off")
        until(lambda: by_http.answers["503"] and by_grpc.answers["UNAVAILABLE"], "new requests are refused")
        assert by_http.answers["RemoteDisconnected"] == 0
        go.touch()
        assert collector.wait(DEADLINE_S) == 0
        took_s = time.monotonic() - began_s
    refused = by_http.answers["503"]
    assert "stay in the journal" not in collector.log
    acked = len(by_http.obligations) + len(by_grpc.obligations)
    collector.start()
    report = conserve(collector, by_http, by_grpc)
    assert report.acked >= acked
    record_property("figure", f"{took_s:.1f} s, {refused} refused; {report}")


def test_what_is_under_way_when_the_signal_comes_is_acknowledged(launch: Launch) -> None:
    collector = launch()
    go = collector.folder / "go"
    collector.start(failpoints=f"journal.after_sync=pause:{go}@3")
    producer = Producer(collector, threads=1, retry=False)
    producer.send(2)
    with producer:
        until((collector.folder / "go.reached").exists, "the third group is synced and not acknowledged")
        collector.signal(signal.SIGTERM)
        until(lambda: _is_off(collector), "readiness is off")
        go.touch()
        until(lambda: producer.acked_requests == 3, "it is acknowledged all the same")
        assert collector.wait(DEADLINE_S) == 0
    collector.start()
    conserve(collector, producer)


def _is_off(collector: Collector) -> bool:
    return collector.health()[0] == 503
