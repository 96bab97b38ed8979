"""OTLP bytes to columns (`schema.batch.SpanBatch`)."""

from collector.decode.decoder import Decoder, decode
from collector.decode.protobuf import parse

__all__ = ["Decoder", "decode", "parse"]
