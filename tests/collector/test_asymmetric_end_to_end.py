"""App → sidecar that forwards what is flagged → gateway → database: what the database says of the whole is right."""

from __future__ import annotations

import asyncio
import http.client
import json
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from collector.components import Registry
from collector.config import parse
from collector.service import Service
from exporters.clickhouse.connect import connect
from schema.component import ENTRY_POINTS
from tests.collector.test_service import post_async, until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TRACES = 1500
FAILING_PART = 0.04
RATE = 0.1
NOW_NS = 1_795_000_000_000_000_000

CONFIG = """\
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:0"}}}}}}}}
processors: {{redact: , normalise: , failure: , sample: {{baseline_rate: {rate}}}, {more}}}
exporters: {{{exporter}}}
service:
  data_dir: {folder}
  shutdown_timeout_s: 20
  journal: {{max_bytes: 67108864, batch_linger_s: 0.02, batch_records: 7}}
  pipelines:
    traces: {{receivers: [otlp], processors: [redact, normalise, failure, sample{named}], exporters: [{name}]}}
    logs: {{receivers: [otlp], processors: [redact, normalise, failure, sample{named}], exporters: [{name}]}}
"""


def config(folder: Path, name: str, exporter: str, *, sampler: str = "", registry: Registry | None = None) -> Service:
    text = CONFIG.format(
        rate=RATE,
        more=f"asymmetric_sampler: {sampler}" if sampler else "",
        named=", asymmetric_sampler" if sampler else "",
        exporter=f"{name}: {exporter}",
        name=name,
        folder=folder,
    )
    return Service(parse(text, "c.yaml", registry or Registry(entry_points(group=ENTRY_POINTS)), {}))


@asynccontextmanager
async def started(service: Service) -> AsyncIterator[Service]:
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


def address(service: Service) -> str:
    return str(service.endpoints()["otlp"]["http"])


def request_of(traces: list[tuple[bytes, bool]], *, first: bool) -> bytes:
    """Return the children of traces, or their roots: of a failing trace the root fails, which comes later."""
    request = ExportTraceServiceRequest()
    of_app = request.resource_spans.add()
    of_app.resource.attributes.add(key="service.name").value.string_value = "app"
    scope = of_app.scope_spans.add()
    for trace_id, failing in traces:
        root = b"\0" + trace_id[1:8]
        for number in (1, 2) if first else (0,):
            one = scope.spans.add(
                trace_id=trace_id,
                span_id=bytes((number,)) + trace_id[1:8],
                parent_span_id=root if number else b"",
                name="step" if number else "answer",
                start_time_unix_nano=NOW_NS,
                end_time_unix_nano=NOW_NS + 10**9,
            )
            if failing and not number:
                one.status.code = Status.STATUS_CODE_ERROR
    return bytes(request.SerializeToString())


def thumbs_down(where: str, trace_ids: list[bytes]) -> int:
    entries = [{"trace_id": t.hex(), "name": "thumbs", "value": False} for t in trace_ids]
    host, port = where.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("POST", "/v1/feedback", json.dumps(entries), {"Content-Type": "application/json"})
    status = connection.getresponse().status
    connection.close()
    return status


