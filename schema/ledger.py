"""The ledger: what became of everything that was received, as counts per tenant and minute of receipt.

    received = stored + refused + duplicate + quarantined + purged + erased + sampled_out + expired + in the journal

Each span, log record and feedback entry is in exactly one state. What is still in the journal is in no table: the
collector's status says how much that is. A change of state is two entries, minus in the old one and plus in the new,
so that `sum(count)` is right at any time. Entries are added to the table `ledger` under a token, once.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LedgerSignal = Literal["traces", "logs", "feedback"]
"""Feedback are the log records that the collector makes of `POST /v1/feedback`; all others are `logs`."""

FEEDBACK_SCOPE: Final = "otel-evalgate.feedback"
"""Scope of the log records that a feedback request becomes."""
MINUTE_NS: Final = 60_000_000_000
MAX_REASON_CHARS: Final = 64
WORD: Final = re.compile(r"[a-z0-9][a-z0-9_.:-]*")
OTHER: Final = "other"

UNREADABLE: Final = "unreadable"
"""Quarantined: a decoder or a processor raised."""
REJECTED: Final = "rejected"
"""Quarantined: the database does not take these rows."""
CRASHED: Final = "crashed"
"""Quarantined: reading it ended the process, or took too long."""
REPLAYED: Final = "replayed"
"""Out of quarantine: appended to the journal again."""


class State(StrEnum):
    """Where something that was received ended."""

    STORED = "stored"
    REFUSED = "refused"
    """Before any acknowledgement; `reason` says why. Where it was a retryable one, the sender tries again."""
    DUPLICATE = "duplicate"
    """The same bytes again within the re-delivery window: answered like the first time, not kept twice."""
    QUARANTINED = "quarantined"
    """Acknowledged, kept, and not in the tables: it can be replayed."""
    PURGED = "purged"
    """Removed from quarantine by a person."""
    ERASED = "erased"
    """Removed by `evalgate erase`."""
    SAMPLED_OUT = "sampled_out"
    """Not forwarded by a sidecar that forwards less."""
    EXPIRED = "expired"
    """Stored once, and removed at the end of its retention."""
    LOST = "lost"
    """Acknowledged, and damaged on disk beyond reading."""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """How many of one tenant, minute and signal are in a state for a reason. Entries of the same key add up."""

    tenant: str
    minute: int
    """Minutes since 1970-01-01 UTC: of the receipt, whenever the state was reached."""
    signal: LedgerSignal
    state: State
    reason: str = ""
    """A word, never a message; "" where the state says all."""
    count: int = 0
    """Spans, log records or feedback entries; negative where they leave the state."""
    uncounted_requests: int = 0
    """Whole requests of which nobody knows how many they held."""


@runtime_checkable
class Ledger(Protocol):
    """What keeps entries: an exporter with a table for them."""

    async def book(self, entries: Sequence[Entry], token: str) -> None:
        """Return when the entries are durable. The same token is booked once.

        Raises:
            Retryable: call again with the same entries and token.
            Permanent: the table is missing or another.

        """


class Tally(Protocol):
    """Where a receiver counts what ends before the journal. Cheap, and never fails."""

    def __call__(
        self,
        tenant: str,
        signal: LedgerSignal,
        state: State,
        reason: str = "",
        *,
        count: int = 0,
        uncounted_requests: int = 0,
    ) -> None:
        """Count something that was received now."""


def no_tally(
    tenant: str,
    signal: LedgerSignal,
    state: State,
    reason: str = "",
    *,
    count: int = 0,
    uncounted_requests: int = 0,
) -> None:
    """Count nothing: a `Tally` where there is no ledger."""


class Held(Protocol):
    """What a journal record says of itself: `collector.journal.Record` is one."""

    @property
    def tenant(self) -> str:
        """Whose it is."""

    @property
    def signal(self) -> Literal["traces", "logs"]:
        """What its body holds."""

    @property
    def received_unix_ns(self) -> int:
        """When it was received."""

    @property
    def members(self) -> int:
        """How many spans or log records the body holds."""


def entries_of(records: Iterable[Held], state: State, reason: str = "") -> tuple[Entry, ...]:
    """Return the entries that put whole records into a state; a record whose members nobody counted is a request."""
    found = []
    for r in records:
        uncounted = 0 if r.members else 1
        minute = r.received_unix_ns // MINUTE_NS
        found.append(Entry(r.tenant, minute, r.signal, state, word(reason), r.members, uncounted))
    return merged(found)


def taken_back(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return the entries that undo others: booked together with new ones they move what was counted."""
    return tuple(
        Entry(e.tenant, e.minute, e.signal, e.state, e.reason, -e.count, -e.uncounted_requests) for e in entries
    )


def moved(entries: Iterable[Entry], state: State, reason: str = "") -> tuple[Entry, ...]:
    """Return the entries that move what was counted into another state, as retention does with what it removes."""
    entries = tuple(entries)
    there = (replace(e, state=state, reason=word(reason)) for e in entries)
    return merged((*taken_back(entries), *there))


def merged(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return entries with one for each key, sorted, without those that count nothing."""
    counts: Counter[tuple[str, int, LedgerSignal, State, str]] = Counter()
    requests: Counter[tuple[str, int, LedgerSignal, State, str]] = Counter()
    for e in entries:
        key = (e.tenant, e.minute, e.signal, e.state, e.reason)
        counts[key] += e.count
        requests[key] += e.uncounted_requests
    return tuple(
        Entry(*key, count=counts[key], uncounted_requests=requests[key])
        for key in sorted(counts)
        if counts[key] or requests[key]
    )


def word(reason: str) -> str:
    """Return a reason as the ledger may keep it: a short word as it is, anything else as "other".

    A message would quote content, and give the table and the metrics a row for each wording.
    """
    return reason if not reason or (len(reason) <= MAX_REASON_CHARS and WORD.fullmatch(reason)) else OTHER
