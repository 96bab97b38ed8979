"""Sums out of the database are those over the rows, whatever is left of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from evalgate.database import fence, sql
from evalgate.errors import BadInput
from evalgate.select.where import parse_where
from evalgate.stats.figure import figure_of
from evalgate.stats.measures import EVERY, FAILING, MODE, REASON, THUMBS_DOWN, Least, group_expression
from evalgate.stats.read import read_groups, read_labels
from evalgate.stats.report import label_figures, mean_figures, population
from tests.evalgate.traffic import START

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evalgate.database import TenantDatabase
    from evalgate.stats.estimate import Sums

LEAST = Least()


@dataclass(frozen=True, slots=True)
class One:
    """A trace of one span."""

    number: int
    failing: bool = False
    reasons: tuple[str, ...] = ()
    baseline: bool = False
    rate: float = 0.25
    arrival: float | None = None
    session: str | None = None
    feature: str | None = None
    cost: float | None = 0.5
    frozen: float | None = None
    """Its weight, where the others of its time are gone."""

    @property
    def trace_id(self) -> str:
        return f"{self.number:032x}"

    @property
    def weight(self) -> float:
        if self.frozen is None:
            return 1 / (self.arrival or 1)
        return self.frozen if min(self.arrival or 1, self.rate) > 0 else 0.0


def store(database: TenantDatabase, traces: Sequence[One]) -> None:
    """Write traces as the exporter does, and what retention says of them."""
    database.insert_rows("spans", [_span(t) for t in traces])
    frozen = [
        {"received_hour": START, "trace_id": bytes.fromhex(t.trace_id), "frozen_weight": t.frozen}
        for t in traces
        if t.frozen is not None
    ]
    if frozen:
        database.insert_rows("trace_parts", frozen)


def _span(t: One) -> dict[str, Any]:
    start = START + timedelta(seconds=t.number)
    return {
        "trace_id": bytes.fromhex(t.trace_id),
        "span_id": (1).to_bytes(8, "big"),
        "parent_span_id": bytes(8),
        "received_at": start,
        "start_time": start,
        "end_time": start + timedelta(milliseconds=t.number),
        "duration_ns": t.number * 1_000_000,
        "name": "chat",
        "status_code": "unset",
        "service_name": "shop",
        "span_kind": "llm",
        "counted": True,
        "cost_usd": t.cost,
        "session_id": t.session,
        "feature": t.feature,
        "failing": t.failing,
        "failure_reasons": list(t.reasons),
        "baseline": t.baseline,
        "baseline_rate": t.rate,
        "arrival_rate": t.arrival,
    }


def expected(traces: Sequence[One], has: Callable[[One], bool]) -> dict[str, float]:
    """Return the sums by their definitions, one trace after the other."""
    counted = [t for t in traces if t.weight > 0]
    w = np.array([t.weight for t in counted])
    y = np.array([float(has(t)) for t in counted])
    a: dict[str, float] = {}
    c: dict[str, float] = {}
    for t, weight, event in zip(counted, w, y, strict=True):
        session = t.session or t.trace_id
        a[session] = a.get(session, 0) + weight * event
        c[session] = c.get(session, 0) + weight * (1 - event)
    return {
        "traces": len(counted),
        "weight": w.sum(),
        "weight2": (w * w).sum(),
        "events": y.sum(),
        "event_weight": (w * y).sum(),
        "event_weight2": (w * w * y).sum(),
        "session_aa": sum(v * v for v in a.values()),
        "session_ac": sum(a[s] * c[s] for s in a),
        "session_cc": sum(v * v for v in c.values()),
    }


def same(sums: Sums, wanted: dict[str, float]) -> None:
    found = {f.name: float(getattr(sums, f.name)[0]) for f in fields(sums) if f.name in wanted}
    assert found == pytest.approx(wanted)


MIXED = [
    *(One(n, session=f"s{n // 3}", feature="refunds" if n % 2 else None, baseline=n % 4 == 0) for n in range(1, 31)),
    One(31, failing=True, reasons=("tool_error", "refusal"), session="s1", feature="refunds"),
    One(32, failing=True, reasons=("tool_error",), session="s1", cost=None),
    One(33, failing=True, reasons=("feedback:thumbs",), arrival=0.5),
    One(34, arrival=0.5, session="s2"),
    # Of another time, of which only flagged traces are left:
    One(41, baseline=True, frozen=4.0, session="s2"),
    One(42, baseline=True, frozen=4.0, cost=4.5),
    One(43, failing=True, reasons=("tool_error",), frozen=1.0),
    One(44, failing=True, reasons=("feedback:thumbs",), baseline=True, frozen=4.0),
    One(45, frozen=0.0),
    One(46, failing=True, reasons=("refusal",), rate=0.0, frozen=1.0),
]


def test_sums_are_those_over_the_rows(database: TenantDatabase) -> None:
    store(database, MIXED)
    (group,) = read_groups(database, parse_where([]), None)
    same(group.of(FAILING), expected(MIXED, lambda t: t.failing))
    same(group.of(EVERY), expected(MIXED, lambda _: True))
    same(group.of(THUMBS_DOWN), expected(MIXED, lambda t: "feedback:thumbs" in t.reasons))
    for reason in ("tool_error", "refusal", "never"):
        same(group.of(REASON + reason), expected(MIXED, lambda t, r=reason: r in t.reasons))  # type: ignore[misc]
    assert float(group.of(FAILING).unseen_event[0]) == 2  # behind a sampler that let half through
    assert float(group.of(FAILING).unseen_other[0]) == 4


def test_what_is_left_is_told_from_what_is_gone(database: TenantDatabase) -> None:
    store(database, MIXED)
    (group,) = read_groups(database, parse_where([]), None)
    people = population(group)
    assert (people.stored, people.thinned, people.thinned_for) == (38, 4, 13)
    assert (people.late, people.apart, people.rate_0) == (1, 1, 1)
    assert people.traces == 30 + 2 + 2 + 2 + 13
    assert people.low < people.traces < people.high
    assert not people.exact
    assert people.arrival_rate == 0.5
    assert people.late_unseen == pytest.approx(3.7 * 4 / 49)


def test_where_everything_is_stored_numbers_are_exact(database: TenantDatabase) -> None:
    store(database, [One(n, failing=n % 10 == 0) for n in range(1, 101)])
    (group,) = read_groups(database, parse_where([]), None)
    people = population(group)
    assert people.exact
    assert (people.low, people.traces, people.high) == (100, 100, 100)
    figure = figure_of("failing", group.of(FAILING), LEAST)
    assert figure.rate == pytest.approx(0.1)
    assert figure.low < 0.1 < figure.high
    assert figure.high - figure.low == pytest.approx(0.1177, abs=0.002)  # 2 * 1.96 * sqrt(0.1 * 0.9 / 100)


@pytest.mark.parametrize(
    ("arrivals", "leans"),
    [
        ([1.0] * 89 + [0.1], True),
        ([1.0] * 99 + [0.1], False),  # 10 of 109
        ([0.1] * 5, False),  # each a fifth, as of any five
        ([1.0] * 3, False),
        ([1e-4], True),
        ([1.0], False),
        ([1e-4, 1e-4, *[1.0] * 50], True),
    ],
)
def test_one_trace_that_outweighs_the_others_is_known(
    database: TenantDatabase, arrivals: list[float], *, leans: bool
) -> None:
    store(database, [One(n, arrival=arrival, session=f"s{n % 2}") for n, arrival in enumerate(arrivals, 1)])
    (group,) = read_groups(database, parse_where([]), None)
    people = population(group)
    assert people.leans_on_one is leans
    assert people.heaviest_weight == pytest.approx(1 / min(arrivals))
    assert arrivals[int(people.heaviest_trace_id, 16) - 1] == min(arrivals)


def test_each_group_has_its_own(database: TenantDatabase) -> None:
    store(database, MIXED)
    groups = {
        g.name: g
        for g in read_groups(database, parse_where(["trace_id < 0000000000000000000000000000001f"]), "feature")
    }
    early = MIXED[:30]
    assert set(groups) == {"refunds", ""}
    same(groups["refunds"].of(FAILING), expected([t for t in early if t.feature], lambda t: t.failing))
    same(groups[""].of(FAILING), expected([t for t in early if not t.feature], lambda t: t.failing))


def test_means_are_weighted_and_unknown_costs_are_left_out(database: TenantDatabase) -> None:
    store(database, MIXED)
    (group,) = read_groups(database, parse_where([]), None)
    cost, duration = mean_figures(group)
    known = [t for t in MIXED if t.cost is not None]
    assert cost.mean == pytest.approx(sum(t.weight * (t.cost or 0) for t in known) / sum(t.weight for t in known))
    assert duration.mean == pytest.approx(sum(t.weight * t.number for t in MIXED) / sum(t.weight for t in MIXED))
    assert cost.low < cost.mean < cost.high


def test_labels_are_of_the_sample_failing_traces_and_others_apart(database: TenantDatabase) -> None:
    store(database, MIXED)
    said = {
        31: ("bad", "tone"),
        32: ("bad", "loop"),
        33: ("good", ""),
        4: ("good", ""),
        8: ("bad", "tone"),
        5: ("bad", "tone"),
    }
    rows = [
        {
            "annotation_id": str(number),
            "created_at": START,
            "trace_id": One(number).trace_id,
            "span_id": "",
            "verdict": verdict,
            "failure_mode": mode,
            "corrected_output": None,
            "comment": "",
            "annotator": "ann",
        }
        for number, (verdict, mode) in said.items()
    ]
    database.insert_rows("annotations", [*rows, {**rows[0], "annotation_id": "again", "annotator": "bob"}])
    failing, others = read_labels(database, parse_where([]))
    assert (failing.traces, others.traces, others.unsampled) == (3, 2, 1)
    assert float(failing.of(MODE + "tone").event_weight[0]) == 1
    assert float(others.of(MODE + "tone").event_weight[0]) == 4
    assert float(others.of(MODE + "tone").weight[0]) == 8
    (group,) = read_groups(database, parse_where([]), None)
    labels = label_figures(group, failing, others, LEAST)
    assert [f.name for f in labels.modes] == ["tone", "loop"]
    assert all(f.rate is None and f.why for f in labels.modes)
    assert labels.unsampled == 1


def test_nothing_is_known_of_no_traces(database: TenantDatabase) -> None:
    assert read_groups(database, parse_where([]), None) == []
    failing, others = read_labels(database, parse_where([]))
    assert figure_of("x", failing.of("mode:x"), LEAST).why == "no traces"
    assert others.traces == 0


def test_one_trace_is_too_few(database: TenantDatabase) -> None:
    store(database, [One(1, failing=True, reasons=("refusal",))])
    (group,) = read_groups(database, parse_where([]), None)
    figure = figure_of("failing", group.of(FAILING), LEAST)
    assert figure.rate is None
    assert figure.low == pytest.approx(0.05)  # half of its probability is 0.025
    assert figure.high == 1
    assert figure.why == "effective n is 1, 30 are needed"


def test_traces_are_grouped_by_known_fields_only() -> None:
    for name in ("user_id", "1; DROP TABLE spans", "featur"):
        with pytest.raises(BadInput, match="--by"):
            group_expression(name)


@pytest.mark.parametrize("name", ["sums", "labels"])
def test_a_reader_behind_the_fence_may_ask(database: TenantDatabase, name: str) -> None:
    """At the address of a running service statements pass its allow-list."""
    fenced = fence(database.opened)
    text = sql("evalgate.stats", name).replace("/* group */", group_expression("feature"))
    bound = text.replace("{tenant:String}", "'default'").replace("{limit:UInt32}", "10")
    if fenced is not None:  # a server has grants instead
        assert fenced.check(bound).startswith("SELECT")
