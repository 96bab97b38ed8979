"""Recognise a request that its sender sends again because the first answer did not reach it.

    hash of tenant, signal, encoding and body ─┬─ new ─────────▶ taken; remembered once it is durable
                                               ├─ under way ───▶ waits for the same commit, gets the same answer
                                               └─ remembered ──▶ the first answer, nothing is journalled

Only the same bytes are the same request. Of spans that is certain: each has an id of its own. Log records need no id
and no time, so two equal requests may be two events: they count as one only where a record's time is finer than a
millisecond, which no two requests share by chance. A first that failed is not remembered.

Without this a re-sent span would be stored twice and read once (its id is the key); a log record would be read twice.

Source of the need: OTLP specification, "Duplicate Data".
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from xxhash import xxh3_128

from collector.decode.inflate import gunzip
from collector.decode.otlp_json import REQUESTS, to_message

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from collector.decode.validate import Encoding
    from schema.component import Signal

DEFAULT_WINDOW_S: Final = 300.0
"""The SDKs give up after 10 s of tries, the Collector after 300."""
DEFAULT_MAX_REQUESTS: Final = 65_536
"""About 15 MB when full (measured: 217 bytes each)."""
MILLISECOND_NS: Final = 1_000_000
GZIP_TIME: Final = slice(4, 8)
"""Seconds since 1970 in the head of a gzip body (RFC 1952): some SDKs compress anew for each try."""

T = TypeVar("T")


@dataclass(slots=True)
class _Remembered(Generic[T]):
    answer: T
    until_s: float


class Redelivery(Generic[T]):
    """What was answered lately. Used on the event loop alone; shared by the transports of a receiver."""

    def __init__(
        self,
        window_s: float = DEFAULT_WINDOW_S,
        max_requests: int = DEFAULT_MAX_REQUESTS,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make one that is empty; with a window of 0 it recognises nothing."""
        self._window_s = window_s
        self._max_requests = max_requests
        self._monotonic_s = monotonic_s
        self._remembered: dict[bytes, _Remembered[T]] = {}
        self._under_way: dict[bytes, asyncio.Task[T]] = {}

    def __len__(self) -> int:
        """Return how many answers are remembered."""
        return len(self._remembered)

    @property
    def is_on(self) -> bool:
        """Whether anything is recognised."""
        return self._window_s > 0 and self._max_requests > 0

    async def once(
        self, key: bytes, take: Callable[[], Awaitable[T]], *, is_certain: Callable[[], Awaitable[bool]]
    ) -> tuple[T, bool]:
        """Take a request that is new; return its answer, and whether it is that of an earlier request.

        `is_certain` is asked where the bytes are known: whether that makes it the same request. What `take` began goes
        on when the caller is cancelled, so that a sender that lost patience finds it done. Raises what `take` raises.
        """
        if not self.is_on:
            return await asyncio.shield(asyncio.ensure_future(take())), False
        certain = False
        while True:
            self._forget()
            remembered, task = self._remembered.get(key), self._under_way.get(key)
            if remembered is None and task is None:
                return await self._first(key, take), False
            if not certain:
                if not await is_certain():
                    return await asyncio.shield(asyncio.ensure_future(take())), False
                certain = True
            elif remembered is not None:
                return remembered.answer, True
            elif task is not None:
                await asyncio.wait({task})  # it remembers by itself; where it failed, this one is the first

    def remember(self, key: bytes, answer: T) -> None:
        """Remember an answer from now on, in place of the oldest where there is no more room."""
        self._remembered.pop(key, None)
        self._remembered[key] = _Remembered(answer, self._monotonic_s() + self._window_s)
        if len(self._remembered) > self._max_requests:
            del self._remembered[next(iter(self._remembered))]

    async def _first(self, key: bytes, take: Callable[[], Awaitable[T]]) -> T:
        task = self._under_way[key] = asyncio.ensure_future(self._run(key, take))
        return await asyncio.shield(task)

    async def _run(self, key: bytes, take: Callable[[], Awaitable[T]]) -> T:
        try:
            answer = await take()
            self.remember(key, answer)
        finally:
            del self._under_way[key]
        return answer

    def _forget(self) -> None:
        now_s = self._monotonic_s()
        while self._remembered:
            oldest = next(iter(self._remembered))
            if self._remembered[oldest].until_s > now_s:
                return
            del self._remembered[oldest]


def key_of(tenant: str, signal: Signal, encoding: Encoding, body: bytes | memoryview, *, gzip: bool) -> bytes:
    """Return the hash that stands for a request: xxh3-128, 16 bytes. 0.05 to 0.1 µs per 3 kB span (measured).

    Not a secret one: who can make two bodies of one hash harms the spans of their own tenant alone.
    """
    digest = xxh3_128(f"{tenant}\n{signal}\n{encoding}\n{gzip}\n".encode())
    if gzip:
        digest.update(body[: GZIP_TIME.start])
        digest.update(body[GZIP_TIME.stop :])
    else:
        digest.update(body)
    return digest.digest()


def is_certain(signal: Signal, encoding: Encoding, body: bytes | memoryview, *, gzip: bool, max_bytes: int) -> bool:
    """Tell whether equal bytes are one request. CPU-bound for logs; the body must be one that was accepted before.

    Raises:
        Refused: it is none.

    """
    if signal == "traces":
        return True
    plain = gunzip(body, max_bytes) if gzip else bytes(body)
    request: Any = to_message(plain, signal) if encoding == "json" else REQUESTS[signal].FromString(plain)
    return any(
        record.time_unix_nano % MILLISECOND_NS or record.observed_time_unix_nano % MILLISECOND_NS
        for resource in request.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    )
