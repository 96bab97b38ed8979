"""OTLP/HTTP: which requests live here, and how they are answered. `POST /v1/feedback` lives here too.

An answer, good or bad, is in the encoding of the request; the body of a bad one is a `google.rpc.Status`
(OTLP specification, "OTLP/HTTP Response").
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import time
from email.utils import formatdate
from types import MappingProxyType
from typing import TYPE_CHECKING

from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

from collector.auth.gate import CHALLENGE, TENANT_HEADER
from collector.auth.routes import Route
from collector.auth.tls import HANDSHAKE_TIMEOUT_S, RenewingContext
from collector.receivers import answers
from collector.receivers.feedback import MAX_FEEDBACK_BYTES
from collector.receivers.http_connection import HttpConnection, HttpLimits, Request, Response, Shared
from collector.receivers.intake import log_bug
from collector.receivers.memory_guard import Level
from collector.receivers.otlp_grpc import NO_METRICS, refuse_sharing
from schema.errors import ConfigError, Limit, Reason, Refused
from schema.identity import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from collector.auth.tenants import Accounts, Bytes
    from collector.auth.tls import Certificates
    from collector.decode.validate import Encoding
    from collector.receivers.intake import Intake
    from collector.receivers.memory_guard import MemoryGuard
    from schema.component import PortSharing, Signal
    from schema.ledger import LedgerSignal
    from schema.serving import Gate

PROTOBUF, JSON = "application/x-protobuf", "application/json"
ENCODINGS: Mapping[str, Encoding] = MappingProxyType({PROTOBUF: "protobuf", JSON: "json"})
CONTENT_TYPES: Mapping[Encoding, str] = MappingProxyType({"protobuf": PROTOBUF, "json": JSON})
GZIP_CODINGS = frozenset({"gzip", "x-gzip"})
GRPC_CODES: Mapping[int, int] = MappingProxyType(
    {
        400: code_pb2.INVALID_ARGUMENT,
        404: code_pb2.UNIMPLEMENTED,
        405: code_pb2.UNIMPLEMENTED,
        408: code_pb2.DEADLINE_EXCEEDED,
        413: code_pb2.RESOURCE_EXHAUSTED,
        415: code_pb2.UNIMPLEMENTED,
        431: code_pb2.RESOURCE_EXHAUSTED,
        503: code_pb2.UNAVAILABLE,
    }
)
SWEEP_S = 0.5
"""How often deadlines are looked at: one timer for all connections, none per request."""
BACKLOG = 1024


class OtlpHttp:
    """The application behind the connections (`http_connection.Application`)."""

    def __init__(
        self,
        intake: Intake,
        gate: Gate,
        accounts: Accounts,
        paths: Mapping[str, Signal],
        *,
        guard: MemoryGuard,
        max_compressed_bytes: int,
        feedback_path: str | None = None,
        max_feedback_bytes: int = MAX_FEEDBACK_BYTES,
        jitter: Callable[[], float] = random.random,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._intake = intake
        self._gate = gate
        self._accounts = accounts
        self._guard = guard
        self._max_compressed_bytes = max_compressed_bytes
        self._feedback_path = feedback_path
        self._max_feedback_bytes = max_feedback_bytes
        self._paths: dict[str, Signal] = {**paths, **({feedback_path: "logs"} if feedback_path else {})}
        self._jitter = jitter
        self._clock_ns = clock_ns
        self.routes = {path: Route(path, ("POST",), (Scope.INGEST,)) for path in self._paths}
        """Everything that is served."""
        self._lives_here = " and ".join(f"POST {path}" for path in paths)

    def admit(self, request: Request) -> Response | None:
        """Refuse what no body can make good."""
        route = self.routes.get(request.path)
        if route is None:
            text = NO_METRICS if request.path.rstrip("/").endswith("/metrics") else "nothing lives at this path"
            return self.broken(request, 404, f"{text}; this is an OTLP/HTTP receiver: {self._lives_here}")
        if request.method not in route.methods:
            return self.broken(request, 405, "use POST", ("allow", "POST"))
        try:
            self._identify(request, route)
        except Refused as e:
            return self.refuse(request, e)
        # Feedback must be said to be JSON: a page in a browser cannot send that to another origin unasked.
        types = (JSON,) if request.path == self._feedback_path else (PROTOBUF, JSON)
        if _content_type(request) not in types:
            words = f"send Content-Type {' or '.join(types)}"
            self._count(request, Reason.UNSUPPORTED_MEDIA_TYPE, words)
            return self.broken(request, 415, words)
        if _coding(request) not in GZIP_CODINGS | {"", "identity"}:
            words = "send Content-Encoding gzip, or none"
            self._count(request, Reason.UNSUPPORTED_MEDIA_TYPE, words)
            return self.broken(request, 415, words, ("accept-encoding", "gzip, identity"))
        if _coding(request) in GZIP_CODINGS:
            request.max_body_bytes = self._max_compressed_bytes
        if request.path == self._feedback_path:
            at_most = request.max_body_bytes
            if at_most is None or self._max_feedback_bytes <= at_most:
                request.max_body_bytes, request.body_limit = self._max_feedback_bytes, Limit.BODY
        return None

    def _identify(self, request: Request, route: Route) -> None:
        """Find out whose the request is, and let the tenant pay for what it announces. Nothing of a body is read yet.

        Raises:
            Refused: the caller may not send, or sends too much.

        """
        identity = self._gate.admit(
            _text(request, b"authorization"), _text(request, TENANT_HEADER.encode()), *route.scopes
        )
        self._guard.admit()
        account = self._accounts.of(identity.tenant)
        account.charge(_announced_bytes(request), self._accounts.now_s())
        request.tenant, request.budget = identity.tenant, account

    async def respond(self, request: Request) -> Response:
        """Take a whole request that was admitted."""
        signal, encoding = self._paths[request.path], ENCODINGS[_content_type(request)]
        gzip = _coding(request) in GZIP_CODINGS
        feedback = request.path == self._feedback_path
        tenant = request.tenant
        try:
            try:
                if (n_bytes := len(request.body) - _announced_bytes(request)) > 0:
                    self._accounts.of(tenant).charge(n_bytes, self._accounts.now_s())
            except Refused as e:
                return self.refuse(request, e)
            if feedback:
                outcome = await self._intake.take_feedback(
                    request.body,
                    tenant=tenant,
                    gzip=gzip,
                    max_bytes=self._max_feedback_bytes,
                    now_unix_ns=self._clock_ns(),
                )
            else:
                outcome = await self._intake.take(signal, request.body, tenant=tenant, encoding=encoding, gzip=gzip)
        except Refused as e:
            return self._refusal(request, e)
        except Exception as e:  # noqa: BLE001 - the connection needs an answer whatever happens
            log_bug(e)
            return self._refusal(request, Refused(Reason.UNAVAILABLE, "the request could not be answered; try again"))
        if feedback:
            return Response(200, JSON, b'{"accepted":%d}' % outcome.accepted)
        body = answers.encode(answers.success(signal, outcome.refused, outcome.message), encoding)
        return Response(200, CONTENT_TYPES[encoding], body)

    def refuse(self, request: Request, refused: Refused) -> Response:
        """Return the answer to a request there is no room for, and count it."""
        if request.path in self._paths:
            self._count(request, refused.reason, str(refused), refused.limit)
        elif refused.limit is not None:
            self._intake.limit_hits[refused.limit] += 1
        return self._refusal(request, refused)

    def _count(self, request: Request, reason: Reason, words: str, limit: Limit | None = None) -> None:
        if signal := self._paths.get(request.path):
            kind: LedgerSignal = "feedback" if request.path == self._feedback_path else signal
            self._intake.count_refused(signal, reason, limit, words, tenant=request.tenant, kind=kind)

    def broken(
        self, request: Request, status: int, message: str, *headers: tuple[str, str], limit: Limit | None = None
    ) -> Response:
        """Return the answer to what is not a proper request, or over a limit."""
        if status == 503:
            return self.refuse(request, Refused(Reason.UNAVAILABLE, message, limit=limit))
        if status == 413:
            return self.refuse(request, Refused(Reason.TOO_LARGE, message, limit=limit))
        if limit is not None:
            self._intake.limit_hits[limit] += 1
        if request.path not in self._paths:
            self._intake.refusals.add("", str(status), message)
        return self._response(request, status, Status(code=GRPC_CODES[status], message=message), headers)

    def _refusal(self, request: Request, refused: Refused) -> Response:
        delay = answers.delay_s(refused, self._jitter())
        headers = () if delay is None else (("retry-after", answers.retry_after_header(delay)),)
        if refused.reason is Reason.UNAUTHENTICATED:
            headers = (CHALLENGE,)
        return self._response(
            request,
            answers.CODES[refused.reason].http,
            answers.status(refused, delay),
            headers,
            close=refused.limit is Limit.MEMORY and self._guard.level is Level.HARD,
        )

    def _response(
        self,
        request: Request,
        status: int,
        body: Status,
        headers: tuple[tuple[str, str], ...],
        *,
        close: bool = False,
    ) -> Response:
        # JSON for whoever did not say protobuf: a person with a browser or curl, more often than not.
        encoding = ENCODINGS.get(_content_type(request), "json")
        whole = answers.encode(body, encoding)
        return Response(
            status, CONTENT_TYPES[encoding], whole, headers, head_only=request.method == "HEAD", close=close
        )


def _content_type(request: Request) -> str:
    return request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")


def _text(request: Request, name: bytes) -> str | None:
    value = request.headers.get(name)
    return None if value is None else value.decode("latin-1")


def _announced_bytes(request: Request) -> int:
    length = request.headers.get(b"content-length", b"")
    return int(length) if length.isdigit() else 0


def _coding(request: Request) -> str:
    return request.headers.get(b"content-encoding", b"").strip().lower().decode("latin-1")


class HttpServer:
    """The server of one address. Everything runs on the event loop that called `start`."""

    def __init__(
        self,
        intake: Intake,
        gate: Gate,
        accounts: Accounts,
        budget: Bytes,
        *,
        endpoint: str,
        paths: Mapping[str, Signal],
        limits: HttpLimits,
        guard: MemoryGuard,
        max_compressed_bytes: int,
        feedback_path: str | None = None,
        max_feedback_bytes: int = MAX_FEEDBACK_BYTES,
        sharing: PortSharing = "alone",
        certificates: Certificates | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._sharing = sharing
        self._certificates = certificates
        self._application = OtlpHttp(
            intake,
            gate,
            accounts,
            paths,
            guard=guard,
            max_compressed_bytes=max_compressed_bytes,
            feedback_path=feedback_path,
            max_feedback_bytes=max_feedback_bytes,
        )
        self._shared = Shared(self._application, limits, budget)
        self._server: asyncio.Server | None = None
        self._sweep: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listen, and return the bound address.

        Raises:
            ConfigError: the address is taken or is none of this machine's.

        """
        refuse_sharing("HTTP", self._endpoint, self._sharing)
        loop = asyncio.get_running_loop()
        host, _, port = self._endpoint.rpartition(":")
        tls = self._certificates
        try:
            server = await loop.create_server(
                lambda: HttpConnection(self._shared, loop),
                host.strip("[]") or None,
                int(port),
                backlog=BACKLOG,
                reuse_port=self._sharing != "alone",
                ssl=None
                if tls is None
                else RenewingContext.of(tls, max_connections=self._shared.limits.max_connections),
                ssl_handshake_timeout=None if tls is None else HANDSHAKE_TIMEOUT_S,
            )
        except OSError as e:
            reason = os.strerror(e.errno) if e.errno and not isinstance(e, socket.gaierror) else e.strerror or str(e)
            raise ConfigError(
                f"receiver otlp: cannot listen for HTTP on {self._endpoint}: {reason}. "
                "Stop what uses it, or set another protocols.http.endpoint."
            ) from None
        self._server = server
        self._tick()
        self._sweep = loop.create_task(self._sweep_for_ever())
        return f"{host}:{server.sockets[0].getsockname()[1]}"

    async def shutdown(self, grace_s: float) -> None:
        """Stop listening, answer what is in flight within `grace_s`. Safe without start, and twice."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        self._shared.closing = True
        work = [task for c in list(self._shared.connections) if (task := c.drain()) is not None]
        if work:
            await asyncio.wait(work, timeout=grace_s)
        for connection in list(self._shared.connections):
            connection.cut()
        if self._sweep is not None:
            self._sweep.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweep

    def shed(self, refused: Refused) -> None:
        """Drop the bodies that are being read, and answer that their senders should try again."""
        for connection in list(self._shared.connections):
            connection.shed(refused)

    async def _sweep_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_S)
            self._tick()
            now = loop.time()
            for connection in list(self._shared.connections):
                connection.expire(now)

    def _tick(self) -> None:
        self._shared.date = b"date: %b\r\n" % formatdate(usegmt=True).encode()
