"""A run that is killed is finished: nothing is made twice, nothing is lost, and nothing else is mixed in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.app import run as evalgate
from evalgate.errors import BadInput
from evalgate.run.engine import Kept
from evalgate.run.options import RunOptions, options_of
from evalgate.run.partial import PartialFile, check_plan, find_partial, read_partial
from evalgate.run_files import load_run
from schema.case import parse_case
from schema.run import ErrorKind
from tests.evalgate.builders import attempt, refund_cases, write_project

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_S = 30.0
COUNTING = """\
import pathlib, threading
def count(case):
    log = pathlib.Path("asked.txt")
    with log.open("a") as f:
        f.write(case["case_id"] + "\\n")
    if case["case_id"] == "case-3" and not pathlib.Path("go").exists():
        threading.Event().wait()
    return "You have 30 days."
"""
PLAN = {"the dataset": "v1", "--repeats": 2}


def kept(case_id: str, number: int = 1, **what: Any) -> Kept:
    return Kept(parse_case({"case_id": case_id, "input": "Q"}), attempt(number, **what))


def begin(run_id: str = "r1") -> PartialFile:
    return PartialFile.begin(run_id, "2026-11-21T09:00:00+00:00", PLAN, {"dataset": "d"})


def test_what_was_kept_comes_back(project: Path) -> None:
    with begin() as file:
        file.keep(kept("a"))
        file.keep(kept("a", 2, passed=False))
        file.keep(kept("b", error=ErrorKind.TIMEOUT))
    found = read_partial(find_partial("r1"))
    assert (found.run_id, found.plan, found.options) == ("r1", PLAN, {"dataset": "d"})
    assert set(found.attempts) == {("a", 1), ("a", 2), ("b", 1)}
    assert found.attempts["a", 2] == attempt(2, passed=False)
    assert find_partial("latest") == found.path


def test_an_attempt_without_budget_is_left_to_a_later_run(project: Path) -> None:
    with begin() as file:
        file.keep(kept("a", error=ErrorKind.BUDGET))
    assert read_partial(find_partial("r1")).attempts == {}


@pytest.mark.parametrize("torn", [b'{"case_id": "b", "con', b"\xff"])
def test_a_torn_last_line_is_dropped_and_cut_off_before_more_is_written(project: Path, torn: bytes) -> None:
    with begin() as file:
        file.keep(kept("a"))
    path = find_partial("r1")
    path.write_bytes(path.read_bytes() + torn)
    found = read_partial(path)
    assert set(found.attempts) == {("a", 1)}
    with PartialFile.go_on(found) as file:
        file.keep(kept("b"))
    assert set(read_partial(path).attempts) == {("a", 1), ("b", 1)}


def test_a_line_that_is_damaged_is_named(project: Path) -> None:
    with begin() as file:
        file.keep(kept("a"))
        file.keep(kept("b"))
    path = find_partial("r1")
    path.write_bytes(path.read_bytes().replace(b'"case_id": "a"', b'"case_id": "a'))
    with pytest.raises(BadInput, match="line 2 is damaged"):
        read_partial(path)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ('{"schema": "evalgate/partial-run/1"}', "line 1 is damaged: a line lacks 'run_id'"),
        ('{"schema": "evalgate/partial-run/2"}', "line 1 is damaged: its schema is"),
        (
            '{"schema": "evalgate/partial-run/1", "run_id": "../r2", "started_at": "t"}',
            "line 1 is damaged: it is of the run '../r2'",
        ),
    ],
)
def test_a_first_line_that_is_of_no_run_of_this_name_is_named(project: Path, header: str, words: str) -> None:
    with begin() as file:
        path = file.path
    path.write_text(header + "\n")
    with pytest.raises(BadInput, match=words):
        read_partial(path)


def test_what_another_process_has_kept_since_is_not_cut_off(project: Path) -> None:
    with begin():
        pass
    read_early = read_partial(find_partial("r1"))
    with PartialFile.go_on(read_early) as other:
        other.keep(kept("a"))
    with pytest.raises(BadInput, match="another process went on"):
        PartialFile.go_on(read_early)
    assert set(read_partial(find_partial("r1")).attempts) == {("a", 1)}
    other.remove()
    with pytest.raises(BadInput, match="cannot write"):
        PartialFile.go_on(read_early)
    assert not other.path.exists()


def test_two_processes_do_not_finish_one_run(project: Path) -> None:
    with begin(), pytest.raises(BadInput, match="another process is writing"):
        PartialFile.go_on(read_partial(find_partial("r1")))


def test_what_changed_since_is_named(project: Path) -> None:
    with begin():
        pass
    found = read_partial(find_partial("r1"))
    check_plan(found, PLAN)
    with pytest.raises(BadInput, match="the dataset changed since it was stopped"):
        check_plan(found, {**PLAN, "the dataset": "v2"})


def test_there_is_nothing_to_finish(project: Path) -> None:
    with pytest.raises(BadInput, match="there is no unfinished run"):
        find_partial("latest")
    with begin():
        pass
    with pytest.raises(BadInput, match="Unfinished: r1"):
        find_partial("../../etc/passwd")


@pytest.fixture
def counting(project: Path) -> Path:
    write_project(project, refund_cases(6))
    (project / "counting.py").write_text(COUNTING)
    return project


def start(project: Path) -> subprocess.Popen[bytes]:
    """Start a run of one case at a time that stands still at the fourth."""
    code = "import sys; from evalgate.app import run; sys.exit(run(sys.argv[1:]))"
    root = str(Path(__file__).resolve().parents[3])
    words = ["run", "-d", "d", "-t", "python:counting.py:count", "--concurrency", "1", "--repeats", "2"]
    environment = {**os.environ, "PYTHONPATH": root}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=project, env=environment, stderr=subprocess.PIPE
    )
    until(lambda: asked(project)[-1:] == ["case-3"])
    return process


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)  # another process: there is nothing to wait on but its files


def asked(project: Path) -> list[str]:
    path = project / "asked.txt"
    return path.read_text().split() if path.exists() else []


def test_a_run_that_was_killed_is_finished_and_nothing_is_asked_twice(
    counting: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = start(counting)
    until(lambda: len(read_partial(find_partial("latest")).attempts) == 3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (counting / ".evalgate/runs/latest.json").exists()
    (counting / "go").touch()
    assert evalgate(["run", "--resume", "latest", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    _, run = load_run()
    assert run.run_id == told["run_id"]
    assert [r.case_id for r in run.results] == [f"case-{n}" for n in range(6)]
    assert [[a.number for a in r.attempts] for r in run.results] == [[1, 2]] * 6
    assert all(r.passed for r in run.results)
    counts = {i: asked(counting).count(i) for i in asked(counting)}
    assert counts == {"case-3": 3} | {f"case-{n}": 2 for n in (0, 1, 2, 4, 5)}, "case-3 was on its way when it died"
    assert list((counting / ".evalgate/runs").glob("*.partial.jsonl")) == []


def test_ctrl_c_keeps_what_there_is_and_says_how_to_go_on(counting: Path) -> None:
    process = start(counting)
    until(lambda: len(read_partial(find_partial("latest")).attempts) == 3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT_S)
    run_id = find_partial("latest").name.removesuffix(".partial.jsonl")
    assert process.returncode == 2
    assert err.decode().splitlines()[-1] == (
        f"evalgate: stopped after 3 of 12 attempts; they are kept. Go on: evalgate run --resume {run_id}"
    )
    assert not (counting / ".evalgate/runs/latest.json").exists(), "a gate must not take it for a whole run"


def test_a_run_is_not_finished_with_other_cases(counting: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = RunOptions("d", "python:counting.py:count", "evals/evaluators").to_json()
    with PartialFile.begin("r1", "2026-11-21T09:00:00+00:00", {"the dataset": "of last week"}, options):
        pass
    assert evalgate(["run", "--resume", "latest"]) == 2
    said = capsys.readouterr().err
    assert "the run r1 cannot be finished: the dataset, the evaluators, the target" in said
    assert asked(counting) == []
    assert evalgate(["run", "--resume", "latest", "-d", "other"]) == 2
    assert "--resume finishes a run of 'd'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"dataset": 3}, "line 1 is damaged: of its options dataset cannot"),
        ({"headers": [1]}, "its options headers cannot"),
        ({"headers": "x"}, "its options headers cannot"),
        ({"repeats": "2"}, "its options repeats cannot"),
        ({"colour": "red"}, "of another version"),
    ],
)
def test_options_of_another_type_are_a_damaged_line(
    counting: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, Any], named: str
) -> None:
    options = RunOptions("d", "python:counting.py:count", "evals/evaluators", headers=("a: b",)).to_json()
    assert options_of(json.loads(json.dumps(options))) == RunOptions(**{**options, "headers": ("a: b",)})
    with PartialFile.begin("r1", "2026-11-21T09:00:00+00:00", {}, {**options, **wrong}):
        pass
    assert evalgate(["run", "--resume", "r1"]) == 2
    said = capsys.readouterr().err
    assert "r1.partial.jsonl" in said
    assert named in said


def test_wherever_a_file_ends_it_holds_the_attempts_that_were_whole(project: Path) -> None:
    with begin() as file:
        for number in range(1, 4):
            file.keep(kept("a", number))
    path = find_partial("r1")
    whole = path.read_bytes()
    ends = [n + 1 for n, byte in enumerate(whole) if byte == ord("\n")]
    for size in sorted({*range(ends[0], len(whole), 29), *ends, *(end - 1 for end in ends[1:])}):
        path.write_bytes(whole[:size])
        found = read_partial(path)
        assert len(found.attempts) == sum(end <= size for end in ends[1:])
        assert found.whole_bytes == max(end for end in ends if end <= size)
    path.write_bytes(whole[: ends[0] - 1])
    with pytest.raises(BadInput, match="stopped before anything was kept"):
        read_partial(path)


def test_who_starts_anew_is_told_of_the_run_that_was_stopped(
    counting: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (counting / "go").touch()
    with PartialFile.begin("r1", "x", PLAN, {"dataset": "d", "target": "python:counting.py:count"}):
        pass
    assert evalgate(["run", "-d", "d", "-t", "python:counting.py:count"]) == 0
    assert "instead of a new one: evalgate run --resume r1" in capsys.readouterr().err
    assert evalgate(["run", "-d", "d", "-t", "python:target.py:fixed"]) == 0
    assert "--resume" not in capsys.readouterr().err


FLAKY = """\
import pathlib
def ask(case):
    with pathlib.Path("asked.txt").open("a") as f:
        f.write(case["case_id"] + "\\n")
    if case["case_id"] == "case-1" and not pathlib.Path("go").exists():
        raise RuntimeError("away")
    return "You have 90 days." if case["case_id"] == "case-2" else "You have 30 days."
