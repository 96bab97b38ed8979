"""Traces and logs out of the app: the OpenTelemetry SDK, set up from the OTEL_* variables alone.

    OTEL_EXPORTER_OTLP_ENDPOINT   where to send; default http://localhost:4318 (HTTP) or :4317 (gRPC)
    OTEL_EXPORTER_OTLP_PROTOCOL   http/protobuf (default) or grpc
    OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES   who is sending; they win over what the app says of itself

All of https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ that the SDK reads works too.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if TYPE_CHECKING:
    from opentelemetry._logs import Logger
    from opentelemetry.sdk._logs.export import LogRecordExporter
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.trace import Tracer

SCOPE = "support_agent"


@dataclass(frozen=True, slots=True)
class Telemetry:
    """A tracer and a logger that export; `shutdown` sends what is still waiting."""

    tracer: Tracer
    logger: Logger
    traces: TracerProvider
    logs: LoggerProvider

    def shutdown(self) -> None:
        """Send what is waiting and close the connections."""
        self.traces.shutdown()
        self.logs.shutdown()


def start(
    release: str,
    *,
    id_generator: IdGenerator | None = None,
    exporters: tuple[SpanExporter, LogRecordExporter] | None = None,
) -> Telemetry:
    """Return the app's telemetry; without `exporters`, those of OTEL_EXPORTER_OTLP_PROTOCOL."""
    resource = Resource.create(
        {
            "service.name": "support-agent",
            "service.version": release,
            "deployment.environment.name": "production",
        }
    ).merge(OTELResourceDetector().detect())
    spans, records = exporters or _otlp_exporters(os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"))
    traces = TracerProvider(resource=resource, id_generator=id_generator)
    traces.add_span_processor(BatchSpanProcessor(spans))
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(records))
    return Telemetry(traces.get_tracer(SCOPE, release), logs.get_logger(SCOPE, release), traces, logs)


def silent(release: str) -> Telemetry:
    """Return telemetry that goes nowhere, for runs that nobody watches."""
    traces, logs = TracerProvider(shutdown_on_exit=False), LoggerProvider(shutdown_on_exit=False)
    return Telemetry(traces.get_tracer(SCOPE, release), logs.get_logger(SCOPE, release), traces, logs)


def _otlp_exporters(protocol: str) -> tuple[SpanExporter, LogRecordExporter]:
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import (  # noqa: PLC0415 - only where it is wanted
            OTLPLogExporter as GrpcLogs,
        )
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415 - as above
            OTLPSpanExporter as GrpcSpans,
        )

        return GrpcSpans(), GrpcLogs()
    if protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http._log_exporter import (  # noqa: PLC0415 - as above
            OTLPLogExporter as HttpLogs,
        )
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - as above
            OTLPSpanExporter as HttpSpans,
        )

        return HttpSpans(), HttpLogs()
    raise SystemExit(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}; use grpc or http/protobuf")
