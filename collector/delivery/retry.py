"""Trying again: for ever, slower and slower, and with a breaker that spares an ill destination.

    closed ──FAILURES_TO_OPEN failures in a row──▶ open ──pause──▶ half_open ──▶ closed, or open again

While it is open, an exporter that can be probed is not sent the batch again before a probe succeeds; for others the
batch itself is the probe.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from schema.errors import EvalgateError, Retryable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from collector.delivery.progress import Progress

log = logging.getLogger(__name__)

FIRST_BACKOFF_S: Final = 0.5
LONGEST_BACKOFF_S: Final = 30.0
LONGEST_ASKED_S: Final = 300.0
"""That a destination is believed when it says how long to wait."""
FAILURES_TO_OPEN: Final = 5
CANCEL_GRACE_S: Final = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retry:
    """The patience of one lane."""

    progress: Progress
    jitter: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]

    async def persist(
        self,
        what: str,
        attempt: Callable[[], Awaitable[T]],
        *,
        probe: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Do something until it succeeds, waiting longer and longer after each Retryable.

        Other errors of ours are the caller's. What is not ours is a fault in the component: it is tried again too,
        because the batch is not to blame.

        Exponential with full jitter, so that many collectors do not come back at once. Source:
        https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        """
        ceiling_s = FIRST_BACKOFF_S
        while True:
            try:
                if probe is not None and self.progress.breaker == "half_open":
                    await probe()
                result = await attempt()
            except Retryable as e:
                asked_s = min(e.after_s or 0.0, LONGEST_ASKED_S)
                self._failed(what, str(e))
                log.warning("%s: %s; trying again", what, e)
            except EvalgateError:
                raise
            except Exception as e:
                asked_s = 0.0
                self._failed(what, say(e))
                log.exception("%s failed in a way that it should not; trying again", what)
            else:
                self._succeeded(what)
                return result
            await self.sleep(asked_s + ceiling_s * self.jitter())
            ceiling_s = min(2 * ceiling_s, LONGEST_BACKOFF_S)
            if self.progress.breaker == "open":
                self.progress.breaker = "half_open"

    def _failed(self, what: str, why: str) -> None:
        progress = self.progress
        progress.retries += 1
        progress.failures += 1
        progress.waiting_for = f"{what}: {why}"
        if progress.failures >= FAILURES_TO_OPEN:
            progress.breaker = "open"

    def _succeeded(self, what: str) -> None:
        progress = self.progress
        if progress.breaker != "closed":
            log.warning("%s: works again after %d failures", what, progress.failures)
        progress.waiting_for, progress.failures, progress.breaker = None, 0, "closed"


async def unhurried(work: Coroutine[Any, Any, T]) -> T:
    """Await what may run in a thread; when cancelled, let it end first: closing a database under an insert harms it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=CANCEL_GRACE_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise


def say(error: BaseException) -> str:
    """Return what an error says, in one line of bounded length; of a stranger's also its type."""
    return str(error) if isinstance(error, EvalgateError) else f"{type(error).__name__}: {str(error)[:300]}"
