"""The extension `clickhouse_http`: serves the embedded database on ClickHouse's HTTP interface while the service runs.

clickhouse-connect, curl, notebooks, Grafana and our own commands in another terminal then work as with a server. Who
may ask what is in `admission`; whoever does not own the files passes `exporters.clickhouse.fence`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from pydantic import Field

from collector.auth.exposed import danger
from collector.auth.gate import AuthConfig, open_gate
from collector.auth.tls import Certificates, RenewingContext, TlsConfig
from collector.extensions.clickhouse_http.admission import host_name
from collector.extensions.clickhouse_http.application import Application
from collector.extensions.clickhouse_http.connection import Connection, ConnectionLimits
from exporters.clickhouse.dsn import EmbeddedDsn, default_dsn, parse_dsn
from exporters.clickhouse.engine import Engine
from schema.component import ComponentConfig, Context, component
from schema.errors import ConfigError, DatabaseOwned
from schema.identity import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
START_TIMEOUT_S = 10.0
OWNER_MEMORY_BYTES = 2 << 30
"""Of one statement of the owner, who may set max_memory_usage to something else."""


class ClickHouseHttpConfig(ComponentConfig):
    """Where it listens, and how much one request may cost."""

    endpoint: str = "127.0.0.1:8123"
    """host:port; port 0 takes a free one. 8123 is ClickHouse's own."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names that the Host header may have, e.g. that of a container."""
    auth: AuthConfig | None = None
    """Who is asked for a key. Unset: nobody; whoever asks reads the one tenant there is, or `default` of several."""
    tls: TlsConfig | None = None
    insecure: bool = False
    """Listen beyond loopback although anyone could read, or keys could be read on the way."""
    concurrency: int = Field(default=4, ge=1, le=64)
    """Statements that run at the same time; more wait."""
    max_body_bytes: int = Field(default=96 << 20, ge=1 << 10)
    """Statement and data of one request, after decompression: an INSERT block of 64 MiB fits."""
    max_result_bytes: int = Field(default=256 << 20, ge=1 << 10)
    """Beyond this a statement fails; the answer is held in memory."""
    max_execution_time_s: float = Field(default=60, gt=0)
    """Beyond this a statement fails."""
    max_memory_bytes: int = Field(default=512 << 20, ge=1 << 20)
    """Memory of one statement of a reader; there are `concurrency` of them, in the process that receives."""
    max_connections: int = Field(default=128, ge=1)
    """Beyond this the next one is answered with 503."""
    max_header_bytes: int = Field(default=1 << 20, ge=256)
    """A head with its URL, where statement and parameters may stand. Source: ClickHouse's http_max_uri_size."""
    header_timeout_s: float = Field(default=10, gt=0)
    """From the connection, or the first byte of a request, to the end of its head."""
    body_timeout_s: float = Field(default=30, gt=0)
    """For a body; one that comes at least at the next rate may take longer."""
    min_body_bytes_per_s: int = Field(default=1000, ge=1)
    answer_timeout_s: float = Field(default=30, gt=0)
    """A client that reads nothing of its answer for so long is cut: the answer waits in memory."""


