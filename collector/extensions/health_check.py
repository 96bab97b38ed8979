"""The extension `health_check`: says over HTTP whether the collector is ready, as the OpenTelemetry Collector's does.

GET on any path but one answers 200 while requests are taken and 503 while starting, stopping, or when the disk fails.
The body is JSON: the state of the journal and of the delivery in counts, never anything of a span. GET /metrics answers
with the same as metrics, for Prometheus (`collector.metrics`).

Names of tenants and addresses are in there, so beyond this machine that takes a key with the scope admin (`auth`), or
`insecure: true`; everyone else is told the state and whether it is ready, which is what probes ask for.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import Field

from collector.auth.exposed import danger, is_loopback
from collector.auth.gate import CHALLENGE, TENANT_HEADER, open_gate
from collector.auth.routes import Route
from collector.auth.tls import HANDSHAKE_TIMEOUT_S, Certificates, RenewingContext
from collector.metrics import CONTENT_TYPE, Tenants, exposition
from schema.component import ComponentConfig, Context, Extension, component
from schema.errors import ConfigError, Reason, Refused
from schema.identity import Scope
from schema.serving import AuthConfig, TlsConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from schema.serving import Gate

MAX_HEAD_BYTES: Final = 8 << 10
METRICS: Final = b"/metrics"
BRIEF: Final = ("state", "ready")
"""What everyone is told."""
ROUTES: Final = (
    Route("/metrics", ("GET", "HEAD"), (Scope.ADMIN,)),
    Route("/", ("GET", "HEAD"), (), public="probes ask whether it is ready; the rest is for the scope admin"),
)
REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}
STATUSES: Final = {Reason.UNAUTHENTICATED: 401, Reason.FORBIDDEN: 403, Reason.UNAVAILABLE: 503}


class HealthCheckConfig(ComponentConfig):
    """Where it listens."""

    endpoint: str = Field(default="127.0.0.1:13133", pattern=r"^.+:\d{1,5}$")
    """host:port; port 0 takes a free one. 13133 is the Collector's."""
    timeout_s: float = Field(default=5.0, gt=0)
    """For the head of a request."""
    auth: AuthConfig | None = None
    """With mode keys: what is more than the state takes a key with the scope admin, also on this machine."""
    tls: TlsConfig | None = None
    insecure: bool = False
    """Beyond this machine: tell everyone everything, or take keys without TLS."""


class HealthCheck:
    """A listener that answers one request per connection."""

    def __init__(self, config: HealthCheckConfig, status: Callable[[], dict[str, Any]], data_dir: Path) -> None:
        self._config = config
        self._data_dir = data_dir
        self._gate: Gate | None = None
        self._status = status
        self._tenants = Tenants()
        self._server: asyncio.Server | None = None
        self.url: str | None = None

    async def start(self) -> None:
        """Listen. Raises ConfigError when the address is taken, or keys could be read on the way."""
        config = self._config
        host, _, port = config.endpoint.rpartition(":")
        self._gate = _gate(config, self._data_dir)
        try:
            self._server = await asyncio.start_server(
                self._answer,
                host.strip("[]"),
                int(port),
                limit=MAX_HEAD_BYTES,
                start_serving=True,
                ssl=None if config.tls is None else RenewingContext.of(Certificates(config.tls)),
                ssl_handshake_timeout=None if config.tls is None else HANDSHAKE_TIMEOUT_S,
            )
        except (OSError, OverflowError) as e:
            why = getattr(e, "strerror", None) or e
            raise ConfigError(
                f"health_check cannot listen on {self._config.endpoint}: {why}. "
                "Stop what listens there, or set extensions.health_check.endpoint."
            ) from None
        bound = self._server.sockets[0].getsockname()
        scheme = "http" if config.tls is None else "https"
        self.url = f"{scheme}://[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{scheme}://{bound[0]}:{bound[1]}"

    async def shutdown(self) -> None:
        """Stop listening. Safe without start, and twice."""
        server, self._server, self.url = self._server, None, None
        if server is not None:
            server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(self._config.timeout_s):
                writer.write(await self._response(reader))
                await writer.drain()
        writer.close()

    async def _response(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return _http(400, {"error": "not an HTTP request"})
        method = head.split(b" ", 1)[0]
        if method not in (b"GET", b"HEAD"):
            return _http(405, {"error": "only GET"})
        status, headers = self._status(), _headers(head)
        authorization = headers.get("authorization")
        try:
            assert self._gate is not None  # noqa: S101 - start made it
            self._gate.admit(authorization, headers.get(TENANT_HEADER), Scope.ADMIN)
        except Refused as e:
            if _path(head) == METRICS or authorization is not None:
                return _http(STATUSES[e.reason], {"error": str(e)}, challenge=e.reason is Reason.UNAUTHENTICATED)
            status = {name: status.get(name) for name in BRIEF}
        if _path(head) == METRICS:
            return _answer(200, exposition(status, self._tenants), CONTENT_TYPE, with_body=method == b"GET")
        return _http(200 if status.get("ready") else 503, status, with_body=method == b"GET")


def _gate(config: HealthCheckConfig, data_dir: Path) -> Gate:
    auth = config.auth or AuthConfig()
    asks, at_home = auth.mode == "keys", is_loopback(config.endpoint.rpartition(":")[0].strip("[]"))
    if asks and (
        wrong := danger(config.endpoint, insecure=config.insecure, asks_for_keys=True, tls=config.tls, doing="ask")
    ):
        raise ConfigError(f"extensions.health_check.endpoint {wrong}")
    open_scopes = frozenset({Scope.ADMIN}) if at_home or config.insecure else frozenset()
    return open_gate(auth, data_dir, scopes=open_scopes)


def _headers(head: bytes) -> dict[str, str]:
    """Return the headers by name in lower case; one that is there twice is joined (RFC 9110, 5.3)."""
    found: dict[str, str] = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        key = name.lower()
        found[key] = f"{found[key]}, {value.strip()}" if key in found else value.strip()
    return found


def _http(code: int, document: dict[str, Any], *, with_body: bool = True, challenge: bool = False) -> bytes:
    body = orjson.dumps(document, default=str)
    return _answer(code, body, "application/json", with_body=with_body, challenge=challenge)


def _path(head: bytes) -> bytes:
    return head.split(b" ", 2)[1].partition(b"?")[0] if head.count(b" ") >= 2 else b""


def _answer(code: int, body: bytes, content_type: str, *, with_body: bool, challenge: bool = False) -> bytes:
    head = (
        f"HTTP/1.1 {code} {REASONS[code]}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\nCache-Control: no-store\r\n{f'{CHALLENGE[0]}: {CHALLENGE[1]}' * challenge}"
    )
    head += "\r\n\r\n" if challenge else "\r\n"
    return head.encode("ascii") + (body if with_body else b"")


@component("extension", "health_check", HealthCheckConfig)
def health_check(config: HealthCheckConfig, context: Context) -> Extension:
    """Make the extension; nothing listens yet."""
    return HealthCheck(config, context.status, context.data_dir)