def test_weights_recover_the_whole_and_every_failing_trace_is_there_whole(tmp_path: Path, embedded_dsn: str) -> None:
    rng = np.random.default_rng(20_261)
    ids = [rng.bytes(16) for _ in range(TRACES)]
    failing = [bool(f) for f in rng.random(TRACES) < FAILING_PART]
    disliked = [t for t, f in zip(ids, failing, strict=True) if not f and t[9] % 16][-5:]
    sender = list(zip(ids, failing, strict=True))

    async def work() -> dict[str, Any]:
        async with started(config(tmp_path / "gateway", "clickhouse", f'{{dsn: "{embedded_dsn}"}}')) as gateway:
            endpoint = f"{{endpoint: http://{address(gateway)}}}"
            sidecar = config(tmp_path / "sidecar", "otlp", endpoint, sampler="{decision_wait_s: 2}")
            async with started(sidecar):
                where = address(sidecar)
                for i in range(0, TRACES + 50, 50):  # of each trace the root comes one request later
                    for at, first in ((i, True), (i - 50, False)):
                        if 0 <= at < TRACES:
                            assert await post_async(where, request_of(sender[at : at + 50], first=first)) == 200
                assert await asyncio.to_thread(thumbs_down, where, disliked) == 200
                await until_async(lambda: sidecar.status()["journal"]["backlog_records"] == 0)
            counts: dict[str, Any] = sidecar.status()
            await until_async(lambda: gateway.status()["journal"]["backlog_records"] == 0)
        return counts

    status = asyncio.run(work())
    with connect(embedded_dsn) as db:
        rows = db.rows(
            "SELECT trace_id, failing, flagged, span_count, sample_weight, arrival_rate FROM traces ORDER BY trace_id"
        )
    of = {r["trace_id"]: r for r in rows}
    must = {t.hex() for t, f in sender if f} | {t.hex() for t in disliked}
    assert {t for t, r in of.items() if r["failing"]} == must
    assert {r["span_count"] for r in rows} == {3}
    assert {r["sample_weight"] for t, r in of.items() if t in must} == {1.0}
    passing = [r for t, r in of.items() if t not in must]
    assert all(r["flagged"] and abs(r["sample_weight"] - 1 / RATE) < 1e-9 for r in passing)
    # The rate of the whole stream, known exactly here, within the 99.9 % interval of the estimate.
    truth = len(must) / TRACES
    total = sum(r["sample_weight"] for r in rows)
    estimate = len(must) / total
    spread = np.sqrt(len(passing) * (1 - RATE)) / RATE / total * estimate
    assert abs(estimate - truth) < 3.3 * spread
    assert 3.3 * spread < truth  # an interval that says something
    # Everything that was received is somewhere.
    delivery, received = status["delivery"], status["receivers"]["otlp"]
    assert received["traces"]["accepted"] == 3 * TRACES == delivery["spans"] + delivery["sampled_out_spans"]
    assert delivery["spans"] == 3 * len(rows)
    assert (delivery["logs"], delivery["sampled_out_logs"]) == (len(disliked), 0)
    exporter = delivery["exporters"]["otlp"]
    assert {exporter[k] for k in ("early_keeps", "late_failures", "partial_traces", "quarantined_records")} == {0}
    assert status["sampler"]["remembered_traces"] == len(rows)


def stored_spans(folder: Path) -> list[str]:
    path = folder / "out"
    lines = path.read_text().splitlines() if path.exists() else []
    return sorted(s for line in lines for s in json.loads(line)["spans"])


@pytest.mark.parametrize("at_shutdown", ["decide", "wait"])
def test_a_service_that_ends_decides_or_leaves_it_to_the_next(
    tmp_path: Path, registry: Registry, at_shutdown: str
) -> None:
    def service(wait_s: float) -> Service:
        sampler = f"{{decision_wait_s: {wait_s}, at_shutdown: {at_shutdown}}}"
        return config(tmp_path, "count", f"{{path: {tmp_path}/out}}", sampler=sampler, registry=registry)

    failing, passing = (bytes((*[0x11] * 8, *bytes(7), n)) for n in (1, 2))  # neither is in the baseline

    async def work() -> tuple[dict[str, Any], list[str]]:
        async with started(service(3600)) as first:
            for is_first in (True, False):
                body = request_of([(failing, True), (passing, False)], first=is_first)
                assert await post_async(address(first), body) == 200
        at_end, of_first = first.status(), stored_spans(tmp_path)
        async with started(service(0)) as second:
            await until_async(lambda: second.status()["journal"]["backlog_records"] == 0)
        return at_end, of_first

    at_end, of_first = asyncio.run(work())
    whole = sorted((bytes((n,)) + failing[1:8]).hex() for n in (0, 1, 2))
    assert of_first == (whole if at_shutdown == "decide" else [])
    assert at_end["journal"]["backlog_records"] == (0 if at_shutdown == "decide" else 2)
    assert stored_spans(tmp_path) == whole
