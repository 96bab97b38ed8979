"""How a journal is kept, and who reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """Who reads, and how far behind it may be."""

    name: str
    """An exporter's id in the configuration."""
    max_lag_bytes: int | None = None
    """Beyond it the oldest batches are skipped for this reader; None: never, the journal fills up and refuses."""
    is_addressed: bool = True
    """Whether it gets what is addressed to it and to all; else it gets what is addressed to others, too."""


@dataclass(frozen=True, slots=True)
class JournalOptions:
    """How a journal is kept."""

    directory: Path
    max_bytes: int
    quarantine_max_bytes: int | None = None
    """Of what is set aside; beyond it the tenants that fill it are refused. None: no limit."""
    segment_bytes: int = 64 << 20
    sync: bool = True
    group_linger_s: float = 0.001
    """How long the first waiter of a group waits for company; while one group is synced, the next gathers anyway."""
    append_timeout_s: float = 10.0
    """How long a request waits for the disk before it is refused; it may be kept all the same."""
    max_pending_bytes: int = 256 << 20
    """Of bodies in memory that wait for a sync."""
    batch_bytes: int = 24 << 20
    """About 8 000 spans of 3 kB: a server took 28 µs a span in inserts of 8 MiB, 24 of 16, 20 of 32, 21 of 64
    (measured, without merges). Memory grows by about five times of it: 32 MiB took 15 to 70 MB more at the peak."""
    batch_records: int = 10_000
    batch_linger_s: float = 0.2
    """How long the first record of a batch waits for company."""
    readers: tuple[ReaderOptions, ...] = (ReaderOptions("delivery"),)
    """Who reads, at least one. One that is new begins at the oldest segment; the cursor of one that is gone goes."""
