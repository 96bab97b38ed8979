"""Time and chance of the client, as parameters: tests move them."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Clock:
    """What time it is, how to wait, and chance."""

    monotonic: Callable[[], float] = time.monotonic
    """Seconds that never go back."""
    unix: Callable[[], float] = time.time
    """Seconds since 1970, for dates that a server names."""
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
    """A number from 0 to 1, of any thread. Nothing secret is made of it."""


REAL = Clock()
"""The clock of this machine."""
