"""What a reader of the journal hands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.journal.record import Record


@dataclass(frozen=True, slots=True)
class Position:
    """Where the record of a sequence lies, or will lie; offset 0 is the first record of the segment."""

    sequence: int
    segment: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one UTC date of receipt that are delivered together, once."""

    records: Sequence[Record]
    token: str
    """The same for the same cut of the same records, on every replay and for every reader that cuts so."""
    end: Position
    """Behind the last record."""
    attempt: int = 1
    """How many times this batch was handed out, with this one: more than 1 where the process ended before it was
    confirmed, or where it was asked for again. A clean stop does not count."""

    @property
    def received_unix_ns(self) -> int:
        """When the first record was received."""
        return self.records[0].received_unix_ns
