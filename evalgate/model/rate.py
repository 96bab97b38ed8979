"""How many calls and tokens a minute: one limit for all threads and models of an endpoint.

Two token buckets of one second's worth each, so that a minute never holds more than its limit and that second. A call
takes its place in the queue at once and then sleeps until its time has come, outside of the lock; tokens are taken by
estimate and put right by the answer. Where the endpoint itself says "not before", all calls wait.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from evalgate.model.clock import REAL, Clock

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE_S = 60.0


class _Bucket:
    """Levels may go below 0: who comes then waits until it is 0 again."""

    def __init__(self, per_minute: float, now: float) -> None:
        self._per_s = per_minute / MINUTE_S
        self._most = max(1.0, self._per_s)
        self._level = self._most
        self._at = now

    def take(self, amount: float, now: float) -> float:
        """Take it, in debt if need be; return the seconds until the debt before it is paid."""
        self._level = min(self._most, self._level + (now - self._at) * self._per_s)
        self._at = now
        # A call that is larger than the bucket is one second's worth of debt to who comes after, not to itself.
        wait_s = max(0.0, (min(amount, self._most) - self._level) / self._per_s)
        self._level -= amount
        return wait_s

    def give_back(self, amount: float) -> None:
        self._level = min(self._most, self._level + amount)


class RateLimit:
    """Hands out turns. None: no such limit."""

    def __init__(
        self, per_minute: float | None = None, tokens_per_minute: float | None = None, clock: Clock = REAL
    ) -> None:
        now = clock.monotonic()
        self._clock = clock
        self._calls = _Bucket(per_minute, now) if per_minute else None
        self._tokens = _Bucket(tokens_per_minute, now) if tokens_per_minute else None
        self._not_before = now
        self._lock = threading.Lock()

    def wait(self, tokens: int, until: float) -> bool:
        """Wait for a turn; return False, at once and having taken none, where it comes after `until` (monotonic)."""
        with self._lock:
            now = self._clock.monotonic()
            wait_s = max(0.0, self._not_before - now)
            if self._calls:
                wait_s = max(wait_s, self._calls.take(1, now))
            if self._tokens:
                wait_s = max(wait_s, self._tokens.take(tokens, now))
            if now + wait_s > until:
                self._give_back(1, tokens)
                return False
        self._sleep_until(now + wait_s, until)
        return True

    def correct(self, estimated_tokens: int, real_tokens: int | None) -> None:
        """Put the estimate of a call right, once its answer has told the tokens."""
        if self._tokens and real_tokens is not None:
            with self._lock:
                self._tokens.give_back(estimated_tokens - real_tokens)

    def pause(self, seconds: float) -> None:
        """Let nobody call for so long: the endpoint has said so."""
        with self._lock:
            self._not_before = max(self._not_before, self._clock.monotonic() + seconds)

    def _give_back(self, calls: int, tokens: int) -> None:
        if self._calls:
            self._calls.give_back(calls)
        if self._tokens:
            self._tokens.give_back(tokens)

    def _sleep_until(self, moment: float, until: float) -> None:
        monotonic: Callable[[], float] = self._clock.monotonic
        while (left_s := min(max(moment, self._not_before), until) - monotonic()) > 0:
            self._clock.sleep(left_s)
