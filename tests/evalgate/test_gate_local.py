"""`evalgate gate` as a project uses it: its own tests, evals/gate.yaml, a base, and files that are written."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.errors import BadInput
from evalgate.gate.decide import decide
from evalgate.gate.flags import Format
from evalgate.gate.outputs import KEPT_GATES, Outputs, exit_code_of, parse_outputs, publish, suite_json
from evalgate.gate.report import Kind, gather
from evalgate.gate.settings import read_settings
from evalgate.run_files import save_run
from evalgate.terminal import Terminal
from schema.errors import EvalgateError
from schema.run import DatasetUsed, ErrorKind
from tests.evalgate.builders import refund_cases, result, run_of, write_project
from tests.evalgate.gate_command import gate_command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evalgate.gate.report import Report

WRITER = """\
import pathlib, sys
path, code, *names = sys.argv[1:]
failed = "<failure message='no'/>"
rows = "".join(f"<testcase name='{n.strip(chr(33))}'>{failed if chr(33) in n else str()}</testcase>" for n in names)
pathlib.Path(path).write_text("<testsuite>" + rows + "</testsuite>")
print("tests ran")
sys.exit(int(code))
"""


@pytest.fixture(scope="module")
def run() -> Callable[[Sequence[str]], int]:
    return gate_command()


@pytest.fixture
def evalgate(
    run: Any, project: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Run a command line in the project; return exit code, stdout and stderr, those of its own commands included."""
    monkeypatch.delenv("CI", raising=False)
    (project / "writer.py").write_text(WRITER)

    def command(*arguments: str) -> tuple[int, str, str]:
        code = run(arguments)
        return code, *capfd.readouterr()

    return command


def suite(code: int, *names: str) -> list[str]:
    """Return a command that writes a file of results and ends so; a test whose name has a mark fails."""
    return [sys.executable, "writer.py", "results.xml", str(code), *names]


def last_report() -> dict[str, Any]:
    report: dict[str, Any] = json.loads(Path(".evalgate/last-report.json").read_text())
    return report


def test_a_project_s_own_tests_are_judged(evalgate: Any) -> None:
    code, out, _ = evalgate("gate", "--results", "results.xml", "--", *suite(0, "a", "b"))
    assert code == 0
    assert out.startswith("tests ran\nGATE PASSED: 3 of 3")
    code, out, _ = evalgate("gate", "--results", "results.xml", "--", *suite(1, "a", "b!"))
    assert code == 1
    assert "GATE FAILED: tests passed 1 of 2 (50 %, needs 100 %)" in out
    assert evalgate("gate", "--threshold", "0.5", "--results", "results.xml", "--", *suite(1, "a", "b!"))[0] == 0


def test_tests_are_compared_with_the_accepted_ones(evalgate: Any) -> None:
    def gate(*names: str) -> Any:
        return evalgate("gate", "--threshold", "0", "--results", "results.xml", "--", *suite(1, *names))

    gate("a", "b!", "c")
    assert evalgate("baseline", "accept", "--no-git")[0] == 0
    assert gate("a", "b!", "c")[0] == 0
    code, out, _ = gate("a!", "b!", "c")
    assert (code, "REGRESSION" in out) == (1, True)
    code, out, _ = gate("a", "b!")  # a test that is gone
    assert code == 2
    assert "GATE ERROR" in out


def test_an_exit_code_alone_is_a_check(evalgate: Any) -> None:
    assert evalgate("gate", "--", sys.executable, "-c", "")[0] == 0
    code, out, _ = evalgate("gate", "--", sys.executable, "-c", "raise SystemExit(3)")
    assert code == 1
    assert "the command ended with 3" in out


