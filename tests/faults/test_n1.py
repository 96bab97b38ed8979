"""N1: every request is delivered three times at once.

Injected: each of 40 requests is sent three times at once, over HTTP and gRPC, with the re-delivery window on and off.
Holds: every try is acknowledged; at read each span is there once; with the window on the table holds each once as well,
and the ledger counts the other two as duplicates.
Figure: 120 deliveries of 40 requests.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.harness import Producer, conserve, until
from tests.faults.harness.producer import GrpcWire, HttpWire

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Collector, Launch

REQUESTS = 40
COPIES = 3
SPANS = 4
LEDGER = "SELECT state, sum(count) AS n FROM ledger WHERE signal = 'traces' GROUP BY state ORDER BY state"


def deliver_each_three_times(collector: Collector, producer: Producer) -> None:
    """Send every request by two connections and a channel at once; all that is sent must be acknowledged."""
    wires: list[Any] = [
        HttpWire(collector.http, {}, compress=False),
        HttpWire(collector.http, {}, compress=False),
        GrpcWire(collector.grpc, {}, compress=False),
    ]
    with ThreadPoolExecutor(COPIES) as pool:
        for claimed in (producer._claim() for _ in range(REQUESTS)):
            answers = list(pool.map(lambda wire, body=claimed.body: wire.post(body), wires))
            assert [answer for _, answer, _ in answers] == ["acked"] * COPIES, answers
            claimed.answer = "acked"
    for wire in wires:
        wire.close()


def ledger(collector: Collector) -> dict[str, int]:
    return {row["state"]: row["n"] for row in collector.rows(LEDGER)}


@pytest.mark.quick
@pytest.mark.parametrize("window_s", [300, 0])
def test_what_is_delivered_three_times_at_once_is_there_once(
    launch: Launch, store: str, window_s: int, record_property: Callable[[str, object], None]
) -> None:
    collector = launch(dsn=store, config={"receivers": {"otlp": {"redelivery_window_s": window_s}}}).start()
    producer = Producer(collector, spans_per_request=SPANS)
    deliver_each_three_times(collector, producer)
    report = conserve(collector, producer)
    copies = REQUESTS * SPANS * (COPIES - 1)
    fresh = SPANS
    if window_s:
        assert report.extra_rows == 0, "nothing was kept twice"
        wanted = {"duplicate": copies, "stored": REQUESTS * SPANS + fresh}
    else:
        assert report.extra_rows == copies
        wanted = {"stored": REQUESTS * SPANS * COPIES + fresh}
    until(lambda: ledger(collector) == wanted, f"the ledger says {wanted}, not {ledger(collector)}")
    record_property("figure", f"{REQUESTS * COPIES} deliveries of {REQUESTS} requests, each span once at read")
