"""A back-test says of stored traffic what a collector with that policy then does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from collector.normalize import _record as record_of
from collector.processors.cost import CostProcessor
from collector.processors.normalise import canonical
from collector.processors.sample import Sample
from collector.settle import Limits, Settler
from evalgate.database import TenantDatabase
from evalgate.sample.backtest import Side, verdicts
from evalgate.sample.portions import history
from exporters.clickhouse.connect import connect
from exporters.clickhouse.insert import insert_batch
from exporters.clickhouse.migrate import migrate
from schema.errors import EvalgateError
from schema.failure.rules import FailureRules
from schema.policy import Policy
from schema.policy.rates import NONE, Rates
from tests.clickhouse.otlp import SECOND, attributes, batch_of, logs_record, span, spans_record
from tests.settle.cut import captures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from collector.journal.record import Record
    from exporters.clickhouse.connect import Database
    from schema.batch import SpanBatch

BEGIN = datetime(2026, 9, 21, 10, 40, tzinfo=UTC)
HOUR_NS = 3_600 * SECOND
NOW = BEGIN + timedelta(hours=6)
COST = CostProcessor()
Found = dict[str, tuple[bool, frozenset[str], bool]]
"""Trace id -> failing, reasons, in the baseline."""


def processing(policy: Policy) -> Callable[[SpanBatch], SpanBatch]:
    """Return the processors of a collector that has this policy."""
    failure = FailureRules.of(policy.failure)
    sample = Sample(Rates.of(policy.sample), policy_version=policy.version)
    return lambda batch: sample(failure(COST(canonical(batch))))


def ingest(db: Database, waves: list[list[Record]], policy: Policy, tenant: str) -> None:
    """Store what came as that of a tenant, an INSERT for each wave, and let it settle."""
    process = processing(policy)
    sequence = 0
    for number, wave in enumerate(waves):
        records = []
        for one in wave:
            sequence += 1
            records.append(replace(one, sequence=sequence, tenant=tenant))
        insert_batch(db, process(batch_of(*records)), f"{tenant}/{number}")
    while Settler(db, process, Limits(quiet_s=0)).settle().more:
        pass


def decided(db: Database, tenant: str = "default") -> Found:
    """Return what is stored."""
    text = "SELECT trace_id, failing, failure_reasons, baseline FROM traces WHERE tenant = {tenant:String}"
    rows = db.rows(text, {"tenant": tenant})
    return {r["trace_id"]: (r["failing"], frozenset(r["failure_reasons"]), r["baseline"]) for r in rows}


def tried(db: Database, policy: Policy, *, portion_spans: int = 250_000) -> tuple[Found, Found]:
    """Return what a back-test says is stored, and what it says the policy does."""
    database = TenantDatabase(db, "default")
    past = history(database, BEGIN - timedelta(hours=1), NOW, portion_spans=portion_spans)
    now: Found = {}
    then: Found = {}
    for judged in verdicts(database, past, Side(None, NONE), Side(policy, NONE)):
        for found, verdict in ((now, judged.now), (then, judged.then)):
            assert not found.keys() & set(judged.traces.ids), "a trace is in two portions"
            rows = zip(
                judged.traces.ids, verdict.failing.tolist(), verdict.reasons, verdict.baseline.tolist(), strict=True
            )
            found |= {trace: (failing, reasons, bool(sampled)) for trace, failing, reasons, sampled in rows}
    return now, then


def chat(trace: int, number: int, *, parent: int = 0, at_s: float = 0, lasts_s: float = 1, **more: Any) -> Any:
    start = int(BEGIN.timestamp() * 1e9 + at_s * 1e9)
    rest = {k: more.pop(k) for k in ("name", "status", "trace_state") if k in more}
    given = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", **more.pop("attributes", {})}
    return span(
        trace,
        number,
        parent=parent,
        start=start,
        end=start + int(lasts_s * SECOND),
        attributes=given,
        **{"name": "chat", **rest},
    )


def tool(trace: int, number: int, result: str, *, parent: int, at_s: float, failed: bool = False) -> Any:
    start = int(BEGIN.timestamp() * 1e9 + at_s * 1e9)
    given = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "search",
        "gen_ai.tool.call.arguments": '{"q":"shoes"}',
        "gen_ai.tool.call.result": result,
    }
    status = Status(code=Status.STATUS_CODE_ERROR) if failed else Status()
    return span(
        trace, number, parent=parent, start=start, end=start + SECOND, attributes=given, name="tool", status=status
    )


def evaluated(trace: int, name: str, score: float) -> LogRecord:
    found = LogRecord(trace_id=trace.to_bytes(16, "big"), event_name="gen_ai.evaluation.result")
    found.attributes.extend(attributes({"gen_ai.evaluation.name": name, "gen_ai.evaluation.score.value": score}))
    return found


def mixed(n: int) -> int:
    """Return a trace id whose low bits look random."""
    return int.from_bytes(np.random.default_rng(n).bytes(16), "big")


def received(minutes: float) -> int:
    return int((BEGIN + timedelta(minutes=minutes)).timestamp() * 1e9)


def made() -> list[list[Record]]:
    """Return traffic of four hours: of every kind that policies tell apart, whole and in pieces."""
    error = Status(code=Status.STATUS_CODE_ERROR, message="boom")
    fine, pieces, late = [], [], []
    for n in range(1, 130):
        trace = mixed(n)
        slow = 40 if n % 7 == 0 else 1
        more: dict[str, Any] = {
            "attributes": {"app.plan": "gold" if n % 5 == 0 else "free", "gen_ai.usage.input_tokens": n}
        }
        if n % 11 == 0:
            more["trace_state"] = "ot=rv:f0000000000000" if n % 2 else "x=y,ot=th:8"
        if n % 13 == 0:
            more["status"] = error
        if n % 17 == 0:
            more["attributes"]["gen_ai.response.finish_reasons"] = ["content_filter" if n % 2 else "length"]
        resource = {"service.name": "triage" if n % 3 == 0 else "shop", "deployment.environment.name": "prod"}
        spans = [chat(trace, 10 * n, at_s=n, lasts_s=slow, **more)]
        fine.append(spans_record(spans, received=received(n), resource=resource))
        if n % 4 == 0:
            pieces.append(
                spans_record(
                    [chat(trace, 10 * n + 1, parent=10 * n, at_s=n)], received=received(n + 1), resource=resource
                )
            )
        if n % 9 == 0:
            late.append(
                spans_record(
                    [tool(trace, 10 * n + 2, "Error: timeout", parent=10 * n, at_s=n, failed=True)],
                    received=received(n + 90),
                )
            )
        if n % 10 == 0:
            # What this span says was asked of whom depends on its parent, which is in another request.
            late.append(
                spans_record(
                    [tool(trace, 10 * n + 3, '{"ok":true}', parent=10 * n, at_s=n + 5)], received=received(n + 100)
                )
            )
        if n % 15 == 0:
            late.append(logs_record([evaluated(trace, "relevance", (n % 4) / 4)], received=received(n + 200)))
        if n % 23 == 0:
            late.append(logs_record([evaluated(trace, "toxicity", 0.9)], received=received(n)))
    retried = []
    for n in range(300, 310):
        trace = mixed(n)
        spans = [
            chat(trace, 10 * n, lasts_s=60),
            tool(trace, 10 * n + 1, "Error: timeout", parent=10 * n, at_s=1, failed=True),
        ]
        if n % 2:
            spans.append(tool(trace, 10 * n + 2, '{"found":3}', parent=10 * n, at_s=5))
        retried.append(spans_record(spans, received=received(3)))
    for n in range(400, 405):
        # Only its root, which comes later, says whose session it is: the tool has that when the trace is read whole.
        pieces.insert(0, spans_record([tool(mixed(n), 10 * n + 1, "7", parent=10 * n, at_s=1)], received=received(1)))
        pieces.append(spans_record([chat(mixed(n), 10 * n, attributes={"session.id": "s-1"})], received=received(2)))
    # A trace's pieces in any order, some of them before its beginning.
    return [pieces[:20] + late[:15], fine[:60], fine[60:] + retried, pieces[20:] + late[15:30], late[30:]]


def corpus() -> list[Record]:
    """Return every capture, in one piece: of each dialect's own way to say what policies ask."""
    return [
        replace(record_of(i, body.name, body.read_bytes()), received_unix_ns=received(30 + i))
        for i, bodies in enumerate(captures().values())
        for body in bodies
    ]


