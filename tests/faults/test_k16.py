"""K16: a sidecar that forwards flagged traces is killed between a decision and what it forwards.

Injected: SIGKILL at each step, of the look-ahead that decides and of the lane that forwards: before decoding, before
a decision is durable, before the export, behind it, before the confirmation; started again with another policy.
Holds: each failing trace is forwarded whole, and so is what was kept under the first policy; nothing that is not
flagged is; nothing waits in the end.
Figure: kills, traces forwarded of those received.
"""

from __future__ import annotations

import http.client
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from schema.sampling import RANGE, threshold
from tests.exporters.test_otlp import Backend, backend
from tests.faults.harness import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Collector, Launch

TRACES = 60
POLICIES = (0.3, 0.1)
"""Baseline rates before the kill and after it."""
PLACES = (
    "delivery.before_decode=exit@2",
    "delivery.before_export=exit@1",
    "delivery.before_export=exit@4",
    "delivery.after_export=exit@3",
    "delivery.before_confirm=exit@2",
    "delivery.before_confirm=exit@5",
)


def sidecar_config(url: str) -> dict[str, Any]:
    pipeline = {"processors": ["redact", "normalise", "failure", "sample", "asymmetric_sampler"], "exporters": ["otlp"]}
    return {
        "processors": {
            "sample": {"baseline_rate": POLICIES[0]},
            "asymmetric_sampler": {"decision_wait_s": 1.0},
        },
        "exporters": {"otlp": {"endpoint": url, "compression": "none"}},
        "service": {
            "extensions": ["health_check"],
            "journal": {"batch_records": 4, "batch_linger_s": 0.02},
            "pipelines": {"traces": pipeline, "logs": dict(pipeline)},
        },
    }


def is_failing(number: int) -> bool:
    return number % 6 == 0


def trace_id(number: int) -> bytes:
    """Return an id whose randomness goes evenly through the range."""
    return (number + 1).to_bytes(8, "big") + b"\0" + (RANGE // TRACES * number).to_bytes(7, "big")


def request(numbers: range, *, roots: bool) -> bytes:
    message = ExportTraceServiceRequest()
    spans = message.resource_spans.add().scope_spans.add().spans
    for n in numbers:
        one = spans.add(
            trace_id=trace_id(n),
            span_id=(2 * n + 1 + roots).to_bytes(8, "big"),
            parent_span_id=b"" if roots else (2 * n + 2).to_bytes(8, "big"),
            name="root" if roots else "child",
            start_time_unix_nano=time.time_ns(),
            end_time_unix_nano=time.time_ns() + 1,
        )
        if roots and is_failing(n):
            one.status.code = Status.STATUS_CODE_ERROR
    return bytes(message.SerializeToString())


def post(collector: Collector, body: bytes) -> bool:
    """Send one request; return whether it was acknowledged."""
    connection = http.client.HTTPConnection(collector.http, timeout=10)
    try:
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def forwarded(one: Backend) -> dict[int, set[str]]:
    """Return the names of the spans of each trace that the backend got."""
    found: dict[int, set[str]] = {}
    for _, _, body in list(one.got):
        for r in ExportTraceServiceRequest.FromString(body).resource_spans:
            for c in r.scope_spans:
                for s in c.spans:
                    found.setdefault(int.from_bytes(s.trace_id[:8], "big") - 1, set()).add(s.name)
    return found


@pytest.mark.parametrize("place", PLACES)
def test_no_decision_flips(launch: Launch, place: str, record_property: Callable[[str, object], None]) -> None:
    with backend() as one:
        collector = launch(config=sidecar_config(one.url)).start(failpoints=place)
        # Children first, roots behind them: what fails is known later.
        bodies = [request(range(i, i + 5), roots=r) for i in range(0, TRACES, 5) for r in (False, True)]
        sent = 0
        while sent < len(bodies) and post(collector, bodies[sent]):
            sent += 1
        assert collector.wait() == -9
        collector.config["processors"]["sample"] = {"baseline_rate": POLICIES[1]}
        collector.start()
        for body in bodies[sent:]:
            until(partial(post, collector, body), "the rest is taken")
        until(lambda: collector.status()["journal"]["backlog_records"] == 0, "nothing waits")
        status = collector.status()
        assert collector.terminate() == 0
        found = forwarded(one)
    often, seldom = (RANGE - threshold(rate) for rate in POLICIES)
    failing = {n for n in range(TRACES) if is_failing(n)}
    randomness = {n: int.from_bytes(trace_id(n)[9:], "big") for n in range(TRACES)}
    always = failing | {n for n in range(TRACES) if randomness[n] >= RANGE - seldom}
    never = {n for n in range(TRACES) if randomness[n] < RANGE - often} - failing
    assert always <= found.keys()
    assert not never & found.keys()
    assert all(names == {"root", "child"} for names in found.values()), "traces are forwarded whole"
    lane = status["delivery"]["exporters"]["otlp"]
    assert {lane[k] for k in ("early_keeps", "partial_traces", "quarantined_records", "rejected_records")} == {0}
    record_property("figure", f"killed at {place}; {len(found)} of {TRACES} traces forwarded")
