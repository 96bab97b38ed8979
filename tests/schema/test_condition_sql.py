"""A condition says the same of a batch as of the rows that are stored of it: one meaning, told twice."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from collector.decode import decode
from collector.normalize import _record as record_of
from exporters.clickhouse.insert import insert_batch
from schema.condition import parse_condition
from schema.condition.operands import COLUMNS, Column, Kind, plain
from tests.clickhouse.otlp import NOON, SECOND, span, spans_record
from tests.settle.cut import captures, process

if TYPE_CHECKING:
    from exporters.clickhouse.connect import Database
    from schema.batch import SpanBatch

ODD = {
    "n": 3,
    "negative": -2.5,
    "long": "x" * 40,
    "exactly": "twelve chars",
    "empty": "",
    "list": ["a", 1],
    "object": {"k": 1},
    "bytes": b"\x00\xff",
    "yes": True,
    "number": "0012.50",
    "words": "12 apples",
    "big": 10**15,
    "tiny": 1e-7,
    "none": None,
    "umlaut": "Größe\nzwei",
    "nul": "a\x00b",
}
"""Attributes of every type, and texts that are nearly numbers."""
RAW = (
    *(f"span_attributes['{key}'] {c} {v}" for key in ODD for c in ("=", "<", ">=", "!=") for v in ("3", "'3'", "12.5")),
    *(f"span_attributes['{key}'] IS NULL" for key in [*ODD, "missing"]),
    *(f"length(span_attributes['{key}']) > 11" for key in ODD),
    "span_attributes['yes'] = true",
    "span_attributes['yes'] != true",
    "span_attributes['n'] IN (1, 3)",
    "span_attributes['n'] IN ('1', '3')",
    "NOT span_attributes['n'] IN (4)",
    "span_attributes['n'] NOT BETWEEN 2 AND 3",
    "span_attributes['umlaut'] ILIKE 'GRÖ_E%'",
    "span_attributes['umlaut'] LIKE '%e_zwei'",
    "span_attributes['long'] LIKE 'x%'",
    "span_attributes['nul'] LIKE 'a_b'",
    "resource_attributes['service.name'] = 'shop'",
    "service_name = 'shop'",
    "service_name IS NULL",
    "service_name != 'shop'",
    "duration_ms = 1000",
    "duration_ms = 0",
    "duration_ms BETWEEN 0.0005 AND 2500.25",
    "status_message IS NULL",
    "status_message = 'it broke'",
    "scope_name = 'lib'",
    "name LIKE 'span _'",
    "tenant = 'acme'",
    "tenant != 'acme'",
    "length(tags) = 0",
)
"""Conditions on what spans say themselves."""


FORMS = ("({0}) AND NOT ({1})", "NOT (({0}) OR ({1})) OR ({2})", "NOT (({0}) AND ({1}) AND ({2}))")


def odd_spans() -> SpanBatch:
    """Return spans of two tenants with strange attributes and times, with and without a service."""
    plain_span = span(1, 1, name="", status={"code": 2, "message": "it broke"})
    spans = [
        plain_span,
        span(1, 2, attributes=ODD),
        span(1, 3, attributes={"n": "3", "yes": "true", "long": 7}),
        span(2, 4, start=0),
        span(2, 5, end=0),
        span(2, 6, start=NOON + SECOND, end=NOON),
        span(2, 7, end=NOON + 500),
        span(2, 8, end=NOON + 2_500_250_000),
    ]
    others = [span(3, 9, attributes={"n": 2.0}), span(3, 10)]
    records = [spans_record(spans), spans_record(others, tenant="acme", resource={})]
    return process(decode([replace(r, sequence=i + 1) for i, r in enumerate(records)]))


def corpus() -> SpanBatch:
    """Return every capture, each of a tenant of its own."""
    records = []
    for number, (name, bodies) in enumerate(captures().items()):
        for body in bodies:
            record = record_of(0, body.name, body.read_bytes())
            records.append(replace(record, tenant=name, sequence=number + 1, received_unix_ns=NOON))
    return process(decode(records))


def conditions_on(batch: SpanBatch, randomness: random.Random) -> list[str]:
    """Return conditions on every column, with values that are there, near, and absent."""
    found: list[str] = []
    for name, kind in COLUMNS.items():
        column = Column(name).read(batch)
        if kind is Kind.TEXTS:
            values = sorted({v for row in column.to_pylist() for v in row or ()}) or ["x"]
            found += [f"has({name}, {quote(v)})" for v in values[:3]] + [f"length({name}) >= 1"]
            continue
        known = [v for v in (plain(column) if kind is Kind.TEXT else column).to_pylist() if v is not None]
        found.append(f"{name} IS NULL")
        if kind is Kind.FLAG:
            found += [name, f"NOT {name}", f"{name} != false"]
            continue
        picked = randomness.sample(known, min(3, len(known)))
        absent = "'x'" if kind is Kind.TEXT else "1"
        said = [quote(v[:200]) if kind is Kind.TEXT else repr(v) for v in picked] or [absent]
        found += [f"{name} {randomness.choice(('=', '!=', '<', '<=', '>', '>='))} {v}" for v in said]
        found.append(f"{name} NOT IN ({', '.join(said)})")
        if kind is Kind.TEXT:
            part = randomness.choice(picked)[1:6] if picked else "x"
            escaped = "".join("\\" + c if c in "%_\\" else c for c in part)
            found += [f"{name} LIKE {quote(f'%{escaped}%')}", f"{name} NOT ILIKE {quote(escaped.upper() + '_%')}"]
            found.append(f"length({name}) > {randomness.randrange(20)}")
    return found


def joined(parts: list[str], randomness: random.Random, count: int) -> list[str]:
    """Return conditions of several: where unknown meets AND, OR and NOT."""
    found = []
    for _ in range(count):
        a, b, c = randomness.sample(parts, 3)
        form = randomness.choice(FORMS)
        found.append(form.format(a, b, c))
    return found


def quote(text: str) -> str:
    """Return a text as a literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def stored_answers(db: Database, texts: list[str]) -> dict[tuple[str, bytes, bytes], list[bool]]:
    """Return by span what the database says to each condition."""
    answers: dict[tuple[str, bytes, bytes], list[bool]] = {}
    for first in range(0, len(texts), 50):
        columns, bound = [], {}
        for i, text in enumerate(texts[first : first + 50]):
            expression, values = parse_condition(text).sql(f"c{i}")
            columns.append(f"CAST({expression}, 'Bool') AS a{i}")
            bound.update(values)
        for row in db.rows(f"SELECT tenant, trace_id, span_id, {', '.join(columns)} FROM settled_spans", bound):
            key = (row["tenant"], row["trace_id"], row["span_id"])
            answers.setdefault(key, []).extend(row[f"a{i}"] for i in range(len(columns)))
    return answers


