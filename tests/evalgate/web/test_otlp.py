"""A trace as OTLP: what is sent again is understood as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from collector.decode import decode
from collector.normalize import _record as record_of
from evalgate.database import TenantDatabase
from evalgate.web.otlp import request, trace_otlp, typed_keys
from exporters.clickhouse.insert import insert_batch
from tests.clickhouse.otlp import NOON, SECOND, span, spans_record
from tests.settle.cut import captures, process

if TYPE_CHECKING:
    from collector.journal.record import Record
    from exporters.clickhouse.connect import Database

SOME = ("langfuse-python", "litellm-otel", "logfire-openai", "openinference-langchain", "otel-genai-openai", "vercel")
"""Dialects of which the first capture is sent again; vercel's has a double that is no number."""
HERE = "SELECT * EXCEPT (tenant, received_at, sequence) FROM settled_spans WHERE tenant = {tenant:String} ORDER BY ALL"


def test_every_dialect_gives_the_same_spans_when_it_is_sent_again(embedded_db: Database) -> None:
    names = [next(n for n in captures() if n.startswith(some)) for some in SOME]
    names += [n for n in captures() if n == "vercel-ai-v4/stream"]
    bodies = [(n, body) for n in names for body in captures()[n] if ".logs." not in body.name]
    sent = [record_of(i + 1, body.name, body.read_bytes()) for i, (_, body) in enumerate(bodies)]
    odd = span(
        1, 2, attributes={"n": "007", "gen_ai.usage.input_tokens": 12, "list": ["a", 1], "llm.is_streaming": True}
    )
    records = [
        *(replace(r, tenant=n, received_unix_ns=NOON) for r, (n, _) in zip(sent, bodies, strict=True)),
        replace(spans_record([span(1, 1, end=NOON + SECOND), odd], tenant="odd"), sequence=99),
    ]
    insert_batch(embedded_db, process(decode(records)), "first")
    again: list[Record] = []
    for row in embedded_db.rows("SELECT DISTINCT tenant, lower(hex(trace_id)) AS trace FROM spans"):
        body = json.dumps(trace_otlp(TenantDatabase(embedded_db, row["tenant"]), row["trace"]), allow_nan=False)
        again.append(replace(record_of(len(again) + 1, "x.json", body.encode()), tenant=f"again {row['tenant']}"))
    insert_batch(embedded_db, process(decode([replace(r, received_unix_ns=NOON) for r in again])), "second")
    tenants = {r.tenant for r in records}
    assert len(tenants) >= 7
    for tenant in tenants:
        first, second = (_rows(embedded_db, name) for name in (tenant, f"again {tenant}"))
        assert first
        assert second == first, tenant


def _rows(database: Database, tenant: str) -> list[dict[str, Any]]:
    rows = database.rows(HERE, {"tenant": tenant})
    # an object: the order of its keys is that of the attributes, which a map does not keep
    return [{**r, "request_params": json.loads(r["request_params"] or "{}")} for r in rows]


def row(**given: Any) -> dict[str, Any]:
    return {
        "trace_hex": "0a" * 16,
        "span_hex": "0b" * 8,
        "parent_hex": "",
        "trace_state": "",
        "flags": 0,
        "name": "chat",
        "wire_kind": "client",
        "start_unix_ns": 1,
        "end_unix_ns": 2,
        "status_code": "error",
        "status_message": "no",
        "dropped_attributes": 0,
        "dropped_events": 0,
        "dropped_links": 0,
        "scope_name": "lib",
        "scope_version": "",
        "scope_attributes": {},
        "resource_attributes": {"service.name": "shop"},
        "span_attributes": {},
        "event_times": [],
        "event_names": [],
        "event_attributes": [],
        "link_traces": [],
        "link_spans": [],
        "link_states": [],
        "link_attributes": [],
        **given,
    }


def values(**texts: str) -> dict[str, Any]:
    attributes = {name.replace("__", "."): text for name, text in texts.items()}
    found = request([row(span_attributes=attributes)], typed_keys())
    (span_,) = found["resourceSpans"][0]["scopeSpans"][0]["spans"]
    return {a["key"]: a["value"] for a in span_["attributes"]}


def test_a_number_is_sent_as_one_where_the_table_reads_one_and_it_says_the_same_text() -> None:
    usage = "gen_ai__usage__input_tokens"
    for text, value in {
        "12": {"intValue": "12"},
        "012": {"stringValue": "012"},
        "1.5": {"doubleValue": 1.5},
        "1.50": {"stringValue": "1.50"},
        "NaN": {"stringValue": "NaN"},
        "1e999": {"stringValue": "1e999"},
        "9" * 30: {"stringValue": "9" * 30},
        "": {"stringValue": ""},
    }.items():
        assert values(**{usage: text}) == {"gen_ai.usage.input_tokens": value}, text
    assert values(user__id="12") == {"user.id": {"stringValue": "12"}}
    reasons = values(gen_ai__response__finish_reasons='["stop"]')
    assert reasons["gen_ai.response.finish_reasons"] == {"arrayValue": {"values": [{"stringValue": "stop"}]}}


def test_spans_of_one_resource_and_scope_stand_together() -> None:
    other = {"resource_attributes": {"service.name": "bank"}}
    found = request([row(), row(scope_name="two"), row(**other), row()], typed_keys())
    counts = [[len(s["spans"]) for s in r["scopeSpans"]] for r in found["resourceSpans"]]
    assert counts == [[2, 1], [1]]
    (first, _) = found["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert (first["kind"], first["status"]) == (3, {"message": "no", "code": 2})
