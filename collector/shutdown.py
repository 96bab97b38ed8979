"""The end of a service, step by step, each with a limit: nothing that is dead may keep a process alive.

refuse      readiness is off; new requests hear "shutting down, try again", those under way are acknowledged
drain       what is journalled is delivered, until the deadline or until somebody hurries
release     receivers, extensions, exporters, journal; each has `RELEASE_S`
leave       threads that still wait for somebody else are left behind (collector/process.py)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from schema.errors import Reason, Refused

if TYPE_CHECKING:
    from schema.component import Exporter, Extension, Receiver

log = logging.getLogger(__name__)

COMMIT_S: Final = 5.0
"""For requests that are on their way into the journal when it ends; a commit takes milliseconds."""
RELEASE_S: Final = 5.0
"""For each component; what needs longer is left behind."""
TRY_AGAIN_S: Final = 1.0


class Admission:
    """Lets requests through to the journal, and knows how many are between; closed, it refuses."""

    def __init__(self) -> None:
        self.closed = False
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self) -> None:
        """Begin; `leave` must follow.

        Raises:
            Refused: the service ends; another, or the same a little later, takes the request.

        """
        if self.closed:
            raise Refused(Reason.UNAVAILABLE, "the service is shutting down; try again", retry_after_s=TRY_AGAIN_S)
        self._under_way += 1
        self._idle.clear()

    def leave(self) -> None:
        """End what `enter` began."""
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()

    async def close(self) -> None:
        """Refuse from now on; return when nothing is under way any more, or after COMMIT_S."""
        self.closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COMMIT_S):
                await self._idle.wait()


async def finish(delivery: asyncio.Task[None], deadline_s: float, hurry: asyncio.Event | None) -> None:
    """Let the delivery go on until it is done, the deadline is over or `hurry` is set; then cancel it."""
    hurried = asyncio.create_task(hurry.wait() if hurry else asyncio.Event().wait())
    try:
        await asyncio.wait({delivery, hurried}, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hurried.cancel()
    delivery.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        try:
            await delivery
        except Exception:  # the rest must still be shut down; what was not delivered is in the journal
            log.exception("the delivery ended with an error")


async def release(name: str, component: Receiver | Exporter | Extension) -> None:
    """Shut one component down; neither its failure nor its waiting may keep the others open."""
    try:
        async with asyncio.timeout(RELEASE_S):
            await component.shutdown()
    except TimeoutError:
        log.warning("%s does not end within %.0f s and is left behind", name, RELEASE_S)
    except Exception:  # see above
        log.exception("%s did not shut down cleanly", name)
