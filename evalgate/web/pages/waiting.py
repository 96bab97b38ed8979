"""What arrives, what is refused and why, and how to point an app here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from evalgate.web.site import Page

PAGES: Final[tuple[Page, ...]] = ()
