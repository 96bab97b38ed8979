"""The collector as a process: starts whole or not at all, stops without loss, survives kill -9."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from collector.config import parse
from collector.decode import decode
from collector.processors import compiled
from collector.service import Service
from exporters.clickhouse.connect import connect
from schema.errors import ConfigError, Reason, Refused
from tests.collector.conftest import BIN, DEADLINE_S, logs_request, running, spans_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.components import Registry
    from schema.batch import SpanBatch
    from tests.collector.conftest import Running

CONFIG = """\
receivers:
  otlp:
    protocols: {{grpc: {{endpoint: "127.0.0.1:0"}}, http: {{endpoint: "127.0.0.1:0"}}}}
processors: {{normalise: , failure: , sample: }}
exporters:
  {exporter}
extensions:
  health_check: {{endpoint: "127.0.0.1:0"}}
  clickhouse_http: {{endpoint: "127.0.0.1:0"}}
service:
  data_dir: {folder}/data
  shutdown_timeout_s: 5
  extensions: {extensions}
  journal: {{max_bytes: 16777216, batch_linger_s: 0.02, batch_records: 20}}
  telemetry: {{logs: {{level: warn}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [normalise, failure, sample], exporters: [{name}]}}
    logs: {{receivers: [otlp], processors: [normalise], exporters: [{name}]}}
"""


def config_text(folder: Path, exporter: str, name: str, extensions: str = "[health_check]") -> str:
    return CONFIG.format(folder=folder, exporter=exporter, name=name, extensions=extensions)


def post(address: str, body: bytes, path: str = "/v1/traces") -> int:
    """Send one request over a connection of its own; return the status."""
    host, port = address.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/x-protobuf"})
        return connection.getresponse().status
    finally:
        connection.close()


def until(holds: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline_s, f"never happened: {what}"
        time.sleep(0.02)


# -- in this process ---------------------------------------------------------------------------------------------


def service(folder: Path, registry: Registry, exporter: str, name: str) -> Service:
    return Service(parse(config_text(folder, exporter, name), "c.yaml", registry, {}))


async def post_async(address: str, body: bytes, path: str = "/v1/traces") -> int:
    return await asyncio.to_thread(post, address, body, path)


async def until_async(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110 - the condition is a file's content
            await asyncio.sleep(0.01)


def stored(path: Path) -> list[str]:
    """Return the span ids that the counting exporter stored."""
    if not path.exists():
        return []
    return [s for line in path.read_text().splitlines() for s in json.loads(line)["spans"]]


def test_from_the_wire_to_the_exporter_and_a_clean_end(tmp_path: Path, registry: Registry) -> None:
    out = tmp_path / "out"

    async def work() -> dict[str, Any]:
        running = service(tmp_path, registry, f"count: {{path: {out}}}", "count")
        await running.start()
        http = running.endpoints()["otlp"]["http"]
        assert await post_async(http, spans_request(1, 2)) == 200
        assert await post_async(http, logs_request(), "/v1/logs") == 200
        health = await asyncio.to_thread(urllib.request.urlopen, running.endpoints()["health_check"])
        assert health.status == 200
        await until_async(lambda: running.status()["delivery"]["records"] == 2)
        await running.stop()
        await running.stop()
        return running.status()

    status = asyncio.run(work())
    assert sorted(stored(out)) == [f"{i:016x}" for i in (1, 2)]
    assert status["ready"] is False
    assert status["journal"]["backlog_records"] == 0


def test_the_status_says_what_was_sent_stored_and_refused_by_tenant(tmp_path: Path, registry: Registry) -> None:
    async def work() -> tuple[dict[str, Any], dict[str, Any]]:
        running = service(tmp_path, registry, f"count: {{path: {tmp_path / 'out'}}}", "count")
        await running.start()
        http = running.endpoints()["otlp"]["http"]
        assert await post_async(http, spans_request(1, 2)) == 200
        assert await post_async(http, b"\xff") == 400
        await until_async(lambda: running.status()["delivery"]["records"] == 1)
        before = running.status()
        await running.stop()
        return before, running.status()

    for status in asyncio.run(work()):
        sent = status["receivers"]["otlp"]["traces"]
        assert (sent["accepted"], sent["refused"], sent["refused_requests"]) == (2, 0, {"bad_data": 1})
        assert status["tenants"]["default"] | {"bytes": 0} == {"requests": 1, "bytes": 0, "refused_requests": 0}
        assert status["tenants"]["default"]["bytes"] == len(spans_request(1, 2))
        assert status["delivery"]["spans_by_tenant"] == {"default": 2}
        assert status["delivery"]["oldest_unix_ns"] is None


def test_what_waits_for_the_exporter_has_an_age(tmp_path: Path, registry: Registry) -> None:
    fault = tmp_path / "fault"

    async def work() -> dict[str, Any]:
        running = service(tmp_path, registry, f"moody: {{fault: {fault}}}", "moody")
        await running.start()
        fault.write_text("retryable")
        assert await post_async(running.endpoints()["otlp"]["http"], spans_request(1)) == 200
        await until_async(lambda: running.status()["delivery"]["waiting_for"] is not None)
        status = running.status()
        await running.stop(drain_s=0)
        return status

    status = asyncio.run(work())
    assert status["journal"]["backlog_records"] == 1
    assert 0 < status["at_unix_ns"] - status["delivery"]["oldest_unix_ns"] < DEADLINE_S * 1e9


def test_the_service_warms_up_the_decoder_it_uses_and_its_processors(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = threading.Event()
    decoded: list[int] = []
    warmed: list[str] = []

    def counted(records: Any) -> SpanBatch:
        decoded.append(len(records))
        return decode(records)

    def load() -> Any:
        loaded.set()
        return counted

    monkeypatch.setattr("collector.service.load_kernels", load)
    monkeypatch.setattr(compiled, "load", cache(lambda: warmed.append(threading.current_thread().name)))

    async def work() -> None:
        running = service(tmp_path, registry, f"count: {{path: {tmp_path / 'out'}}}", "count")
        await running.start()
        try:
            assert await asyncio.to_thread(loaded.wait, DEADLINE_S)
            for thread in [t for t in threading.enumerate() if t.name == "kernels"]:
                await asyncio.to_thread(thread.join, DEADLINE_S)
            assert await post_async(running.endpoints()["otlp"]["http"], spans_request(1)) == 200
            await until_async(lambda: running.status()["delivery"]["records"] == 1)
        finally:
            await running.stop()

    asyncio.run(work())
    assert decoded == [1]
    assert warmed == ["kernels"]


def test_what_arrives_while_the_exporter_is_not_ready_waits_and_is_delivered_once(
    tmp_path: Path, registry: Registry
) -> None:
    fault = tmp_path / "fault"
    fault.write_text("retryable")

    async def work() -> None:
        running = service(tmp_path, registry, f"moody: {{fault: {fault}}}", "moody")
        await running.start()
        assert await post_async(running.endpoints()["otlp"]["http"], spans_request(1)) == 200
        fault.unlink()
        await until_async(lambda: stored(fault.with_suffix(".stored")) == [f"{1:016x}"])
        await running.stop()

    asyncio.run(work())


def test_what_is_not_delivered_in_time_stays_and_the_next_start_delivers_it(tmp_path: Path, registry: Registry) -> None:
    fault = tmp_path / "fault"
    fault.write_text("retryable")

    async def first() -> int:
        running = service(tmp_path, registry, f"moody: {{fault: {fault}}}", "moody")
        await running.start()
        assert await post_async(running.endpoints()["otlp"]["http"], spans_request(1)) == 200
        await running.stop(drain_s=0.05)
        return int(running.status()["journal"]["backlog_records"])

    async def second() -> None:
        running = service(tmp_path, registry, f"moody: {{fault: {fault}}}", "moody")
        await running.start()
        await running.stop()

    assert asyncio.run(first()) == 1
    fault.unlink()
    asyncio.run(second())
    assert stored(fault.with_suffix(".stored")) == [f"{1:016x}"]


def test_a_batch_refused_for_good_is_in_quarantine_and_the_next_is_stored(tmp_path: Path, registry: Registry) -> None:
    fault = tmp_path / "fault"

    async def work() -> None:
        running = service(tmp_path, registry, f"moody: {{fault: {fault}}}", "moody")
        await running.start()
        http = running.endpoints()["otlp"]["http"]
        fault.write_text("permanent")
        assert await post_async(http, spans_request(1)) == 200
        await until_async(lambda: running.status()["delivery"]["quarantined_records"] == 1)
        fault.unlink()
        assert await post_async(http, spans_request(2)) == 200
        await until_async(lambda: stored(fault.with_suffix(".stored")) == [f"{2:016x}"])
        await running.stop()

    asyncio.run(work())
    (about,) = (tmp_path / "data" / "journal" / "quarantine").glob("*.json")
    assert "exporter moody: never" in about.read_text()


def test_a_signal_without_a_pipeline_is_refused_for_good(tmp_path: Path, registry: Registry) -> None:
    text = config_text(tmp_path, f"count: {{path: {tmp_path / 'out'}}}", "count")
    text = text[: text.rindex("    logs:")]

    async def work() -> tuple[int, int]:
        running = Service(parse(text, "c.yaml", registry, {}))
        await running.start()
        http = running.endpoints()["otlp"]["http"]
        codes = await post_async(http, logs_request(), "/v1/logs"), await post_async(http, spans_request(1))
        receiver: Any = running._receivers["otlp"]
        with pytest.raises(Refused) as refused:
            await receiver._journal.append("default", "logs", b"", encoding="protobuf", gzip=False, members=1)
        assert refused.value.reason is Reason.BAD_DATA
        assert refused.value.retry_after_s is None
        await running.stop()
        return codes

    assert asyncio.run(work()) == (400, 200)


def test_a_taken_port_is_a_clear_error_and_nothing_is_left_running(tmp_path: Path, registry: Registry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = config_text(tmp_path, f"count: {{path: {tmp_path / 'out'}}}", "count")
        text = text.replace('http: {endpoint: "127.0.0.1:0"}', f'http: {{endpoint: "127.0.0.1:{port}"}}')

        async def work() -> None:
            broken = Service(parse(text, "c.yaml", registry, {}))
            with pytest.raises(ConfigError, match=str(port)):
                await broken.start()
            assert broken.state == "stopped"

        asyncio.run(work())

    async def again() -> None:
        whole = service(tmp_path, registry, f"count: {{path: {tmp_path / 'out'}}}", "count")
        await whole.start()
        await whole.stop()

    asyncio.run(again())


def test_a_disk_that_fails_ends_the_service(tmp_path: Path, registry: Registry) -> None:
    async def work() -> None:
        running = service(tmp_path, registry, f"count: {{path: {tmp_path / 'out'}}}", "count")
        await running.start()
        assert running._journal is not None
        running._journal.failed.set()
        with pytest.raises(urllib.error.HTTPError, match="503"):
            await asyncio.to_thread(urllib.request.urlopen, running.endpoints()["health_check"])
        with pytest.raises(Exception, match="fails to sync"):
            await running.wait(asyncio.Event())
        await running.stop()

    asyncio.run(work())


# -- as processes ------------------------------------------------------------------------------------------------


def collector(folder: Path, exporter: str, name: str, extensions: str = "[health_check]") -> list[str]:
    path = folder / "config.yaml"
    path.write_text(config_text(folder, exporter, name, extensions))
    return [str(BIN / "evalgate-collector"), "run", "--config", str(path)]


def clickhouse(folder: Path) -> list[str]:
    return collector(
        folder, f"clickhouse: {{dsn: 'chdb://{folder}/db'}}", "clickhouse", "[health_check, clickhouse_http]"
    )


def backlog(up: Running) -> int:
    with urllib.request.urlopen(up.ready["health_check"]) as answer:  # noqa: S310 - ours, on loopback
        return int(json.load(answer)["journal"]["backlog_records"])


def test_a_process_that_still_compiles_ends_when_it_is_told_to(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "an empty cache")}
    with running(collector(tmp_path, "debug:", "debug"), tmp_path, environment=environment) as up:
        with urllib.request.urlopen(up.ready["health_check"]) as answer:  # noqa: S310 - ours, on loopback
            assert json.load(answer)["kernels_ready"] is False
        up.process.send_signal(signal.SIGTERM)
        # Compiling takes half a minute; the deadline of the configuration is 5 s.
        assert up.process.wait(10) == 0


def test_real_exporters_over_both_transports_end_in_clickhouse(tmp_path: Path) -> None:
    # No dsn: the database lies in the data directory.
    command = collector(tmp_path, "clickhouse:", "clickhouse", "[health_check, clickhouse_http]")
    with running(command, tmp_path) as up:
        for name, exporter in (
            ("by-grpc", GrpcExporter(endpoint=up.ready["grpc"], insecure=True)),
            ("by-http", HttpExporter(endpoint=f"http://{up.ready['http']}/v1/traces")),
        ):
            provider = TracerProvider(resource=Resource({"service.name": name}))
            provider.add_span_processor(SimpleSpanProcessor(exporter))
            tracer = provider.get_tracer("t")
            for _ in range(3):
                with tracer.start_as_current_span("chat m", attributes={"gen_ai.operation.name": "chat"}):
                    pass
            provider.shutdown()
        until(lambda: backlog(up) == 0, "everything is delivered")
        with connect(f"chdb://{tmp_path}/data/db") as db:
            rows = db.rows("SELECT service_name, count() AS n, any(span_kind) AS kind FROM spans GROUP BY 1 ORDER BY 1")
        assert [(r["service_name"], r["n"], r["kind"]) for r in rows] == [("by-grpc", 3, "llm"), ("by-http", 3, "llm")]
        up.process.send_signal(signal.SIGTERM)
        assert up.wait() == 0
    assert not (tmp_path / "ready.json").exists()


def test_kill_9_during_ingest_loses_nothing_that_was_acknowledged_and_stores_it_once(tmp_path: Path) -> None:
    acknowledged: set[int] = set()
    ids = count(1)

    def send_until_killed(up: Running) -> None:
        """Send requests of new spans until the connection breaks; a request without an answer is not sent again."""
        host, port = up.ready["http"].rsplit(":", 1)
        while True:
            mine = [next(ids) for _ in range(5)]
            connection = http.client.HTTPConnection(host, int(port), timeout=10)
            try:
                connection.request(
                    "POST", "/v1/traces", spans_request(*mine), {"Content-Type": "application/x-protobuf"}
                )
                if connection.getresponse().status == 200:
                    acknowledged.update(mine)
            except (OSError, http.client.HTTPException):
                return
            finally:
                connection.close()

    command = clickhouse(tmp_path)
    for round_number in range(2):
        with running(command, tmp_path) as up:
            senders = [threading.Thread(target=send_until_killed, args=[up]) for _ in range(4)]
            for sender in senders:
                sender.start()
            goal = 150 * (round_number + 1)
            until(lambda goal=goal: len(acknowledged) >= goal, "enough was acknowledged")  # type: ignore[misc]  # mypy cannot infer a lambda's default
            up.process.kill()
            for sender in senders:
                sender.join(DEADLINE_S)
    with running(command, tmp_path) as up:
        assert post(up.ready["http"], spans_request(next(ids))) == 200, "a fresh span flows"
        until(lambda: backlog(up) == 0, "everything is delivered")
        with connect(f"chdb://{tmp_path}/db") as db:
            rows = db.rows("SELECT lower(hex(span_id)) AS id, count() AS n FROM spans GROUP BY 1")
        up.process.send_signal(signal.SIGTERM)
        assert up.wait() == 0
    times = {int(r["id"], 16): r["n"] for r in rows}
    assert acknowledged <= times.keys()
    assert set(times.values()) == {1}
    assert not (tmp_path / "data" / "journal" / "quarantine").exists()


def test_a_second_collector_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    command = collector(tmp_path, "debug:", "debug")
    with running(command, tmp_path) as up:
        second = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        assert second.returncode == 2
        assert f"in use by process {up.process.pid}" in second.stderr
        assert "Traceback" not in second.stderr
        assert post(up.ready["http"], spans_request(1)) == 200
        up.process.send_signal(signal.SIGINT)
        assert up.wait() == 0


def test_a_second_signal_ends_the_draining(tmp_path: Path) -> None:
    command = collector(tmp_path, "clickhouse: {dsn: 'http://127.0.0.1:9/default'}", "clickhouse")
    path = tmp_path / "config.yaml"
    path.write_text(path.read_text().replace("shutdown_timeout_s: 5", "shutdown_timeout_s: 3600"))
    with running(command, tmp_path) as up:
        assert post(up.ready["http"], spans_request(1)) == 200
        up.process.send_signal(signal.SIGTERM)
        until(lambda: not _is_ready(up), "it says that it is not ready")
        assert post(up.ready["http"], spans_request(2)) == 503
        assert up.process.poll() is None
        up.process.send_signal(signal.SIGTERM)
        assert up.wait() == 0
    said = up.err.read_text()
    assert said.count("1 requests stay in the journal") == 1
    assert "127.0.0.1:9/default cannot be reached" in said
    assert "urllib3" not in said
    assert "clickhouse_connect" not in said

    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        path.write_text(path.read_text().replace('http: {endpoint: "127.0.0.1:0"}', f"http: {{endpoint: '{address}'}}"))
        second = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert second.returncode == 2
    assert "stay in the journal" not in second.stderr
    assert address in second.stderr.splitlines()[-1]


def _is_ready(up: Running) -> bool:
    try:
        with urllib.request.urlopen(up.ready["health_check"]):  # noqa: S310 - ours, on loopback
            return True
    except urllib.error.HTTPError:
        return False
