"""TMP: content in temporary files after a crash.

Injected: SIGKILL at each stage between the journal and the confirmed INSERT, into an embedded database.
Holds: no file outside of the journal and the database has a word of a span: not in TMPDIR, not in the data folder, not
in the folder the collector runs in; nor is anything but the journal and the database left there.
Figure: stages, files looked into.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.faults.content import post
from tests.redact.places import value

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.harness import Collector, Launch

CANARY = "a-word-that-only-spans-have"
STAGES = (
    "journal.after_sync",
    "delivery.before_decode",
    "delivery.after_decode",
    "exporter.after_insert",
    "delivery.before_confirm",
)


def request() -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    spans = made.resource_spans.add().scope_spans.add().spans
    for number in range(1, 200):
        span = spans.add(trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name=CANARY)
        span.attributes.add(key="gen_ai.input.messages", value=value(f"{CANARY} " * 20))
    return made


def outside(collector: Collector) -> list[Path]:
    """Return all files but those that hold content by design."""
    database = collector.folder / "db"
    ours = (collector.journal, database)
    return [p for p in collector.folder.rglob("*") if p.is_file() and not any(o in p.parents for o in ours)]


@pytest.mark.parametrize("stage", STAGES)
def test_no_file_has_content_after_a_crash(
    stage: str, launch: Launch, record_property: Callable[[str, object], None]
) -> None:
    collector = launch()
    temporary = collector.folder / "tmp"
    temporary.mkdir()
    collector.start(failpoints=f"{stage}=exit@1", environment={"TMPDIR": str(temporary)})
    with pytest.raises((OSError, AssertionError)) if stage.startswith("journal") else contextlib.nullcontext():
        post(collector, "traces", request())
    assert collector.wait() == -9
    files = outside(collector)
    assert [p for p in files if CANARY.encode() in p.read_bytes()] == []
    assert [p for p in temporary.rglob("*") if p.is_file() and p.stat().st_size] == []
    held = [p for p in collector.journal.rglob("*") if p.is_file() and CANARY.encode() in p.read_bytes()]
    assert held, "the journal has it: the test would see it elsewhere, too"
    record_property("figure", f"{len(STAGES)} stages, {len(files)} files")
