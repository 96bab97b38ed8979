"""What really sends OTLP: the OpenTelemetry SDK's exporters, and bodies that instrumentation libraries exported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from collector.decode import decode, parse

if TYPE_CHECKING:
    from tests.receivers.conftest import Running

CORPUS = Path(__file__).parents[1] / "corpus"
BODIES = sorted(CORPUS.rglob("*.otlp.pb")) + sorted(CORPUS.rglob("*.otlp.json"))


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_sdk_exports_spans_into_it(receiver: Running, protocol: str, *, compressed: bool) -> None:
    import grpc  # noqa: PLC0415 - only its compression names

    endpoint = receiver.receiver.endpoints[protocol]
    exporter: Any = (
        GrpcSpanExporter(
            endpoint=endpoint,
            insecure=True,
            compression=grpc.Compression.Gzip if compressed else grpc.Compression.NoCompression,
        )
        if protocol == "grpc"
        else HttpSpanExporter(
            endpoint=f"http://{endpoint}/v1/traces",
            compression=Compression.Gzip if compressed else Compression.NoCompression,
        )
    )
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    for i in range(50):
        with tracer.start_as_current_span(f"step {i}") as span:
            span.set_attribute("gen_ai.request.model", "gpt-4o-mini")
    assert provider.force_flush()
    provider.shutdown()
    batch = decode(receiver.journal.records)
    assert batch.name.to_pylist() == [f"step {i}" for i in range(50)]
    assert {r.gzip for r in receiver.journal.records} == {compressed and protocol == "http"}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_sdk_exports_log_records_into_it(receiver: Running, protocol: str) -> None:
    endpoint = receiver.receiver.endpoints[protocol]
    exporter: Any = (
        GrpcLogExporter(endpoint=endpoint, insecure=True)
        if protocol == "grpc"
        else HttpLogExporter(endpoint=f"http://{endpoint}/v1/logs")
    )
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    provider.get_logger("test").emit(event_name="gen_ai.choice", body={"index": 0})
    provider.shutdown()
    logs = decode(receiver.journal.records).logs
    assert (logs.event_name.to_pylist(), logs.body.value(0)) == (["gen_ai.choice"], {"index": 0})


def test_the_corpus_is_there() -> None:
    assert {p.suffix for p in BODIES} == {".pb", ".json"}


@pytest.mark.parametrize("path", BODIES, ids=lambda p: str(p.relative_to(CORPUS)))
def test_real_bodies_are_accepted_whole(receiver: Running, path: Path) -> None:
    running, body = receiver, path.read_bytes()
    signal: Any = "logs" if ".logs." in path.name else "traces"
    transport: Any = "http-json" if path.suffix == ".json" else "http-protobuf"
    reply = running.send(transport, body, signal=signal)
    assert (reply.code, reply.rejected) == (0, 0)
    (record,) = running.journal.records
    assert record.body == body
    if transport == "http-protobuf":
        assert running.send("grpc", body, signal=signal).code == 0
        assert parse(running.journal.records[1]) == parse(record)
