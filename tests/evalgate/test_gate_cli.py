"""`evalgate run` and `evalgate gate` as a CI job sees them: exit codes, what is printed, what is written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.app import run
from evalgate.run_files import save_run
from schema.evaluator import Score
from schema.run import Attempt, ErrorKind, Output, RunError
from tests.evalgate.builders import TRACE, refund_cases, result, run_of, write_project

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE = "::error::pwned\n##[command]x\n\x1b[2J| <b>`x`"


@pytest.fixture
def evalgate(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run a command line in the project; return exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))

    def command(*arguments: str) -> tuple[int, str, str]:
        code = run(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return command


@pytest.fixture
def refunds(project: Path) -> Path:
    write_project(project, refund_cases())
    return project


def first_and_last(text: str) -> tuple[str, str]:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[0], lines[-1]


def test_red_then_green(refunds: Path, evalgate: Any) -> None:
    code, out, err = evalgate("run", "-d", "d", "-t", "python:target.py:broken")
    assert (code, "0 passed, 3 failed, 0 errors" in out) == (0, True)
    assert "noise" in err
    assert "noise" not in out
    code, out, _ = evalgate("gate")
    assert code == 1
    first, last = first_and_last(out)
    assert first == last == "GATE FAILED: refund-window passed 0 of 3 (0 %, needs 80 %)"
    for number in range(3):
        trace = f"{number:02x}{TRACE[2:]}"
        assert f"✗ case-{number}  policy_hallucination" in out
        assert f"see         evalgate traces show {trace[:16]}" in out
        assert f"asked       Question {number}?" in out
    assert "why         refund-window: the output contains '90 days': \"You have 90 days.\"" in out
    assert "base     none: thresholds only. Accept this run: evalgate baseline accept" in out

    assert evalgate("run", "-d", "d", "-t", "python:target.py:fixed")[0] == 0
    code, out, _ = evalgate("gate")
    assert code == 0
    first, last = first_and_last(out)
    assert (
        first == last == "GATE PASSED: 3 of 3 judged cases passed, every evaluator that may block reached its threshold"
    )


def test_a_baseline_names_every_regression(refunds: Path, evalgate: Any) -> None:
    evalgate("run", "-d", "d", "-t", "python:target.py:fixed")
    code, out, _ = evalgate("baseline", "accept", "--no-git")
    assert code == 0
    assert "written to evals/baseline.json (no repository); commit it" in out
    evalgate("run", "-d", "d", "-t", "python:target.py:broken")
    code, out, _ = evalgate("gate", "--threshold", "0")
    assert code == 1
    assert first_and_last(out)[0].startswith("GATE FAILED: 3 cases that passed before fail now")
    assert out.count("REGRESSION: it passed before") == 3
    evalgate("baseline", "accept", "--no-git", "--accept-regressions")
    assert evalgate("gate", "--threshold", "0")[0] == 0


def test_a_value_that_is_none_is_told_in_our_words(project: Path, evalgate: Any) -> None:
    code, _, err = evalgate("gate", "--format", "nope")
    assert (code, err.startswith("evalgate: Invalid value for '--format': 'nope' is not one of 'text', ")) == (2, True)


def test_a_dataset_that_changed_after_its_run_is_told(refunds: Path, evalgate: Any) -> None:
    evalgate("run", "-d", "d", "-t", "python:target.py:fixed")
    assert "run it again" not in evalgate("gate")[1]
    with Path("evals/datasets/d.jsonl").open("a") as file:
        file.write('{"input": "new"}\n')
    assert "the run is of" in evalgate("gate")[1]


def _heed_interrupts() -> None:
    """Undo what a shell does to whatever it starts in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_an_interrupted_run_does_not_wait_for_its_target(refunds: Path) -> None:
    started = refunds / "started"
    (refunds / "slow.py").write_text(
        f"import pathlib, threading\ndef f(case):\n    pathlib.Path({str(started)!r}).touch()\n"
        "    threading.Event().wait()\n"
    )
    command = [sys.executable, "-m", "evalgate.cli", "run", "-d", "d", "-t", "python:slow.py:f"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        preexec_fn=_heed_interrupts,  # noqa: PLW1509 - no thread of the tests holds what a signal's setting needs
    ) as process:
        deadline = time.monotonic() + 30
        while not started.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert b"Go on: evalgate run --resume" in err