def test_results_that_the_command_did_not_write_are_refused(evalgate: Any) -> None:
    nothing = [sys.executable, "-c", "raise SystemExit(4)"]
    code, _, err = evalgate("gate", "--results", "results.xml", "--", *nothing)
    assert code == 2
    assert "ended with 4 and wrote no results to results.xml" in err
    evalgate("gate", "--results", "results.xml", "--", *suite(0, "a"))
    code, _, err = evalgate("gate", "--results", "results.xml", "--", *nothing)
    assert code == 2
    assert "what is there is of an earlier time" in err
    assert "an earlier time" in last_report()["blocking_reason"]
    assert evalgate("gate", "--results", "results.xml")[0] == 0  # asked for as it is


def test_a_command_may_write_a_run(evalgate: Any) -> None:
    written = save_run(run_of([result("a"), result("b")]))
    copy = "import shutil, sys; shutil.copyfile(sys.argv[1], 'run.json'); sys.exit(int(sys.argv[2]))"

    def gate(code: int) -> Any:
        command = (sys.executable, "-c", copy, str(written), str(code))
        return evalgate("gate", "--results", "run.json", "--", *command)

    assert gate(0)[0] == 0
    code, _, err = gate(1)
    assert code == 2
    assert "the command ended with 1, and run.json shows nothing that failed" in err
    save_run(run_of([result("a"), result("b", passed=False)]))
    assert gate(1)[0] == 1


def test_stdout_is_for_the_document_where_one_is_asked_for(evalgate: Any) -> None:
    code, out, err = evalgate("gate", "--json", "--results", "results.xml", "--", *suite(0, "a"))
    assert code == 0
    assert json.loads(out)["status"] == "pass"
    assert err == "tests ran\n"


def test_gate_yaml_says_what_is_run(project: Path, evalgate: Any) -> None:
    write_project(project, refund_cases())
    words = json.dumps(suite(0, "a"))
    Path("evals/gate.yaml").write_text(
        f"command: {words}\nresults: results.xml\nname: unit\n"
        'runs:\n  - {dataset: d, target: "python:target.py:${env:TARGET:-fixed}", options: [--concurrency, "1"]}\n'
        "policy: {threshold: 0.5}\n"
    )
    code, out, _ = evalgate("gate")
    assert code == 0, out
    assert out.count("GATE PASSED") == 4  # first and last line, of tests and of the dataset
    assert [g["dataset"]["name"] for g in last_report()["gates"]] == ["unit", "d"]
    assert evalgate("baseline", "accept", "--no-git", "--last-gate")[0] == 0
    assert list(json.loads(Path("evals/baseline.json").read_text())["datasets"]) == ["d", "unit"]


