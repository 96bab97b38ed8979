"""The bench runs, and tells what it must not hide."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bench.ingest import all_cases, chosen, summary
from bench.tools.databases import Rows
from bench.tools.loadgen import Sent
from bench.tools.measure import Measurement, differences, not_accounted
from bench.tools.ratios import checks, markdown

BENCH = Path(__file__).parents[2] / "bench"
SENT = Sent(
    spans=1000,
    accepted=1000,
    rejected=0,
    failed=0,
    retries=0,
    requests=2,
    bytes=100,
    seconds=1.0,
    ended_at=1.0,
    p50_ms=1.0,
    p99_ms=2.0,
    max_ms=3.0,
    cpu_s=0.1,
)
ONE = Measurement(
    target="evalgate",
    case="genai-http-512",
    sent=SENT,
    cpu_s=0.02,
    database_cpu_s=0.01,
    seconds_until_idle=2.0,
    rss_before_bytes=1,
    rss_after_bytes=1,
    rss_peak_bytes=1,
    insert_bytes=5,
    rows=None,
    load_average=0.0,
    problems=(),
)


def cells(found: list[Measurement], column: str, *, real: bool = False) -> list[str]:
    table = summary(found, real=real)
    return [str(cell) for cell in next(c for c in table.columns if c.header == column).cells]


def test_the_best_run_of_each_counts_and_the_ratio_is_ours_to_the_peers() -> None:
    peer = replace(ONE, target="rotel-lz4", cpu_s=0.04)
    found = [replace(ONE, cpu_s=0.03), peer, ONE, replace(peer, cpu_s=0.05)]
    assert cells(found, "CPU-s/M") == ["20.00", "40.00"]
    assert cells(found, "ratio") == ["", "0.50"]


def test_with_a_real_database_its_work_is_in_the_ratio() -> None:
    ours = replace(ONE, rows=Rows(1000, 1000, 125, 1), insert_bytes=None)
    found = [ours, replace(ours, target="rotel-lz4", cpu_s=0.01, database_cpu_s=0.05)]
    assert cells(found, "ratio", real=True) == ["", "0.50"]


def test_spans_lost_or_stored_twice_are_told() -> None:
    assert differences(1000, Rows(1000, 1000, 1, 1)) == []
    assert differences(1000, Rows(999, 999, 1, 1))
    assert differences(1000, Rows(1001, 1000, 1, 1))


def test_what_the_collector_says_of_itself_must_agree_with_its_answers() -> None:
    def health(spans: int, records: int) -> dict[str, dict[str, int]]:
        return {"delivery": {"spans": spans}, "journal": {"next_sequence": records}}

    assert not_accounted(SENT, health(50, 5), health(1050, 7)) == []
    assert "999 handed to the database" in not_accounted(SENT, health(50, 5), health(1049, 7))[0]
    assert "1 were journalled" in not_accounted(SENT, health(50, 5), health(1050, 6))[0]
    assert not_accounted(SENT, {}, {}) == []


def test_figures_are_judged_by_the_best_runs_and_their_targets() -> None:
    peers = [replace(ONE, target="rotel-plain", cpu_s=0.05), replace(ONE, target="rotel-lz4", cpu_s=0.04)]
    document = {"measurements": [asdict(one) for one in (replace(ONE, cpu_s=0.09), ONE, *peers)]}
    found = {one.what: one for one in checks(document)}
    plain, lz4 = found["genai-http-512: CPU, ours ÷ rotel-plain"], found["genai-http-512: CPU, ours ÷ rotel-lz4"]
    assert plain.value == pytest.approx(0.4)
    assert plain.is_met
    assert lz4.value == pytest.approx(0.5)
    assert not lz4.is_met
    assert markdown(document).splitlines()[2] == "| genai-http-512 | 20 | 50 | 40 | 0.40 | 0.50 | 0 |"


def test_with_a_real_database_the_target_is_that_of_both_together() -> None:
    ours = replace(ONE, rows=Rows(1000, 1000, 125, 1), insert_bytes=None, problems=("late",))
    peer = replace(ours, target="rotel-lz4", cpu_s=0.02, database_cpu_s=0.04)
    together, _, problems = checks({"measurements": [asdict(ours), asdict(peer)]})
    assert (together.value, together.limit, together.is_met) == (0.5, 0.5, True)
    assert (problems.value, problems.is_met) == (2, False)


def test_cases_are_chosen_by_name_or_pattern_and_a_name_that_is_none_is_told() -> None:
    names = [case.name for case in all_cases(100)]
    assert len(set(names)) == len(names) == 36
    assert [c.name for c in chosen(["small-grpc-512", "genai-http-gzip-*"], 100)] == [
        "small-grpc-512",
        "genai-http-gzip-512",
        "genai-http-gzip-32",
        "genai-http-gzip-2048",
    ]
    with pytest.raises(SystemExit, match="no case is called 'huge'"):
        chosen(["huge"], 100)


@pytest.mark.thorough
def test_ingest_runs_and_delivers_everything() -> None:
    command = [sys.executable, str(BENCH / "ingest.py"), "--smoke", "--case", "genai-http-gzip-512", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    (one,) = json.loads(done.stdout)["measurements"]
    assert one["sent"]["accepted"] == 1024
    assert one["cpu_s"] > 0
    assert one["insert_bytes"] > 1024 * 500
    assert one["problems"] == []


@pytest.mark.thorough
def test_latency_runs_and_delivers_everything() -> None:
    command = [sys.executable, str(BENCH / "latency.py"), "--smoke", "--kind", "small", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one["share"] for one in found["latencies"]] == [0.1, 0.5, 0.9]
    assert all(one["sent"]["failed"] == 0 and one["sent"]["p50_ms"] > 0 for one in found["latencies"])
    assert found["machine"]["fdatasync_ms"]["p50"] > 0
