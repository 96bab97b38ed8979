"""The last refusals of a receiver in words: what a person asks for whose spans do not arrive.

The words are those of the answer that the sender got, which never quote what was sent.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT: Final = 100
MAX_CHARS: Final = 400


@dataclass(frozen=True, slots=True)
class Refusal:
    """One request that was refused, or of which a part was."""

    at_unix_ns: int
    tenant: str
    """"" where nobody knows."""
    signal: str
    """traces, logs or feedback; "" where it is none of them."""
    reason: str
    words: str


class Refusals:
    """The last of them, over all protocols of a receiver. Used on the event loop."""

    def __init__(self, *, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._clock_ns = clock_ns
        self._held: deque[Refusal] = deque(maxlen=KEPT)

    def add(self, signal: str, reason: str, words: str, *, tenant: str = "") -> None:
        """Remember one; the oldest is forgotten for it."""
        self._held.append(Refusal(self._clock_ns(), tenant, signal, reason, words[:MAX_CHARS]))

    def latest(self) -> tuple[Refusal, ...]:
        """Return them, the latest first."""
        return tuple(reversed(self._held))
