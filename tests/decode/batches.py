"""A SpanBatch as plain Python, and the same made from protobuf objects one by one: the slow reading to compare with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from schema.anyvalue import to_python

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schema.batch import AttributeTable, SpanBatch


def plain(value: Any) -> Any:
    """Make a value comparable: NaN equals itself, -0.0 differs from 0.0, True from 1."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else ("float", value, math.copysign(1, value))
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return (type(value).__name__, value)


def pairs(attributes: AttributeTable, owner: int) -> list[Any]:
    return [(attributes.keys[attributes.key[r]], plain(attributes.value(r))) for r in attributes.rows(owner)]


def pairs_of(attributes: Iterable[Any]) -> list[Any]:
    return [(kv.key, plain(to_python(kv.value))) for kv in attributes]


def describe(batch: SpanBatch) -> dict[str, Any]:
    """Return spans and log records with everything that is theirs."""
    return {"spans": [_span(batch, row) for row in range(len(batch))], "logs": _logs(batch)}


def _owned(batch: SpanBatch, table: Any, row: int) -> list[int]:
    return [i for i in range(len(table.owner)) if table.owner[i] == row]


def _span(b: SpanBatch, row: int) -> dict[str, Any]:
    resource, scope = int(b.resource[row]), int(b.scope[row])
    return {
        "ids": (b.trace_id[row].tobytes(), b.span_id[row].tobytes(), b.parent_span_id[row].tobytes()),
        "trace_state": b.trace_state[row].as_py(),
        "name": b.name[row].as_py(),
        "kind": int(b.kind[row]),
        "flags": int(b.flags[row]),
        "times": (int(b.start_unix_ns[row]), int(b.end_unix_ns[row])),
        "status": (int(b.status_code[row]), b.status_message[row].as_py()),
        "dropped": (
            int(b.dropped_attributes_count[row]),
            int(b.dropped_events_count[row]),
            int(b.dropped_links_count[row]),
        ),
        "attributes": pairs(b.attributes, row),
        "events": [
            (int(b.events.time_unix_ns[i]), b.events.name[i].as_py(), pairs(b.events.attributes, i))
            for i in _owned(b, b.events, row)
        ],
        "links": [
            (
                b.links.trace_id[i].tobytes(),
                b.links.span_id[i].tobytes(),
                b.links.trace_state[i].as_py(),
                pairs(b.links.attributes, i),
            )
            for i in _owned(b, b.links, row)
        ],
        "resource": (b.resources.schema_url[resource].as_py(), pairs(b.resources.attributes, resource)),
        "scope": (
            b.scopes.name[scope].as_py(),
            b.scopes.version[scope].as_py(),
            b.scopes.schema_url[scope].as_py(),
            pairs(b.scopes.attributes, scope),
        ),
        "origin": int(b.origin[row]),
    }


def _logs(b: SpanBatch) -> list[dict[str, Any]]:
    logs = b.logs
    return [
        {
            "ids": (logs.trace_id[row].tobytes(), logs.span_id[row].tobytes()),
            "times": (int(logs.time_unix_ns[row]), int(logs.observed_unix_ns[row])),
            "severity": (int(logs.severity_number[row]), logs.severity_text[row].as_py()),
            "event_name": logs.event_name[row].as_py(),
            "attributes": pairs(logs.attributes, row),
            "body": pairs(logs.body, row),
            "resource": pairs(b.resources.attributes, int(logs.resource[row])),
            "scope": b.scopes.name[int(logs.scope[row])].as_py(),
            "origin": int(logs.origin[row]),
        }
        for row in range(len(logs))
    ]


def expected(messages: Iterable[Any]) -> dict[str, Any]:
    """Return what `describe` must say of the batch of these requests, read object by object."""
    out: dict[str, Any] = {"spans": [], "logs": []}
    for origin, message in enumerate(messages):
        if message.DESCRIPTOR.name == "ExportTraceServiceRequest":
            for r in message.resource_spans:
                for c in r.scope_spans:
                    out["spans"] += [_expected_span(origin, r, c, s) for s in c.spans]
        else:
            for r in message.resource_logs:
                for c in r.scope_logs:
                    out["logs"] += [_expected_log(origin, r, c, record) for record in c.log_records]
    return out


def _expected_span(origin: int, r: Any, c: Any, s: Any) -> dict[str, Any]:
    return {
        "ids": (s.trace_id, s.span_id, s.parent_span_id or bytes(8)),
        "trace_state": s.trace_state,
        "name": s.name,
        "kind": s.kind,
        "flags": s.flags,
        "times": (s.start_time_unix_nano, s.end_time_unix_nano),
        "status": (s.status.code, s.status.message),
        "dropped": (s.dropped_attributes_count, s.dropped_events_count, s.dropped_links_count),
        "attributes": pairs_of(s.attributes),
        "events": [(e.time_unix_nano, e.name, pairs_of(e.attributes)) for e in s.events],
        "links": [(x.trace_id, x.span_id, x.trace_state, pairs_of(x.attributes)) for x in s.links],
        "resource": (r.schema_url, pairs_of(r.resource.attributes)),
        "scope": (c.scope.name, c.scope.version, c.schema_url, pairs_of(c.scope.attributes)),
        "origin": origin,
    }


def _expected_log(origin: int, r: Any, c: Any, x: Any) -> dict[str, Any]:
    names = [kv.value.string_value for kv in x.attributes if kv.key == "event.name"]
    return {
        "ids": (x.trace_id or bytes(16), x.span_id or bytes(8)),
        "times": (x.time_unix_nano, x.observed_time_unix_nano),
        "severity": (x.severity_number, x.severity_text),
        "event_name": x.event_name or next((n for n in names if n), ""),
        "attributes": pairs_of(x.attributes),
        "body": [("body", plain(to_python(x.body)))] if x.HasField("body") else [],
        "resource": pairs_of(r.resource.attributes),
        "scope": c.scope.name,
        "origin": origin,
    }
