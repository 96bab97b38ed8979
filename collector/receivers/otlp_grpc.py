"""OTLP/gRPC: raw bytes in, without a message object of ours per request.

gRPC itself inflates (gzip alone) and enforces the message limit on the inflated size (measured with 300 MiB of zeros:
refused at 5 MB of memory), and answers RESOURCE_EXHAUSTED without RetryInfo, as the specification wants.

A request is served as if it were a stream of one message: then its headers are seen first, and nothing is read of a
message that is not wanted, or for longer than its time (12 µs a request more, measured).
"""

from __future__ import annotations

import asyncio
import random
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import grpc.aio

from collector.auth.gate import TENANT_HEADER
from collector.auth.routes import Route
from collector.auth.tls import grpc_credentials
from collector.receivers import answers
from collector.receivers.reading import Readings
from schema.errors import ConfigError, Limit, Reason, Refused
from schema.identity import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from collector.auth.tenants import Account, Accounts
    from collector.auth.tls import Certificates
    from collector.receivers.intake import Intake
    from collector.receivers.memory_guard import MemoryGuard
    from schema.component import PortSharing, Signal
    from schema.serving import Gate

    Context = grpc.aio.ServicerContext[bytes, bytes]
    Handler = Callable[[AsyncIterator[bytes], Context], Awaitable[bytes]]

EXPORTS: dict[str, Signal] = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
}
ROUTES = {method: Route(method, ("POST",), (Scope.INGEST,)) for method in EXPORTS}
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
NO_METRICS = "metrics are not taken, only traces and logs; turn the metrics exporter off (OTEL_METRICS_EXPORTER=none)"
STATUS_DETAILS = "grpc-status-details-bin"
STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}
IDENTITY_AND_GZIP = 0b101
"""Bits of grpc_compression_algorithm: identity, deflate, gzip."""
KEEPALIVE_MS = 60_000
"""After so long without a word the other side is asked whether it is still there; C-core's default is two hours."""

CANCELLED_WITHIN_S = 0.05
"""After a message that is too large."""


@dataclass(frozen=True, slots=True)
class GrpcLimits:
    """What senders may do. C-core has its own against pings: two in five minutes without a request, then GOAWAY."""

    max_message_bytes: int
    max_in_flight_bytes: int
    """Of all requests together; what is still being read counts by its time (`collector.receivers.reading`)."""
    max_concurrent_streams: int
    max_metadata_bytes: int
    max_connections: int
    header_timeout_s: float
    body_timeout_s: float
    idle_timeout_s: float


