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

import asyncio
import contextlib
import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator, model_validator

from collector.auth.exposed import danger, is_loopback
from collector.auth.gate import open_gate
from collector.auth.tenants import Accounts, TenantsConfig
from collector.auth.tls import Certificates
from collector.decode.protobuf_backend import refuse_slow_protobuf
from collector.decode.validate import Limits
from collector.decode.validator import Validator, load_check
from collector.kernel_cache import filled
from collector.receivers.budget import Budget
from collector.receivers.feedback import MAX_FEEDBACK_BYTES
from collector.receivers.http_connection import HttpLimits
from collector.receivers.intake import Counts, Intake, LimitHits, Outcome
from collector.receivers.memory_guard import SAMPLE_S, Level, MemoryGuard
from collector.receivers.otlp_grpc import GrpcLimits, GrpcServer
from collector.receivers.otlp_http import HttpServer
from collector.receivers.redelivery import DEFAULT_MAX_REQUESTS, DEFAULT_WINDOW_S, Redelivery, key_of
from collector.receivers.refusals import Refusals
from schema.component import ComponentConfig, Context, component
from schema.errors import ConfigError
from schema.identity import Scope
from schema.serving import AuthConfig, TlsConfig

if TYPE_CHECKING:
    from schema.component import PortSharing
    from schema.serving import Gate

log = logging.getLogger(__name__)

MIB = 1 << 20
VALIDATORS = 2
"""Threads that inflate and parse; with them, how many inflated bodies there are at once."""
PART_OF_MEMORY = 4
"""Requests in flight take at most a quarter of what the process may."""
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


class GrpcConfig(_Endpoint):
    """protocols.grpc."""

    endpoint: str = "127.0.0.1:4317"
    max_recv_msg_size_mib: int = Field(16, ge=1, le=1024)
    """After decompression. The Collector's is 4; OTLP recommends 64, but C-core has each message in memory three times
    before anybody knows how large it is."""
    max_concurrent_streams: int = Field(100, ge=1)
    """Requests at once on one connection."""
    max_metadata_bytes: int = Field(16 << 10, ge=256)
    """All headers of a request; gRPC's own is 8 KiB, with luck 16."""
    max_connections: int = Field(2000, ge=1)
    header_timeout_s: float = Field(10.0, gt=0)
    """From the connection to the end of its handshake. gRPC: 120."""
    body_timeout_s: float = Field(30.0, gt=0)
    """From the headers of a request to the end of its message; gRPC itself waits for ever."""
    idle_timeout_s: float = Field(60.0, gt=0)
    """Without a request; the sender then connects anew with its next one. gRPC: none."""


