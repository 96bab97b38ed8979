"""The pages, one module for each group of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalgate.web.site import Page


def all_pages() -> tuple[Page, ...]:
    """Return the pages of all groups."""
    from evalgate.web.pages import (  # noqa: PLC0415 - they import the site
        clusters,
        dashboard,
        datasets,
        definition,
        issues,
        login,
        modes,
        queues,
        review,
        sessions,
        trace,
        traces,
        waiting,
    )

    return (
        *dashboard.PAGES,
        *traces.PAGES,
        *trace.PAGES,
        *sessions.PAGES,
        *queues.PAGES,
        *definition.PAGES,
        *review.PAGES,
        *issues.PAGES,
        *modes.PAGES,
        *clusters.PAGES,
        *datasets.PAGES,
        *waiting.PAGES,
        *login.PAGES,
    )
