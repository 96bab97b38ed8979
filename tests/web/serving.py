"""The pages as a service has them, over a database of the test, without the rest of the service."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx

from collector.web import WebListener
from evalgate.web.extension import WebConfig, web
from schema.component import Context
from tests.receivers.conftest import EventLoopThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Served:
    """The pages, listening."""

    url: str
    folder: Path
    """The project: evals/, .evalgate/."""
    data_dir: Path

    def client(self, **settings: Any) -> httpx.Client:
        """Return a client that keeps cookies as a browser does, and follows nothing by itself."""
        # It speaks no TLS: reading the certificates of the machine costs 20 ms for each client.
        return httpx.Client(base_url=self.url, timeout=30, verify=False, **settings)  # noqa: S501 - as above


@contextmanager
def serving(
    dsn: str, folder: Path, *, status: Callable[[], dict[str, Any]] = dict, **settings: Any
) -> Iterator[Served]:
    """Serve the pages of a database and a project folder; `settings` are those of the extension."""
    data_dir = folder / ".evalgate" / "data"
    data_dir.mkdir(parents=True, exist_ok=True)
    context = Context(
        "web", data_dir, dsn=dsn, status=status, listener=partial(WebListener, name="web", data_dir=data_dir)
    )
    config = WebConfig.model_validate({"endpoint": "127.0.0.1:0", "folder": folder, **settings})
    loop = EventLoopThread(asyncio.new_event_loop())
    pages = web(config, context)
    try:
        loop.run(pages.start())
        yield Served(pages.url, folder, data_dir)
    finally:
        loop.run(pages.shutdown())
        loop.close()