POLICIES: Mapping[str, dict[str, Any]] = {
    "none": {"failure": {"disabled": ["span_error", "tool_error", "finish:length"]}, "sample": {"baseline_rate": 0}},
    "retried": {"failure": {"retried": "ignore"}},
    "rules and rates": {
        "failure": {
            "rules": [
                {"name": "slow", "when": "span_kind = 'llm' AND duration_ms > 30000"},
                {"name": "gold", "when": "span_attributes['app.plan'] = 'gold' AND input_tokens > 100"},
                {"name": "of_session", "when": "session_id = 's-1' AND span_kind = 'tool'"},
                {"name": "prod_tool", "when": "has(finish_reasons, 'length') OR length(tool_result) BETWEEN 5 AND 12"},
            ],
            "evaluations": {"relevance": 0.6, "toxicity": {"above": 0.95}},
        },
        "sample": {
            "baseline_rate": 0.2,
            "rules": [
                {"name": "triage", "when": "service_name = 'triage' AND environment = 'prod'", "rate": 0.5},
                {"name": "gold", "when": "span_attributes['app.plan'] = 'gold'", "rate": 0.35},
                {"name": "never", "when": "tenant = 'acme'", "rate": 1.0},
                {"name": "tools", "when": "span_kind = 'tool'", "rate": 0.9},
            ],
        },
    },
}


