"""Rates that rise where few traces come: enough are sampled, weights stay right, nothing flips."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.config import parse
from collector.extensions.baseline_rates import BaselineRates, BaselineRatesConfig, baseline_rates, pause_after
from collector.rates.count import DAY_NS, count_traces
from collector.rates.file import RatesFile
from collector.rates.keeper import Keeper
from collector.rates.ladder import next_rate, step
from collector.service import Service
from exporters.clickhouse.connect import connect
from exporters.clickhouse.insert import insert_batch
from exporters.clickhouse.migrate import migrate
from schema.component import Context
from schema.errors import ConfigError, Retryable
from schema.policy import Policy, RateRule, SamplePolicy
from schema.policy.rates import Rates
from tests.clickhouse.otlp import NOON, SECOND, batch_of, span, spans_record
from tests.collector.conftest import spans_request
from tests.collector.test_service import config_text, post, until_async

if TYPE_CHECKING:
    from pathlib import Path

    from collector.components import Registry
    from exporters.clickhouse.connect import Database

HOUR = 3600 * SECOND
shares = st.floats(1e-6, 10)


@given(shares)
def test_a_step_is_a_half_of_a_half_and_not_below_the_share(share: float) -> None:
    found = step(share)
    assert found >= min(share, 1)
    assert found / 2 < share
    assert np.log2(found) == round(np.log2(found))


@given(st.floats(0.001, 1), st.floats(0, 1e7), st.floats(0.1, 1e5), st.none() | st.floats(0, 1))
def test_a_rate_is_never_below_what_is_set_nor_above_one_and_reaches_the_target(
    set_rate: float, traces: float, target: float, before: float | None
) -> None:
    found = next_rate(before, set_rate=set_rate, traces_per_day=traces, target_per_day=target)
    assert set_rate <= found <= 1
    assert found == 1 or found * traces >= target * (1 - 1e-9)
    assert next_rate(found, set_rate=set_rate, traces_per_day=traces, target_per_day=target) == found, "and stays"


def test_what_is_set_to_nothing_stays_out() -> None:
    assert next_rate(0.5, set_rate=0, traces_per_day=1, target_per_day=50) == 0


def test_a_rate_does_not_come_down_for_a_few_traces_more() -> None:
    """50 of 200 a day are a quarter; of 199 it must be a half, and from there it takes some more to come down."""
    rate: float | None = None
    seen = []
    for traces in (200, 199, 200, 210, 240, 260, 240, 199):
        rate = next_rate(rate, set_rate=0.01, traces_per_day=traces, target_per_day=50)
        seen.append(rate)
    assert seen == [0.25, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.5]


@pytest.mark.parametrize("traces_per_day", [20, 1_000, 100_000, 10_000_000])
def test_a_beginning_samples_the_target_and_not_many_times_of_it(traces_per_day: int) -> None:
    """The first day of a service, pass by pass: what comes is not known before it came."""
    day_s, target = 86_400.0, 50
    now_s, came, sampled, rate, pause_s = 0.0, 0.0, 0.0, 1e-6, 0.0
    while now_s < day_s:
        before = rate
        rate = next_rate(rate, set_rate=1e-6, traces_per_day=came, target_per_day=target)
        pause_s = pause_after(pause_s, changed=rate != before, interval_s=300, took_s=0.01)
        new = traces_per_day * pause_s / day_s
        now_s, came, sampled = now_s + pause_s, came + new, sampled + rate * new
    assert sampled >= min(target, traces_per_day) * 0.95
    assert sampled <= max(20 * target, traces_per_day * 15 / day_s * 2)


def test_passes_are_seldom_where_nothing_changes_or_counting_takes_long() -> None:
    def after(paused_s: float, took_s: float = 0.0, *, changed: bool = False) -> float:
        return pause_after(paused_s, changed=changed, interval_s=300, took_s=took_s)

    assert [after(1), after(15), after(200), after(300, changed=True)] == [15, 30, 300, 15]
    assert after(15, took_s=10) == 500, "a fiftieth of the time"
    assert pause_after(15, changed=False, interval_s=2, took_s=0) == 2


POLICY = SamplePolicy(
    baseline_rate=0.1,
    rules=(
        RateRule(name="chat", when="feature = 'chat'", rate=0.25),
        RateRule(name="slow", when="duration_ms > 5000", rate=0.5),
        RateRule(name="noise", when="service_name = 'noise'", rate=0.01),
    ),
    target_per_day=20,
)


def stored(db: Database, tenant: str, numbers: range, *, at: int = NOON, **columns: Any) -> None:
    """Store spans, each of a trace of its own."""
    record = spans_record([span(n, 1) for n in numbers], tenant=tenant, received=at)
    derived = {name: [value] * len(numbers) for name, value in columns.items()}
    insert_batch(db, batch_of(record, columns=derived), f"{tenant}/{numbers.start}/{at}")


def test_a_trace_is_counted_where_it_is_sampled(db: Database) -> None:
    rates = Rates.of(POLICY)
    names = [s.name for s in rates.strata]
    stored(db, "acme", range(1, 31), baseline=True)
    stored(db, "acme", range(31, 41), feature="chat", baseline=False)
    stored(db, "acme", range(36, 38), feature="chat", at=NOON + 1)  # more spans of two of them
    stored(db, "acme", range(38, 39), failing=True, failure_reasons=["error"], at=NOON + 2)
    stored(db, "acme", range(50, 55), at=NOON - 2 * DAY_NS)
    stored(db, "beta", range(60, 63), service_name="noise")
    stored(db, "beta", range(60, 61), at=NOON + 1)  # its other span has no rule, and a higher rate
    found = {(c.tenant, names[c.stratum]): (c.traces, c.sampled_traces) for c in count_traces(db, rates, NOON + HOUR)}
    assert found == {("acme", ""): (30, 30), ("acme", "chat"): (9, 0), ("beta", "noise"): (2, 0), ("beta", ""): (1, 0)}


def keeper(folder: Path, policy: SamplePolicy = POLICY, *, now: int = NOON + 24 * HOUR - 1) -> Keeper:
    assert policy.target_per_day is not None
    return Keeper(Rates.of(policy), policy.target_per_day, RatesFile.of(folder), lambda: now)


def kept(keep: Keeper, db: Database) -> list[dict[str, Any]]:
    return keep.keep(db, keep.count(db))


def test_rates_follow_what_came_and_are_noted_when_they_change(embedded_db: Database, tmp_path: Path) -> None:
    stored(embedded_db, "few", range(1, 31))
    stored(embedded_db, "many", range(100, 500))
    stored(embedded_db, "few", range(600, 610), feature="chat")
    keep = keeper(tmp_path)
    kept(keep, embedded_db)
    expected = {("few", ""): 1.0, ("few", "chat"): 1.0}
    assert dict(RatesFile.of(tmp_path).current()) == expected, "20 of 400 are fewer than one in ten"
    assert kept(keep, embedded_db) == [], "nothing changed"
    rows = embedded_db.rows("SELECT tenant, rule, rate, set_rate, traces FROM baseline_rates ORDER BY tenant, rule")
    assert rows == [
        {"tenant": "few", "rule": "", "rate": 1.0, "set_rate": 0.1, "traces": 30},
        {"tenant": "few", "rule": "chat", "rate": 1.0, "set_rate": 0.25, "traces": 10},
    ]
    stored(embedded_db, "few", range(1000, 1100), at=NOON + HOUR)
    kept(keep, embedded_db)
    assert RatesFile.of(tmp_path).current()["few", ""] == 0.25, "130 a day need a sixth"


def test_a_restart_goes_on_with_the_rates_of_before_and_a_quiet_day_changes_nothing(
    embedded_db: Database, tmp_path: Path
) -> None:
    stored(embedded_db, "few", range(1, 31))
    kept(keeper(tmp_path), embedded_db)
    before = dict(RatesFile.of(tmp_path).current())
    assert before
    assert kept(keeper(tmp_path, now=NOON + 9 * 24 * HOUR), embedded_db) == []
    assert dict(RatesFile.of(tmp_path).current()) == before


def test_a_rule_that_is_gone_takes_its_rate_along(embedded_db: Database, tmp_path: Path) -> None:
    RatesFile.of(tmp_path).write({("few", "gone"): 0.5, ("few", ""): 0.5, ("low", ""): 0.05})
    assert kept(keeper(tmp_path, SamplePolicy(target_per_day=5)), embedded_db) != []
    assert dict(RatesFile.of(tmp_path).current()) == {("few", ""): 0.5}


def test_a_disk_that_takes_no_file_is_tried_again(embedded_db: Database, tmp_path: Path) -> None:
    stored(embedded_db, "few", range(1, 31))
    with pytest.raises(Retryable, match="cannot be written"):
        kept(keeper(tmp_path / "none"), embedded_db)


def test_the_last_rates_hold_while_the_database_is_away_and_change_once_it_is_there(
    embedded_dsn: str, tmp_path: Path
) -> None:
    """The task waits for a database that has no tables yet, and counts as soon as they are there."""
    RatesFile.of(tmp_path).write({("few", ""): 0.5})

    async def run() -> None:
        config = BaselineRatesConfig(interval_s=0.01)
        extension = BaselineRates(config, embedded_dsn, keeper(tmp_path))
        await extension.start()
        try:
            assert dict(extension.baseline_rates) == {("few", ""): 0.5}
            await asyncio.to_thread(filled)
            await asyncio.wait_for(extension.counted.wait(), 30)
        finally:
            await extension.shutdown()
            await extension.shutdown()

    def filled() -> None:
        with connect(embedded_dsn, create_database=True) as db:
            migrate(db)
            stored(db, "few", range(1, 31))

    asyncio.run(run())
    assert dict(RatesFile.of(tmp_path).current()) == {("few", ""): 1.0}


CONFIG = """\
receivers: {otlp: {protocols: {http: }}}
processors:
  sample:
    target_per_day: 50
