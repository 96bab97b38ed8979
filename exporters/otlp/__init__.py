"""The exporter `otlp`: hands requests on to another OTLP backend, as they came or masked.

    requests ─▶ joined by signal, up to max_request_bytes ─▶ HTTP or gRPC ─▶ their partial successes are counted

OTLP has no tokens: what is sent again after an unknown outcome may be there twice. Requests of a batch that were
answered are not sent again while this process lives.
"""

from exporters.otlp.exporter import OtlpConfig, OtlpExporter, otlp

__all__ = ["OtlpConfig", "OtlpExporter", "otlp"]