@pytest.fixture(scope="module")
def traffic() -> list[list[Record]]:
    return [*made(), corpus()]


@pytest.fixture(scope="module")
def db(embedded_folder: Path, traffic: list[list[Record]]) -> Iterator[Database]:
    """Lend a database in which the tenant `default` is what a collector with the default policy made of the traffic."""
    with connect(f"chdb://{embedded_folder}?database=backtest", create_database=True) as found:
        migrate(found)
        ingest(found, traffic, Policy(), "default")
        yield found
        found.command("DROP DATABASE backtest SYNC")


@pytest.mark.parametrize("name", POLICIES)
def test_a_back_test_says_what_a_collector_with_that_policy_then_does(
    name: str, db: Database, traffic: list[list[Record]]
) -> None:
    policy = Policy.model_validate(POLICIES[name])
    now, then = tried(db, policy)
    assert now == decided(db)
    assert len(now) > 150
    tenant = name.replace(" ", "-")
    ingest(db, traffic, policy, tenant)
    done = decided(db, tenant)
    assert {t: (then[t], done[t]) for t in done if then[t] != done[t]} == {}
    assert then.keys() == done.keys()
    assert done != now


def test_the_policy_in_force_changes_nothing(db: Database) -> None:
    now, then = tried(db, Policy())
    assert now == then == decided(db)


def test_what_is_too_large_is_read_in_halves(db: Database) -> None:
    past = history(TenantDatabase(db, "default"), BEGIN - timedelta(hours=1), NOW, portion_bytes=150_000)
    found = list(verdicts(TenantDatabase(db, "default"), past, Side(None, NONE), Side(Policy(), NONE)))
    assert len(found) > len(past.portions) == sum(judged.ends_portion for judged in found)
    ids = [trace for judged in found for trace in judged.traces.ids]
    assert len(ids) == len(set(ids))
    assert set(ids) == decided(db).keys()
    one_span = history(TenantDatabase(db, "default"), BEGIN - timedelta(hours=1), NOW, portion_bytes=10)
    with pytest.raises(EvalgateError, match="one trace is too large to be read"):
        list(verdicts(TenantDatabase(db, "default"), one_span, Side(None, NONE), Side(None, NONE)))


def test_portions_change_nothing(db: Database) -> None:
    policy = Policy.model_validate(POLICIES["rules and rates"])
    database = TenantDatabase(db, "default")
    past = history(database, BEGIN - timedelta(hours=1), NOW, portion_spans=160)
    assert len(past.portions) > 2
    assert {p.slices for p in past.portions} != {1}
    assert any(p.is_spread for p in past.portions)
    assert tried(db, policy, portion_spans=160) == tried(db, policy)
