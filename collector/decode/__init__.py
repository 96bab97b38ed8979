"""OTLP bytes to columns (`schema.batch.SpanBatch`)."""

from collector.decode.protobuf import decode, parse

__all__ = ["decode", "parse"]
