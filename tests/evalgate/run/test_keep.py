"""Old runs go; what is accepted, judged last or not finished stays."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from evalgate.run.keep import prune_runs

if TYPE_CHECKING:
    from pathlib import Path


def test_the_newest_stay_and_those_that_something_rests_on(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    for n in range(8):
        (runs / f"run-{n}.json").write_text("{}")
        os.utime(runs / f"run-{n}.json", (n, n))
    for name in ("run-1.partial.jsonl", "run-9.partial.jsonl"):
        (runs / name).write_text("{}")
    (runs / "latest.json").write_text('{"run_id": "run-7"}')
    accepted = tmp_path / "baseline.json"
    accepted.write_text('{"datasets": {"refunds": {"base": {"run_id": "run-2"}}}}')
    naming = (accepted, tmp_path / "nothing.json")
    assert prune_runs(8, runs, naming) == []
    assert prune_runs(4, runs, naming) == ["run-0", "run-1", "run-3"]
    left = {p.name for p in runs.iterdir()}
    assert left == {*(f"run-{n}.json" for n in (2, 4, 5, 6, 7)), "run-9.partial.jsonl", "latest.json"}
    assert prune_runs(4, tmp_path / "no such folder", naming) == []
