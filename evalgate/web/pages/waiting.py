"""What arrives, what is refused and why, and how to point an app here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from evalgate.database import sql
from evalgate.ledger.account import Range, states, waiting
from evalgate.web.site import Page, is_htmx

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from evalgate.database import TenantDatabase
    from evalgate.ledger.account import Line
    from evalgate.web.site import Site, Visitor

WINDOWS: Final = {"15m": timedelta(minutes=15), "1h": timedelta(hours=1), "24h": timedelta(days=1)}
DEFAULT: Final = "15m"
MAX_REFUSALS: Final = 30
CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
GONE: Final = ("refused", "quarantined", "lost")
"""States of the ledger in which something is missing from the tables."""
ADVICE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bad_data": "The body is not OTLP as its Content-Type says. Check OTEL_EXPORTER_OTLP_PROTOCOL: http/protobuf "
        "goes to the HTTP port, grpc to the gRPC port.",
        "too_large": "One request is larger than the receiver takes: let the exporter send smaller batches "
        "(OTEL_BSP_MAX_EXPORT_BATCH_SIZE), or raise the limit (docs/otlp.md, Limits).",
        "unavailable": "The collector could not keep it just then, and senders try again by themselves. If it stays "
        "so, look at the disk and at evalgate top.",
        "rate_limited": "The sender is over its rate, and tries again. tenants.max_bytes_per_s sets it.",
        "unauthenticated": "No key, or one that is not valid: OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20eg_…",
        "forbidden": "The key may not send: it needs the scope ingest (evalgate keys create --scope ingest).",
        "unsupported_media_type": "Send Content-Type application/x-protobuf or application/json, and no compression "
        "but gzip.",
        "invalid_id": "Spans whose trace id or span id is missing or all zeros cannot be stored. The rest of their "
        "request was.",
        "unreadable": "It was acknowledged and could not be decoded: it is kept. See: evalgate quarantine list",
        "rejected": "The database does not take these rows; they are kept. See: evalgate quarantine list",
        "crashed": "Reading it ended a process; it is kept aside. See: evalgate quarantine list",
        "404": "There is nothing at this path. Traces go to /v1/traces, logs to /v1/logs: give the SDK the address "
        "without a path, in OTEL_EXPORTER_OTLP_ENDPOINT.",
        "405": "OTLP is sent by POST.",
    }
)


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that was received and is not in the tables."""

    signal: str
    state: str
    reason: str
    count: int
    uncounted_requests: int
    advice: str


async def intake(site: Site, request: Request) -> Response:
    """Say how to send spans here, what came, and what did not get through."""
    asked = request.query_params.get("since", DEFAULT)
    window = asked if asked in WINDOWS else DEFAULT
    now, status, visitor = datetime.now(UTC), site.status(), site.visitor(request)
    since = now - WINDOWS[window]

    def read(database: TenantDatabase) -> tuple[list[dict[str, Any]], list[Line]]:
        came = database.rows(sql("evalgate.web", "arrivals"), {"from_s": int(since.timestamp())})
        lines = states(database.opened, Range(database.tenant, since, now))
        return came, [*lines, *waiting(status, database.tenant)]

    came, lines = await site.read(request, read)
    values = {
        "came": came,
        "lines": lines,
        "missing": [_missing(line) for line in lines if line.state in GONE],
        "refusals": _refusals(status, visitor, asks_for_keys=site.gate.asks_for_keys),
        "advice": ADVICE,
        "window": window,
        "windows": WINDOWS,
        "endpoints": _otlp(status),
        "asks_for_keys_to_send": _asks(status),
        "capture": CAPTURE,
        "state": status.get("state", ""),
        "journal": status.get("journal", {}),
    }
    return site.page(request, "waiting/live.html" if is_htmx(request) else "waiting/waiting.html", values)


def _missing(line: Line) -> Missing:
    advice = ADVICE.get(line.reason, "")
    return Missing(line.signal, line.state, line.reason, line.count, line.uncounted_requests, advice)


def _refusals(status: Mapping[str, Any], visitor: Visitor, *, asks_for_keys: bool) -> list[dict[str, Any]]:
    """Return the last refusals that a visitor may see: where keys are asked for, those of his tenant."""
    found = [r for of_receiver in status.get("refusals", {}).values() for r in of_receiver]
    if asks_for_keys and not visitor.is_admin:
        found = [r for r in found if r["tenant"] == visitor.tenant]
    return sorted(found, key=lambda r: -r["at_unix_ns"])[:MAX_REFUSALS]


def _otlp(status: Mapping[str, Any]) -> dict[str, str]:
    """Return where OTLP is taken, by protocol: of the first receiver."""
    for value in status.get("endpoints", {}).values():
        if isinstance(value, dict) and ("http" in value or "grpc" in value):
            return dict(value)
    return {}


def _asks(status: Mapping[str, Any]) -> bool:
    """Tell whether senders were refused for want of a key."""
    return any(r["reason"] == "unauthenticated" for rs in status.get("refusals", {}).values() for r in rs)


PAGES: Final[tuple[Page, ...]] = (Page("/waiting", intake, "waiting"),)