class HttpConfig(_Endpoint):
    """protocols.http."""

    endpoint: str = "127.0.0.1:4318"
    traces_url_path: str = Field("/v1/traces", pattern="^/")
    logs_url_path: str = Field("/v1/logs", pattern="^/")
    feedback_url_path: str | None = Field("/v1/feedback", pattern="^/")
    """Where apps report what users said of an answer, as JSON (docs/feedback.md); null turns it off."""
    max_feedback_bytes: int = Field(MAX_FEEDBACK_BYTES, ge=1)
    """Of one request with feedback, as it comes and after decompression."""
    max_body_bytes: int = Field(64 * MIB, ge=1)
    """As it comes, not compressed. Source: as max_inflated_bytes."""
    max_compressed_bytes: int = Field(16 * MIB, ge=1)
    """As it comes, compressed. The Collector takes 20 MiB of either."""
    max_inflated_bytes: int = Field(64 * MIB, ge=1)
    """After decompression. Source: OTLP specification, 64 MiB recommended."""
    max_inflate_ratio: int = Field(200, ge=1)
    """How many times larger than it came a body may become, from 1 MiB on; telemetry compresses 5 to 40 times."""
    max_header_bytes: int = Field(16 << 10, ge=256)
    """All headers of a request with its target; nginx takes 4 of 8 KiB, Apache 8 KiB each."""
    max_headers: int = Field(100, ge=1)
    """Their number, as Apache's LimitRequestFields."""
    max_connections: int = Field(2000, ge=1)
    header_timeout_s: float = Field(10.0, gt=0)
    """From the first byte of a request to the end of its headers. nginx: 60, Apache: 20 to 40, Go: none."""
    body_timeout_s: float = Field(30.0, gt=0)
    """For a body; one that comes at least at the next rate may take longer."""
    min_body_bytes_per_s: int = Field(1000, ge=1)
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
    max_items_per_request: int = Field(1_000_000, ge=1)
    """Attributes, events and links of all spans or log records together."""
    max_json_objects: int = Field(500_000, ge=1)
    """Objects and arrays of a JSON body: as many as 8192 spans of 30 attributes have; 200 MB while they are read."""
    redelivery_window_s: float = Field(DEFAULT_WINDOW_S, ge=0, le=86_400)
    """So long a request that comes again, byte for byte, is answered as the first time and not kept twice; 0: off."""
    redelivery_max_requests: int = Field(DEFAULT_MAX_REQUESTS, ge=0, le=10_000_000)
    """Requests that are remembered for it, about 220 bytes each; the oldest are forgotten first."""
    max_in_flight_bytes: int = Field(256 * MIB, ge=1)
    """Requests in memory at once, over both protocols, inflated and parsed; beyond it senders are asked to try again.
    Never more than a quarter of service.memory_limit_mib."""

    @property
    def asks_for_keys(self) -> bool:
        """Tell whether senders need a key."""
        return self.auth is not None and self.auth.mode == "keys"

    @model_validator(mode="after")
    def _closed_by_default(self) -> OtlpConfig:
        for name in ("grpc", "http"):
            endpoint: _Endpoint | None = getattr(self.protocols, name)
            if endpoint is None:
                continue
            wrong = danger(
                endpoint.endpoint,
                insecure=endpoint.insecure,
                asks_for_keys=self.asks_for_keys,
                tls=endpoint.tls,
                doing="send spans",
            )
            if wrong:
                raise ValueError(f"protocols.{name}.endpoint {wrong}")
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
        self._tally = context.tally
        self._recent = context.recent
        self._redelivery = Redelivery[Outcome](config.redelivery_window_s, config.redelivery_max_requests)
        self._validator = Validator(filled(load_check))
        self._servers: list[GrpcServer | HttpServer] = []
        self._executor: ThreadPoolExecutor | None = None
        self._memory_limit_bytes = context.memory_limit_bytes
        self._guard = MemoryGuard(context.memory_limit_bytes)
        self._watch: asyncio.Task[None] | None = None
        self.limit_hits: LimitHits = Counter()
        """How often each limit was met, over both protocols."""
        self.counts: Counts = Counter()
        """What became of what was sent, over both protocols."""
        self.refusals = Refusals()
        """The last refusals, over both protocols."""
        self.endpoints: dict[str, str] = {}
        """After start: "grpc" and "http" → the bound host:port."""

    async def start(self) -> None:
        """Listen on every configured protocol, or on none.

        Raises:
            ConfigError: an address is taken; whatever was started is stopped again.

        """
        self._executor = ThreadPoolExecutor(VALIDATORS, thread_name_prefix="otlp-validate")
        for key, members in await asyncio.to_thread(self._answered_before):
            self._redelivery.remember(key, Outcome(members))
        config, sharing = self._config, self._port_sharing
        refuse_slow_protobuf()
        self._guard.sample()
        budget = Budget(self._max_in_flight_bytes())
        _say_what_is_open(config)
        try:
            gate = open_gate(config.auth or AuthConfig(), self._data_dir, scopes=frozenset({Scope.INGEST}))
            accounts = Accounts(budget, config=_tenants(config), max_in_flight_bytes=budget.limit_bytes)
            if http := config.protocols.http:
                most = min(http.max_inflated_bytes, budget.limit_bytes)
                limits = self._limits(most, http.max_compressed_bytes, http.max_inflate_ratio)
                way_in = _WayIn(self._intake(limits, budget), gate, accounts, budget, self._guard, sharing)
                await self._listen("http", _http_server(way_in, http))
            if grpc := config.protocols.grpc:
                limits = self._limits(grpc.max_recv_msg_size_mib * MIB)
                way_in = _WayIn(self._intake(limits, budget), gate, accounts, budget, self._guard, sharing)
                await self._listen("grpc", _grpc_server(way_in, grpc))
        except BaseException:
            await self.shutdown()
            raise
        self._watch = asyncio.create_task(self._watch_memory(), name="memory-guard")
        self._validator.warm_up()  # last: it competes for the processor, and the library validates meanwhile

    def _answered_before(self) -> list[tuple[bytes, int]]:
        """Return the hash and the members of each request that the journal still holds from before."""
        if not self._redelivery.is_on:
            return []
        recent = self._recent(self._config.redelivery_window_s)
        return [(key_of(r.tenant, r.signal, r.encoding, r.body, gzip=r.gzip), r.members) for r in recent]

    def _max_in_flight_bytes(self) -> int:
        most, limit = self._config.max_in_flight_bytes, self._memory_limit_bytes
        return most if limit is None else min(most, limit // PART_OF_MEMORY)

    def _limits(self, max_inflated_bytes: int, max_compressed_bytes: int = 0, max_inflate_ratio: int = 1) -> Limits:
        return Limits(
            max_inflated_bytes=max_inflated_bytes,
            max_spans=self._config.max_spans_per_request,
            max_items=self._config.max_items_per_request,
            max_compressed_bytes=max_compressed_bytes,
            max_inflate_ratio=max_inflate_ratio,
            max_json_objects=self._config.max_json_objects,
        )

    def _intake(self, limits: Limits, budget: Budget) -> Intake:
        assert self._executor is not None  # noqa: S101 - start made it
        return Intake(
            self._journal,
            self._executor,
            limits,
            self.counts,
            self._validator,
            budget=budget,
            limit_hits=self.limit_hits,
            refusals=self.refusals,
            redelivery=self._redelivery,
            tally=self._tally,
        )

    async def _watch_memory(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_S)
            if self._guard.sample() is Level.HARD:
                for server in self._servers:
                    server.shed(self._guard.refusal())

    async def _listen(self, name: str, server: GrpcServer | HttpServer) -> None:
        self.endpoints[name] = await server.start()
        self._servers.append(server)

    async def shutdown(self) -> None:
        """Stop listening, answer what is in flight. The journal must still be open. Safe without start, and twice."""
        if self._watch is not None:
            watch, self._watch = self._watch, None
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
        servers, self._servers = self._servers, []
        for server in reversed(servers):
            await server.shutdown(SHUTDOWN_GRACE_S)
        if self._executor is not None:
            executor, self._executor = self._executor, None
            executor.shutdown(wait=False, cancel_futures=True)
        self.endpoints.clear()


def _say_what_is_open(config: OtlpConfig) -> None:
    """Log what `insecure` lets through, at each start."""
    for name in ("grpc", "http"):
        endpoint: _Endpoint | None = getattr(config.protocols, name)
        if endpoint is None or not endpoint.insecure or is_loopback(endpoint.endpoint.rpartition(":")[0].strip("[]")):
            continue
        missing = [] if config.asks_for_keys else ["asking who sends (auth)"]
        missing += [] if endpoint.tls is not None else ["TLS, so that keys and spans can be read on the way"]
        if missing:
            at = f"protocols.{name}.endpoint {endpoint.endpoint}"
            log.warning(
                "%s is open to other machines without %s, as insecure: true says", at, " and without ".join(missing)
            )


def _tenants(config: OtlpConfig) -> TenantsConfig | None:
    """Return the limits of tenants; without keys there is one tenant, and nobody to protect from it."""
    return (config.tenants or TenantsConfig()) if config.asks_for_keys else None


def _certificates(config: _Endpoint) -> Certificates | None:
    return None if config.tls is None else Certificates(config.tls)


@dataclass(frozen=True, slots=True)
class _WayIn:
    """What a server of either protocol hands its requests to."""

    intake: Intake
    gate: Gate
    accounts: Accounts
    budget: Budget
    guard: MemoryGuard
    sharing: PortSharing


def _grpc_server(way_in: _WayIn, config: GrpcConfig) -> GrpcServer:
    return GrpcServer(
        way_in.intake,
        way_in.gate,
        way_in.accounts,
        guard=way_in.guard,
        certificates=_certificates(config),
        endpoint=config.endpoint,
        sharing=way_in.sharing,
        limits=GrpcLimits(
            max_message_bytes=min(config.max_recv_msg_size_mib * MIB, way_in.budget.limit_bytes),
            max_in_flight_bytes=way_in.budget.limit_bytes,
            max_concurrent_streams=config.max_concurrent_streams,
            max_metadata_bytes=config.max_metadata_bytes,
            max_connections=config.max_connections,
            header_timeout_s=config.header_timeout_s,
            body_timeout_s=config.body_timeout_s,
            idle_timeout_s=config.idle_timeout_s,
        ),
    )


def _http_server(way_in: _WayIn, config: HttpConfig) -> HttpServer:
    return HttpServer(
        way_in.intake,
        way_in.gate,
        way_in.accounts,
        way_in.budget,
        guard=way_in.guard,
        certificates=_certificates(config),
        endpoint=config.endpoint,
        paths={config.traces_url_path: "traces", config.logs_url_path: "logs"},
        feedback_path=config.feedback_url_path,
        max_feedback_bytes=config.max_feedback_bytes,
        max_compressed_bytes=config.max_compressed_bytes,
        sharing=way_in.sharing,
        limits=HttpLimits(
            max_header_bytes=config.max_header_bytes,
            max_headers=config.max_headers,
            max_body_bytes=min(config.max_body_bytes, way_in.budget.limit_bytes),
            header_timeout_s=config.header_timeout_s,
            body_timeout_s=config.body_timeout_s,
            min_body_bytes_per_s=config.min_body_bytes_per_s,
            idle_timeout_s=config.idle_timeout_s,
            max_connections=config.max_connections,
        ),
    )
