"""What components count, as the status of a service says it; components of other packages need not count."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.receivers.refusals import Refusals
    from schema.component import Extension, Processor, Receiver
    from schema.errors import Limit
    from schema.policy.rates import Raised


def redactions(processor: Processor) -> Counter[str]:
    """Return how many secrets of each detector a processor masked; none of one that masks none."""
    return Counter(getattr(processor, "redactions", {}))


def rates_in_use(extension: Extension) -> list[dict[str, Any]]:
    """Return the baseline rates that an extension raised above what is set; none of one that raises none."""
    rates: Raised = getattr(extension, "baseline_rates", {})
    return [{"tenant": tenant, "rule": rule, "rate": rate} for (tenant, rule), rate in sorted(rates.items())]


def tracestate_faults(processor: Processor) -> Counter[str]:
    """Return how many spans came with a tracestate that a processor does not believe, by what is wrong with it."""
    return Counter(getattr(processor, "tracestate_faults", {}))


def limit_hits(receiver: Receiver) -> dict[str, int]:
    """Return how often each limit of a receiver was met; nothing of one that does not count."""
    hits: Mapping[Limit, int] = getattr(receiver, "limit_hits", {})
    return {limit.value: n for limit, n in hits.items()}


def last_refusals(receiver: Receiver) -> list[dict[str, Any]]:
    """Return the last refusals of a receiver in words, the latest first; none of one that keeps none."""
    refusals: Refusals | None = getattr(receiver, "refusals", None)
    return [] if refusals is None else [asdict(r) for r in refusals.latest()]


def sent_counts(receiver: Receiver) -> dict[str, dict[str, Any]]:
    """Return by signal what a receiver accepted and refused; nothing of one that does not count.

    `accepted` and `refused` are spans or log records, `refused_requests` requests by reason.
    """
    found: dict[str, dict[str, Any]] = {}
    counts: Mapping[tuple[str, str], int] = getattr(receiver, "counts", {})
    for (signal, what), n in counts.items():
        of_signal = found.setdefault(signal, {"accepted": 0, "refused": 0, "duplicate": 0, "refused_requests": {}})
        (of_signal if what in of_signal else of_signal["refused_requests"])[what] = n
    return found
