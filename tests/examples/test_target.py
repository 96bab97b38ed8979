"""The demo's evaluators stop the broken release and let the fixed one through, from files alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from examples.support_agent import target
from examples.support_agent.reviewer import DEMO_SEED, labels
from examples.support_agent.traffic import messages

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = Path(target.__file__).parent
EVALGATE = Path(sys.executable).parent / "evalgate"


def cases() -> Iterator[dict[str, Any]]:
    """Yield a hand-written case for each label of the demo."""
    asked = {trace: line.text for _, _, line, trace in messages(DEMO_SEED)}
    for label in labels(DEMO_SEED):
        (text,) = [text for trace, text in asked.items() if trace.startswith(label["trace_id"])]
        case = {"case_id": f"case-{label['trace_id']}", "input": text, "verdict": label["verdict"]}
        yield {**case, "failure_mode": label.get("failure_mode")}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Lay the app and its evals out as in a user's repository."""
    shutil.copytree(APP, tmp_path / "support_agent", ignore=shutil.ignore_patterns("evals", "__pycache__"))
    shutil.copytree(APP / "evals", tmp_path / "evals")
    (tmp_path / "evals/datasets").mkdir()
    (tmp_path / "evals/datasets/support.jsonl").write_text("".join(f"{json.dumps(case)}\n" for case in cases()))
    return tmp_path


def evalgate(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(EVALGATE), *arguments], cwd=repository, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("where", ["support_agent.target", "support_agent/target.py"])
def test_the_broken_release_is_stopped_and_each_failure_mode_is_named(repository: Path, where: str) -> None:
    ran = evalgate(repository, "run", "--dataset", "support", "--target", f"python:{where}:broken")
    assert ran.returncode == 0, ran.stderr
    gate = evalgate(repository, "gate", "--json")
    assert gate.returncode == 1, gate.stderr
    report = json.loads(gate.stdout)
    failed = {result["failure_mode"] for result in report["eval_results"] if not result["passed"]}
    assert failed >= {"policy_hallucination", "tool_loop", "unhandled_tool_error"}
    bad = {case["case_id"] for case in cases() if case["verdict"] == "bad"}
    assert {case for case in bad if case in gate.stdout} == bad


def test_the_fixed_release_passes(repository: Path) -> None:
    ran = evalgate(repository, "run", "--dataset", "support", "--target", "python:support_agent.target:fixed")
    assert ran.returncode == 0, ran.stderr
    gate = evalgate(repository, "gate")
    assert gate.returncode == 0, gate.stdout
    assert gate.stdout.startswith("GATE PASSED")
