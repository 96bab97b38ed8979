"""What the collector says of itself, as metrics in Prometheus' text format, made from its status.

Names are those of the OpenTelemetry Collector where it has one (receiver and exporterhelper `documentation.md`); what
it has none for begins with `evalgate_`. Values of labels are bounded: ids of components and words of ours, and tenants,
of which the first thousand have a series each and the rest share "other". No id of a trace, and nothing a sender wrote,
is ever a label.

Source of the format: https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MAX_TENANTS: Final = 1000
OTHER: Final = "other"
MEMBERS: Final = {"traces": "spans", "logs": "log_records"}
"""How the Collector's names end, by signal."""
NS_PER_S: Final = 1_000_000_000
BREAKERS: Final = {"closed": 0, "half_open": 1, "open": 2}

SAMPLER_COUNTS: Final = {
    "early_keeps": "Traces kept before their time was over: there was no room to wait.",
    "late_failures": "Traces that failed when something of them was left out already.",
    "partial_traces": "Traces of which something was left out before they were kept.",
    "unremembered_keeps": "Traces kept early that there was no room to remember.",
}

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Family:
    """One metric: samples of the same labels add up."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: dict[Labels, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, value: float | None, **labels: str) -> None:
        """Add a sample; None is none."""
        if value is not None:
            self.samples[tuple(sorted(labels.items()))] += value


class Families:
    """Metrics by name, in the order they were first asked for."""

    def __init__(self) -> None:
        self._found: dict[str, Family] = {}

    def counter(self, name: str, text: str) -> Family:
        """Return a metric that only grows."""
        return self._found.setdefault(name, Family(name, "counter", text))

    def gauge(self, name: str, text: str) -> Family:
        """Return a metric that goes up and down."""
        return self._found.setdefault(name, Family(name, "gauge", text))

    def __iter__(self) -> Iterator[Family]:
        return iter(self._found.values())


class Tenants:
    """Which tenants have a series of their own: those that came first, so that none loses it later."""

    def __init__(self, most: int = MAX_TENANTS) -> None:
        self._most = most
        self._known: set[str] = set()

    def label(self, tenant: str) -> str:
        """Return what a tenant is called in a label."""
        if tenant not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(tenant)
        return tenant


def exposition(status: Mapping[str, Any], tenants: Tenants) -> bytes:
    """Return the metrics of a status, of one collector or of all workers together."""
    return render(families(status, tenants))


def render(found: Iterable[Family]) -> bytes:
    """Return metrics in the text format; those without a sample are left out."""
    lines = []
    for family in found:
        if not family.samples:
            continue
        lines += [f"# HELP {family.name} {_escaped(family.help, quotes=False)}", f"# TYPE {family.name} {family.kind}"]
        for labels, value in sorted(family.samples.items()):
            pairs = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels)
            lines.append(f"{family.name}{{{pairs}}} {_number(value)}" if pairs else f"{family.name} {_number(value)}")
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _escaped(text: str, *, quotes: bool = True) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def families(status: Mapping[str, Any], tenants: Tenants) -> Families:
    """Return every metric of a status; what the status does not say is left out."""
    found = Families()
    found.gauge("evalgate_ready", "1 while requests are taken.").add(float(bool(status.get("ready"))))
    found.gauge("otelcol_process_uptime", "Seconds since the start.").add(status.get("uptime_s"))
    _receivers(found, status.get("receivers", {}))
    for receiver, hits in status.get("limits", {}).items():
        for limit, n in hits.items():
            met = found.counter("evalgate_receiver_limit_hits", "How often a limit of receiving was met.")
            met.add(n, receiver=receiver, limit=str(limit))
    _journal(found, status.get("journal", {}))
    _delivery(found, status)
    _sampler(found, status.get("sampler", {}))
    for tenant, counts in status.get("tenants", {}).items():
        name = tenants.label(tenant)
        found.counter("evalgate_tenant_requests", "Requests that were journalled.").add(counts["requests"], tenant=name)
        found.counter("evalgate_tenant_bytes", "Bytes of them, as they came.").add(counts["bytes"], tenant=name)
    _ledger(found, status.get("ledger", {}), tenants)
    _retention(found, status.get("retention", {}))
    for detector, n in status.get("redactions", {}).items():
        found.counter("evalgate_redactions", "Secrets that were masked.").add(n, detector=str(detector))
    for fault, n in status.get("tracestate_faults", {}).items():
        unbelieved = found.counter("evalgate_tracestate_faults", "Spans whose tracestate is not believed.")
        unbelieved.add(n, fault=str(fault))
    return found


def _receivers(found: Families, receivers: Mapping[str, Any]) -> None:
    for receiver, of_receiver in receivers.items():
        for signal, members in MEMBERS.items():
            counts = of_receiver.get(signal)
            if counts is None:
                continue
            accepted = found.counter(f"otelcol_receiver_accepted_{members}", "Taken, and durable when it was answered.")
            accepted.add(counts.get("accepted"), receiver=receiver)
            refused = found.counter(f"otelcol_receiver_refused_{members}", "Refused of requests whose rest was taken.")
            refused.add(counts.get("refused"), receiver=receiver)
            again = found.counter(f"evalgate_receiver_duplicate_{members}", "Came again, and were answered as before.")
            again.add(counts.get("duplicate"), receiver=receiver)
            for reason, n in counts.get("refused_requests", {}).items():
                whole = found.counter("evalgate_receiver_refused_requests", "Requests that were refused as a whole.")
                whole.add(n, receiver=receiver, signal=signal, reason=str(reason))


def _journal(found: Families, journal: Mapping[str, Any]) -> None:
    found.gauge("evalgate_journal_bytes", "Bytes of records that wait for delivery.").add(journal.get("used_bytes"))
    found.gauge("evalgate_journal_max_bytes", "The most; at 80 % requests are refused.").add(journal.get("max_bytes"))
    found.gauge("evalgate_journal_backlog_requests", "Requests not delivered.").add(journal.get("backlog_records"))
    found.counter("evalgate_journal_lost_requests", "Damaged beyond reading.").add(journal.get("lost_records"))
    found.counter("evalgate_journal_damaged_bytes", "Bytes that did not verify.").add(journal.get("damaged_bytes"))
    found.gauge("evalgate_quarantine_bytes", "Bytes that are set aside.").add(journal.get("quarantine_bytes"))
    most = found.gauge("evalgate_quarantine_max_bytes", "The most; whose requests fill it is refused.")
    most.add(journal.get("quarantine_max_bytes"))
    for reader, state in journal.get("readers", {}).items():
        size = found.gauge("otelcol_exporter_queue_size", "Requests that wait for an exporter in the journal.")
        size.add(state.get("backlog_records"), exporter=reader)
        lag = found.gauge("evalgate_exporter_lag_bytes", "Bytes of them.")
        lag.add(state.get("lag_bytes"), exporter=reader)
        skipped = state.get("skipped", {})
        went = found.counter(
            "evalgate_exporter_skipped_requests", "Requests that an exporter too far behind went without."
        )
        went.add(skipped.get("records"), exporter=reader)


def _delivery(found: Families, status: Mapping[str, Any]) -> None:
    delivery = status.get("delivery", {})
    now_ns = status.get("at_unix_ns", 0)
    for exporter, state in delivery.get("exporters", {}).items():
        sent = "Durable at the destination."
        found.counter("otelcol_exporter_sent_spans", sent).add(state.get("spans"), exporter=exporter)
        found.counter("otelcol_exporter_sent_log_records", sent).add(state.get("logs"), exporter=exporter)
        failed = found.counter("evalgate_exporter_retries", "Tries that failed and were made again.")
        failed.add(state.get("retries"), exporter=exporter)
        aside = found.counter("evalgate_exporter_quarantined_requests", "Requests set aside, whole or in part.")
        aside.add(state.get("quarantined_records"), exporter=exporter)
        without = found.counter(
            "evalgate_exporter_rejected_requests", "Requests an exporter that is not required refused."
        )
        without.add(state.get("rejected_records"), exporter=exporter)
        there = found.counter(
            "evalgate_exporter_forgotten_blocks",
            "Blocks sent again that were there, and left out: their token was old.",
        )
        there.add(state.get("forgotten_blocks"), exporter=exporter)
        _sampler_of(found, exporter, state)
        breaker = found.gauge("evalgate_exporter_breaker", "0 closed, 1 half open, 2 open.")
        breaker.add(BREAKERS.get(str(state.get("breaker"))), exporter=exporter)
        oldest = state.get("oldest_unix_ns")
        age = found.gauge("evalgate_exporter_oldest_seconds", "Age of the oldest request under way; 0 without one.")
        age.add(max(0.0, (now_ns - oldest) / NS_PER_S) if oldest else 0.0, exporter=exporter)


def _sampler_of(found: Families, exporter: str, state: Mapping[str, Any]) -> None:
    """Add what a lane leaves out, where it forwards only flagged traces."""
    if "early_keeps" not in state:
        return
    out = found.counter("evalgate_exporter_sampled_out_items", "Spans and log records that were not forwarded.")
    out.add(state.get("sampled_out_spans"), exporter=exporter, signal="traces")
    out.add(state.get("sampled_out_logs"), exporter=exporter, signal="logs")
    for key, text in SAMPLER_COUNTS.items():
        found.counter(f"evalgate_exporter_{key}", text).add(state.get(key), exporter=exporter)


def _sampler(found: Families, sampler: Mapping[str, Any]) -> None:
    """Add what waits for decisions, and what of them is remembered."""
    waiting = found.gauge("evalgate_sampler_waiting_bytes", "Of the journal, what waits for its decision.")
    waiting.add(sampler.get("waiting_bytes"))
    most = found.gauge("evalgate_sampler_max_wait_bytes", "The most; beyond it the oldest is kept early.")
    most.add(sampler.get("max_wait_bytes"))
    remembered = found.gauge("evalgate_sampler_remembered_traces", "Kept traces whose decision is remembered.")
    remembered.add(sampler.get("remembered_traces"))
    full = found.gauge("evalgate_sampler_max_traces", "The most; beyond it what waits is kept early.")
    full.add(sampler.get("max_traces"))
    gone = found.counter("evalgate_sampler_forgotten_traces", "Decisions that made room for others.")
    gone.add(sampler.get("forgotten_traces"))


def _ledger(found: Families, ledger: Mapping[str, Any], tenants: Tenants) -> None:
    items = found.gauge(
        "evalgate_ledger_items",
        "Spans, log records and feedback that reached a state since the start, and did not leave it.",
    )
    uncounted = found.gauge("evalgate_ledger_uncounted_requests", "Requests of which nobody knows how many they held.")
    for tenant, signal, state, reason, counts in _nested(ledger.get("booked", {})):
        labels = {"tenant": tenants.label(tenant), "signal": signal, "state": state, "reason": reason}
        items.add(counts["count"], **labels)
        if counts["uncounted_requests"]:
            uncounted.add(counts["uncounted_requests"], **labels)
    waiting = found.gauge("evalgate_ledger_in_journal", "Acknowledged, and not delivered to the database yet.")
    for tenant, signals in ledger.get("in_journal", {}).items():
        for signal, n in signals.items():
            waiting.add(n, tenant=tenants.label(tenant), signal=str(signal))


def _retention(found: Families, retention: Mapping[str, Any]) -> None:
    removed = found.counter("evalgate_retention_expired_traces", "Traces removed at the end of their holding time.")
    removed.add(retention.get("expired_traces"))
    for signal, n in retention.get("expired", {}).items():
        rows = found.counter("evalgate_retention_expired_items", "Spans, log records and feedback removed so.")
        rows.add(n, signal=str(signal))
    failed = found.counter("evalgate_retention_failed_passes", "Passes that ended with an error; they are made again.")
    failed.add(retention.get("failed_passes"))
    last = found.gauge("evalgate_retention_last_pass_seconds", "When the last pass ended well, in seconds since 1970.")
    last.add(retention.get("last_pass_unix_ns", 0) / NS_PER_S or None)
    late = found.gauge("evalgate_retention_late_failures", "Traces of the last 30 days that failed when they had gone.")
    late.add(retention.get("late_failures"))


def _nested(booked: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, Mapping[str, int]]]:
    for tenant, signals in booked.items():
        for signal, states in signals.items():
            for state, reasons in states.items():
                for reason, counts in reasons.items():
                    yield str(tenant), str(signal), str(state), str(reason), counts
