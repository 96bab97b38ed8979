"""A trace as OTLP again: the JSON of one `ExportTraceServiceRequest`, which any OTLP/HTTP receiver takes.

The database keeps the value of an attribute as text (docs/schema.md). Keys that the table of dialects reads as numbers,
yes or no, or lists are sent as those where that says the same text again; every other value is sent as text, which the
table reads alike. So a trace that is sent again is understood as it was. Log records are no spans: what was told by
them alone is not here.

Source of the shape: opentelemetry-proto, `trace/v1/trace.proto`, and the OTLP specification, "JSON Protobuf Encoding":
ids in hex, 64-bit numbers as text, enums as numbers.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from evalgate.database import sql
from evalgate.errors import BadInput
from schema.anyvalue import to_text
from schema.mapping import field_rules
from schema.span import CANONICAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from evalgate.database import TenantDatabase

WIRE_KINDS: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")
"""SpanKind by number."""
STATUS_CODES: Final = ("unset", "ok", "error")
"""Status.StatusCode by number."""
INTEGER: Final = re.compile(r"-?(0|[1-9]\d{0,18})")
PLAIN_FIELDS: Final = frozenset({"total_tokens", "tool_success"})
"""Fields of the table that are no columns and hold numbers, yes or no."""


@dataclass(frozen=True, slots=True)
class Typed:
    """Keys of attributes whose values are not text."""

    plain: frozenset[str]
    """Numbers, yes or no."""
    lists: frozenset[str]
    """Lists of text."""


def typed_keys() -> Typed:
    """Return what the table of dialects reads as something else than text."""
    plain: set[str] = set()
    lists: set[str] = set()
    for rule in field_rules():
        kind = str(CANONICAL.field(rule.field).type) if rule.field in CANONICAL.names else ""
        if rule.source == "parameter" or rule.field in PLAIN_FIELDS or kind in ("int64", "double", "bool"):
            plain.update(rule.keys)
        elif kind.startswith("list"):
            lists.update(rule.keys)
    return Typed(frozenset(plain), frozenset(lists))


def trace_otlp(database: TenantDatabase, trace_id: str) -> dict[str, Any]:
    """Return the request that holds every span of a trace.

    Raises:
        BadInput: there is none.

    """
    rows = database.rows(sql(__package__, "sent_spans"), {"trace_id": trace_id, "span_id": ""})
    if not rows:
        raise BadInput(f"there is no trace {trace_id}. List them: evalgate traces")
    return request(rows, typed_keys())


def request(rows: Iterable[Mapping[str, Any]], typed: Typed) -> dict[str, Any]:
    """Return rows of `sent_spans.sql` as a request: spans of one resource and one scope stand together."""
    resources: dict[str, tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]] = {}
    for row in rows:
        which = json.dumps(row["resource_attributes"], sort_keys=True)
        if which not in resources:
            resources[which] = ({"attributes": _attributes(row["resource_attributes"], typed)}, {})
        scopes = resources[which][1]
        scope = {"name": row["scope_name"], "version": row["scope_version"]}
        if row["scope_attributes"]:
            scope["attributes"] = _attributes(row["scope_attributes"], typed)
        scopes.setdefault(json.dumps(scope, sort_keys=True), []).append(_span(row, typed))
    return {
        "resourceSpans": [
            {
                "resource": resource,
                "scopeSpans": [{"scope": json.loads(scope), "spans": spans} for scope, spans in scopes.items()],
            }
            for resource, scopes in resources.values()
        ]
    }


def _span(row: Mapping[str, Any], typed: Typed) -> dict[str, Any]:
    span: dict[str, Any] = {
        "traceId": row["trace_hex"],
        "spanId": row["span_hex"],
        "traceState": row["trace_state"],
        "parentSpanId": row["parent_hex"],
        "flags": row["flags"],
        "name": row["name"],
        "kind": WIRE_KINDS.index(row["wire_kind"]) if row["wire_kind"] in WIRE_KINDS else 0,
        "startTimeUnixNano": str(row["start_unix_ns"]),
        "endTimeUnixNano": str(row["end_unix_ns"]),
        "attributes": _attributes(row["span_attributes"], typed),
        "droppedAttributesCount": row["dropped_attributes"],
        "events": [
            {"timeUnixNano": str(at), "name": name, "attributes": _attributes(attributes, typed)}
            for at, name, attributes in zip(
                row["event_times"], row["event_names"], row["event_attributes"], strict=True
            )
        ],
        "droppedEventsCount": row["dropped_events"],
        "links": [
            {"traceId": trace, "spanId": span, "traceState": state, "attributes": _attributes(attributes, typed)}
            for trace, span, state, attributes in zip(
                row["link_traces"], row["link_spans"], row["link_states"], row["link_attributes"], strict=True
            )
        ],
        "droppedLinksCount": row["dropped_links"],
        "status": _status(row),
    }
    return {key: value for key, value in span.items() if value or key in ("traceId", "spanId", "status")}


def _status(row: Mapping[str, Any]) -> dict[str, Any]:
    code = STATUS_CODES.index(row["status_code"]) if row["status_code"] in STATUS_CODES else 0
    status = {"message": row["status_message"], "code": code}
    return {key: value for key, value in status.items() if value}


def _attributes(texts: Mapping[str, str], typed: Typed) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(key, text, typed)} for key, text in texts.items()]


def _value(key: str, text: str, typed: Typed) -> dict[str, Any]:
    """Return an AnyValue whose text in the database is this one."""
    if key in typed.plain:
        if text in ("true", "false"):
            return {"boolValue": text == "true"}
        if INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63 and text != "-0":
            return {"intValue": text}
        number = _parsed(text)
        if isinstance(number, float) and math.isfinite(number) and to_text(number) == text:
            return {"doubleValue": number}
    if key in typed.lists:
        listed = _parsed(text)
        if isinstance(listed, list) and all(isinstance(v, str) for v in listed) and to_text(listed) == text:
            return {"arrayValue": {"values": [{"stringValue": v} for v in listed]}}
    return {"stringValue": text}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
