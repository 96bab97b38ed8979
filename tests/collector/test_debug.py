"""The exporter `debug`."""

from __future__ import annotations

import asyncio
import io
import json

from collector.decode import decode
from collector.journal import Record
from collector.processors.sample import Sample
from exporters.debug import DebugExporter
from schema.policy import SamplePolicy
from schema.policy.rates import Rates
from tests.collector.conftest import logs_request, spans_request


def test_it_says_what_passes() -> None:
    records = [
        Record(1, "default", "traces", "protobuf", gzip=False, received_unix_ns=1, body=spans_request(7, name="é\n")),
        Record(2, "default", "logs", "protobuf", gzip=False, received_unix_ns=1, body=logs_request("hello")),
    ]
    batch = Sample(Rates.of(SamplePolicy(baseline_rate=1)))(decode(records))
    basic, detailed = io.StringIO(), io.StringIO()
    asyncio.run(DebugExporter("debug", "basic", basic).export(batch, "t"))
    asyncio.run(DebugExporter("debug", "detailed", detailed).export(batch, "t"))
    assert basic.getvalue() == "debug: 1 spans, 1 log records (t)\n"
    first, *lines = detailed.getvalue().splitlines()
    span, log = map(json.loads, lines)
    assert first == basic.getvalue().rstrip()
    assert (span["name"], span["span_id"], span["columns"]["baseline"]) == ("é\n", f"{7:016x}", True)
    assert log["body"] == "hello"
