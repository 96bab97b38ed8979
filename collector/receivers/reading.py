"""Messages of gRPC that are being read, counted in what is in flight before anybody knows how large they are.

C-core reads and inflates a message whole before it hands it over, and tells neither its announced nor its present size.
So a message counts by the time it takes to come: little at first, which is all that a small one ever needs, and within
`grown_s` as much as the largest there may be. Where there is no room for that its reading ends, and the sender is
asked to try again.

Why that bounds what is read: `grown_s` is the time in which the whole budget could arrive at LINE_BYTES_PER_S. n
messages that grow together have room until t = grown_s * budget / (n * largest); what came by then is at most
n * largest and at most LINE_BYTES_PER_S * t, and the lesser of the two is at most the budget, whatever n is. It does
not bound the memory of C-core around them, nor copies that are made when a message is handed over (docs/otlp.md).
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schema.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.auth.tenants import Account

FIRST_BYTES: Final = 64 << 10
"""Of each message from the start: HTTP/2's window before anybody reads."""
LINE_BYTES_PER_S: Final = 1 << 30
"""What C-core reads or inflates at most, of all messages together, on the machines measured."""
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
        self._readings: set[Reading] = set()
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
        self._readings.add(reading)
        if self._next is None:
            self._next = loop.call_later(SWEEP_S, self._sweep, loop)
        try:
            yield reading
        finally:
            self._readings.discard(reading)
            account.give(reading.taken_bytes)

    def shed(self, refused: Refused) -> None:
        """End the reading of every message now."""
        now_s = asyncio.get_running_loop().time()
        for reading in self._readings:
            reading.end(refused, now_s)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._next = loop.call_later(SWEEP_S, self._sweep, loop) if self._readings else None
        now_s = loop.time()
        for reading in self._readings:
            if reading.refused is None:
                self._grow(reading, now_s)

    def _grow(self, reading: Reading, now_s: float) -> None:
        share = min(1.0, (now_s - reading.began_s) / self._grown_s)
        more_bytes = int(share * self._max_message_bytes) - reading.taken_bytes
        if more_bytes > 0:
            try:
                reading.account.take(more_bytes)
            except Refused as e:
                reading.end(e, now_s)
            else:
                reading.taken_bytes += more_bytes