class ClickHouseHttp:
    """Owns the listening socket, the engine's handles and the web server; nothing when the database is a server."""

    def __init__(self, config: ClickHouseHttpConfig, dsn: str, data_dir: Path) -> None:
        self._config = config
        self._data_dir = data_dir
        self._dsn = parse_dsn(dsn)
        self._host, self._port = _endpoint(config)
        self._engine: Engine | None = None
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._threads: ThreadPoolExecutor | None = None
        self.url: str | None = None
        """Where it answers; None before start and when the database is a server of its own."""

    async def start(self) -> None:
        """Listen, open the database, publish the URL in the lock file.

        Raises:
            ConfigError: the address is taken, or another process owns the database.

        """
        if not isinstance(self._dsn, EmbeddedDsn):
            logger.info("clickhouse_http has nothing to do: the database is a server, %s", self._dsn)
            return
        if self._task is not None:
            return
        listener = _listen(self._host, self._port)
        try:
            self._engine = await asyncio.to_thread(self._open, self._dsn)
            await self._serve(self._engine, listener)
        except BaseException:
            listener.close()
            await self.shutdown()
            raise

    def _open(self, dsn: EmbeddedDsn) -> Engine:
        settings = {
            "async_insert": 0,
            "max_execution_time": self._config.max_execution_time_s,
            "max_memory_usage": max(OWNER_MEMORY_BYTES, self._config.max_memory_bytes),
            "max_result_bytes": self._config.max_result_bytes,
            "result_overflow_mode": "throw",
        }
        try:
            return Engine(dsn, handles=self._config.concurrency, settings=settings)
        except DatabaseOwned as e:
            raise ConfigError(str(e)) from None

    async def _serve(self, engine: Engine, listener: socket.socket) -> None:
        hosts = LOOPBACK_NAMES | {self._host.lower()} | {host_name(h) for h in self._config.allowed_hosts}
        self._threads = ThreadPoolExecutor(self._config.concurrency, "clickhouse_http")
        application = Application(
            engine,
            self._threads,
            gate=open_gate(self._config.auth or AuthConfig(), self._data_dir, scopes=frozenset({Scope.READ})),
            hosts=hosts,
            max_body_bytes=self._config.max_body_bytes,
            max_execution_time_s=self._config.max_execution_time_s,
            max_memory_bytes=self._config.max_memory_bytes,
            name="otel-evalgate",
        )
        web = uvicorn.Config(
            application,
            http=cast("Any", partial(Connection, limits=_limits(self._config))),  # uvicorn calls it as a class
            loop="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            timeout_keep_alive=30,
            timeout_graceful_shutdown=5,
        )
        web.load()
        if self._config.tls is not None:
            web.ssl = RenewingContext.of(Certificates(self._config.tls), max_connections=self._config.max_connections)
        self._server = _Server(web)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="clickhouse_http")
        await _until_started(self._server, self._task)
        host, port = listener.getsockname()[:2]
        reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
        scheme = "http" if self._config.tls is None else "https"
        self.url = f"{scheme}://[{reachable}]:{port}" if ":" in reachable else f"{scheme}://{reachable}:{port}"
        engine.lock.publish(self.url)
        logger.info("ClickHouse's HTTP interface answers on %s", self.url)

    async def shutdown(self) -> None:
        """Take the URL back, answer what is in flight, give the database back."""
        engine, self._engine, self.url = self._engine, None, None
        if engine is not None:
            engine.lock.publish(None)
        server, self._server = self._server, None
        task, self._task = self._task, None
        if server is not None and task is not None:
            server.should_exit = True
            await task
        threads, self._threads = self._threads, None
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)
        if engine is not None:
            await asyncio.to_thread(engine.close)


class _Server(uvicorn.Server):
    """A uvicorn that leaves the signals of the process to the service."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _until_started(server: uvicorn.Server, task: asyncio.Task[None]) -> None:
    async with asyncio.timeout(START_TIMEOUT_S):
        while not server.started:
            if task.done():
                await task
                raise ConfigError("the web server of clickhouse_http ended at once")
            await asyncio.sleep(0.005)


def _endpoint(config: ClickHouseHttpConfig) -> tuple[str, int]:
    host, colon, port = config.endpoint.rpartition(":")
    host = host.strip("[]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"extensions.clickhouse_http.endpoint {config.endpoint!r} is not host:port")
    asks = config.auth is not None and config.auth.mode == "keys"
    if wrong := danger(config.endpoint, insecure=config.insecure, asks_for_keys=asks, tls=config.tls, doing="read"):
        raise ConfigError(f"extensions.clickhouse_http.endpoint {wrong}")
    return host, int(port)


def _limits(config: ClickHouseHttpConfig) -> ConnectionLimits:
    return ConnectionLimits(
        max_connections=config.max_connections,
        max_header_bytes=config.max_header_bytes,
        header_timeout_s=config.header_timeout_s,
        body_timeout_s=config.body_timeout_s,
        min_body_bytes_per_s=config.min_body_bytes_per_s,
        answer_timeout_s=config.answer_timeout_s,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=128)
    except OSError as e:
        raise ConfigError(
            f"clickhouse_http cannot listen on {host}:{port}: {e.strerror or e}. Stop the other program, or set "
            "extensions.clickhouse_http.endpoint (port 0 takes a free one)"
        ) from None
    # Accepted connections inherit it. asyncio would set it only on sockets whose protocol number is given: without,
    # each answer waits 40 ms for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setblocking(False)  # noqa: FBT003 - the only spelling
    return listener


@component("extension", "clickhouse_http", ClickHouseHttpConfig)
def clickhouse_http(config: ClickHouseHttpConfig, context: Context) -> ClickHouseHttp:
    """Make the extension; nothing is opened yet."""
    return ClickHouseHttp(config, context.dsn or default_dsn(context.data_dir), context.data_dir)
