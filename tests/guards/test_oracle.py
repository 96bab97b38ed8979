"""The oracle of the fault tests sees what is lost, there twice, changed, or in quarantine without a reason."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.faults.harness import Collector, Conserved, Producer
from tests.faults.harness.oracle import ROWS, _conserve_one
from tests.faults.harness.producer import PAYLOAD, Claimed, Requests

if TYPE_CHECKING:
    from pathlib import Path

AT_ONCE_S = 0.05


@dataclass
class Stored:
    """What a collector would answer of its database."""

    journal: Path
    rows_by_id: dict[str, tuple[int, str]] = field(default_factory=dict)
    extra_rows: int = 0
    http: str = "127.0.0.1:9"
    grpc: str = "127.0.0.1:9"
    log: str = ""

    def rows(self, sql: str, parameters: dict[str, object]) -> list[dict[str, Any]]:
        assert parameters["run"]
        if sql == ROWS:
            return [{"n": len(self.rows_by_id) + self.extra_rows}]
        return [{"id": i, "copies": n, "payload": p} for i, (n, p) in self.rows_by_id.items()]

    def status(self) -> dict[str, Any]:
        return {}


@dataclass
class World:
    """A producer with one acknowledged request, one without an answer, and a database that has the first."""

    stored: Stored
    producer: Producer
    acked: Claimed
    unknown: Claimed
    payloads: dict[str, str]

    def look(self) -> Conserved:
        return _conserve_one(cast("Collector", self.stored), self.producer, AT_ONCE_S)


@pytest.fixture
def world(tmp_path: Path) -> World:
    stored = Stored(tmp_path)
    producer = Producer(cast("Collector", stored), requests=Requests(2, 4))
    acked, unknown = producer._claim(), producer._claim()
    acked.answer = "acked"
    payloads = {i: p for claimed in (acked, unknown) for i, p in payloads_of(claimed).items()}
    stored.rows_by_id = {i: (1, payloads[i]) for i in acked.spans}
    return World(stored, producer, acked, unknown, payloads)


def payloads_of(claimed: Claimed) -> dict[str, str]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 - only here
        ExportTraceServiceRequest,
    )

    request = ExportTraceServiceRequest.FromString(claimed.body)
    return {
        span.span_id.hex(): next(a.value.string_value for a in span.attributes if a.key == PAYLOAD)
        for span in request.resource_spans[0].scope_spans[0].spans
    }


def first(claimed: Claimed) -> str:
    return next(iter(claimed.spans))


def test_what_is_stored_once_is_conserved(world: World) -> None:
    assert world.look() == Conserved(acked=2, stored=2, quarantined=0, extra_rows=0, without_answer=0)


def test_what_got_no_answer_may_be_there_once(world: World) -> None:
    world.stored.rows_by_id |= {i: (1, world.payloads[i]) for i in world.unknown.spans}
    world.stored.extra_rows = 3
    assert world.look() == Conserved(acked=2, stored=2, quarantined=0, extra_rows=3, without_answer=2)


def test_a_lost_span_is_seen(world: World) -> None:
    del world.stored.rows_by_id[first(world.acked)]
    with pytest.raises(AssertionError, match=f"1 are lost, 0 are there twice; for example .*{first(world.acked)}"):
        world.look()


@pytest.mark.parametrize("which", ["acked", "unknown"])
def test_a_span_that_is_there_twice_is_seen(world: World, which: str) -> None:
    span_id = first(getattr(world, which))
    world.stored.rows_by_id[span_id] = (2, world.payloads[span_id])
    with pytest.raises(AssertionError, match="0 are lost, 1 are there twice"):
        world.look()


def test_another_payload_is_seen(world: World) -> None:
    world.stored.rows_by_id[first(world.acked)] = (1, "something else")
    with pytest.raises(AssertionError, match="1 spans are stored with another payload"):
        world.look()


def test_a_span_that_nobody_sent_is_seen(world: World) -> None:
    world.stored.rows_by_id["f" * 16] = (1, "x")
    with pytest.raises(AssertionError, match="never sent"):
        world.look()


@pytest.mark.parametrize("reason", ["it cannot be read", ""])
def test_quarantine_counts_only_with_a_reason(world: World, reason: str) -> None:
    world.stored.rows_by_id.clear()
    folder = world.stored.journal / "quarantine"
    folder.mkdir()
    (folder / "1-1.seg").write_bytes(b"head" + world.acked.body)
    (folder / "1-1.seg.json").write_text(json.dumps({"reason": reason}))
    if reason:
        assert world.look() == Conserved(acked=2, stored=0, quarantined=2, extra_rows=0, without_answer=0)
    else:
        with pytest.raises(AssertionError, match="2 are lost"):
            world.look()
