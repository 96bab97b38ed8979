"""L1: three times what can be taken, and more.

Injected: for a minute (EVALGATE_L1_S for longer) 12 senders over both protocols offer many times what a database takes
 that gets one request an INSERT, in front of a journal of 4 MiB; each tries again as an SDK does.
Holds: what has no room is refused with RetryInfo and Retry-After, the memory stays below its limit, what is accepted is
 acknowledged as fast as without the overload, and every acknowledged span is stored once.
Figure: 3 700 spans/s offered, 220 stored; 4 264 requests refused, 316 taken, 0 spans lost, 0 twice; 734 of 1 200 MiB.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import time
from typing import TYPE_CHECKING

import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from tests.decode.requests import field, in_request
from tests.faults.harness import Producer, conserve, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Collector, Launch

SECONDS = float(os.environ.get("EVALGATE_L1_S", "60"))
MEMORY_MIB = 1200
SPANS = 50
ACK_S = 5.0
"""What the 99th of a hundred accepted requests may take, on a machine that is busy with twelve senders besides."""


def stored(collector: Collector) -> int:
    (row,) = collector.rows("SELECT count() AS n FROM spans")
    return int(row["n"])


def refusal(collector: Collector) -> tuple[str | None, float | None]:
    """Return the Retry-After and the delay of RetryInfo of a refusal, none of an acceptance."""
    host, _, port = collector.http.partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    # Never the same twice, and as large as those of the producers: a small one may have room where they have none.
    body = in_request(field(2, field(1, secrets.token_bytes(16)) + field(2, b"s" * 8) + field(5, b"x" * 60_000)))
    try:
        connection.request("POST", "/v1/traces", body, {"content-type": "application/x-protobuf"})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status == 200:
        return None, None
    assert answer.status == 503
    retry = RetryInfo()
    assert Status.FromString(body).details[0].Unpack(retry)
    return answer.headers["retry-after"], retry.retry_delay.ToNanoseconds() / 1e9


@pytest.mark.alone
@pytest.mark.timeout(240 + 2 * SECONDS)
def test_an_overload_is_refused_and_nothing_accepted_is_lost(
    launch: Launch, record_property: Callable[[str, object], None]
) -> None:
    small = {"max_bytes": 4 << 20, "segment_bytes": 256 << 10}
    collector = launch(
        config={"service": {"memory_limit_mib": MEMORY_MIB, "journal": {**small, "batch_records": 1}}}
    ).start()
    producers = [
        Producer(
            collector, transport=transport, threads=6, spans_per_request=SPANS, payload_words=200, give_up_s=SECONDS
        )
        for transport in ("http", "grpc")
    ]
    with contextlib.ExitStack() as stack:
        for producer in producers:
            stack.enter_context(producer)
        until(lambda: refusal(collector)[0] is not None, "the journal is full")
        before, begin_s, peak_bytes = stored(collector), time.monotonic(), 0
        offered = sum(sum(p.answers.values()) for p in producers)
        refused = []
        while time.monotonic() < begin_s + SECONDS:
            producers[0].wait(1)
            peak_bytes = max(peak_bytes, collector.rss_bytes())
            refused.append(refusal(collector))
        took_s = time.monotonic() - begin_s
        offered_per_s = (sum(sum(p.answers.values()) for p in producers) - offered) * SPANS / took_s
        stored_per_s = (stored(collector) - before) / took_s
    for header, delay_s in refused:
        if header is not None:
            assert delay_s is not None
            assert 1 <= delay_s <= int(header) <= 60
    assert sum(header is not None for header, _ in refused) >= len(refused) / 2
    latencies_s = sorted(s for p in producers for s in p.latencies_s)
    p99_s = latencies_s[int(len(latencies_s) * 0.99)]
    answers = {k: n for p in producers for k, n in p.answers.items()}
    assert collector.terminate() in (0, 1)
    collector.config["service"]["journal"]["batch_records"] = 10_000  # what waits is delivered at full speed
    collector.start()
    report = conserve(collector, *producers)
    record_property(
        "figure",
        f"{offered_per_s:.0f} spans/s offered, {stored_per_s:.0f} stored; {answers}; p99 {p99_s * 1000:.0f} ms; "
        f"{peak_bytes >> 20} of {MEMORY_MIB} MiB; {report}",
    )
    assert offered_per_s >= 3 * stored_per_s
    assert stored_per_s > 0
    assert p99_s < ACK_S
    assert peak_bytes <= MEMORY_MIB << 20
