"""Messages of gRPC that are being read, counted in what is in flight before anybody knows how large they are.

C-core reads and inflates a message whole before it hands it over, and tells neither its announced nor its present size.
So a message counts by the time it takes to come: little at first, which is all that a small one ever needs, and within
`grown_s` as much as the largest there may be. All of them may have half the budget (SHARE): where one more needs room,
the reading that has lasted longest ends, and its sender is asked to try again. So messages that never come cost
themselves, and neither whoever is quicker nor the other protocol.

Why that bounds what is read: `grown_s` is the time in which the whole budget could arrive at LINE_BYTES_PER_S. n
messages that grow together have room until t = grown_s * share / (n * largest); what came by then is at most
n * largest and at most LINE_BYTES_PER_S * t, and the lesser of the two is at most the budget, whatever n is. It does
not bound the memory of C-core around them, nor copies that are made when a message is handed over (docs/otlp.md).
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schema.errors import Limit, Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.auth.tenants import Account

FIRST_BYTES: Final = 64 << 10
"""Of each message from the start: HTTP/2's window before anybody reads."""
LINE_BYTES_PER_S: Final = 1 << 30
"""What C-core reads or inflates at most, of all messages together, on the machines measured."""
SHARE: Final = 0.5
"""Of the budget, that all messages being read may have together. One may always have as much as the largest."""
SWEEP_S: Final = 0.01
"""How often messages that are being read are looked at; nothing runs while there are none."""


@dataclass(slots=True, eq=False)
class Reading:
    """One message. `timeout` ends its reading; `refused` says why where we did."""

    account: Account
    timeout: asyncio.Timeout
    began_s: float
    taken_bytes: int = 0
    refused: Refused | None = None

    def end(self, refused: Refused, now_s: float) -> None:
        """End the reading now."""
        if self.refused is None:
            self.refused = refused
            self.timeout.reschedule(now_s)


class Readings:
    """All messages that are being read at one address. Used on the event loop alone."""

    def __init__(self, *, max_message_bytes: int, budget_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._grown_s = budget_bytes / LINE_BYTES_PER_S
        self._limit_bytes = max(int(budget_bytes * SHARE), max_message_bytes)
        self._taken_bytes = 0
        self._readings: dict[Reading, None] = {}
        """Those that go on, in the order in which they began."""
        self._next: asyncio.TimerHandle | None = None

    @contextlib.contextmanager
    def one(self, account: Account, timeout: asyncio.Timeout) -> Iterator[Reading]:
        """Count a message for as long as it is read.

        Raises:
            Refused: there is no room even for its beginning.

        """
        loop = asyncio.get_running_loop()
        first_bytes = min(FIRST_BYTES, self._max_message_bytes)
        account.take(first_bytes)
        reading = Reading(account, timeout, loop.time(), first_bytes)
        self._readings[reading] = None
        self._taken_bytes += first_bytes
        self._make_room(reading.began_s)
        if self._next is None:
            self._next = loop.call_later(SWEEP_S, self._sweep, loop)
        try:
            yield reading
        finally:
            self._forget(reading)
            account.give(reading.taken_bytes)

    def shed(self, refused: Refused) -> None:
        """End the reading of every message now."""
        now_s = asyncio.get_running_loop().time()
        for reading in list(self._readings):
            self._end(reading, refused, now_s)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._next = loop.call_later(SWEEP_S, self._sweep, loop) if self._readings else None
        now_s = loop.time()
        for reading in list(self._readings):
            if reading in self._readings:
                self._grow(reading, now_s)

    def _grow(self, reading: Reading, now_s: float) -> None:
        share = min(1.0, (now_s - reading.began_s) / self._grown_s)
        more_bytes = int(share * self._max_message_bytes) - reading.taken_bytes
        if more_bytes > 0:
            try:
                reading.account.take(more_bytes)
            except Refused as e:
                self._end(reading, e, now_s)
            else:
                reading.taken_bytes += more_bytes
                self._taken_bytes += more_bytes
                self._make_room(now_s)

    def _make_room(self, now_s: float) -> None:
        """End the oldest until the others have room. What one has is given back when its call has ended."""
        while self._taken_bytes > self._limit_bytes:
            refused = Refused(
                Reason.UNAVAILABLE,
                f"messages that are being read have {self._taken_bytes} bytes; the limit is {self._limit_bytes}, and "
                "this one has taken the longest; try again",
                retry_after_s=1.0,
                limit=Limit.IN_FLIGHT,
            )
            self._end(next(iter(self._readings)), refused, now_s)

    def _end(self, reading: Reading, refused: Refused, now_s: float) -> None:
        self._forget(reading)
        reading.end(refused, now_s)

    def _forget(self, reading: Reading) -> None:
        if reading in self._readings:
            del self._readings[reading]
            self._taken_bytes -= reading.taken_bytes
