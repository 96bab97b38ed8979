"""Wait for what other processes and threads do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_S = 0.02


def until(holds: Callable[[], object], what: str, *, deadline_s: float = 30.0) -> None:
    """Return when `holds` is true.

    Raises:
        AssertionError: it was not within the deadline; names `what`.

    """
    end_s = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end_s, f"did not happen within {deadline_s:.0f} s: {what}"
        time.sleep(POLL_S)
