"""Every bench runs in its smoke size, and its figures are read as they are meant."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench import embedded, everything, growth, intervals, sampling, stages, start
from bench.tools.limits import copy_us, receive_us, send_us
from bench.tools.report import Check, checks_markdown, markdown_table, number
from bench.tools.shapes import Shape, records
from collector.decode import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

BENCH = Path(__file__).parents[2] / "bench"


def smoke(script: str, *options: str) -> dict[str, Any]:
    """Return what a bench measured in its smoke size."""
    command = [sys.executable, str(BENCH / script), "--smoke", "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["machine"]["commit"]
    return found


@pytest.mark.thorough
def test_embedded_runs_and_every_span_is_visible() -> None:
    found = smoke("embedded.py", "--kind", "small")
    (one,) = found["visible"]
    assert one["sent"]["accepted"] == 2048
    assert one["problems"] == []
    assert 0 < one["probes_s"][0] <= one["probes_s"][-1] < 2
    (visible,) = embedded.checks(found)
    assert visible.is_met
    assert "| small | evalgate | 2048 |" in embedded.markdown(found)


@pytest.mark.thorough
def test_stages_runs_and_draws(tmp_path: Path) -> None:
    found = smoke("stages.py", "--kind", "small", "--picture", str(tmp_path))
    assert [kind["kind"] for kind in found["kinds"]] == ["small"]
    for kind in found["kinds"]:
        figures = {s["stage"]: s["us"] for s in kind["stages"]}
        assert all(us >= 0 for us in figures.values())
        assert {"receive", "inflate", "journal write", "decode", "normalise", "encode", "send"} <= set(figures)
        own = sum(us for name, us in figures.items() if name not in stages.BESIDE)
        assert kind["total_us"] == pytest.approx(own, abs=0.01)
    assert "| (receive gRPC) |" in stages.markdown(found)
    assert (tmp_path / "stages.svg").read_text().startswith("<svg")


@pytest.mark.thorough
def test_growth_runs_and_draws(tmp_path: Path) -> None:
    found = smoke("growth.py", "--picture", str(tmp_path))
    curves = {p["curve"] for p in found["points"]}
    assert {growth.IN_THE_DATABASE, growth.INSERTS_ALONE, growth.SPANS_A_TRACE, growth.MORE_ATTRIBUTES} <= curves
    assert "tenants" in curves
    assert {c.what for c in growth.checks(found)} >= {f"growth, {growth.IN_THE_DATABASE}: worst ÷ first"}
    assert (tmp_path / "growth.svg").read_text().startswith("<svg")


@pytest.mark.thorough
def test_sampling_runs_and_draws_and_ours_misses_no_failing_trace(tmp_path: Path) -> None:
    found = smoke("sampling.py", "--picture", str(tmp_path))
    ways = {w["way"]: w for w in found["ways"]}
    assert (ways["ours"]["missed"], ways["ours"]["in_part"], ways["ours"]["wrongly_failing"]) == (0, 0, 0)
    for name in ("sidecar", "tail sampler"):
        assert ways[name]["missed_by_mode"]["at once"] == 0
        assert ways[name]["missed"] > 0
    assert ways["sidecar"]["missed_by_mode"]["late"] == ways["sidecar"]["missed_by_mode"]["content"] == 0
    assert ways["tail sampler"]["missed_by_mode"]["late"] > 0
    # What is said when the holding time is over finds the baseline only, and that is told.
    assert ways["ours"]["missed_by_mode"]["after holding"] <= found["failing"]["after holding"]
    assert ways["ours"]["spans_at_first"] == found["spans"] > ways["ours"]["spans_at_last"]
    missed, in_part, rate, *costs = sampling.checks(found)
    assert [c.what for c in costs] == ["sampling, genai: failure and sample", "sampling, small: failure and sample"]
    assert {c["policy"] for c in found["costs"]} == set(sampling.COST_POLICIES)
    assert missed.is_met
    assert in_part.is_met
    assert rate.value < abs(ways["tail sampler"]["error_unweighted"])
    assert "| thumbs down |" in sampling.markdown(found)
    assert (tmp_path / "sampling.svg").read_text().startswith("<svg")


@pytest.mark.thorough
def test_intervals_run_and_draw_and_ours_hold_the_truth(tmp_path: Path) -> None:
    found = smoke("intervals.py", "--picture", str(tmp_path))
    assert {p["policy"] for p in found["points"]} == {*intervals.POLICIES, intervals.LABELS}
    assert {p["way"] for p in found["points"]} >= {intervals.OURS, "Wilson, unweighted"}
    least, greatest, modes, rest = intervals.checks(found)
    assert least.value > 0.91  # of 400 populations: the test of the estimator has more
    assert greatest.value < 0.99
    assert rest.value > 0.91
    assert modes.limit == 0.93
    assert "| sessions | ours without sessions | 2 of 2 |" in intervals.markdown(found)
    assert (tmp_path / "intervals.svg").read_text().startswith("<svg")


@pytest.mark.thorough
def test_start_runs() -> None:
    found = smoke("start.py")
    (one,) = found["starts"]
    assert 0 < one["acknowledged_s"] <= one["delivered_s"] <= one["settled_s"]
    assert one["rss_bytes"] > 50e6
    (check,) = start.checks(found)
    assert check.value == one["acknowledged_s"]


# -- verdicts ----------------------------------------------------------------------------------------------------


def test_a_target_is_met_up_to_its_limit_and_what_is_no_number_never() -> None:
    assert Check("a", 2.0, 2.0).is_met
    assert not Check("a", 2.01, 2.0).is_met
    assert Check("a", 2.0, 2.0, at_least=True).is_met
    assert not Check("a", 1.9, 2.0, at_least=True).is_met
    assert not Check("a", math.nan, 2.0).is_met
    assert checks_markdown([Check("cpu", 0.5, 0.4, "µs")]).splitlines()[2] == "| cpu | 0.50 µs | ≤ 0.40 µs | missed |"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.256, "0.26"), (0.00258, "0.0026"), (12.34, "12.3"), (137.4, "137"), (2.0, "2"), (math.nan, "nan")],
)
def test_figures_have_the_digits_they_deserve(value: float, text: str) -> None:
    assert number(value) == text


def test_a_table_is_markdown() -> None:
    assert markdown_table(("a", "b"), [(1, "x")]) == "| a | b |\n| --- | --- |\n| 1 | x |\n"


def test_growth_cuts_batches_at_the_bytes_of_the_journal() -> None:
    found = [dataclasses.replace(r, body=bytes(20 << 20)) for r in records(Shape(300))]
    assert [[r.sequence for r in batch] for batch in growth.batches(found)] == [[0], [1], [2]]
    small = records(Shape(300))
    assert list(growth.batches(small)) == [small]


def test_growth_is_told_beside_the_first_point() -> None:
    points = growth.relative("tenants", [(1, 2.0), (10, 2.2), (100, 2.4)])
    assert [p["relative"] for p in points] == [1.0, 1.1, 1.2]
    (check,) = growth.checks({"points": points})
    assert (check.value, check.is_met) == (1.2, False)


def test_the_slowest_start_and_the_slowest_request_count() -> None:
    starts = [{"cache": "cold", "database": "server", "acknowledged_s": s} for s in (0.5, 2.5, 1.0)]
    (check,) = start.checks({"starts": starts})
    assert (check.value, check.is_met) == (2.5, False)

    def run(target: str, cpu_s: float, probes: Sequence[float]) -> dict[str, Any]:
        return {"target": target, "kind": "genai", "cpu_s": cpu_s, "sent": {"accepted": 1000}, "probes_s": probes}

    found = [run("evalgate", 0.3, [0.1, 0.4]), run("evalgate", 0.2, [0.2]), run("phoenix", 4.0, [9.0])]
    visible, beside = embedded.checks({"visible": found})
    assert (visible.value, visible.is_met) == (0.4, True)
    assert beside.value == pytest.approx(0.05)


def test_the_summary_has_every_bench_that_ran_and_its_targets() -> None:
    machine = {
        "at": "2026-11-21T00:00:00+00:00",
        "commit": "abc",
        "uncommitted": [],
        "cores": 2,
        "processor": "P",
        "memory_mib": 2048,
        "python": "3.11",
        "kernel": "6",
        "load_average": [0.1, 0.2, 0.3],
        "fdatasync_ms": {"p50": 1, "max": 2},
    }
    points = growth.relative("tenants", [(1, 2.0), (10, 3.0)])
    checks, text = everything.summary({"growth": {"machine": machine, "points": points}})
    assert [c.is_met for c in checks] == [False]
    assert "| growth, tenants: worst ÷ first | 1.50 | ≤ 1.15 | missed |" in text
    assert "## As things grow" in text
    assert "commit abc;" in text


# -- what is measured --------------------------------------------------------------------------------------------


def test_shapes_have_the_traces_attributes_and_tenants_that_they_say() -> None:
    found = records(Shape(spans=250, spans_per_trace=50, attributes=12, tenants=2))
    batch = decode(found)
    assert len(batch) == 250
    assert len({bytes(t) for t in batch.trace_id}) == 5
    assert len({bytes(s) for s in batch.span_id}) == 250
    assert len(batch.attributes) == 250 * 12
    assert {r.tenant for r in found} == {"tenant-0", "tenant-1"}
    roots = sum(not any(parent) for parent in batch.parent_span_id.tolist())
    assert roots == 5


def test_another_seed_makes_other_spans() -> None:
    one, other = (decode(records(Shape(spans=10), seed=s)) for s in (1, 2))
    assert not {bytes(s) for s in one.span_id} & {bytes(s) for s in other.span_id}


def test_limits_are_of_the_bytes_that_were_given() -> None:
    few, many = (copy_us([bytes(n)] * 8, rounds=3) for n in (1 << 10, 4 << 20))
    assert 0 <= few < many
    assert receive_us(3 << 20, rounds=1) > 0
    assert send_us(3 << 20, rounds=1) > 0


@pytest.mark.thorough
def test_forwarding_runs_and_a_remembered_trace_takes_few_bytes() -> None:
    found = smoke("forwarding.py")
    # 27 bytes for one that is kept and 8 for one left out, and for a moment the table before a change beside it.
    assert 30 < found["bytes_per_trace"] < 80
    for kind in found["kinds"]:
        assert 0 < kind["kept_spans"] < kind["spans"]
        assert kind["us"]["write what is kept"] < kind["us"]["write it by the library"]
