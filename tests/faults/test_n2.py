"""N2: spans of a trace arrive in any order, mixed with those of others, over an hour.

Injected: one trace of an agent, its calls and tools is sent whole; again span by span in order, backwards (each child
before its parent) and shuffled twice, all mixed, while the clock of the collector moves on by an hour.
Holds: the same final trace each time: all figures of the trace, and every column of every span but ids and receipt.
Figure: 4 orders of 24 spans, 98 columns each.
"""

from __future__ import annotations

import json
import random
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.clickhouse.otlp import attributes
from tests.faults.harness import until
from tests.faults.harness.producer import HttpWire
from tests.faults.harness.wall_clock import WallClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.faults.harness import Collector, Launch

Tree = dict[str, Any]

START = 1_795_249_800 * 10**9
MINUTE_NS = 60 * 10**9
HOUR_S = 3600
STEPS = 5
TURNS = 5
WHOLE = 1
"""Number of the trace that is sent at once; the others count on from it."""
OF_THE_DELIVERY = {"trace_id", "received_at", "sequence", "session_key"}
OF_THE_ID = {"baseline", "flagged", "sample_weight"}
"""Whether a trace is one of the sampled ones is a function of its id."""


def spans() -> list[Tree]:
    """Return a conversation of some turns: an agent, calls that are recorded twice, a tool that fails, over an hour."""
    found: list[Tree] = [
        span(1, 0, "invoke_agent support", {"gen_ai.operation.name": "invoke_agent", "session.id": "s-1"})
    ]
    for turn in range(TURNS):
        first = 2 + 4 * turn
        at = turn * 11
        asked = json.dumps([{"role": "user", "parts": [{"type": "text", "content": f"question {turn}"}]}])
        call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m-1", "gen_ai.input.messages": asked}
        usage = {
            "gen_ai.usage.input_tokens": 10 + turn,
            "gen_ai.usage.output_tokens": 5,
        }
        tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "policy"}
        found += [
            span(first, 1, "turn", {}, at=at),
            span(first + 1, first, "chat m-1", call | usage, at=at),
            span(first + 2, first + 1, "chat m-1", call | usage, at=at),
            span(first + 3, first, "execute_tool policy", tool, at=at, failed=turn == TURNS - 1),
        ]
    last = len(found) + 1
    found += [span(last + i, 1, f"step {i}", {"user.id": "u-1"}, at=55) for i in range(3)]
    return found


def span(number: int, parent: int, name: str, given: Tree, *, at: int = 0, failed: bool = False) -> Tree:
    return {"number": number, "parent": parent, "name": name, "attributes": given, "at": at, "failed": failed}


def request(trace: int, of: Sequence[Tree]) -> bytes:
    message = ExportTraceServiceRequest()
    one = message.resource_spans.add()
    one.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope = one.scope_spans.add()
    scope.scope.name = "lib"
    for s in of:
        made = scope.spans.add(
            trace_id=b"order-by" + trace.to_bytes(8, "big"),
            span_id=s["number"].to_bytes(8, "big"),
            parent_span_id=s["parent"].to_bytes(8, "big") if s["parent"] else b"",
            name=s["name"],
            kind=3,
            start_time_unix_nano=START + s["at"] * MINUTE_NS + s["number"] * 10**6,
            end_time_unix_nano=START + s["at"] * MINUTE_NS + 2 * 10**9,
        )
        made.status.code = Status.STATUS_CODE_ERROR if s["failed"] else Status.STATUS_CODE_UNSET
        made.attributes.extend(attributes(s["attributes"]))
    return bytes(message.SerializeToString())


def send(wire: HttpWire, body: bytes) -> None:
    answer = wire.post(body)
    assert answer[1] == "acked", answer


def traces(collector: Collector) -> dict[str, Tree]:
    rows = collector.rows("SELECT * FROM traces WHERE startsWith(trace_id, {run:String})", {"run": b"order-by".hex()})
    return {row["trace_id"]: row for row in rows}


def without(row: Tree, names: set[str]) -> Tree:
    return {name: value for name, value in row.items() if name not in names}


def test_every_order_ends_in_the_same_trace(
    launch: Launch, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    clock = WallClock(tmp_path)
    collector = launch(environment=clock.environment).start()
    wire = HttpWire(collector.http, {}, compress=False)
    whole = spans()
    rng = random.Random(2)  # noqa: S311 - the same orders each time
    orders = {2: whole, 3: whole[::-1], 4: rng.sample(whole, len(whole)), 5: rng.sample(whole, len(whole))}
    send(wire, request(WHOLE, whole))
    pieces = [[(trace, s) for s in order] for trace, order in orders.items()]
    mixed = [p for group in zip_longest(*pieces) for p in rng.sample(group, len(group))]
    for step in range(STEPS):
        clock.move(HOUR_S * step // (STEPS - 1))
        for trace, s in mixed[step * len(mixed) // STEPS : (step + 1) * len(mixed) // STEPS]:
            send(wire, request(trace, [s]))
    wire.close()
    counts = {len(orders) + 1: len(whole)}

    def settled() -> bool:
        found = traces(collector).values()
        return len(found) == len(orders) + 1 and all(t["settled"] and t["span_count"] == len(whole) for t in found)

    until(settled, f"{counts} traces and spans are settled")
    found = traces(collector)
    reference, *others = (found[f"{b'order-by'.hex()}{n:016x}"] for n in (WHOLE, *orders))
    assert (reference["llm_calls"], reference["input_tokens"]) == (TURNS, sum(range(10, 10 + TURNS)))
    assert (reference["failing"], reference["session_id"]) == (True, "s-1")
    for other in others:
        assert without(other, OF_THE_DELIVERY | OF_THE_ID) == without(reference, OF_THE_DELIVERY | OF_THE_ID)
    columns = same_spans(collector, reference, others)
    record_property("figure", f"{len(others)} orders of {len(whole)} spans, {columns} columns each, over an hour")


def same_spans(collector: Collector, reference: Tree, others: Sequence[Tree]) -> int:
    """Compare every column of every span; return how many columns there are."""

    def read(trace: Tree) -> list[Tree]:
        sql = "SELECT * FROM settled_spans WHERE trace_id = unhex({id:String}) ORDER BY span_id"
        return [without(row, OF_THE_DELIVERY | OF_THE_ID) for row in collector.rows(sql, {"id": trace["trace_id"]})]

    wanted = read(reference)
    for other in others:
        for got, want in zip(read(other), wanted, strict=True):
            assert got == want
    return len(wanted[0])
