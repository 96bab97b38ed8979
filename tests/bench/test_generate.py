"""The bench of generation runs in its smoke size, and finds what is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench/generate.py"


@pytest.mark.thorough
def test_generating_runs_and_finds_a_phrase_that_is_always_there() -> None:
    command = [sys.executable, str(BENCH), "--smoke", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    worlds = {w["world"]: w for w in json.loads(done.stdout)["worlds"]}
    assert worlds["in 100% of the bad, 0% of the good"]["kept"] == 1
    assert worlds["no pattern"]["kept"] == 0
