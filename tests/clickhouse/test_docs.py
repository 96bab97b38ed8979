from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from exporters.clickhouse.insert import insert_batch
from tests.clickhouse.otlp import batch_of, logs_record, span, spans_record, with_feedback

if TYPE_CHECKING:
    from exporters.clickhouse.connect import Database

PAGE = (Path(__file__).parents[2] / "docs" / "schema.md").read_text("utf-8")
QUERIES = re.findall(r"```sql\n(.+?)```", PAGE, re.DOTALL)
WORKFLOW = {
    "annotations_latest",
    "cases",
    "issues",
    "issue_events",
    "queued_traces",
    "mode_changes",
    "span_revisions",
    "held_traces",
    "retention_log",
    "retention_counts",
}


@pytest.fixture
def filled(db: Database) -> Database:
    batch = batch_of(
        spans_record([span(1, 1), span(1, 2, parent=1), span(2, 3)]),
        logs_record([LogRecord(event_name="e")]),
        columns={
            "counted": [False, True, True],
            "span_kind": ["agent", "tool", "llm"],
            "request_model": [None, None, "m"],
            "input_tokens": [None, None, 5],
            "failing": [True, False, False],
            "failure_reasons": [["error"], [], []],
            "baseline": [True, True, True],
            "baseline_rate": [0.1, 0.1, 0.1],
        },
    )
    insert_batch(db, with_feedback(batch, {"trace_id": f"{1:032x}"}), "t1")
    db.insert_rows("sampling_policies", [{"version": "0123456789ab", "body": "{}"}])
    figures = {"rate": 0.5, "set_rate": 0.1, "target_per_day": 50.0, "traces": 90, "sampled_traces": 9}
    db.insert_rows("baseline_rates", [{"tenant": "default", "rule": "", **figures}])
    return db


def test_the_page_has_queries() -> None:
    assert len(QUERIES) >= 10


def test_every_query_of_the_page_runs_and_finds_rows(filled: Database) -> None:
    for sql in QUERIES:
        assert filled.rows(sql) or any(name in sql for name in WORKFLOW), sql


def test_the_page_names_every_table_and_view(db: Database) -> None:
    inner = {"migrations", "insert_splits", "trace_parts"} | {
        f"trace_parts_from_{x}" for x in ("spans", "events", "feedback", "settlements")
    }
    tables = {r["name"] for r in db.rows("SELECT name FROM system.tables WHERE database = currentDatabase()")}
    headings = {name for line in re.findall(r"^## (.+)$", PAGE, re.MULTILINE) for name in line.split(", ")}
    assert tables - inner == headings


def test_the_weighted_rate_of_the_page_is_that_of_all_traces(db: Database) -> None:
    """Of 1000 traces 50 fail; the sample of the rest is every tenth: weights must bring back 1000 and 5 %."""
    numbers = range(1, 1001)
    columns: dict[str, list[Any]] = {
        "failing": [n <= 50 for n in numbers],
        "baseline": [n % 10 == 0 for n in numbers],
        "baseline_rate": [0.1] * 1000,
        "feature": ["f"] * 1000,
    }
    batch = batch_of(spans_record([span(n, 1) for n in numbers]), columns=columns)
    insert_batch(db, batch, "t1")
    [sql] = [q for q in QUERIES if "failing_rate" in q]
    [row] = db.rows(sql)
    assert row["traces"] == pytest.approx(1000)
    assert row["failing_rate"] == pytest.approx(0.05)
