"""The OTLP receiver: gRPC and HTTP in front of one journal.

Configuration, with the names of the OpenTelemetry Collector's otlpreceiver where it has one:

    receivers:
      otlp:
        protocols:
          grpc:
            endpoint: 127.0.0.1:4317
          http:
            endpoint: 127.0.0.1:4318

A protocol that is left out is not served; one that is named without a value has its defaults.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator, model_validator

from collector.decode.validate import Limits
from collector.decode.validator import Validator, load_check
from collector.kernel_cache import filled
from collector.receivers.http_connection import HttpLimits
from collector.receivers.intake import Budget, Counts, Intake
from collector.receivers.otlp_grpc import GrpcServer
from collector.receivers.otlp_http import HttpServer
from schema.component import ComponentConfig, Context, component
from schema.errors import ConfigError

if TYPE_CHECKING:
    from schema.component import PortSharing

MIB = 1 << 20
VALIDATORS = 2
"""Threads that inflate and parse; with them, how many inflated bodies there are at once."""
SHUTDOWN_GRACE_S = 5.0
"""How long what is in flight may take after shutdown began; a group commit takes milliseconds."""


class _Endpoint(ComponentConfig):
    endpoint: str
    insecure: bool = False
    """Listen beyond this machine without authentication. Off, because such spans can come from anyone."""

    @field_validator("endpoint")
    @classmethod
    def _host_and_port(cls, endpoint: str) -> str:
        host, colon, port = endpoint.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65535:
            raise ValueError(f"{endpoint!r} must be host:port, as 127.0.0.1:4317")
        if ":" in host and not (host.startswith("[") and host.endswith("]")):
            raise ValueError(f"{endpoint!r} must have its IPv6 address in brackets, as [::1]:4317")
        return endpoint

    @model_validator(mode="after")
    def _closed_by_default(self) -> _Endpoint:
        host = self.endpoint.rpartition(":")[0].strip("[]")
        if not self.insecure and not _loopback(host):
            raise ValueError(
                f"{self.endpoint} can be reached from other machines, and anyone there could send spans; "
                "bind 127.0.0.1, or set insecure: true where a firewall or proxy stands before it"
            )
        return self


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class GrpcConfig(_Endpoint):
    """protocols.grpc."""

    endpoint: str = "127.0.0.1:4317"
    max_recv_msg_size_mib: int = Field(64, ge=1, le=1024)
    """After decompression. Source: OTLP specification, 64 MiB recommended."""
    max_concurrent_streams: int = Field(100, ge=1)
    """Requests at once on one connection."""


class HttpConfig(_Endpoint):
    """protocols.http."""

    endpoint: str = "127.0.0.1:4318"
    traces_url_path: str = Field("/v1/traces", pattern="^/")
    logs_url_path: str = Field("/v1/logs", pattern="^/")
    feedback_url_path: str | None = Field("/v1/feedback", pattern="^/")
    """Where apps report what users said of an answer, as JSON (docs/feedback.md); null turns it off."""
    max_body_bytes: int = Field(64 * MIB, ge=1)
    """As it comes, compressed or not. Source: as max_inflated_bytes; an uncompressed body has no other limit."""
    max_inflated_bytes: int = Field(64 * MIB, ge=1)
    """After decompression. Source: OTLP specification, 64 MiB recommended."""
    max_header_bytes: int = Field(16 << 10, ge=256)
    """All headers of a request with its target; nginx takes 4 of 8 KiB, Apache 8 KiB each."""
    max_connections: int = Field(2000, ge=1)
    header_timeout_s: float = Field(10.0, gt=0)
    """From the first byte of a request to the end of its headers. nginx: 60, Apache: 20 to 40, Go: none."""
    body_timeout_s: float = Field(30.0, gt=0)
    """For a body, and one second more for every 1000 bytes of it."""
    idle_timeout_s: float = Field(60.0, gt=0)
    """Between two requests. The Collector's is 60 s as well."""


class Protocols(ComponentConfig):
    """protocols: at least one."""

    grpc: GrpcConfig | None = None
    http: HttpConfig | None = None

    @field_validator("grpc", "http", mode="before")
    @classmethod
    def _named_is_on(cls, value: Any) -> Any:
        return {} if value is None else value

    @model_validator(mode="after")
    def _at_least_one(self) -> Protocols:
        if self.grpc is None and self.http is None:
            raise ValueError("name at least one protocol: grpc, http")
        return self


