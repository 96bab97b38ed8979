"""`evalgate gate --report` does what the recorded tool did, and exits 2 with a payload where that one died."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.evalgate.gate_command import gate_command
from tests.evalgate.gate_compatible.record import differences, read, write_files, written_payload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CASES = read("recorded.jsonl")
PROBES = read("probed.jsonl")
AS_PROCESSES = ("001-bench-threshold-pass", "054-reg-over-default", "071-reg-null-current", "180-cli-threshold-nan")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_record_is_whole() -> None:
    assert len(CASES) == 104
    assert len({c["name"] for c in (*CASES, *PROBES)}) == 104 + len(PROBES)


@pytest.fixture(scope="module")
def run() -> Callable[[Sequence[str]], int]:
    return gate_command()


def play(case: dict[str, Any], run: Callable[[Sequence[str]], int], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run a case in the current folder; return where its outcome is another than the recorded one."""
    write_files(case, Path())
    code = run(["gate", *case["argv"]])
    out, err = capsys.readouterr()
    found = [] if code == case["exit"] else [f"exit code {code}, not {case['exit']}: {err}"]
    if case["payload"] is not None:
        found += differences(case["payload"], written_payload(case, Path(), out))
    if "Traceback" in err or len(err.splitlines()) > 1:
        found.append(f"more than one line of error: {err}")
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_a_recorded_case(case: dict[str, Any], run: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert play(case, run, capsys) == []


def test_further_reports(run: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {c["name"]: found for c in PROBES if (found := play(c, run, capsys))} == {}


@pytest.mark.parametrize("name", AS_PROCESSES)
def test_a_case_as_a_process(name: str, folder: Path) -> None:
    case = next(c for c in CASES if c["name"] == name)
    write_files(case, folder)
    done = subprocess.run(
        [sys.executable, "-m", "evalgate.cli", "gate", *case["argv"]],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == case["exit"], done.stderr
    assert differences(case["payload"], written_payload(case, folder, done.stdout)) == []


def test_the_comparison_sees_what_differs() -> None:
    wanted = {"status": "pass", "checks": [{"value": 1.0, "passed": True}], "nan": {"$float": "NaN"}}
    same = {"status": "pass", "checks": [{"value": 1, "passed": True, "more": 1}], "nan": float("nan")}
    assert differences(wanted, same) == []
    changes: list[dict[str, Any]] = [
        {"status": "fail"},
        {"checks": []},
        {"checks": [{"value": 1.1, "passed": True}]},
        {"nan": 0.0},
    ]
    for change in changes:
        assert len(differences(wanted, {**same, **change})) == 1
    assert differences(wanted, {**same, "checks": [{"value": 1.0, "passed": 1}]}) != []


def bench(folder: Path, score: float = 4.0) -> None:
    folder.joinpath("r.json").write_text(json.dumps({"summary": {"flux": {"overall_score": score}}}))


def test_people_read_a_table_and_a_verdict(run: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench(folder)
    assert run(["gate", "--report", "r.json", "--threshold", "4.5"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split() == ["flux", "overall_score", "4.00", "4.50", "FAIL"]
    assert out.splitlines()[-1] == "Gate: FAIL"
    assert err == ""


def test_nothing_to_check_is_said(run: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.joinpath("r.json").write_text('{"summary": {}}')
    assert run(["gate", "--report", "r.json", "--threshold", "4.5"]) == 0
    assert "nothing in the report could be checked" in capsys.readouterr().err


def test_an_error_is_told_once(run: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["gate", "--report", "r.json", "--threshold", "4.5"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "Error: Report file not found: r.json\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--metric-threshold", "a:1"), "--metric-threshold needs --report"),
        (("--dimension-threshold", "a:1", "--min-confidence", "0"), "--dimension-threshold, --min-confidence needs"),
        (("--regression-threshold", "0"), "--regression-threshold needs --report"),
        (("--report", "r.json", "--run", "latest"), "--run cannot go with --report"),
        (("--report", "r.json", "--format", "json", "--base", "x"), "--base, --format cannot go with --report"),
        (("--report", "r.json", "--allow-errors", "0"), "--allow-errors cannot go with --report"),
        (("--report", "r.json", "--", "pytest"), "COMMAND cannot go with --report"),
    ],
)
def test_options_of_both_gates_together_are_an_error(
    arguments: tuple[str, ...], words: str, run: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench(folder)
    assert run(["gate", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_report_that_is_too_large_is_not_read(
    run: Any, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalgate.gate.compatible.report.MAX_REPORT_BYTES", 10)
    bench(folder)
    assert run(["gate", "--report", "r.json", "--threshold", "1"]) == 2
    assert "larger than 10 bytes" in capsys.readouterr().err


def test_deep_nesting_is_an_error(run: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.joinpath("r.json").write_text("[" * 100_000)
    assert run(["gate", "--report", "r.json", "--threshold", "1", "--json-output", "-"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "error"
    assert "nested too deep" in err


@pytest.mark.parametrize("where", ["no/such/folder.json", "."])
def test_an_outcome_that_cannot_be_written_is_an_error(
    where: str, run: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench(folder)
    assert run(["gate", "--report", "r.json", "--threshold", "1", "--json-output", where]) == 2
    assert capsys.readouterr().err.startswith("Error: cannot write")


def test_content_does_not_act_on_a_terminal(run: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b[2J\u202eflux"
    folder.joinpath("r.json").write_text(json.dumps({"summary": {name: {"overall_score": 1}}}))
    run(["gate", "--report", "r.json", "--threshold", "1"])
    run(["gate", "--report", "r.json", "--threshold", "1", "--json"])
    out, _ = capsys.readouterr()
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert json.loads(out[out.index("{\n") :])["checks"][0]["model"] == name


def test_the_help_has_the_flags_of_both(run: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["gate", "--help"]) == 0
    out, _ = capsys.readouterr()
    ours, theirs = out.split("Reports of evaly: everything below needs --report")
    for flag in ("--report", "--dimension-threshold", "--metric-threshold", "--min-confidence"):
        assert flag in theirs
    for flag in ("--run", "--base", "--inconclusive", "--format", "--threshold", "--baseline", "--json-output"):
        assert flag in ours
    assert "Usage: evalgate gate [OPTIONS] [-- COMMAND...]\n" in out
