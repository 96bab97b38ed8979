"""Refuse before memory runs out: a sender that is told to wait loses nothing, a collector that is killed costs all.

    level   memory in use            requests                                            connections
    free    below 80 % of the limit  taken                                               kept
    soft    above it                 503 / UNAVAILABLE with a delay, before a body is    kept
                                     read
    hard    above 90 %               the same, and bodies that are being read are        HTTP: closed after the answer,
                                     dropped with that answer                            before the body

What counts is the resident memory of the process, the embedded database included. Levels as in the OpenTelemetry
Collector's memory_limiter (soft limit: refuse; hard limit: collect garbage as well), which also waits 10 s between two
collections: to collect more often costs the processor that would empty the queues.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import sys
import time
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from schema.errors import Limit, Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

SOFT, HARD, CALM = 0.80, 0.90, 0.77
"""Parts of the limit: from where on a level holds, and below which memory is free again."""
SAMPLE_S: Final = 0.1
"""How often memory is looked at: 10 µs each time (measured)."""
RELEASE_EVERY_S: Final = 10.0
RETRY_AFTER_S: Final = 2.0
STATM = Path("/proc/self/statm")


class Level(IntEnum):
    """How much memory there is."""

    FREE = 0
    SOFT = 1
    HARD = 2


def resident_bytes() -> int:
    """Return the resident memory of this process; 0 where the system does not say (no /proc)."""
    try:
        return int(STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def release() -> None:
    """Give back what is free: garbage in cycles, and what the allocator keeps. Some tens of milliseconds."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # musl has none
            ctypes.CDLL(None).malloc_trim(0)


class MemoryGuard:
    """Knows the level. `sample` is called every SAMPLE_S by its owner; all else only reads what that found."""

    def __init__(
        self,
        limit_bytes: int | None,
        *,
        in_use: Callable[[], int] = resident_bytes,
        release_now: Callable[[], None] = release,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without a limit memory is always free."""
        self._limit_bytes = limit_bytes
        self._in_use = in_use
        self._release = release_now
        self._clock_s = clock_s
        self._released_at_s = -RELEASE_EVERY_S
        self._used_bytes = 0
        self.level = Level.FREE

    def sample(self) -> Level:
        """Look at the memory; return the level that holds from now on."""
        limit_bytes = self._limit_bytes
        if limit_bytes is None:
            return self.level
        level = self._measured(limit_bytes)
        now_s = self._clock_s()
        if level is not Level.FREE and now_s - self._released_at_s >= RELEASE_EVERY_S:
            self._release()
            self._released_at_s = self._clock_s()
            level = self._measured(limit_bytes)
        if level is not self.level:
            say = log.info if level is Level.FREE else log.warning
            used, limit = self._used_bytes >> 20, limit_bytes >> 20
            say("memory: %s, %d of %d MiB%s", level.name.lower(), used, limit, "; senders are refused" * bool(level))
        self.level = level
        return level

    def _measured(self, limit_bytes: int) -> Level:
        self._used_bytes = used_bytes = self._in_use()
        if used_bytes > HARD * limit_bytes:
            return Level.HARD
        calm_bytes = (SOFT if self.level is Level.FREE else CALM) * limit_bytes
        return Level.SOFT if used_bytes > calm_bytes else Level.FREE

    def admit(self) -> None:
        """Let a request in.

        Raises:
            Refused: UNAVAILABLE, there is not enough memory for its body.

        """
        if self.level is not Level.FREE:
            raise self.refusal()

    def refusal(self) -> Refused:
        """Return what a sender is told while memory is short."""
        return Refused(
            Reason.UNAVAILABLE,
            f"{self._used_bytes >> 20} MiB of memory are in use; the limit is {(self._limit_bytes or 0) >> 20} "
            "(service.memory_limit_mib); try again",
            retry_after_s=RETRY_AFTER_S,
            limit=Limit.MEMORY,
        )
