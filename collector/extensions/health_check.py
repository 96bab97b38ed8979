"""The extension `health_check`: says over HTTP whether the collector is ready, as the OpenTelemetry Collector's does.

GET on any path but one answers 200 while requests are taken and 503 while starting, stopping, or when the disk fails.
The body is JSON: the state of the journal and of the delivery in counts, never anything of a span. GET /metrics answers
with the same as metrics, for Prometheus (`collector.metrics`).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import Field

from collector.metrics import CONTENT_TYPE, Tenants, exposition
from schema.component import ComponentConfig, Context, Extension, component
from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_HEAD_BYTES: Final = 8 << 10
METRICS: Final = b"/metrics"
REASONS: Final = {200: "OK", 400: "Bad Request", 405: "Method Not Allowed", 503: "Service Unavailable"}


class HealthCheckConfig(ComponentConfig):
    """Where it listens."""

    endpoint: str = Field(default="127.0.0.1:13133", pattern=r"^.+:\d{1,5}$")
    """host:port; port 0 takes a free one. 13133 is the Collector's."""
    timeout_s: float = Field(default=5.0, gt=0)
    """For the head of a request."""


class HealthCheck:
    """A listener that answers one request per connection."""

    def __init__(self, config: HealthCheckConfig, status: Callable[[], dict[str, Any]]) -> None:
        self._config = config
        self._status = status
        self._tenants = Tenants()
        self._server: asyncio.Server | None = None
        self.url: str | None = None

    async def start(self) -> None:
        """Listen. Raises ConfigError when the address is taken."""
        host, _, port = self._config.endpoint.rpartition(":")
        try:
            self._server = await asyncio.start_server(
                self._answer, host.strip("[]"), int(port), limit=MAX_HEAD_BYTES, start_serving=True
            )
        except (OSError, OverflowError) as e:
            why = getattr(e, "strerror", None) or e
            raise ConfigError(
                f"health_check cannot listen on {self._config.endpoint}: {why}. "
                "Stop what listens there, or set extensions.health_check.endpoint."
            ) from None
        bound = self._server.sockets[0].getsockname()
        self.url = f"http://[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"http://{bound[0]}:{bound[1]}"

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
        status = self._status()
        if _path(head) == METRICS:
            return _answer(200, exposition(status, self._tenants), CONTENT_TYPE, with_body=method == b"GET")
        return _http(200 if status.get("ready") else 503, status, with_body=method == b"GET")


def _http(code: int, document: dict[str, Any], *, with_body: bool = True) -> bytes:
    return _answer(code, orjson.dumps(document, default=str), "application/json", with_body=with_body)


def _path(head: bytes) -> bytes:
    return head.split(b" ", 2)[1].partition(b"?")[0] if head.count(b" ") >= 2 else b""


def _answer(code: int, body: bytes, content_type: str, *, with_body: bool) -> bytes:
    head = (
        f"HTTP/1.1 {code} {REASONS[code]}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\nCache-Control: no-store\r\n\r\n"
    )
    return head.encode("ascii") + (body if with_body else b"")


@component("extension", "health_check", HealthCheckConfig)
def health_check(config: HealthCheckConfig, context: Context) -> Extension:
    """Make the extension; nothing listens yet."""
    return HealthCheck(config, context.status)