class GrpcServer:
    """The server of one address. Everything runs on the event loop that called `start`."""

    def __init__(
        self,
        intake: Intake,
        gate: Gate,
        accounts: Accounts,
        *,
        guard: MemoryGuard,
        endpoint: str,
        limits: GrpcLimits,
        sharing: PortSharing = "alone",
        certificates: Certificates | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._endpoint = endpoint
        self._sharing = sharing
        self._certificates = certificates
        self._handlers = _Handlers(intake, gate, accounts, guard, limits, jitter=jitter)
        self._options = (
            # On by default; two processes that do not know of each other would each get half of the spans.
            ("grpc.so_reuseport", int(sharing != "alone")),
            ("grpc.max_receive_message_length", limits.max_message_bytes),
            ("grpc.max_concurrent_streams", limits.max_concurrent_streams),
            ("grpc.max_metadata_size", limits.max_metadata_bytes),
            ("grpc.absolute_max_metadata_size", limits.max_metadata_bytes),
            ("grpc.max_allowed_incoming_connections", limits.max_connections),
            ("grpc.server_handshake_timeout_ms", int(limits.header_timeout_s * 1000)),
            ("grpc.max_connection_idle_ms", int(limits.idle_timeout_s * 1000)),
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            # Without probes a connection has 64 KiB that nobody asked for yet; with them 6 MiB (measured). A message
            # that is being read has its whole window all the same.
            ("grpc.http2.bdp_probe", 0),
            ("grpc.compression_enabled_algorithms_bitset", IDENTITY_AND_GZIP),
        )
        self._server: grpc.aio.Server | None = None

    async def start(self) -> str:
        """Listen, and return the bound address.

        Raises:
            ConfigError: the address is taken or is none of this machine's.

        """
        refuse_sharing("gRPC", self._endpoint, self._sharing)
        if self._sharing == "alone" and (problem := why_taken(self._endpoint)):
            raise self._cannot_listen(problem)  # before gRPC logs in its own words
        server = grpc.aio.server(options=self._options)
        server.add_generic_rpc_handlers((self._handlers,))
        try:
            if self._certificates is None:
                port = server.add_insecure_port(self._endpoint)
            else:
                port = server.add_secure_port(self._endpoint, grpc_credentials(self._certificates))
        except RuntimeError:
            port = 0
        if port == 0:
            await server.stop(None)
            raise self._cannot_listen(why_taken(self._endpoint) or "the address was taken a moment ago")
        await server.start()
        self._server = server
        return f"{self._endpoint.rpartition(':')[0]}:{port}"

    def _cannot_listen(self, problem: str) -> ConfigError:
        return ConfigError(
            f"receiver otlp: cannot listen for gRPC on {self._endpoint}: {problem}. "
            "Stop what uses it, or set another protocols.grpc.endpoint."
        )

    def shed(self, refused: Refused) -> None:
        """Drop the messages that are being read, and answer that their senders should try again."""
        self._handlers.shed(refused)

    async def shutdown(self, grace_s: float) -> None:
        """Refuse new requests at once, answer those in flight within `grace_s`. Safe without start, and twice."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(grace_s)


def refuse_sharing(protocol: str, endpoint: str, sharing: PortSharing) -> None:
    """Refuse an address that workers cannot share: a free port of each, or one where somebody listens already.

    With SO_REUSEPORT the system would let us in beside any process of this user that set it too.

    Raises:
        ConfigError: it says what to do.

    """
    if sharing == "alone":
        return
    problem = ""
    if endpoint.endswith(":0"):
        problem = "port 0 would be another one for each worker"
    elif sharing == "first":
        problem = why_taken(endpoint)
    if problem:
        raise ConfigError(
            f"receiver otlp: cannot listen for {protocol} on {endpoint}: {problem}. "
            f"Stop what uses it, or set another protocols.{protocol.lower()}.endpoint."
        )


def why_taken(endpoint: str) -> str:
    """Return why an address cannot be bound, "" when it can: gRPC does not say, so try it ourselves."""
    host, _, port = endpoint.rpartition(":")
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host.strip("[]") or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as e:
        return e.strerror or str(e)
    return ""


class _Handlers(grpc.GenericRpcHandler):
    """Answers every method: the two of OTLP, and a word of help for others."""

    def __init__(
        self,
        intake: Intake,
        gate: Gate,
        accounts: Accounts,
        guard: MemoryGuard,
        limits: GrpcLimits,
        *,
        jitter: Callable[[], float],
    ) -> None:
        self._intake = intake
        self._gate = gate
        self._accounts = accounts
        self._guard = guard
        self._limits = limits
        self._jitter = jitter
        self._readings = Readings(max_message_bytes=limits.max_message_bytes, budget_bytes=limits.max_in_flight_bytes)
        self._accepted = {signal: answers.success(signal).SerializeToString() for signal in EXPORTS.values()}
        self._metrics = _raw(_unimplemented(NO_METRICS))
        self._other = _raw(_unimplemented(f"no such method; this server has {' and '.join(EXPORTS)}"))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return what answers a request whose headers have come; its message has not been read yet."""
        method = handler_call_details.method
        signal = EXPORTS.get(method)
        if signal is None:
            return self._metrics if method == METRICS else self._other
        authorization, tenant = _credentials(handler_call_details.invocation_metadata)
        found = ""
        try:
            found = self._gate.admit(authorization, tenant, *ROUTES[method].scopes).tenant
            self._guard.admit()
        except Refused as e:
            self._intake.count_refused(signal, e.reason, e.limit, str(e), tenant=found)
            return self._refusal(e)
        return _raw(self._export(signal, found, self._accounts.of(found)))

    def shed(self, refused: Refused) -> None:
        """End the reading of every message now."""
        self._readings.shed(refused)

    def _refusal(self, refused: Refused) -> Any:
        async def refuse(_: AsyncIterator[bytes], context: Context) -> bytes:
            await self._abort(context, refused)

        return _raw(refuse)

    def _export(self, signal: Signal, tenant: str, account: Account) -> Handler:
        async def export(_: AsyncIterator[bytes], context: Context) -> bytes:
            try:
                body = await self._read(context, account, signal, tenant)
                account.charge(len(body), self._accounts.now_s())
                account.take(len(body))
            except Refused as e:
                self._intake.count_refused(signal, e.reason, e.limit, str(e), tenant=tenant)
                await self._abort(context, e)
            try:
                outcome = await self._intake.take(signal, body, tenant=tenant, encoding="protobuf", gzip=False)
            except Refused as e:
                await self._abort(context, e)
            finally:
                account.give(len(body))
            if outcome.refused or outcome.message:
                return answers.success(signal, outcome.refused, outcome.message).SerializeToString()
            return self._accepted[signal]

        return export

    async def _read(self, context: Context, account: Account, signal: Signal, tenant: str) -> bytes:
        """Return the message of a request.

        Raises:
            Refused: it does not come in time, there is none, or there is no room for it.

        """
        timeout = asyncio.timeout(self._limits.body_timeout_s)
        with self._readings.one(account, timeout) as reading:
            try:
                async with timeout:
                    body = await context.read()
            except TimeoutError:
                raise (
                    reading.refused
                    or Refused(Reason.UNAVAILABLE, "the request came too slowly; try again", limit=Limit.BODY_TIMEOUT)
                ) from None
        if not isinstance(body, bytes):  # grpc.aio.EOF
            await self._unless_too_large(signal, tenant)
            raise Refused(Reason.BAD_DATA, "the request has no message")
        return body

    async def _unless_too_large(self, signal: Signal, tenant: str) -> None:
        """Return where a request has no message; where it had one of too many bytes count that, and be cancelled.

        C-core answers such a message itself: it looks like the end of the stream, and the call is cancelled thereafter.
        """
        try:
            await asyncio.sleep(CANCELLED_WITHIN_S)
        except asyncio.CancelledError:
            words = "the message is larger than the receiver takes (max_inflated_bytes)"
            self._intake.count_refused(signal, Reason.TOO_LARGE, Limit.INFLATED_BODY, words, tenant=tenant)
            raise

    async def _abort(self, context: Context, refused: Refused) -> NoReturn:
        status = answers.status(refused, answers.delay_s(refused, self._jitter()))
        details = ((STATUS_DETAILS, status.SerializeToString()),)
        await context.abort(STATUS_CODES[status.code], status.message, details)
        raise AssertionError  # abort raises; its stub does not say so


def _credentials(metadata: Iterable[tuple[str, str | bytes]]) -> tuple[str | None, str | None]:
    """Return the Authorization and the tenant of a request; one that is there twice reads as HTTP joins it."""
    found: dict[str, str] = {}
    for name, value in metadata:
        if name in ("authorization", TENANT_HEADER) and isinstance(value, str):
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found.get("authorization"), found.get(TENANT_HEADER)


def _raw(handler: Handler) -> Any:
    return grpc.stream_unary_rpc_method_handler(handler)


def _unimplemented(message: str) -> Handler:
    async def answer(_: AsyncIterator[bytes], context: Context) -> bytes:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, message)
        return b""

    return answer
