"""Waiting until what was received before an erasure is delivered, so that nothing of it comes after the deletion."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from evalgate.terminal import count_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schema.erasure import Waiting

LOOK_S: Final = 0.25
SAY_EVERY_S: Final = 5.0


def await_delivery(
    waiting: Callable[[], Sequence[Waiting]],
    timeout_s: float,
    say: Callable[[str], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
    now_s: Callable[[], float] = time.monotonic,
) -> Sequence[Waiting]:
    """Return when nothing waits any more; else what does, once the time is up or nobody delivers it.

    `say` is told how many requests are left, at most every SAY_EVERY_S. Raises OSError, from `waiting`.
    """
    end_s = now_s() + timeout_s
    said_s: float | None = None
    while True:
        left = waiting()
        if not left or now_s() >= end_s or all(w.is_stuck for w in left):
            return left
        if said_s is None or now_s() - said_s >= SAY_EVERY_S:
            said_s = now_s()
            requests = count_of(sum(w.requests for w in left), "request")
            say(f"waiting until {requests} that came before are delivered, {end_s - said_s:.0f} s at most")
        sleep(LOOK_S)
