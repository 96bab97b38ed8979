"""The components alone: a batch in, a batch or a file out. No collector runs."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from evalgate_acme.jsonl import JsonlExporter
from evalgate_acme.plain import plain_environment
from evalgate_acme.team import Team
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

from collector.decode import decode
from collector.journal.record import Record

if TYPE_CHECKING:
    from pathlib import Path

    from schema.batch import SpanBatch


@pytest.fixture
def batch() -> SpanBatch:
    """Return three spans as the collector decodes them, with the columns that processors before ours filled."""
    spans = [Span(trace_id=bytes(15) + bytes([n]), span_id=bytes(7) + bytes([n]), name=f"call {n}") for n in (1, 2, 3)]
    body = TracesData(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])]).SerializeToString()
    record = Record(0, "default", "traces", "protobuf", gzip=False, received_unix_ns=1, body=body)
    return decode([record]).with_columns(
        {
            "service_name": pa.array(["support-bot", "other", "support-bot"]),
            "feature": pa.array([None, None, "said by the app"]),
            "environment": pa.array(["Prod", None, "prod"]),
            "failing": pa.array([True, False, None]),
        }
    )


def test_the_feature_is_that_of_the_service_where_the_app_does_not_say(batch: SpanBatch) -> None:
    assert Team({"support-bot": "support"})(batch).columns["feature"].to_pylist() == [
        "support",
        None,
        "said by the app",
    ]


def test_environments_are_in_small_letters(batch: SpanBatch) -> None:
    assert plain_environment(batch).columns["environment"].to_pylist() == ["prod", None, "prod"]


def test_what_fails_is_written_once_however_often_it_is_sent(batch: SpanBatch, tmp_path: Path) -> None:
    exporter = JsonlExporter(tmp_path)
    for _ in range(2):
        asyncio.run(exporter.export(batch, "token"))
    (file,) = tmp_path.iterdir()
    assert [json.loads(line)["name"] for line in file.read_text().splitlines()] == ["call 1"]
