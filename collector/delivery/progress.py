"""What became of the batches of one lane so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

BreakerState = Literal["closed", "open", "half_open"]


@dataclass(slots=True)
class Progress:
    """Counts since the start of the process, and what the lane waits for now."""

    batches: int = 0
    records: int = 0
    spans: int = 0
    logs: int = 0
    sampled_out_spans: int = 0
    """Not forwarded, by the processor asymmetric_sampler."""
    sampled_out_logs: int = 0
    """Log records and feedback."""
    quarantined_records: int = 0
    rejected_records: int = 0
    """Refused for good by an exporter that is not required: only counted, they are where the others store them."""
    retries: int = 0
    suspects: int = 0
    """Batches that were read in a child process first."""
    last_stored_unix_ns: int | None = None
    oldest_unix_ns: int | None = None
    """When the first request of the batch under way was received, the oldest that is not delivered; else None."""
    spans_by_tenant: dict[str, int] = field(default_factory=dict)
    """Stored."""
    quarantined_by_tenant: dict[str, int] = field(default_factory=dict)
    """Requests."""
    waiting_for: str | None = None
    """The fault that is being retried now; None when things flow."""
    breaker: BreakerState = "closed"
    """closed: flowing. open: the destination failed several times in a row. half_open: it is being tried again."""
    failures: int = 0
    """In a row."""
    stopped_by: str | None = None
    """The error that ended the lane; None while it runs."""
