"""The owner's side of what other processes ask of a journal, and of what a person changes in its quarantine."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from collector.journal import requests
from schema.errors import EvalgateError, Refused, Retryable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.journal.fs import Fs
    from collector.journal.quarantine import Quarantine
    from collector.journal.requests import Request

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 60.0
"""At what is in quarantine; more often while it is full, when somebody waits for it to be emptied."""


class Owner(Protocol):
    """What is done here for others."""

    async def replay(self, key: str) -> int:
        """Append again what is in quarantine under an id."""

    async def scrub(self) -> dict[str, Any]:
        """Forget what is delivered."""


async def serve(
    owner: Owner, fs: Fs, directory: Path, quarantine: Quarantine, now_s: Callable[[], float] = time.monotonic
) -> None:
    """Look for requests until cancelled. What fails for a moment is tried again, what fails for good is answered."""
    looked_s = now_s()
    later_s: dict[Path, float] = {}
    while True:
        await asyncio.sleep(requests.POLL_S)
        try:
            asked = await asyncio.to_thread(requests.pending, directory)
            later_s = {r.path: later_s.get(r.path, 0.0) for r in asked}
            for request in asked:
                if now_s() >= later_s[request.path]:
                    later_s[request.path] = now_s() + await _do(owner, fs, request)
            if quarantine.is_full or now_s() - looked_s >= LOOK_EVERY_S:
                await asyncio.to_thread(quarantine.look)
                looked_s = now_s()
        except OSError as e:
            log.warning("requests to the journal in %s cannot be seen to: %s; trying again", directory, e)


async def _do(owner: Owner, fs: Fs, request: Request) -> float:
    """Do what is asked, and answer; return after how many seconds to try again where that has to wait."""
    try:
        done = await owner.replay(request.id) if request.do == "replay" else await owner.scrub()
    except EvalgateError as e:
        if isinstance(e, Retryable) or (isinstance(e, Refused) and e.retry_after_s is not None):
            log.warning("%s %s has to wait: %s", request.do, request.id, e)
            return (e.retry_after_s if isinstance(e, Refused) else None) or 0.0
        await asyncio.to_thread(requests.answer, fs, request, ok=False, message=str(e))
        return 0.0
    log.info("%s %s is done: %s", request.do, request.id, done)
    await asyncio.to_thread(requests.answer, fs, request, ok=True, done=done)
    return 0.0
