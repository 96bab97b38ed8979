"""Every capture in pieces means, once settled, what it means in one piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from collector.normalize import _record as record_of
from collector.settle import Limits, Settler
from collector.settle.compare import _alike
from schema.span import JSON_COLUMNS
from tests.settle.cut import ORDERS, arrivals, captures, expected_spans, process, requests, store, stored_spans, whole

if TYPE_CHECKING:
    from pathlib import Path

    from collector.journal.record import Record
    from exporters.clickhouse.connect import Database

OF_TRACE = ("missing_parent",)
SUMS = """
    SELECT tenant, sum(llm_calls) AS llm_calls, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
        sum(span_count) AS span_count, sum(error_count) AS error_count, sum(cost_usd) AS cost_usd,
        min(settled) AS settled
    FROM traces
    GROUP BY tenant
"""


def record(name: str, body: bytes) -> Record:
    return record_of(0, name, body)


def differs(name: str, expected: Any, found: Any) -> bool:
    if name == "defects":
        found = [d for d in found if d not in OF_TRACE]
    if name in JSON_COLUMNS and _alike(expected, found):
        return False
    return bool(expected != found)


def in_pieces(db: Database, chosen: dict[str, tuple[list[Path], str]]) -> None:
    """Store and settle captures, each in its own order."""
    records = {id_: [record(*p) for p in requests(bodies, order)] for id_, (bodies, order) in chosen.items()}
    store(db, arrivals(records))
    outcome = Settler(db, process, Limits(quiet_s=0)).settle()
    assert (outcome.not_settled, outcome.more) == (0, False)


def check(db: Database, chosen: dict[str, tuple[list[Path], str]]) -> None:
    spans, traces = stored_spans(db), {row.pop("tenant"): row for row in db.rows(SUMS)}
    for id_, (bodies, order) in chosen.items():
        expected, found = expected_spans(whole(bodies, record)), spans[id_]
        assert found.keys() == expected.keys(), (id_, order)
        wrong = {
            (name, str(value), str(found[key][name]))
            for key, columns in expected.items()
            for name, value in columns.items()
            if differs(name, value, found[key][name])
        }
        assert not wrong, (id_, order)
        assert traces[id_] == {**sums(list(expected.values())), "settled": True}, (id_, order)


def sums(spans: list[dict[str, Any]]) -> dict[str, Any]:
    counted = [s for s in spans if s["counted"]]

    def total(name: str) -> Any:
        known = [s[name] for s in counted if s[name] is not None]
        return pytest.approx(sum(known)) if known else None

    return {
        "llm_calls": len(counted),
        "input_tokens": total("input_tokens"),
        "output_tokens": total("output_tokens"),
        "span_count": len(spans),
        "error_count": sum(bool(s["error"]) for s in spans),
        "cost_usd": total("cost_usd"),
    }


@pytest.mark.thorough
def test_every_capture_in_pieces_is_settled_to_what_it_is_in_one(embedded_db: Database) -> None:
    """Every order is tried on a sixth of the captures: a tenant costs a pass 50 ms."""
    orders = list(ORDERS)
    chosen = {
        id_: (bodies, orders[number % len(orders)])
        for number, (id_, bodies) in enumerate(captures().items())
        if len(requests(bodies, "any order")) > 1
    }
    assert len(chosen) > 100
    in_pieces(embedded_db, chosen)
    check(embedded_db, chosen)


@pytest.mark.parametrize("order", ["children first", "twice, any order"])
def test_captures_in_pieces_are_settled_on_both_engines(db: Database, order: str) -> None:
    """Some captures of each way to be in pieces: content in logs, records of a call beside each other, deep trees."""
    wanted = (
        "otel-openai-v2-latest/tool",
        "strands/tool",
        "pydantic-ai/tool",
        "traceloop-sdk/tool",
        "openinference-langchain/",
    )
    chosen = {
        id_: (bodies, order)
        for id_, bodies in captures().items()
        if id_.startswith(wanted) and len(requests(bodies, order)) > 1
    }
    assert len(chosen) >= 5
    in_pieces(db, chosen)
    check(db, chosen)
