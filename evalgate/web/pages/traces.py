"""The list of traces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evalgate.select.traces import list_traces
from evalgate.select.where import parse_where
from evalgate.web.site import Page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from evalgate.web.site import Site

SHOWN: Final = 50


async def traces(site: Site, request: Request) -> Response:
    """List traces."""
    where = parse_where(request.query_params.getlist("where"))
    found = await site.read(request, lambda database: list_traces(database, where, SHOWN))
    return site.page(request, "traces/list.html", {"traces": found})


PAGES: Final = (Page("/traces", traces, "traces"),)