def test_a_dataset_of_gate_yaml_that_fails_stops_the_gate(
    project: Path, evalgate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(project, refund_cases())
    monkeypatch.setenv("TARGET", "broken")
    Path("evals/gate.yaml").write_text('runs: [{dataset: d, target: "python:target.py:${env:TARGET}"}]\n')
    code, out, _ = evalgate("gate")
    assert (code, "GATE FAILED: refund-window passed 0 of 3" in out) == (1, True)
    Path("evals/gate.yaml").write_text('runs: [{dataset: dd, target: "python:target.py:fixed"}]\n')
    code, out, err = evalgate("gate")
    assert code == 2
    assert "evals/gate.yaml: the run of 'dd' was not made" in err
    assert "Try it: evalgate run --dataset dd --target python:target.py:fixed" in err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty. Write a first one: evalgate init"),
        ("comand: [x]\n", "gate.yaml:1: comand: unknown key; did you mean 'command'?"),
        ("policy:\n  treshold: 1\n", "gate.yaml:2: policy.treshold: unknown key; did you mean 'threshold'?"),
        ("command: pytest -q\n", "gate.yaml:1: command: write a list, such as [pytest, -q]: no shell reads it"),
        ("command: []\n", "the list is empty"),
        ("results: x.xml\n", "is what a command writes; give command: too"),
        ("timeout_s: 0\n", "greater than 0"),
        ("runs: [{dataset: d}]\n", "runs[0].target: is missing"),
        ("name: ${env:NOT_SET_ANYWHERE}\n", "NOT_SET_ANYWHERE is not set"),
        ("name: a\nname: b\n", "stands here a second time"),
        ("a: [\n", "not valid YAML"),
        ("- x\n", "must hold keys and values"),
    ],
)
def test_mistakes_in_gate_yaml_are_named(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text(text)
    with pytest.raises(EvalgateError) as caught:
        read_settings(path, {})
    assert words in str(caught.value)


def test_without_gate_yaml_there_are_defaults(project: Path) -> None:
    settings, file = read_settings(None, {})
    assert (settings.command, settings.runs, file) == (None, (), None)
    with pytest.raises(BadInput, match="cannot read"):
        read_settings(Path("absent.yaml"), {})


def test_the_policy_of_the_file_holds_unless_the_command_line_says_otherwise(evalgate: Any) -> None:
    save_run(run_of([result("a"), result("b", passed=False)]))
    Path("evals").mkdir()
    Path("evals/gate.yaml").write_text("policy: {threshold: 0.5}\n")
    assert evalgate("gate")[0] == 0
    assert evalgate("gate", "--threshold", "0.6")[0] == 1
    assert "is no share from 0 to 1" in evalgate("gate", "--threshold", "80")[2]
    Path("strict.yaml").write_text("policy: {threshold: 0.9}\n")
    assert evalgate("gate", "--config", "strict.yaml")[0] == 1


def test_too_little_evidence_warns_or_stops(evalgate: Any) -> None:
    cases = [result(f"c{n}", passed=n != 0) for n in range(20)]
    save_run(replace(run_of([result(f"c{n}") for n in range(20)]), run_id="r0"))
    save_run(run_of(cases))
    Path("evals").mkdir()
    Path("evals/gate.yaml").write_text("policy: {must_not_break: none}\n")
    code, out, _ = evalgate("gate", "--base", "r0")
    assert (code, "GATE INCONCLUSIVE" in out) == (0, True), out
    assert evalgate("gate", "--base", "r0", "--inconclusive", "fail")[0] == 1


def test_a_run_is_a_base(evalgate: Any) -> None:
    save_run(replace(run_of([result("a"), result("b")]), run_id="r0"))
    save_run(run_of([result("a"), result("b", passed=False)]))
    code, out, _ = evalgate("gate", "--threshold", "0", "--base", "r0")
    assert (code, "REGRESSION" in out) == (1, True)
    assert evalgate("gate", "--threshold", "0")[0] == 0
    other = run_of([result("a")])
    save_run(replace(other, run_id="r2", dataset=DatasetUsed("other", other.dataset.version, "x.jsonl")))
    assert "is a run of 'd', and 'other' is judged" in evalgate("gate", "--base", "r0")[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--output", "report.html"), "must be KIND=PATH"),
        (("--output", "htm=report.html"), "Did you mean 'html'?"),
        (("--output", "html=-"), "print it instead, with --format html"),
        (("--output", "html=."), "it is a folder"),
        (("--run", "r1", "--", "true"), "COMMAND or --run, not both"),
        (("--base", "nothing"), "there is no run 'nothing'"),
        (("--baseline", "nothing.json"), "there is no baseline nothing.json"),
        (("--config", "nothing.yaml"), "cannot read nothing.yaml"),
        (("--results", "nothing.xml"), "cannot read the results nothing.xml"),
        (("init",), "'init' is no option of evalgate gate. To run a command: evalgate gate -- COMMAND"),
        (("init", "-q"), "'init' is no option of evalgate gate. To run a command: evalgate gate -- COMMAND"),
        (("-q",), "No such option: -q"),
        (("init", "--", "true"), "'init' is no option of evalgate gate"),
        (("--", "no-such-command-here"), "there is no command 'no-such-command-here'"),
    ],
)
def test_what_is_wrong_is_one_line(evalgate: Any, arguments: tuple[str, ...], words: str) -> None:
    save_run(run_of([result("a")]))
    code, out, err = evalgate("gate", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_every_kind_is_printed_and_written(evalgate: Any) -> None:
    assert [f.value for f in Format] == [k.value for k in Kind]
    save_run(run_of([result("a"), result("b", passed=False)]))
    kinds = ("json", "junit", "sarif", "markdown", "html")
    code, _, _ = evalgate("gate", "--format", "github", *(w for k in kinds for w in ("--output", f"{k}=out/{k}")))
    assert code == 1
    begins = {"json": "{", "junit": "<?xml", "sarif": "{", "markdown": "<!--", "html": "<!"}
    for kind in kinds:
        text = Path(f"out/{kind}").read_text()
        assert text.lower().startswith(begins[kind].lower()), kind
        code, out, _ = evalgate("gate", "--format", kind)
        assert (code, out.lower().startswith(begins[kind].lower())) == (1, True)


def test_every_gate_is_kept(evalgate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def kept() -> list[str]:
        return sorted(p.suffix for p in Path(".evalgate/gate").glob("*/*"))

    save_run(run_of([result("a")]))
    evalgate("gate")
    assert kept() == [".json", ".md"]
    assert last_report()["status"] == "pass"
    monkeypatch.setenv("CI", "true")
    evalgate("gate")
    assert kept() == [".html", ".json", ".json", ".md", ".md"]
    monkeypatch.delenv("CI")
    save_run(run_of([result("a", passed=False)]))
    evalgate("gate")
    assert kept() == [".html", ".html", ".json", ".json", ".json", ".md", ".md", ".md"]
    assert last_report()["run"]["path"] == ".evalgate/runs/r1.json"  # not latest.json, which the next run writes over


def report_of(name: str, *, passed: bool = True, error: ErrorKind | None = None) -> Report:
    done = run_of([result("a", passed=passed, error=error)])
    done = replace(done, dataset=DatasetUsed(name, done.dataset.version, "x"))
    return gather(done, "run.json", decide(done, None))


def test_several_reports_are_one_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = [report_of("good"), report_of("../bad", passed=False), report_of("broken", error=ErrorKind.TARGET)]
    assert [exit_code_of(reports[:n]) for n in (1, 2, 3)] == [0, 1, 2]
    assert suite_json(reports[:1])["schema"] == "evalgate/gate/2"
    suite = suite_json(reports[:2])
    assert (suite["status"], suite["exit_code"], len(suite["gates"])) == ("fail", 1, 2)
    outputs = replace(parse_outputs([f"json={tmp_path}/out.json"], None, Kind.TEXT), root=tmp_path, summary=None)
    publish(reports, outputs, Terminal(), "20260101T000000Z-00")
    assert sorted(p.name for p in tmp_path.glob("out*")) == ["out-_bad.json", "out-broken.json", "out-good.json"]
    with pytest.raises(BadInput, match="3 datasets were judged, and html holds one"):
        publish(reports, replace(outputs, shown=Kind.HTML), Terminal(), "20260101T000000Z-00")


def test_old_gates_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gate/mine").mkdir(parents=True)
    for number in range(KEPT_GATES + 1):
        (tmp_path / f"gate/20250101T0000{number:02}Z-00").mkdir()
    publish([report_of("d")], Outputs(root=tmp_path, summary=None, in_ci=False), Terminal(), "20260101T000000Z-00")
    left = sorted(p.name for p in (tmp_path / "gate").iterdir())
    assert (len(left), left[0], left[-2:]) == (
        KEPT_GATES + 1,
        "20250101T000002Z-00",
        ["20260101T000000Z-00", "mine"],
    )


def test_a_gate_that_cannot_be_kept_is_still_a_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "file"
    root.touch()
    publish([report_of("d")], Outputs(root=root, summary=str(tmp_path)), Terminal(), "20260101T000000Z-00")
    out, err = capsys.readouterr()
    assert "GATE PASSED" in out
    assert "the step summary was not written" in err
    assert "the report is not kept in" in err
