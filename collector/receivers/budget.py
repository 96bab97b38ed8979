"""Bytes of requests in memory at once: as they come, inflated, and as what JSON becomes while it is read."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from schema.errors import Limit, Reason, Refused

if TYPE_CHECKING:
    from types import TracebackType


class Budget:
    """What all requests of a receiver take together, over all transports. Any thread may call."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._taken_bytes = 0
        self._lock = threading.Lock()

    @property
    def taken_bytes(self) -> int:
        """Bytes in use now."""
        return self._taken_bytes

    def take(self, n_bytes: int) -> None:
        """Count bytes in; every success must be matched by `give`.

        Raises:
            Refused: UNAVAILABLE when that would be too many; nothing was counted.

        """
        with self._lock:
            taken_bytes = self._taken_bytes
            if taken_bytes + n_bytes <= self.limit_bytes:
                self._taken_bytes += n_bytes
                return
        raise Refused(
            Reason.UNAVAILABLE,
            f"{taken_bytes} bytes of requests are in flight; the limit is {self.limit_bytes}; try again",
            retry_after_s=1.0,
            limit=Limit.IN_FLIGHT,
        )

    def give(self, n_bytes: int) -> None:
        """Count bytes out."""
        with self._lock:
            self._taken_bytes -= n_bytes


class Hold:
    """What one request takes beside its body, for as long as it is read: given back at the end of the block."""

    def __init__(self, budget: Budget, body_bytes: int) -> None:
        """`body_bytes` are counted already, by whoever read the body."""
        self._budget = budget
        self._body_bytes = body_bytes
        self._taken_bytes = 0

    def take(self, n_bytes: int) -> None:
        """Take so much more.

        Raises:
            Refused: UNAVAILABLE while others have it; TOO_LARGE where this request alone needs more than there is.

        """
        if (needed := self._body_bytes + self._taken_bytes + n_bytes) > self._budget.limit_bytes:
            raise Refused(
                Reason.TOO_LARGE,
                f"reading the request takes {needed} bytes; the limit of all is "
                f"{self._budget.limit_bytes}; send smaller batches",
                limit=Limit.IN_FLIGHT,
            )
        self._budget.take(n_bytes)
        self._taken_bytes += n_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give everything back."""
        taken_bytes, self._taken_bytes = self._taken_bytes, 0
        self._budget.give(taken_bytes)
