"""A listener on which an ASGI application answers (`schema.serving.Listener`): uvicorn with limits and renewed TLS."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn

from collector.auth.exposed import danger
from collector.auth.gate import open_gate
from collector.auth.tls import Certificates, RenewingContext
from collector.web.connection import Connection, ConnectionLimits
from collector.web.sites import LOOPBACK_NAMES, Guard, host_name
from schema.errors import ConfigError
from schema.serving import AuthConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from schema.identity import Scope
    from schema.serving import Application, Gate, ListenerConfig

log = logging.getLogger(__name__)

START_TIMEOUT_S: Final = 10.0


class WebListener:
    """Owns the listening socket and the web server."""

    def __init__(
        self, config: ListenerConfig, *, scopes: frozenset[Scope], doing: str, name: str, data_dir: Path
    ) -> None:
        """Check the configuration; `name` is that of the extension."""
        self._config = config
        self._name = name
        self._host, self._port = _endpoint(config, name, doing)
        self.hosts = LOOPBACK_NAMES | {self._host.lower()} | {host_name(h) for h in config.allowed_hosts}
        self.gate: Gate = open_gate(config.auth or AuthConfig(), data_dir, scopes=scopes)
        self.is_secure = config.tls is not None
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self.url: str | None = None

    def open(self) -> None:
        """Bind the address."""
        if self._socket is None:
            self._socket = _bind(self._host, self._port, self._name)

    async def serve(self, application: Application, *, guarded: bool = True) -> str:
        """Answer from now on."""
        self.open()
        assert self._socket is not None  # noqa: S101 - open made it
        config = self._config
        web = uvicorn.Config(
            cast("Any", Guard(application, self.hosts) if guarded else application),
            http=cast("Any", partial(Connection, limits=_limits(config))),  # uvicorn calls it as a class
            loop="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # whoever is on this machine could say where a request came from
            ws="none",
            timeout_keep_alive=30,
            timeout_graceful_shutdown=5,
        )
        web.load()
        if config.tls is not None:
            web.ssl = RenewingContext.of(Certificates(config.tls), max_connections=config.max_connections)
        self._server = _Server(web)
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]), name=self._name)
        await self._until_started(self._server, self._task)
        host, port = self._socket.getsockname()[:2]
        reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
        scheme = "https" if self.is_secure else "http"
        self.url = f"{scheme}://[{reachable}]:{port}" if ":" in reachable else f"{scheme}://{reachable}:{port}"
        log.info("%s answers on %s", self._name, self.url)
        return self.url

    async def shutdown(self) -> None:
        """Answer what is in flight, and close."""
        self.url = None
        server, self._server = self._server, None
        task, self._task = self._task, None
        if server is not None and task is not None:
            server.should_exit = True
            await task
        bound, self._socket = self._socket, None
        if bound is not None:
            bound.close()

    async def _until_started(self, server: uvicorn.Server, task: asyncio.Task[None]) -> None:
        async with asyncio.timeout(START_TIMEOUT_S):
            while not server.started:
                if task.done():
                    await task
                    raise ConfigError(f"the web server of {self._name} ended at once")
                await asyncio.sleep(0.005)


class _Server(uvicorn.Server):
    """A uvicorn that leaves the signals of the process to the service."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _endpoint(config: ListenerConfig, name: str, doing: str) -> tuple[str, int]:
    host, colon, port = config.endpoint.rpartition(":")
    host = host.strip("[]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"extensions.{name}.endpoint {config.endpoint!r} is not host:port")
    asks = config.auth is not None and config.auth.mode == "keys"
    if wrong := danger(config.endpoint, insecure=config.insecure, asks_for_keys=asks, tls=config.tls, doing=doing):
        raise ConfigError(f"extensions.{name}.endpoint {wrong}")
    return host, int(port)


def _limits(config: ListenerConfig) -> ConnectionLimits:
    return ConnectionLimits(
        max_connections=config.max_connections,
        max_header_bytes=config.max_header_bytes,
        header_timeout_s=config.header_timeout_s,
        body_timeout_s=config.body_timeout_s,
        min_body_bytes_per_s=config.min_body_bytes_per_s,
        answer_timeout_s=config.answer_timeout_s,
    )


def _bind(host: str, port: int, name: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family, backlog=128)
    except OSError as e:
        raise ConfigError(
            f"{name} cannot listen on {host}:{port}: {e.strerror or e}. Stop the other program, or set "
            f"extensions.{name}.endpoint (port 0 takes a free one)"
        ) from None
    # Accepted connections inherit it. asyncio would set it only on sockets whose protocol number is given: without,
    # each answer waits 40 ms for the client's delayed acknowledgement.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bound.setblocking(False)  # noqa: FBT003 - the only spelling
    return bound