def test_errors_of_the_target_are_no_verdict(refunds: Path, evalgate: Any) -> None:
    code, _, err = evalgate("run", "-d", "d", "-t", "python:target.py:crash")
    assert code == 2
    assert "every case ended in an error, the first: RuntimeError: no key" in err
    code, out, err = evalgate("gate", "--allow-errors", "3")
    assert code == 2
    assert first_and_last(out)[0].startswith("GATE ERROR: no case of 3 was judged")
    assert err == ""
    assert evalgate("gate", "--json", "--allow-errors", "3")[2].startswith("evalgate: no case of 3 was judged")
    assert "has no verdicts" in evalgate("baseline", "accept", "--no-git")[2]
    code, out, _ = evalgate("gate")
    assert code == 2
    assert "GATE ERROR: 3 cases of 3 could not be judged (3 target)" in out
    assert "! case-0  target: RuntimeError: no key" in out
    assert not Path("evals/baseline.json").exists()


@pytest.mark.parametrize("kind", ["text", "json", "github", "junit", "sarif", "markdown", "html"])
def test_no_run_is_exit_2_and_says_what_to_do(evalgate: Any, kind: str) -> None:
    code, out, err = evalgate("gate", "--format", kind)
    assert code == 2
    assert err.count("\n") == 1
    assert "there is no run in .evalgate/runs. Make one: evalgate run --dataset NAME --target TARGET" in err
    assert "Or judge your tests: evalgate gate -- pytest --junitxml=.evalgate/tests.xml" in err
    assert ("Make one" in out) is (kind != "text")  # a screen has the line of stderr; it is not told twice
    assert "Make one" in json.loads(Path(".evalgate/last-report.json").read_text())["blocking_reason"]


def test_an_empty_dataset_is_exit_2(project: Path, evalgate: Any) -> None:
    write_project(project, [])
    code, out, err = evalgate("run", "-d", "d", "-t", "python:target.py:fixed")
    assert (code, out) == (2, "")
    assert "has no cases. Add some: evalgate dataset build --name d" in err


def test_a_run_without_cases_is_exit_2(evalgate: Any) -> None:
    save_run(run_of([]))
    code, out, _ = evalgate("gate")
    assert code == 2
    assert first_and_last(out)[0].startswith("GATE ERROR: the run has no cases, so nothing was proved")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "-d", "d", "-t", "target.py"), "is not known; use python:"),
        (("run", "-d", "dd", "-t", "python:target.py:fixed"), "there is no dataset 'dd'"),
        (("run", "-d", "d", "-t", "python:target.py:fixd"), "Did you mean 'fixed'"),
        (("run", "-d", "d", "-t", "python:target.py:fixed", "--evaluators", "nowhere"), "there are no evaluators"),
        (("run", "-d", "d", "-t", "x", "--concurrency", "0"), "--concurrency"),
        (("run", "-d", "d"), "--target"),
        (("gate", "--run", "r9"), "there is no run 'r9'"),
        (("gate", "--baseline", "absent.json"), "there is no baseline absent.json"),
        (("gate", "--baseline", "target.py"), "target.py is not JSON"),
        (("gate", "--threshold", "80"), "--threshold"),
        (("gate", "--format", "xml"), "--format"),
        (("gate", "--treshold", "1"), "--threshold"),
        (("gat",), "gate"),
        (("dataset", "build", "--name", "../x"), "cannot name a dataset"),
    ],
)
def test_whatever_is_wrong_is_one_line_and_exit_2(
    refunds: Path, evalgate: Any, arguments: tuple[str, ...], words: str
) -> None:
    save_run(run_of([result("a")]))
    code, _, err = evalgate(*arguments)
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert sum(line.startswith("evalgate: ") for line in err.splitlines()) == 1


