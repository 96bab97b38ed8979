"""The extension `clickhouse_http`: serves the embedded database on ClickHouse's HTTP interface while the service runs.

clickhouse-connect, curl, notebooks, Grafana and our own commands in another terminal then work as with a server. Who
may ask what is in `admission`; whoever does not own the files passes `exporters.clickhouse.fence`.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from collector.extensions.clickhouse_http.application import Application
from collector.web import WebListener
from exporters.clickhouse.dsn import EmbeddedDsn, default_dsn, parse_dsn
from exporters.clickhouse.engine import Engine
from schema.component import Context, component
from schema.errors import ConfigError, DatabaseOwned
from schema.identity import Scope
from schema.serving import ListenerConfig

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

OWNER_MEMORY_BYTES = 2 << 30
"""Of one statement of the owner, who may set max_memory_usage to something else."""


class ClickHouseHttpConfig(ListenerConfig):
    """Where it listens, and how much one request may cost."""

    endpoint: str = "127.0.0.1:8123"
    """host:port; port 0 takes a free one. 8123 is ClickHouse's own."""
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
    max_header_bytes: int = Field(default=1 << 20, ge=256)
    """A head with its URL, where statement and parameters may stand. Source: ClickHouse's http_max_uri_size."""


class ClickHouseHttp:
    """Owns the listener and the engine's handles; nothing when the database is a server."""

    def __init__(self, config: ClickHouseHttpConfig, dsn: str, data_dir: Path, name: str) -> None:
        self._config = config
        self._dsn = parse_dsn(dsn)
        scopes = frozenset({Scope.READ})
        self._listener = WebListener(config, scopes=scopes, doing="read", name=name, data_dir=data_dir)
        self._engine: Engine | None = None
        self._threads: ThreadPoolExecutor | None = None

    @property
    def url(self) -> str | None:
        """Where it answers; None before start and when the database is a server of its own."""
        return self._listener.url

    async def start(self) -> None:
        """Listen, open the database, publish the URL in the lock file.

        Raises:
            ConfigError: the address is taken, or another process owns the database.

        """
        if not isinstance(self._dsn, EmbeddedDsn):
            logger.info("clickhouse_http has nothing to do: the database is a server, %s", self._dsn)
            return
        if self._engine is not None:
            return
        self._listener.open()
        try:
            self._engine = await asyncio.to_thread(self._open, self._dsn)
            await self._serve(self._engine)
        except BaseException:
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

    async def _serve(self, engine: Engine) -> None:
        self._threads = ThreadPoolExecutor(self._config.concurrency, "clickhouse_http")
        application = Application(
            engine,
            self._threads,
            gate=self._listener.gate,
            hosts=self._listener.hosts,
            max_body_bytes=self._config.max_body_bytes,
            max_execution_time_s=self._config.max_execution_time_s,
            max_memory_bytes=self._config.max_memory_bytes,
            name="otel-evalgate",
        )
        # It answers strangers itself, in ClickHouse's words, also those that only read.
        url = await self._listener.serve(cast("Any", application), guarded=False)
        engine.lock.publish(url)

    async def shutdown(self) -> None:
        """Take the URL back, answer what is in flight, give the database back."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.lock.publish(None)
        await self._listener.shutdown()
        threads, self._threads = self._threads, None
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)
        if engine is not None:
            await asyncio.to_thread(engine.close)


@component("extension", "clickhouse_http", ClickHouseHttpConfig)
def clickhouse_http(config: ClickHouseHttpConfig, context: Context) -> ClickHouseHttp:
    """Make the extension; nothing is opened yet."""
    dsn = context.dsn or default_dsn(context.data_dir)
    return ClickHouseHttp(config, dsn, context.data_dir, context.name)