"""


def test_errors_are_tried_again_and_verdicts_are_not(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_project(project, refund_cases(3))
    (project / "flaky.py").write_text(FLAKY)
    assert evalgate(["run", "-d", "d", "-t", "python:flaky.py:ask", "--json"]) == 0
    captured = capsys.readouterr()
    first = json.loads(captured.out)
    assert first["resume"] == f"evalgate run --resume {first['run_id']} --retry-errors"
    assert "1 attempt ended in an error" in captured.err
    (project / "go").touch()
    assert evalgate([*first["resume"].split()[1:], "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert (second["run_id"], second["resume"]) == (first["run_id"], None)
    assert [r.passed for r in load_run()[1].results] == [True, True, False], "the failure was not asked for again"
    assert sorted(asked(project)) == ["case-0", "case-1", "case-1", "case-2"]
    assert evalgate(["run", "-d", "d", "-t", "recorded", "--retry-errors"]) == 2
    assert "--retry-errors goes with --resume" in capsys.readouterr().err


def test_the_latest_is_the_newest_of_all_runs(project: Path) -> None:
    for run_id in ("r1", "r2"):
        with begin(run_id):
            pass
    assert find_partial("latest").name == "r2.partial.jsonl"
    runs = project / ".evalgate/runs"
    for name in ("r2", "latest"):  # it had errors
        (runs / f"{name}.json").write_text("{}")
    assert find_partial("latest").name == "r2.partial.jsonl"
    (runs / "r3.json").write_text("{}")
    with pytest.raises(BadInput, match=r"the latest run, r3, is whole\. .* Unfinished: r1, r2"):
        find_partial("latest")
    assert find_partial("r1").name == "r1.partial.jsonl"
