"""The figures of a view as lines and a table, for a terminal, a pipe, and programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from evalgate.terminal import clean, count_of, one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

    from evalgate.top.view import View

UNITS = ("B", "kB", "MB", "GB", "TB")
MAX_TENANTS = 30
LATE_S = 10.0
"""An undelivered request of this age is worth a colour."""
HEADER = ("TENANT", "SPANS/S", "STORED", "REQUESTS/S", "REQUESTS", "SENT", "REFUSED", "QUARANTINED")
LINE = ("RECEIVED/S", "STORED/S", "WAITING", "OLDEST", "JOURNAL", "REFUSED", "QUARANTINED")

Line = tuple[str, str, str]
"""Label, text, style."""


def document(view: View) -> dict[str, Any]:
    """Return the view as JSON."""
    found = asdict(view)
    del found["endpoints"]
    return found


def lines(view: View) -> list[Line]:
    """Return what stands above the tenants."""
    title = f"{view.state}, up {_duration(view.uptime_s)}, {view.url}"
    refused = [f"{n} requests {reason}" for reason, n in view.refused_requests.items()]
    refused += [f"{count_of(view.refused_items, 'span or log record')} of accepted requests"] * bool(view.refused_items)
    found: list[Line] = [
        ("collector", title, "bold" if view.state == "running" else "bold yellow"),
        ("received", f"{_rate(view.received_spans_per_s)} spans/s, {_rate(view.received_logs_per_s)} logs/s", ""),
        ("stored", f"{_rate(view.stored_spans_per_s)} spans/s, {_rate(view.stored_logs_per_s)} logs/s", ""),
        ("lag", _lag(view), "yellow" if (view.oldest_s or 0.0) > LATE_S else ""),
        ("journal", f"{size(view.queue_bytes)} of {size(view.queue_max_bytes)}", ""),
        ("refused", ", ".join(refused) or "nothing", "yellow" if refused else ""),
        ("quarantine", _set_aside(view), "red" if view.quarantined_records or view.lost_records else ""),
    ]
    if view.sampled_out_spans or view.decision_wait_bytes:
        found.insert(-2, ("left out", _left_out(view), "yellow" if view.early_keeps or view.partial_traces else ""))
    if sampling := _sampling(view):
        found.insert(-2, ("sampling", sampling, "yellow" if view.unbelieved_spans else ""))
    if not view.kernels_ready:
        said = "its code is still being loaded or compiled: what comes is kept, and stored a little later"
        found.append(("starting", said, "yellow"))
    if view.waiting_for:
        found.append(("waits for", one_line(view.waiting_for, 300), "red"))
    found += [
        (f"worker {w['number']}", f"{w['state']}, {count_of(w['starts'], 'start')}, {_waiting(w)}", "")
        for w in view.workers
    ]
    if view.is_empty:
        found.append(("", f"Nothing has come yet. Point an app here: {_addresses(view)}", "cyan"))
    return found


def rows(view: View) -> list[tuple[str, ...]]:
    """Return a row for each tenant, with HEADER."""
    found: list[tuple[str, ...]] = [
        (
            *(one_line(t.name, 60), _rate(t.stored_spans_per_s), str(t.stored_spans), _rate(t.requests_per_s)),
            *(str(t.requests), size(t.bytes), str(t.refused_requests), str(t.quarantined_records)),
        )
        for t in view.tenants[:MAX_TENANTS]
    ]
    left = len(view.tenants) - MAX_TENANTS
    return [*found, (f"… and {left} more", *[""] * (len(HEADER) - 1))] if left > 0 else found


def short(view: View) -> tuple[str, ...]:
    """Return one row of a running list, with LINE."""
    refused = view.refused_items + sum(view.refused_requests.values())
    return (
        *(_rate(view.received_spans_per_s), _rate(view.stored_spans_per_s), str(view.queue_records)),
        *(
            "-" if view.oldest_s is None else f"{view.oldest_s:.1f}s",
            size(view.queue_bytes),
            str(refused),
            str(view.quarantined_records),
        ),
    )


def picture(view: View, trouble: str = "") -> RenderableType:
    """Return the view for a terminal; `trouble` says why it may be old."""
    from rich.console import Group  # noqa: PLC0415 - rich costs 0.1 s and is needed on terminals only
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    above = Table.grid(padding=(0, 2))
    for label, text, style in lines(view):
        above.add_row(Text(label, "dim"), Text(clean(text), style))
    tenants = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for i, name in enumerate(HEADER):
        tenants.add_column(name, justify="right" if i else "left")
    for row in rows(view):
        tenants.add_row(*(Text(cell) for cell in row))
    parts: list[RenderableType] = [above, Text("")]
    if view.tenants:
        parts.append(tenants)
    if trouble:
        parts.insert(0, Text(clean(trouble), "bold red"))
    return Group(*parts)


def size(n_bytes: float) -> str:
    """Return bytes as people read them: 1.2 MB."""
    value = float(n_bytes)
    for unit in UNITS:
        if value < 1000 or unit == UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def _lag(view: View) -> str:
    if not view.queue_records:
        return "nothing waits"
    age = "" if view.oldest_s is None else f", the oldest for {view.oldest_s:.1f} s"
    return f"{count_of(view.queue_records, 'request')} waiting{age}"


def _left_out(view: View) -> str:
    parts = [f"{count_of(view.sampled_out_spans, 'span')} of traces that are not flagged"]
    if view.decision_wait_bytes:
        parts.append(f"{size(view.decision_wait_bytes)} wait for a decision")
    if view.early_keeps:
        parts.append(f"{count_of(view.early_keeps, 'trace')} kept early")
    if view.partial_traces:
        parts.append(f"{count_of(view.partial_traces, 'trace')} kept in part ({view.late_failures} failed late)")
    return ", ".join(parts)


def _sampling(view: View) -> str:
    parts = [
        f"{count_of(n, 'span')} with a tracestate that is {fault.replace('_', ' ')}"
        for fault, n in view.unbelieved_spans.items()
    ]
    if view.raised_rates:
        parts.insert(0, f"{count_of(view.raised_rates, 'rate')} above what is set (evalgate sample rates)")
    return ", ".join(parts)


def _set_aside(view: View) -> str:
    lost = f", {count_of(view.lost_records, 'request')} lost" if view.lost_records else ""
    return f"{count_of(view.quarantined_records, 'request')}{lost}" if view.quarantined_records or lost else "nothing"


def _waiting(worker: Any) -> str:
    n = worker.get("backlog_records")
    return "" if n is None else f"{count_of(n, 'request')} waiting"


def _rate(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def _duration(seconds: float) -> str:
    whole = int(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    return f"{days}d {hours}h" if days else f"{hours}h {minutes}m" if hours else f"{minutes}m {whole % 60}s"


def _addresses(view: View) -> str:
    found = [f"http://{e['http']}" for e in view.endpoints.values() if isinstance(e, dict) and "http" in e]
    return ", ".join(f"OTEL_EXPORTER_OTLP_ENDPOINT={address}" for address in found) or "its OTLP receiver"
