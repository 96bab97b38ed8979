"""The component: configuration, joining of requests, counts."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from exporters.otlp.answers import rejected_of
from exporters.otlp.encode import to_requests
from schema.component import ComponentConfig, Context, Signal, component

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from schema.batch import SpanBatch
    from schema.component import Request

log = logging.getLogger(__name__)

MIB: Final = 1 << 20
HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
MAX_SAID_CHARS: Final = 200


class TlsConfig(ComponentConfig):
    """tls: files in PEM; names as the OpenTelemetry Collector's."""

    ca_file: str | None = None
    """Unset: the authorities of the system."""
    cert_file: str | None = None
    key_file: str | None = None


class OtlpConfig(ComponentConfig):
    """Where requests go, and how."""

    endpoint: str
    """`http://host:port` or `https://host:port`; `/v1/traces` and `/v1/logs` are added for HTTP."""
    protocol: Literal["http/protobuf", "grpc"] = "http/protobuf"
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    """Sent with each request, such as a key."""
    compression: Literal["gzip", "none"] = "gzip"
    timeout_s: float = Field(default=30.0, gt=0, le=300)
    """For one request and its answer."""
    max_request_bytes: int = Field(default=3 * MIB, ge=1024, le=64 * MIB)
    """Requests are joined up to this, before compression; one that is larger goes alone. gRPC servers take 4 MiB."""
    tls: TlsConfig = TlsConfig()

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be http://host:port or https://host:port")
        if parts.username or parts.password:
            raise ValueError("holds a password; put it into headers")
        return value

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not HEADER_NAME.fullmatch(name) or not text.isprintable() or not text.isascii():
                raise ValueError(f"{name!r} is no header, or its value holds what no header may")
        return value


class Way(Protocol):
    """A way to the backend."""

    def send(self, signal: Signal, body: bytes) -> bytes:
        """Return the answer, which is bounded, once the backend has the request.

        Raises:
            Retryable, Permanent: as `schema.component.Exporter.export`.

        """

    def close(self) -> None:
        """Release everything. Safe to call twice."""


@dataclass(slots=True)
class OtlpCounts:
    """What the backend said so far."""

    requests: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    """Spans or log records that it did not take of requests that it took, by signal."""


class OtlpExporter:
    """Sends one request at a time."""

    def __init__(self, name: str, config: OtlpConfig) -> None:
        self._name = name
        self._config = config
        self._way: Way | None = None
        self._token = ""
        self._sent: set[int] = set()
        self.counts = OtlpCounts()

    async def start(self) -> None:
        """Prepare the way; nothing is sent yet.

        Raises:
            ConfigError: a file of tls cannot be read.

        """
        if self._way is None:
            self._way = await asyncio.to_thread(_way, self._config)

    async def export_requests(self, requests: Sequence[Request], token: str) -> None:
        """Send requests, joined where they are of one signal."""
        await self._send_all([(r.signal, r.body) for r in requests], token)

    async def export(self, batch: SpanBatch, token: str) -> None:
        """Send what a batch holds now: masked where a processor did so."""
        await self._send_all(await asyncio.to_thread(to_requests, batch), token)

    async def _send_all(self, requests: Sequence[tuple[Signal, bytes]], token: str) -> None:
        if token != self._token:
            self._token, self._sent = token, set()
        for number, (signal, body) in enumerate(joined(requests, self._config.max_request_bytes)):
            if number not in self._sent:
                await asyncio.to_thread(self._send, signal, body)
                self._sent.add(number)

    def _send(self, signal: Signal, body: bytes) -> None:
        way = self._way = self._way or _way(self._config)
        rejected, message = rejected_of(signal, way.send(signal, body))
        self.counts.requests += 1
        if rejected:
            self.counts.rejected[signal] = self.counts.rejected.get(signal, 0) + rejected
            words = " ".join(message.split())[:MAX_SAID_CHARS]
            log.warning("%s: the backend did not take %d of the %s: %s", self._name, rejected, signal, words)

    async def shutdown(self) -> None:
        """Close connections. Safe without start, and twice."""
        way, self._way = self._way, None
        if way is not None:
            await asyncio.to_thread(way.close)


def joined(requests: Sequence[tuple[Signal, bytes]], max_bytes: int) -> Iterator[tuple[Signal, bytes]]:
    """Yield requests of one signal as one: serialised requests concatenate, as all their fields are repeated."""
    for signal in ("traces", "logs"):
        bodies: list[bytes] = []
        size = 0
        for of, body in requests:
            if of != signal or not body:
                continue
            if bodies and size + len(body) > max_bytes:
                yield signal, b"".join(bodies)
                bodies, size = [], 0
            bodies.append(body)
            size += len(body)
        if bodies:
            yield signal, b"".join(bodies)


def _way(config: OtlpConfig) -> Way:
    if config.protocol == "grpc":
        from exporters.otlp.grpc_way import GrpcWay  # noqa: PLC0415 - grpc takes 30 ms to import

        return GrpcWay(config)
    from exporters.otlp.http_way import HttpWay  # noqa: PLC0415 - only one of them

    return HttpWay(config)


@component("exporter", "otlp", OtlpConfig)
def otlp(config: OtlpConfig, context: Context) -> OtlpExporter:
    """Make the exporter; nothing is opened yet."""
    return OtlpExporter(context.name, config)