def weighted(sampled_pass: int) -> list[Any]:
    """Forty cases of failing traces, of which half pass, ten of sampled ones that stand for ten each, one by hand."""
    failed = [result(f"f{n}", passed=n % 2 == 0, sample_weight=1.0) for n in range(40)]
    sampled = [result(f"s{n}", passed=n < sampled_pass, sample_weight=10.0) for n in range(40)]
    return [*failed, *sampled, result("hand")]


def test_the_pass_rate_by_what_traces_stand_for_is_told_beside_the_plain_one(evalgate: Any) -> None:
    save_run(run_of(weighted(sampled_pass=36)))
    code, out, _ = evalgate("gate", "--threshold", "0.7")
    assert code == 0  # 57 of 81: the weights decide nothing
    assert "cases    57 of 81 passed: 70.4 % (95 % interval" in out
    assert (
        "weighted 86.4 % (95 % interval 75.5 % to 92.9 %), each case by what its trace stands for; effective n 47.9"
        in out
    )
    assert "of 80 cases, 1 without a weight. Cases are chosen: a rate of production is evalgate stats" in out
    code, out, _ = evalgate("gate", "--json", "--threshold", "0.7")
    told = json.loads(out)["case_pass_rate_weighted"]
    assert (told["status"], told["cases"], told["cases_without_weight"]) == ("estimate", 80, 1)
    assert told["pass_rate"] == pytest.approx(380 / 440)


def test_where_weights_say_no_more_nothing_is_said(evalgate: Any) -> None:
    save_run(run_of([result("a", sample_weight=1.0), result("b", sample_weight=1.0)]))
    assert "weighted" not in evalgate("gate")[1]
    save_run(run_of([result("a")]))
    assert json.loads(evalgate("gate", "--json")[1])["case_pass_rate_weighted"] is None


def test_a_run_tells_the_weighted_rate_too(refunds: Path, evalgate: Any) -> None:
    cases = [
        {**case, "provenance": {**case["provenance"], "sample_weight": w}}
        for case, w in zip(refund_cases(), (1.0, 10.0, 10.0), strict=True)
    ]
    Path("evals/datasets/d.jsonl").write_text("".join(json.dumps(c) + "\n" for c in cases))
    code, out, _ = evalgate("run", "-d", "d", "-t", "python:target.py:fixed")
    assert code == 0
    assert "weighted: insufficient data (95 % interval" in out
    summary = json.loads(evalgate("run", "-d", "d", "-t", "python:target.py:fixed", "--json")[1])["summary"]
    assert summary["weighted"]["status"] == "insufficient_data"
    assert summary["evaluators"]["refund-window"]["weighted"]["effective_n"] == pytest.approx(21**2 / 201)


def test_json_is_one_document_and_nothing_else(evalgate: Any) -> None:
    save_run(run_of([result("a", trace_id=TRACE), result("b", passed=False, trace_id=TRACE), result("c", passed=None)]))
    code, out, err = evalgate("gate", "--json", "--json-output", "report.json")
    document = json.loads(out)
    assert (code, err) == (1, "")
    assert json.loads(Path("report.json").read_text()) == document
    assert document["status"] == "fail"
    assert document["deployment_blocked"] is True
    assert document["blocking_reason"] == "e passed 1 of 2 (50 %, needs 80 %)"
    assert document["suite_pass_rate"] == 0.0
    assert document["case_pass_rate"] == 0.5
    (evaluated,) = document["eval_results"]
    assert {k: evaluated[k] for k in ("evaluator", "failure_mode", "pass_rate", "passed", "sample_count")} == {
        "evaluator": "e",
        "failure_mode": "m",
        "pass_rate": 0.5,
        "passed": False,
        "sample_count": 2,
    }
    (failing,) = document["failing_cases"]
    assert failing["case_id"] == "b"
    assert failing["commands"] == [f"evalgate traces show {TRACE[:16]}"]
    assert document["unscored_cases"] == ["c"]
    assert document["comparison"] is None


