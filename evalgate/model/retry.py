"""What is tried again, and when.

Tried again: no connection, no answer in time, 408, 409, 429, 5xx and answers that cannot be read. Not tried again:
whatever the endpoint says of the request itself (4xx), a quota that is used up, a request it holds for unsafe.
`Retry-After` (seconds or a date) and `retry-after-ms` are obeyed; without them the wait doubles from `base_s` to
`cap_s`, a random half of it taken off, so that threads that failed together do not come back together.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

RETRIED_STATUSES = frozenset({408, 409, 429})
NEVER_STATUSES = frozenset({501, 505})
"""5xx that say of the request that it will never be served."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long."""

    attempts: int = 5
    base_s: float = 0.5
    cap_s: float = 20.0

    def wait_s(self, failed: int, asked_s: float | None, chance: float) -> float:
        """Return the wait after so many failed attempts; `asked_s` is what the endpoint asks for, `chance` 0 to 1."""
        if asked_s is not None:
            return asked_s
        longest = min(self.cap_s, self.base_s * 2.0 ** min(failed - 1, 30))
        return longest * (1.0 - chance / 2.0)


def is_retried(status: int) -> bool:
    """Return whether an answer of this status is worth another attempt."""
    return status in RETRIED_STATUSES or (status >= 500 and status not in NEVER_STATUSES)


def asked_wait_s(headers: Mapping[str, str], unix_now: float) -> float | None:
    """Return how long the endpoint asks us to wait, None where it does not say."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if (text := headers.get(name)) is None:
            continue
        try:
            seconds = float(text) * unit_s
        except ValueError:
            seconds = _seconds_until(text, unix_now)
        if 0 <= seconds < float("inf"):
            return seconds
    return None


def _seconds_until(date: str, unix_now: float) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return -1.0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - unix_now)
