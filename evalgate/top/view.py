"""What `evalgate top` shows: two statuses, a moment apart, as figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evalgate.top.status import Status

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant. Rates are None until there are two statuses."""

    name: str
    stored_spans_per_s: float | None
    stored_spans: int
    requests_per_s: float | None
    requests: int
    bytes: int
    refused_requests: int
    quarantined_records: int


@dataclass(frozen=True, slots=True)
class View:
    """The collector at one moment. Counts are since it started, but for those of the journal, which outlives it."""

    url: str
    state: str
    uptime_s: float
    received_spans_per_s: float | None
    received_logs_per_s: float | None
    stored_spans_per_s: float | None
    stored_logs_per_s: float | None
    received_spans: int
    stored_spans: int
    oldest_s: float | None
    """Age of the oldest request that is not delivered; None without any, while a batch gathers, and until the database
    could be reached for the first time."""
    queue_records: int
    queue_bytes: int
    queue_max_bytes: int
    refused_items: int
    """Spans and log records that acknowledged requests held and that were not kept (partial success)."""
    refused_requests: Mapping[str, int]
    """By reason."""
    quarantined_records: int
    lost_records: int
    retries: int
    waiting_for: str | None
    sampled_out_spans: int
    """Not forwarded by a sidecar that forwards flagged traces alone; with the next four, 0 elsewhere."""
    early_keeps: int
    late_failures: int
    partial_traces: int
    decision_wait_bytes: int
    """Of the journal, what waits for its decision."""
    raised_rates: int
    """Tenants and rules of which more is sampled than is set, to reach a target."""
    unbelieved_spans: Mapping[str, int]
    """Whose tracestate says of sampling what cannot be, by what is wrong."""
    kernels_ready: bool
    """Until then large batches wait and small ones are slow."""
    tenants: tuple[Tenant, ...]
    workers: tuple[Mapping[str, Any], ...] = ()
    endpoints: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing ever came."""
        return not (self.received_spans or self.stored_spans or self.queue_records or self.refused_requests)


def view(url: str, now: Status, before: Status | None) -> View:
    """Return the figures of one status; with one before it, of the same process, rates too."""
    seconds = _seconds(now, before)
    delivery, journal = now.get("delivery", {}), now["journal"]
    was = (before or {}).get("delivery", {})

    def rate(value: int, earlier: int | None) -> float | None:
        return None if not seconds or earlier is None else max(0.0, (value - earlier) / seconds)

    received = {signal: _sum(now, signal, "accepted") for signal in ("traces", "logs")}
    earlier = {signal: _sum(before, signal, "accepted") if before else None for signal in ("traces", "logs")}
    oldest = delivery.get("oldest_unix_ns")
    return View(
        url=url,
        state=str(now.get("state", "")),
        uptime_s=float(now.get("uptime_s", 0)),
        received_spans_per_s=rate(received["traces"], earlier["traces"]),
        received_logs_per_s=rate(received["logs"], earlier["logs"]),
        stored_spans_per_s=rate(delivery.get("spans", 0), was.get("spans")),
        stored_logs_per_s=rate(delivery.get("logs", 0), was.get("logs")),
        received_spans=received["traces"],
        stored_spans=delivery.get("spans", 0),
        oldest_s=max(0.0, (now.get("at_unix_ns", oldest) - oldest) / NS_PER_S) if oldest else None,
        queue_records=journal.get("backlog_records", 0),
        queue_bytes=journal.get("used_bytes", 0),
        queue_max_bytes=journal.get("max_bytes", 0),
        refused_items=sum(_sum(now, signal, "refused") for signal in ("traces", "logs")),
        refused_requests=_reasons(now),
        quarantined_records=delivery.get("quarantined_records", 0),
        lost_records=journal.get("lost_records", 0),
        retries=delivery.get("retries", 0),
        waiting_for=delivery.get("waiting_for"),
        sampled_out_spans=delivery.get("sampled_out_spans", 0),
        early_keeps=_most(delivery, "early_keeps"),
        late_failures=_most(delivery, "late_failures"),
        partial_traces=_most(delivery, "partial_traces"),
        decision_wait_bytes=now.get("sampler", {}).get("waiting_bytes", 0),
        raised_rates=len(now.get("baseline_rates", ())),
        unbelieved_spans=now.get("tracestate_faults", {}),
        kernels_ready=bool(now.get("kernels_ready", True)),
        tenants=_tenants(now, before, seconds),
        workers=tuple(now.get("workers", ())),
        endpoints=now.get("endpoints", {}),
    )


def _most(delivery: Mapping[str, Any], count: str) -> int:
    """Return a count of the exporter that has the highest: each sees all traces."""
    return max((e.get(count, 0) for e in delivery.get("exporters", {}).values()), default=0)


def _seconds(now: Status, before: Status | None) -> float:
    """Return the seconds between two statuses; 0 when there are no two of one process."""
    if before is None or now.get("uptime_s", 0) < before.get("uptime_s", 0):
        return 0.0
    return float((now.get("at_unix_ns", 0) - before.get("at_unix_ns", 0)) / NS_PER_S)


def _sum(status: Status, signal: str, what: str) -> int:
    return sum(r.get(signal, {}).get(what, 0) for r in status.get("receivers", {}).values())


def _reasons(status: Status) -> dict[str, int]:
    found: dict[str, int] = {}
    for receiver in status.get("receivers", {}).values():
        for counts in receiver.values():
            for reason, n in counts.get("refused_requests", {}).items():
                found[reason] = found.get(reason, 0) + n
    return dict(sorted(found.items()))


def _tenants(now: Status, before: Status | None, seconds: float) -> tuple[Tenant, ...]:
    """Return every tenant, those that store most at the top."""
    sent, stored = now.get("tenants", {}), now.get("delivery", {}).get("spans_by_tenant", {})
    aside = now.get("delivery", {}).get("quarantined_by_tenant", {})
    sent_before = (before or {}).get("tenants", {})
    stored_before = (before or {}).get("delivery", {}).get("spans_by_tenant", {})

    def rate(value: int, earlier: int) -> float | None:
        return max(0.0, (value - earlier) / seconds) if seconds else None

    rows = []
    for name in sent.keys() | stored.keys() | aside.keys():
        counts = sent.get(name, {})
        requests, spans = counts.get("requests", 0), stored.get(name, 0)
        rows.append(
            Tenant(
                name,
                rate(spans, stored_before.get(name, 0)),
                spans,
                rate(requests, sent_before.get(name, {}).get("requests", 0)),
                requests,
                counts.get("bytes", 0),
                counts.get("refused_requests", 0),
                aside.get(name, 0),
            )
        )
    return tuple(sorted(rows, key=lambda t: (-(t.stored_spans_per_s or 0.0), -t.stored_spans, t.name)))