def test_a_report_is_written_even_when_there_is_nothing_to_judge(evalgate: Any) -> None:
    assert evalgate("gate", "--json-output", "report.json")[0] == 2
    assert json.loads(Path("report.json").read_text())["status"] == "error"


def hostile_run() -> None:
    """Save a run whose content tries to speak to the runner, the terminal and the page."""
    said = Attempt(1, Output("said"), (Score("e", 0.0, passed=False, reason=HOSTILE),))
    bad = result("case-x", failure_mode="m|<b>", trace_id=TRACE, attempts=(said,))
    broken = result("case-y", attempts=(Attempt(1, None, error=RunError(ErrorKind.TARGET, HOSTILE)),))
    bad = replace(bad, input_text=HOSTILE)
    save_run(run_of([bad, broken]))


def test_github_gets_commands_of_ours_only(evalgate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = Path("summary.md")
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    hostile_run()
    code, out, _ = evalgate("gate", "--format", "github", "--allow-errors", "1")
    assert code == 1
    assert "\x1b" not in out
    assert "##[" not in out.replace("## [", "")
    commands = [line for line in out.splitlines() if line.lstrip().startswith("::")]
    assert len(commands) == 3  # the verdict, what failed, what broke
    assert commands[0].startswith("::error file=evals/datasets/d.jsonl,title=evalgate gate::GATE FAILED: ")
    assert commands[1].startswith("::error file=evals/datasets/d.jsonl,title=case-x m|<b>::")
    assert f"(evalgate traces show {TRACE[:16]})" in commands[1]
    assert first_and_last(out)[1].startswith("GATE FAILED")
    page = summary.read_text()
    assert page.startswith("before\n")
    assert "## ❌ GATE FAILED" in page


def test_annotations_are_ten_at_most(evalgate: Any) -> None:
    save_run(run_of([result(f"c{i}", passed=False) for i in range(30)]))
    _, out, _ = evalgate("gate", "--format", "github")
    assert sum(line.startswith("::error") for line in out.splitlines()) == 10
    assert (out.count("✗ c"), "25 more of it" in out, "25 cases not shown" in out) == (5, True, True)


def test_a_green_gate_annotates_nothing(evalgate: Any) -> None:
    save_run(run_of([result("a")]))
    code, out, _ = evalgate("gate", "--format", "github")
    assert (code, "::error" in out) == (0, False)


def test_the_gate_needs_nothing_but_the_core_install(refunds: Path) -> None:
    """No database, no Arrow, no gRPC, no SciPy: those names cannot even be imported here."""
    guard = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        top = name.split('.')[0]\n"
        "        if top in {'pyarrow', 'numpy', 'scipy', 'grpc', 'chdb', 'clickhouse_connect', 'sqlglot', 'google',"
        " 'opentelemetry', 'starlette', 'uvicorn', 'exporters', 'collector'}:\n"
        "            raise ModuleNotFoundError(f'No module named {top!r}', name=top)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from evalgate.app import run\n"
        "codes = [run(['run', '-d', 'd', '-t', f'python:target.py:{f}']) * 10 + run(['gate'])"
        " for f in ('broken', 'fixed')]\n"
        "codes.append(run(['traces']))\n"
        "codes.append(run(['dataset', 'list']))\n"
        "print(codes, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", guard], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr.splitlines()[-1] == "[1, 0, 2, 0]", done.stderr
    assert "pip install 'otel-evalgate[embedded]'" in done.stderr
