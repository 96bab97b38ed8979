"""The bench of clusters runs, and would say so if k-means were as good."""

from __future__ import annotations

import json

import pytest

from bench.clusters import checks, index, main, markdown


def test_a_trace_without_a_cluster_is_a_group_of_its_own() -> None:
    assert index([0, 0, 1, 1], [5, 5, 6, 6]) == 1.0
    assert index([0, 0, 1, 1, -1], [5, 5, 6, 6, 6]) == 1.0
    assert index([0, 0, 1, 1], [0, 0, 0, 0]) == 0.0


@pytest.mark.thorough
def test_the_bench_runs_and_finds_more_than_k_means(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--smoke", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert all(c.is_met for c in checks(found))
    for recovery in found["recovery"]:
        recovery["ours"] = 0.0
    assert not any(c.is_met for c in checks(found)[:-1])
    assert "| easy | 300 |" in markdown(found)
