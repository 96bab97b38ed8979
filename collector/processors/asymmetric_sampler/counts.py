"""What the sampler of one lane did, and what it could not do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class SamplerCounts:
    """Since the start of the process."""

    early_keeps: int = 0
    """Traces that were kept before their time was over, because there was no room to wait."""
    late_failures: int = 0
    """Traces that failed, or were found to fail, when something of them had been left out already."""
    partial_traces: int = 0
    """Traces of which something was left out before they were kept, for whatever reason: late failures among them."""
    unremembered_keeps: int = 0
    """Traces kept early that there was no room to remember: what comes of them later is decided anew."""
