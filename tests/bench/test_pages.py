"""The bench of the pages runs, and says which of its figures have a target."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import pages

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.thorough
def test_every_page_answers() -> None:
    command = [sys.executable, str(BENCH / "pages.py"), "--smoke", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["spans"] == 3960
    assert {p["page"] for p in found["pages"] if p["is_list"]} == {c.what for c in pages.checks(found)}
    assert "| list, newest |" in pages.markdown(found)


def test_a_list_that_takes_too_long_is_missed() -> None:
    page = {"page": "list", "is_list": True, "p50_ms": 200.0}
    assert [c.is_met for c in pages.checks({"pages": [page, {**page, "p50_ms": 201.0}]})] == [True, False]
