"""What was read a moment ago, kept for as long as nobody would see a difference."""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")

KEPT_S: Final = 60.0
TIMES: Final = 60
"""What took long is kept for so many times as long: reading it takes a sixtieth of the time at most."""
MOST: Final = 64


class Remembered(Generic[T]):
    """Values by key, each for a while, the latest so many. Threads may share it; two may both make a missing value."""

    def __init__(
        self, *, kept_s: float = KEPT_S, most: int = MOST, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._kept_s = kept_s
        self._most = most
        self._clock_s = clock_s
        self._values: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of a key, made anew where it is missing or old."""
        now_s = self._clock_s()
        with self._lock:
            known = self._values.get(key)
            if known is not None and now_s < known[0]:
                return known[1]
        value = make()
        done_s = self._clock_s()
        with self._lock:
            self._values[key] = (done_s + max(self._kept_s, TIMES * (done_s - now_s)), value)
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        return value