exporters: {clickhouse: , debug: }
service: {pipelines: {traces: {receivers: [otlp], processors: [sample], exporters: [clickhouse]}}}
"""


def test_a_target_is_all_that_has_to_be_said(registry: Registry) -> None:
    config = parse(CONFIG, "c.yaml", registry, {})
    assert list(config.extensions) == ["baseline_rates"]
    assert config.extensions["baseline_rates"].settings == BaselineRatesConfig()
    slower = parse(f"{CONFIG}extensions: {{baseline_rates: {{interval_s: 5}}}}\n", "c.yaml", registry, {})
    assert slower.extensions["baseline_rates"].settings == BaselineRatesConfig(interval_s=5)
    assert not parse(CONFIG.replace("target_per_day: 50", "baseline_rate: 1"), "c.yaml", registry, {}).extensions


@pytest.mark.parametrize(("said", "extensions"), [("", set()), ("50", {"baseline_rates"})])
def test_the_default_configuration_has_a_target_where_one_is_given(
    registry: Registry, said: str, extensions: set[str]
) -> None:
    text = files("collector").joinpath("default.yaml").read_text("utf-8")
    config = parse(text, "default.yaml", registry, {"EVALGATE_DSN": "chdb:///d", "EVALGATE_TARGET_PER_DAY": said})
    assert config.policy.sample.target_per_day == (float(said) if said else None)
    assert config.extensions.keys() & {"baseline_rates"} == extensions


def test_a_target_without_a_database_is_refused_with_its_line(registry: Registry) -> None:
    with pytest.raises(ConfigError, match=r"c.yaml:4: processors.sample.target_per_day: traces are counted in the"):
        parse(CONFIG.replace("exporters: [clickhouse]", "exporters: [debug]"), "c.yaml", registry, {})


def test_the_extension_without_a_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no target"):
        baseline_rates(BaselineRatesConfig(), Context("baseline_rates", tmp_path, policy=Policy()))


def test_a_service_raises_its_rates_notes_its_policy_and_counts_tracestates(
    embedded_dsn: str, tmp_path: Path, registry: Registry
) -> None:
    """The whole way: spans come at the rate that is set, are counted, and the next ones come at the raised rate."""
    config = parse(
        config_text(tmp_path, f"clickhouse: {{dsn: '{embedded_dsn}'}}", "clickhouse")
        .replace("sample: }", "sample: {target_per_day: 50}}")
        .replace("extensions:\n", "extensions:\n  baseline_rates: {interval_s: 0.05}\n", 1),
        "c.yaml",
        registry,
        {},
    )

    async def work() -> dict[str, Any]:
        service = Service(config)
        await service.start()
        try:
            http = service.endpoints()["otlp"]["http"]
            odd = ExportTraceServiceRequest.FromString(spans_request(1, 2, 3))
            odd.resource_spans[0].scope_spans[0].spans[0].trace_state = "ot=?"
            assert await asyncio.to_thread(post, http, odd.SerializeToString()) == 200
            await until_async(lambda: bool(service.status()["baseline_rates"]))
            assert await asyncio.to_thread(post, http, spans_request(4)) == 200
            await until_async(lambda: service.status()["delivery"]["spans"] == 4)
            return service.status()
        finally:
            await service.stop()

    status = asyncio.run(work())
    assert status["baseline_rates"] == [{"tenant": "default", "rule": "", "rate": 1.0}]
    assert status["tracestate_faults"] == {"malformed": 1}
    with connect(embedded_dsn) as db:
        spans = db.rows("SELECT baseline_rate AS rate, count() AS n, any(policy_version) AS v FROM spans GROUP BY rate")
        assert {s["rate"]: s["n"] for s in spans} == {0.1: 3, 1.0: 1}
        policies = db.rows("SELECT version FROM sampling_policies")
        assert policies == [{"version": config.policy.version}] == [{"version": s["v"]} for s in spans[:1]]
