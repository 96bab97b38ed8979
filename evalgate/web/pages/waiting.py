"""What arrives, what is refused and why, and how to point an app here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evalgate.web.site import Page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from evalgate.web.site import Site


async def waiting(site: Site, request: Request) -> Response:
    """Say how to send spans here, and what became of those that came."""
    return site.page(request, "waiting/waiting.html", {})


PAGES: Final[tuple[Page, ...]] = (Page("/waiting", waiting, "waiting"),)
