"""The extension `web`: the pages, on a listener of the service."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from schema.component import Context, component
from schema.errors import ConfigError
from schema.identity import DEFAULT_TENANT, TENANT_NAME, Scope
from schema.serving import ListenerConfig

if TYPE_CHECKING:
    from evalgate.web.site import Site
    from schema.serving import Application, Listener


class WebConfig(ListenerConfig):
    """Where the pages are, and how much one may cost."""

    endpoint: str = "127.0.0.1:4319"
    """host:port; port 0 takes a free one. Beside the ports of OTLP."""
    folder: Path = Path()
    """The project whose evals/ and .evalgate/ the pages show. Default: where the service was started."""
    tenant: str = Field(default=DEFAULT_TENANT, pattern=f"^{TENANT_NAME.pattern}$")
    """With auth.mode keys: whose the folder is. Visitors of other tenants see no files of it."""
    concurrency: int = Field(default=4, ge=1, le=64)
    """Pages that ask the database at the same time; more wait."""
    max_body_bytes: int = Field(default=1 << 20, ge=1 << 10)
    """Of a form."""
    max_execution_time_s: float = Field(default=10, gt=0)
    """Beyond this a statement fails, and the page says so."""
    max_memory_bytes: int = Field(default=1 << 30, ge=1 << 20)
    """Memory of one statement; there are `concurrency` of them, in the process that receives."""
    login_hours: float = Field(default=12, gt=0)
    """With auth.mode keys: how long a login lasts. A key that is revoked ends it at once."""


class Web:
    """Owns the listener and the connections of the pages."""

    def __init__(self, config: WebConfig, context: Context) -> None:
        self._config = config
        self._context = context
        scopes = frozenset({Scope.READ, Scope.REVIEW, Scope.ADMIN})
        self._listener: Listener = context.listener(config, scopes=scopes, doing="read and review")
        self._site: Site | None = None

    @property
    def url(self) -> str | None:
        """Where the pages are; None while they are not."""
        return self._listener.url

    async def start(self) -> None:
        """Listen. Raises ConfigError when the address is taken."""
        if self._site is not None:
            return
        self._listener.open()
        try:
            application, self._site = self._build()
            await self._listener.serve(application)
        except BaseException:
            await self.shutdown()
            raise

    def _build(self) -> tuple[Application, Site]:
        try:
            from evalgate.web.application import Settings, build  # noqa: PLC0415 - only a service that has pages
            from exporters.clickhouse.dsn import default_dsn  # noqa: PLC0415 - as above
        except ModuleNotFoundError as e:
            raise ConfigError(
                f"the extension web needs {e.name}, which is not installed: pip install 'otel-evalgate[collector]', or "
                "take web out of service.extensions"
            ) from None
        config = self._config
        settings = Settings(
            folder=config.folder.absolute(),
            folder_tenant=config.tenant,
            tenant=config.auth.tenant if config.auth else None,
            concurrency=config.concurrency,
            max_body_bytes=config.max_body_bytes,
            max_execution_time_s=config.max_execution_time_s,
            max_memory_bytes=config.max_memory_bytes,
            login_s=config.login_hours * 3600,
        )
        dsn = self._context.dsn or default_dsn(self._context.data_dir)
        return build(dsn, settings, gate=self._listener.gate, status=self._context.status)

    async def shutdown(self) -> None:
        """Answer what is in flight, and close the connections. Safe to call without start, and twice."""
        await self._listener.shutdown()
        site, self._site = self._site, None
        if site is not None:
            await asyncio.to_thread(site.databases.close)


@component("extension", "web", WebConfig)
def web(config: WebConfig, context: Context) -> Web:
    """Make the extension; nothing is opened yet."""
    return Web(config, context)