def masks(batch: SpanBatch, texts: list[str]) -> dict[tuple[str, bytes, bytes], list[bool]]:
    """Return by span what the batch says; of a span that came twice the first counts."""
    answers = [parse_condition(text).mask(batch) for text in texts]
    found: dict[tuple[str, bytes, bytes], list[bool]] = {}
    for row in range(len(batch)):
        tenant = batch.origins.tenant[batch.origin[row]]
        key = (tenant, batch.trace_id[row].tobytes(), batch.span_id[row].tobytes())
        found.setdefault(key, [bool(a[row]) for a in answers])
    return found


@pytest.mark.parametrize("batch_of", [odd_spans, corpus])
def test_mask_and_sql_agree(embedded_db: Database, batch_of: Any) -> None:
    batch = batch_of()
    randomness = random.Random(6)  # noqa: S311 - a choice of conditions, not a secret
    texts = [*RAW, *conditions_on(batch, randomness)]
    texts += joined(texts, randomness, 150)
    insert_batch(embedded_db, batch, "test/conditions")
    expected, found = masks(batch, texts), stored_answers(embedded_db, texts)
    assert found.keys() == expected.keys()
    wrong = {
        (text, key[0], key[2].hex(), "batch" if expected[key][i] else "database")
        for key in expected
        for i, text in enumerate(texts)
        if expected[key][i] != found[key][i]
    }
    assert not wrong
    held = [sum(answers[i] for answers in expected.values()) for i in range(len(texts))]
    assert sum(0 < h < len(expected) for h in held) > 100, "conditions that tell spans apart"
