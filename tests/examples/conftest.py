"""The support agent's telemetry as the collector gets it, and what the agent really did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from collector.journal.record import Record
from examples.support_agent.model import ScriptedModel
from examples.support_agent.prompts import BROKEN_RELEASE
from examples.support_agent.reviewer import DEMO_SEED
from examples.support_agent.telemetry import start
from examples.support_agent.traffic import SeededIds, Simulation, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

    from examples.support_agent.agent import Reply
    from examples.support_agent.model import Request, Response
    from examples.support_agent.traffic import Visit
    from schema.component import Signal


@dataclass(slots=True)
class Wire:
    """The requests that the SDK's encoders made, as journal records."""

    records: list[Record] = field(default_factory=list)

    def add(self, signal: Signal, body: bytes) -> None:
        self.records.append(
            Record(
                sequence=len(self.records),
                tenant="default",
                signal=signal,
                encoding="protobuf",
                gzip=False,
                received_unix_ns=1_764_000_000_000_000_000,
                body=body,
            )
        )


class WireSpans(SpanExporter):
    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.wire.add("traces", encode_spans(spans).SerializeToString())
        return SpanExportResult.SUCCESS


class WireLogs(LogRecordExporter):
    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        self.wire.add("logs", encode_logs(batch).SerializeToString())
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - nothing waits
        return True

    def shutdown(self) -> None:
        """Nothing to close."""


@dataclass(slots=True)
class WitnessedModel:
    """A model whose answers are written down."""

    inner: ScriptedModel
    responses: list[Response]

    def complete(self, request: Request, on_text: Callable[[str], None] | None = None) -> Response:
        response = self.inner.complete(request, on_text)
        self.responses.append(response)
        return response


@dataclass(frozen=True, slots=True)
class Served:
    """What happened, and what was sent about it."""

    visits: tuple[Visit, ...]
    replies: tuple[Reply, ...]
    responses: tuple[Response, ...]
    refusals: int
    records: tuple[Record, ...]


@pytest.fixture(scope="session")
def served() -> Served:
    """Let the demo's customers be served once, without waiting."""
    wire = Wire()
    ids, visits = SeededIds(DEMO_SEED), plan(DEMO_SEED)
    witnessed: list[Response] = []
    simulation = Simulation(
        DEMO_SEED,
        BROKEN_RELEASE,
        start(BROKEN_RELEASE, id_generator=ids, exporters=(WireSpans(wire), WireLogs(wire))),
        ids,
        model=lambda seed: WitnessedModel(ScriptedModel(seed), witnessed),
        sleep=lambda _: None,
    )
    simulation.run(visits)
    simulation.telemetry.shutdown()
    refusals = sum(line.provider_errors for visit in visits for line in visit.lines)
    return Served(visits, tuple(simulation.replies), tuple(witnessed), refusals, tuple(wire.records))
