"""What senders say they sent: a CSV or JSON table of counts, or the metrics of an OpenTelemetry SDK or Collector.

    tenant,service,signal,minute,sent          CSV with a header, or JSON objects with these names; `sent` is needed
    acme,shop,traces,2026-11-21T08:30Z,1200

    otel_sdk_exporter_span_exported_total 1200         Prometheus text, a file or an address
    otelcol_exporter_sent_spans{exporter="otlp"} 1200

Names: https://opentelemetry.io/docs/specs/semconv/otel/sdk-metrics/ (otel.sdk.exporter.span.exported; a point with an
`error.type` counts failures) and the Collector's exporterhelper (otelcol_exporter_sent_spans, _sent_log_records). With
and without the suffix _total, as exporters of metrics write them.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evalgate.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_BYTES: Final = 64 << 20
TIMEOUT_S: Final = 10.0
FIELDS: Final = ("tenant", "service", "signal", "minute", "sent")
SIGNALS: Final = ("traces", "logs", "feedback")
METRICS: Final = {
    "otel_sdk_exporter_span_exported": "traces",
    "otel_sdk_exporter_log_exported": "logs",
    "otelcol_exporter_sent_spans": "traces",
    "otelcol_exporter_sent_log_records": "logs",
}
SUFFIX: Final = re.compile(r"(_count)?(_total)?$")
"""Older SDKs named the metric otel.sdk.exporter.span.exported.count."""
SAMPLE: Final = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?[ \t]*$")
LABEL: Final = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')
ESCAPED: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Sent:
    """What one sender says was acknowledged to it."""

    count: int
    tenant: str = ""
    """"" is the only tenant, or the one that --tenant names."""
    service: str = ""
    """"" is every service."""
    signal: str = "traces"
    minute: datetime | None = None


def read_sent(where: str) -> list[Sent]:
    """Return what a file, an address, "-" (stdin) or a JSON text says.

    Raises:
        BadInput: it cannot be read, or is none of the forms; the message names the line.

    """
    text = where if where.lstrip()[:1] in ("[", "{") else _text(where)
    return parse_sent(text, where if len(where) <= 200 else "--sent")


def parse_sent(text: str, name: str) -> list[Sent]:
    """Return what a text says, in whichever of the forms it is. Raises as `read_sent`."""
    start = text.lstrip()[:1]
    if start in ("[", "{"):
        return list(_table(_json_rows(text, name), name))
    first = next((line for line in text.splitlines() if line.strip()), "")
    if first.startswith("#") or SAMPLE.match(first):
        return _metrics(text, name)
    if "sent" not in [c.strip() for c in first.split(",")]:
        raise BadInput(f"{name}: neither JSON, nor metrics, nor a CSV whose header names {', '.join(FIELDS)}")
    rows = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    return list(_table(enumerate(rows, 2), name))


def _json_rows(text: str, name: str) -> Iterable[tuple[int, Any]]:
    try:
        document = json.loads(text)
    except ValueError as e:
        raise BadInput(f"{name}: not JSON: {e}") from None
    return enumerate(document if isinstance(document, list) else [document], 1)


def _table(rows: Iterable[tuple[int, Any]], name: str) -> Iterable[Sent]:
    for number, row in rows:
        try:
            yield _sent(row)
        except ValueError as e:
            raise BadInput(f"{name}, row {number}: {e}") from None


def _sent(row: Mapping[str | None, Any]) -> Sent:
    if not isinstance(row, dict):
        raise ValueError(f"an object with {', '.join(FIELDS)} was expected")  # noqa: TRY004 - all are bad input
    given = {k: v for k, v in row.items() if v not in (None, "")}
    if unknown := sorted(str(k) for k in given.keys() - set(FIELDS)):
        raise ValueError(f"unknown column {unknown[0][:60]!r}; known are {', '.join(FIELDS)}")
    try:
        count = int(given["sent"])
    except (KeyError, TypeError, ValueError):
        raise ValueError("sent must be a whole number") from None
    signal = str(given.get("signal", "traces"))
    if count < 0 or signal not in SIGNALS:
        raise ValueError(f"sent is at least 0 and signal one of {', '.join(SIGNALS)}")
    minute = given.get("minute")
    return Sent(
        count,
        str(given.get("tenant", "")),
        str(given.get("service", "")),
        signal,
        None if minute is None else _minute(str(minute)),
    )


def _minute(text: str) -> datetime:
    try:
        found = datetime.fromtimestamp(int(text), UTC) if text.isdecimal() else datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text[:40]!r} is no time; write 2026-11-21T08:30Z, or seconds since 1970") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _metrics(text: str, name: str) -> list[Sent]:
    sums: dict[tuple[str, str, str], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = SAMPLE.match(stripped)
        if match is None:
            raise BadInput(f"{name}, line {number}: not a sample of the Prometheus text format")
        signal = METRICS.get(SUFFIX.sub("", match[1]))
        labels = {k: ESCAPED.sub(r"\1", v) for k, v in LABEL.findall(match[2] or "")}
        if signal is None or labels.get("error_type"):
            continue
        service = labels.get("service_name", "")
        try:
            key = (labels.get("tenant", ""), service, signal)
            sums[key] = sums.get(key, 0) + int(float(match[3]))
        except (ValueError, OverflowError):
            raise BadInput(f"{name}, line {number}: {match[3][:40]!r} is no count") from None
    if not sums:
        raise BadInput(f"{name}: none of the metrics that say what was sent: {', '.join(METRICS)}")
    return [Sent(n, *key) for key, n in sums.items()]


def _text(where: str) -> str:
    try:
        if where == "-":
            return sys.stdin.read(MAX_BYTES)
        if where.startswith(("http://", "https://")):
            with urllib.request.urlopen(where, timeout=TIMEOUT_S) as answer:  # noqa: S310 - its scheme was looked at
                found: bytes = answer.read(MAX_BYTES)
                return found.decode("utf-8", "replace")
        return Path(where).read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{where} is not UTF-8") from None
    except (OSError, ValueError) as e:
        raise BadInput(f"{where} cannot be read: {getattr(e, 'strerror', None) or getattr(e, 'reason', e)}") from None
