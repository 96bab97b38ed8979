"""OTLP over gRPC, bodies as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import grpc

from exporters.otlp.answers import MAX_ANSWER_BYTES, retry_info
from exporters.otlp.remedies import UNTRUSTED, key_remedy
from schema.errors import ConfigError, Permanent, Retryable

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporters.otlp.exporter import OtlpConfig
    from schema.component import Signal

METHODS: Final = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
RETRYABLE: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
MENDABLE: Final = frozenset(
    {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED}
)
"""As `exporters.otlp.http_way.MENDABLE`."""
KEYLESS: Final = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
DISTRUST: Final = "CERTIFICATE_VERIFY_FAILED"
"""How gRPC says it, within the details of UNAVAILABLE."""
MAX_METADATA_BYTES: Final = 16 << 10
DETAILS: Final = "grpc-status-details-bin"


class GrpcWay:
    """One channel."""

    def __init__(self, config: OtlpConfig) -> None:
        parts = urlsplit(config.endpoint)
        target = f"{parts.hostname}:{parts.port or 4317}" if ":" not in (parts.hostname or "") else parts.netloc
        self._where = f"{parts.scheme}://{parts.netloc}"
        self._timeout_s = config.timeout_s
        self._metadata = tuple((name.lower(), value) for name, value in config.headers.items())
        compression = grpc.Compression.Gzip if config.compression == "gzip" else grpc.Compression.NoCompression
        options = [
            ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", MAX_METADATA_BYTES),
            ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 10_000),
        ]
        if parts.scheme == "https":
            self._channel = grpc.secure_channel(target, _credentials(config), options, compression)
        else:
            self._channel = grpc.insecure_channel(target, options, compression)
        self._calls: dict[str, Callable[..., bytes]] = {
            signal: self._channel.unary_unary(method) for signal, method in METHODS.items()
        }

    def send(self, signal: Signal, body: bytes) -> bytes:
        """Send one request; see `exporters.otlp.exporter.Way`."""
        try:
            return self._calls[signal](body, timeout=self._timeout_s, metadata=self._metadata)
        except grpc.RpcError as e:
            raise self._fault(e) from None

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _fault(self, error: Any) -> Retryable | Permanent:
        code: grpc.StatusCode = error.code()
        what = f"{self._where} answered {code.name}"
        if code in KEYLESS:
            what = f"{what}: {key_remedy(dict(self._metadata))}"
        elif code is grpc.StatusCode.UNAVAILABLE and DISTRUST in (error.details() or ""):
            what = f"{self._where} {UNTRUSTED}"
        trailers = error.trailing_metadata() or ()
        after_s = next((retry_info(value) for key, value in trailers if key == DETAILS), None)
        said_when = code is grpc.StatusCode.RESOURCE_EXHAUSTED and after_s is not None
        if code in RETRYABLE or code in MENDABLE or said_when:
            again = Retryable(what)
            again.after_s = after_s
            return again
        return Permanent(what)


def _credentials(config: OtlpConfig) -> grpc.ChannelCredentials:
    tls = config.tls
    try:
        authorities, key, chain = (_bytes(f) for f in (tls.ca_file, tls.key_file, tls.cert_file))
    except OSError as e:
        raise ConfigError(f"the tls files of {config.endpoint} cannot be read: {e}") from None
    return grpc.ssl_channel_credentials(authorities, key, chain)


def _bytes(path: str | None) -> bytes | None:
    return Path(path).read_bytes() if path is not None else None
