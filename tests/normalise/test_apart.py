"""Tenants in one batch: what a tenant sends changes nothing of what is stored for another, whatever ids it chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import protobuf
from collector.decode.columns import decode
from collector.journal.record import Record
from collector.processors.normalise import canonical
from exporters.clickhouse.rows import blocks
from schema.apart import ids_apart, numbers_apart, tenant_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schema.batch import SpanBatch
    from schema.component import Signal

TRACE = b"t" * 16
NOW_NS = 1_800_000_000_000_000_000
EXCHANGE = "gen_ai.client.inference.operation.details"


def spans(*given: dict[str, Any]) -> Any:
    """Return a request of spans of one trace: `span`, `parent` and `attributes`."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number, one in enumerate(given):
        span = scope.spans.add(
            trace_id=one.get("trace", TRACE),
            span_id=one["span"],
            parent_span_id=one.get("parent", b""),
            name="chat m",
            start_time_unix_nano=NOW_NS + number,
            end_time_unix_nano=NOW_NS + 10**9,
        )
        for key, value in {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", **one["attributes"]}.items():
            if isinstance(value, int):
                span.attributes.add(key=key).value.int_value = value
            else:
                span.attributes.add(key=key).value.string_value = value
    return request


def log(span: bytes, body: str) -> Any:
    request = ExportLogsServiceRequest()
    record = (
        request.resource_logs.add()
        .scope_logs.add()
        .log_records.add(trace_id=TRACE, span_id=span, event_name=EXCHANGE, time_unix_nano=NOW_NS)
    )
    record.attributes.add(key="gen_ai.input.messages").value.string_value = body
    return request


def record(number: int, tenant: str, request: Any) -> Record:
    signal: Signal = "logs" if isinstance(request, ExportLogsServiceRequest) else "traces"
    return Record(number, tenant, signal, "protobuf", False, NOW_NS, request.SerializeToString())  # noqa: FBT003


def said(text: str) -> str:
    return f'[{{"role":"user","parts":[{{"type":"text","content":"{text}"}}]}}]'


SECRET = {
    "gen_ai.input.messages": said("secret"),
    "gen_ai.output.messages": said("secret answer"),
    "gen_ai.usage.output_tokens": 7,
    "gen_ai.response.id": "r-1",
    "session.id": "s-secret",
}
VICTIM = [
    spans({"span": b"a" * 8, "attributes": SECRET}),
    spans({"span": b"b" * 8, "parent": b"a" * 8, "attributes": {"gen_ai.input.messages": said("secret")}}),
    log(b"b" * 8, said("secret of a log")),
]
ATTACKS = {
    "the same span": [spans({"span": b"a" * 8, "attributes": {}})],
    "a child": [spans({"span": b"c" * 8, "parent": b"a" * 8, "attributes": {}})],
    "a parent": [spans({"span": b"a" * 8, "attributes": {}}, {"span": b"b" * 8, "attributes": {}})],
    "the response id": [spans({"trace": b"x" * 16, "span": b"x" * 8, "attributes": {"gen_ai.response.id": "r-1"}})],
    "the question, without an answer": [
        spans({"trace": b"x" * 16, "span": b"x" * 8, "attributes": {"gen_ai.input.messages": said("secret")}})
    ],
    "a log record": [log(b"a" * 8, said("forged"))],
}


def rows_of(batch: SpanBatch, tenant: str) -> list[dict[str, Any]]:
    """Return what is stored of a tenant."""
    found = [
        row for block in blocks(batch) for row in block.rows.to_pylist() if row["tenant"] == tenant and "span_id" in row
    ]
    for row in found:
        row.pop("sequence", None)
    return found


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("read", [decode, protobuf.decode])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_what_another_tenant_sends_changes_nothing(
    attack: list[Any], read: Callable[..., SpanBatch], *, compiled: bool
) -> None:
    def store(records: Sequence[Record]) -> SpanBatch:
        return canonical(read(records), compiled=compiled)

    alone = store([record(i, "victim", r) for i, r in enumerate(VICTIM)])
    of_attacker = store([record(i, "attacker", r) for i, r in enumerate(attack)])
    for first, second in (("attacker", "victim"), ("victim", "attacker")):
        parts = {"attacker": attack, "victim": VICTIM}
        both = [(tenant, r) for tenant in (first, second) for r in parts[tenant]]
        together = store([record(i, tenant, r) for i, (tenant, r) in enumerate(both)])
        assert rows_of(together, "victim") == rows_of(alone, "victim")
        found = rows_of(together, "attacker")
        assert found == rows_of(of_attacker, "attacker")
        assert "secret answer" not in str(found)
        assert "s-secret" not in str(found)


def test_the_attacks_would_work_inside_one_tenant() -> None:
    """Else the test above could not fail."""
    alone = canonical(decode([record(i, "one", r) for i, r in enumerate(VICTIM)]))
    changed = 0
    for attack in ATTACKS.values():
        together = canonical(decode([record(i, "one", r) for i, r in enumerate([*attack, *VICTIM])]))
        mine = {(r["trace_id"], r["span_id"], str(r)) for r in rows_of(together, "one")}
        changed += not {(r["trace_id"], r["span_id"], str(r)) for r in rows_of(alone, "one")} <= mine
    assert changed >= 3


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 4)), min_size=1, max_size=40))
def test_numbers_are_equal_where_both_are(pairs: list[tuple[int, int]]) -> None:
    tenants = tuple(f"t{i}" for i, _ in pairs)
    number = np.array([n for _, n in pairs], np.int64)
    found = numbers_apart(number, np.arange(len(pairs), dtype=np.int32), tenants)
    ids = np.zeros((len(pairs), 16), np.uint8)
    ids[:, 3] = number + 1
    mixed = ids_apart(ids, np.arange(len(pairs), dtype=np.int32), tenants)
    for a, (ta, na) in enumerate(pairs):
        assert (found[a] < 0) == (na < 0)
        assert found[a] < max(len(pairs), int(number.max()) + 1)
        for b, (tb, nb) in enumerate(pairs):
            assert (found[a] == found[b]) == ((na == nb and ta == tb) or (na < 0 and nb < 0))
            assert (mixed[a] == mixed[b]).all() == (na == nb and ta == tb)


def test_one_tenant_costs_nothing() -> None:
    ids = np.zeros((2, 16), np.uint8)
    assert ids_apart(ids, np.zeros(2, np.int32), ("a", "a")) is ids
    assert tenant_numbers(()) is None
