"""I8: ids and trees as nobody should send them.

Injected: a span that is its own parent, a cycle of three, five roots in a trace, one span id twice with different
content; each in one request, and again in pieces.
Holds: all are stored; cycles are flagged; a span is read once; lists, trees, selection and settlement end as ever.
Figure: spans, of which how many are flagged.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.faults.content import await_rows, evalgate, post
from tests.faults.harness import until
from tests.redact.places import value

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Launch

SPANS = [
    (1, 1, 1, "its own parent"), (1, 2, 1, "below it"),
    (2, 1, 3, "cycle"), (2, 2, 1, "cycle"), (2, 3, 2, "cycle"), (2, 4, 2, "below the cycle"),
    *((3, i, 0, f"root {i}") for i in range(1, 6)),
    (4, 1, 0, "root"), (4, 2, 1, "said one way"), (4, 2, 1, "said another way"),
]  # fmt: skip
"""Trace, span, parent, name."""
CYCLES = {"its own parent", "cycle"}


def request(spans: list[tuple[int, int, int, str]]) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    scope = made.resource_spans.add().scope_spans.add()
    for trace, number, parent, name in spans:
        span = scope.spans.add(trace_id=trace.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name=name)
        span.parent_span_id = parent.to_bytes(8, "big") if parent else b""
        span.start_time_unix_nano, span.end_time_unix_nano = 10**18 + number, 10**18 + 10**9
        span.attributes.add(key="gen_ai.operation.name", value=value("chat"))
    return made


@pytest.mark.parametrize("in_pieces", [False, True])
def test_hostile_trees_are_stored_flagged_and_read(
    launch: Launch, record_property: Callable[[str, object], None], *, in_pieces: bool
) -> None:
    collector = launch().start()
    for part in [[s] for s in SPANS] if in_pieces else [SPANS]:
        post(collector, "traces", request(part))
    await_rows(collector, spans=len(SPANS))

    def settled() -> bool:
        (row,) = collector.rows("SELECT count() AS n, countIf(settled) AS settled FROM traces")
        return bool(row["n"] == row["settled"] == 4)

    until(settled, "every trace is settled, cycles or not")
    flagged = collector.rows("SELECT name FROM settled_spans WHERE has(defects, 'parent_cycle')")
    assert {row["name"] for row in flagged} == CYCLES
    (row,) = collector.rows("SELECT count() AS n FROM settled_spans")
    assert row["n"] == len(SPANS) - 1, "the span that came twice is read once"
    work = collector.folder
    listed = json.loads(evalgate(collector, work, "traces", "--json"))
    assert len(json.dumps(listed).split('"trace_id"')) - 1 >= 4
    for trace in range(1, 5):
        shown = evalgate(collector, work, "traces", "show", f"{trace:032x}", "--json")
        assert {name for t, _, _, name in SPANS if t == trace} - {"said one way", "said another way"} <= {
            n for n in {s[3] for s in SPANS} if n in shown
        }
    record_property("figure", f"{len(SPANS)} spans, {len(flagged)} flagged")
