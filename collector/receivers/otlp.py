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

from collector.auth.gate import AuthConfig, open_gate
from collector.auth.tenants import Accounts, TenantsConfig
from collector.auth.tls import Certificates, TlsConfig
from collector.decode.validate import Limits
from collector.decode.validator import Validator, load_check
from collector.kernel_cache import filled
from collector.receivers.http_connection import HttpLimits
from collector.receivers.intake import Budget, Counts, Intake
from collector.receivers.otlp_grpc import GrpcServer
from collector.receivers.otlp_http import HttpServer
from schema.component import ComponentConfig, Context, component
from schema.errors import ConfigError
from schema.identity import Scope

if TYPE_CHECKING:
    from collector.auth.gate import Gate
    from schema.component import PortSharing

MIB = 1 << 20
VALIDATORS = 2
"""Threads that inflate and parse; with them, how many inflated bodies there are at once."""
SHUTDOWN_GRACE_S = 5.0
"""How long what is in flight may take after shutdown began; a group commit takes milliseconds."""


class _Endpoint(ComponentConfig):
    endpoint: str
    insecure: bool = False
    """Listen beyond this machine although anyone could send, or keys could be read on the way."""
    tls: TlsConfig | None = None

    @field_validator("endpoint")
    @classmethod
    def _host_and_port(cls, endpoint: str) -> str:
        host, colon, port = endpoint.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65535:
            raise ValueError(f"{endpoint!r} must be host:port, as 127.0.0.1:4317")
        if ":" in host and not (host.startswith("[") and host.endswith("]")):
            raise ValueError(f"{endpoint!r} must have its IPv6 address in brackets, as [::1]:4317")
        return endpoint

    def danger(self, *, asks_for_keys: bool) -> str:
        """Return what is wrong with listening there, "" where nothing is."""
        host = self.endpoint.rpartition(":")[0].strip("[]")
        if self.insecure or _loopback(host):
            return ""
        if not asks_for_keys and (self.tls is None or self.tls.client_ca_file is None):
            return (
                "anyone there could send spans; bind 127.0.0.1, set auth: {mode: keys}, ask for client certificates "
                "(tls.client_ca_file), or set insecure: true where a firewall or proxy stands before it"
            )
        if self.tls is None:
            return (
                "keys could be read on the way; set tls: {cert_file, key_file}, or insecure: true where a proxy before "
                "it ends TLS"
            )
        return ""


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
    auth: AuthConfig | None = None
    """Who is asked for a key. Unset: nobody."""
    tenants: TenantsConfig | None = None
    """What each tenant may take; with auth.mode keys."""
    max_spans_per_request: int = Field(20_000, ge=1)
    """Spans or log records; the SDKs send 512 at once, the Collector 8192."""
    max_in_flight_bytes: int = Field(256 * MIB, ge=1)
    """Requests in memory at once, over both protocols; beyond it senders are asked to try again."""

    @property
    def asks_for_keys(self) -> bool:
        """Tell whether senders need a key."""
        return self.auth is not None and self.auth.mode == "keys"

    @model_validator(mode="after")
    def _closed_by_default(self) -> OtlpConfig:
        for name in ("grpc", "http"):
            endpoint: _Endpoint | None = getattr(self.protocols, name)
            if endpoint is not None and (danger := endpoint.danger(asks_for_keys=self.asks_for_keys)):
                raise ValueError(
                    f"protocols.{name}.endpoint {endpoint.endpoint} can be reached from other machines, and {danger}"
                )
        if not self.asks_for_keys and self.tenants is not None:
            raise ValueError("tenants has no meaning without keys, which tell one from another: set auth: {mode: keys}")
        return self


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
        self._data_dir = context.data_dir
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
        config, sharing = self._config, self._port_sharing
        budget = Budget(config.max_in_flight_bytes)
        try:
            gate = open_gate(config.auth or AuthConfig(), self._data_dir, scopes=frozenset({Scope.INGEST}))
            accounts = Accounts(budget, config=_tenants(config), max_in_flight_bytes=config.max_in_flight_bytes)
            if http := config.protocols.http:
                intake = self._intake(http.max_inflated_bytes)
                await self._listen("http", _http_server(intake, gate, accounts, budget, config=http, sharing=sharing))
            if grpc := config.protocols.grpc:
                intake = self._intake(grpc.max_recv_msg_size_mib * MIB)
                await self._listen("grpc", _grpc_server(intake, gate, accounts, config=grpc, sharing=sharing))
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


def _tenants(config: OtlpConfig) -> TenantsConfig | None:
    """Return the limits of tenants; without keys there is one tenant, and nobody to protect from it."""
    return (config.tenants or TenantsConfig()) if config.asks_for_keys else None


def _certificates(config: _Endpoint) -> Certificates | None:
    return None if config.tls is None else Certificates(config.tls)


def _grpc_server(
    intake: Intake, gate: Gate, accounts: Accounts, *, config: GrpcConfig, sharing: PortSharing
) -> GrpcServer:
    return GrpcServer(
        intake,
        gate,
        accounts,
        certificates=_certificates(config),
        endpoint=config.endpoint,
        max_message_bytes=config.max_recv_msg_size_mib * MIB,
        max_concurrent_streams=config.max_concurrent_streams,
        max_metadata_bytes=16 << 10,
        sharing=sharing,
    )


def _http_server(
    intake: Intake, gate: Gate, accounts: Accounts, budget: Budget, *, config: HttpConfig, sharing: PortSharing
) -> HttpServer:
    return HttpServer(
        intake,
        gate,
        accounts,
        budget,
        certificates=_certificates(config),
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