class OtlpConfig(ComponentConfig):
    """receivers.otlp."""

    protocols: Protocols
    max_spans_per_request: int = Field(20_000, ge=1)
    """Spans or log records; the SDKs send 512 at once, the Collector 8192."""
    max_in_flight_bytes: int = Field(256 * MIB, ge=1)
    """Requests in memory at once, over both protocols; beyond it senders are asked to try again."""


@component("receiver", "otlp", OtlpConfig)
def otlp(config: OtlpConfig, context: Context) -> OtlpReceiver:
    """Make the receiver of one configuration; nothing listens yet.

    Raises:
        ConfigError: there is no journal to write to.

    """
    return OtlpReceiver(config, context)


class OtlpReceiver:
    """Both servers of one configuration, with one budget and one intake (`schema.component.Receiver`)."""

    def __init__(self, config: OtlpConfig, context: Context) -> None:
        if context.journal is None:
            raise ConfigError(f"receiver {context.name}: it has no journal to write to; name it in a pipeline")
        self._config = config
        self._port_sharing = context.port_sharing
        self._journal = context.journal
        self._validator = Validator(filled(load_check))
        self._servers: list[GrpcServer | HttpServer] = []
        self._executor: ThreadPoolExecutor | None = None
        self.counts: Counts = Counter()
        """What became of what was sent, over both protocols."""
        self.endpoints: dict[str, str] = {}
        """After start: "grpc" and "http" → the bound host:port."""

    async def start(self) -> None:
        """Listen on every configured protocol, or on none.

        Raises:
            ConfigError: an address is taken; whatever was started is stopped again.

        """
        self._executor = ThreadPoolExecutor(VALIDATORS, thread_name_prefix="otlp-validate")
        budget = Budget(self._config.max_in_flight_bytes)
        try:
            if http := self._config.protocols.http:
                intake = self._intake(http.max_inflated_bytes)
                await self._listen("http", _http_server(intake, budget, http, self._port_sharing))
            if grpc := self._config.protocols.grpc:
                intake = self._intake(grpc.max_recv_msg_size_mib * MIB)
                await self._listen("grpc", _grpc_server(intake, budget, grpc, self._port_sharing))
        except BaseException:
            await self.shutdown()
            raise
        self._validator.warm_up()  # last: it competes for the processor, and the library validates meanwhile

    def _intake(self, max_inflated_bytes: int) -> Intake:
        assert self._executor is not None  # noqa: S101 - start made it
        limits = Limits(max_inflated_bytes=max_inflated_bytes, max_spans=self._config.max_spans_per_request)
        return Intake(self._journal, self._executor, limits, self.counts, self._validator)

    async def _listen(self, name: str, server: GrpcServer | HttpServer) -> None:
        self.endpoints[name] = await server.start()
        self._servers.append(server)

    async def shutdown(self) -> None:
        """Stop listening, answer what is in flight. The journal must still be open. Safe without start, and twice."""
        servers, self._servers = self._servers, []
        for server in reversed(servers):
            await server.shutdown(SHUTDOWN_GRACE_S)
        if self._executor is not None:
            executor, self._executor = self._executor, None
            executor.shutdown(wait=False, cancel_futures=True)
        self.endpoints.clear()


def _grpc_server(intake: Intake, budget: Budget, config: GrpcConfig, sharing: PortSharing) -> GrpcServer:
    return GrpcServer(
        intake,
        budget,
        endpoint=config.endpoint,
        max_message_bytes=config.max_recv_msg_size_mib * MIB,
        max_concurrent_streams=config.max_concurrent_streams,
        max_metadata_bytes=16 << 10,
        sharing=sharing,
    )


def _http_server(intake: Intake, budget: Budget, config: HttpConfig, sharing: PortSharing) -> HttpServer:
    return HttpServer(
        intake,
        budget,
        endpoint=config.endpoint,
        paths={config.traces_url_path: "traces", config.logs_url_path: "logs"},
        feedback_path=config.feedback_url_path,
        sharing=sharing,
        limits=HttpLimits(
            max_header_bytes=config.max_header_bytes,
            max_headers=100,
            max_body_bytes=config.max_body_bytes,
            header_timeout_s=config.header_timeout_s,
            body_timeout_s=config.body_timeout_s,
            idle_timeout_s=config.idle_timeout_s,
            max_connections=config.max_connections,
        ),
    )
