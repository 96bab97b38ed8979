"""The benches of signals run in their smoke size, and the planted traffic is what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bench.tools.planted import DECOYS, FAILURES, Mix, plant

BENCH = Path(__file__).parents[2] / "bench"


def smoke(script: str) -> dict[str, Any]:
    command = [sys.executable, str(BENCH / script), "--smoke", "--json"]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=110).stdout
    found: dict[str, Any] = json.loads(out)
    return found


def test_three_of_a_hundred_fail_and_many_more_look_like_it() -> None:
    planted = plant(1, 3000)
    assert 0.02 < len(planted.failures()) / len(planted.kinds) < 0.035
    kinds = Counter(planted.kinds.values())
    assert set(kinds) == {"", *FAILURES, *DECOYS}
    assert sum(kinds[d] for d in DECOYS) > 3 * len(planted.failures())
    hard = plant(1, 1000, Mix(invisible=0.5, decoys=1.5))
    invisible = Counter(hard.kinds.values())["plain_wrong"]
    assert 0.3 < invisible / len(hard.failures()) < 0.7
    assert plant(1, 50).spans == plant(1, 50).spans


@pytest.mark.thorough
def test_the_queue_finds_more_than_a_random_sample() -> None:
    found = smoke("queue_yield.py")
    for mix in found["mixes"]:
        orders = {o["order"]: o for o in mix["orders"]}
        assert orders["all"]["lift"] > 3
        assert orders["only duration"]["lift"] < orders["all"]["lift"]


@pytest.mark.thorough
def test_the_cost_is_told_by_size() -> None:
    sizes = smoke("signals.py")["sizes"]
    assert [s["traces"] for s in sizes] == sorted(s["traces"] for s in sizes)
    assert all(s["read_s"] > 0 for s in sizes)
