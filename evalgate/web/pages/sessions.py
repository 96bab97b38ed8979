"""The list of sessions, and one session read from its beginning to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from evalgate.web.site import Page

PAGES: Final[tuple[Page, ...]] = ()
