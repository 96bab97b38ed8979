"""The terms of a comparison as files hold them: evals/gate.yaml, evaluators, datasets, runs that were begun."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.evaluators.load import load_evaluators
from evalgate.gate.baseline import BASELINE, checksum_of, read_baselines
from evalgate.run.engine import evaluator_used
from evalgate.run.partial import PartialFile
from evalgate.run_files import save_run
from schema.run import DatasetUsed, EvaluatorUsed, RunSettings
from tests.evalgate.builders import WINDOW, result, run_of
from tests.evalgate.gate_command import gate_command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schema.run import Result, Run

GATE = Path("evals/gate.yaml")
ROOT = Path("evals/evaluators")


@pytest.fixture(scope="module")
def run() -> Callable[[Sequence[str]], int]:
    return gate_command()


@pytest.fixture
def evalgate(
    run: Callable[[Sequence[str]], int], project: Path, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command line in the project; return exit code, stdout and stderr."""
    Path("evals").mkdir()

    def command(*arguments: str) -> tuple[int, str, str]:
        code = run(arguments)
        return code, *capfd.readouterr()

    return command


def made(*rows: Result, name: str = "d", run_id: str = "r1", used: Sequence[EvaluatorUsed] | None = None) -> Run:
    """Save a run; it is the latest."""
    found = run_of(rows or (result("a"), result("b")), used)
    found = replace(
        found, run_id=run_id, dataset=DatasetUsed(name, found.dataset.version, f"evals/datasets/{name}.jsonl")
    )
    save_run(found)
    return found


def accept(evalgate: Any, *more: str) -> str:
    code, out, err = evalgate("baseline", "accept", "--no-git", *more)
    assert (code, err) == (0, "")
    return str(out)


def report(evalgate: Any, *more: str) -> dict[str, Any]:
    """Return what the gate says, as JSON."""
    found: dict[str, Any] = json.loads(evalgate("gate", "--format", "json", *more)[1])
    return found


def test_what_was_looser_is_named_when_it_is_accepted_and_then_it_passes(evalgate: Any) -> None:
    made()
    accept(evalgate)
    GATE.write_text("policy: {min_effect: 1, allow_changed: 5}\n")
    rows = [result("a", content_hash="other words"), result("b")]
    made(*rows, run_id="r2", used=[EvaluatorUsed("e", "weaker", "m")])
    code, out, _ = evalgate("gate")
    assert code == 2
    assert "Meant so? evalgate baseline accept --run r2, and commit evals/baseline.json" in out
    out = accept(evalgate, "--run", "r2", "--reason", "new words")
    assert "accepted with it: e is not the rule of the base: version weaker, not ev1" in out
    assert "accepted with it: evals/gate.yaml asks less than the accepted one: allow_changed 5 (was 0)" in out
    assert "accepted with it: 1 changed case: a" in out
    reason = read_baselines(BASELINE)["d"].source.reason
    assert reason == "new words (on other terms: changed:e, loosened:policy, changed:cases)"
    assert evalgate("gate")[0] == 0


def test_an_accepted_state_without_its_terms_is_none(evalgate: Any) -> None:
    made()
    accept(evalgate)
    document = json.loads(BASELINE.read_text())
    document["datasets"]["d"]["base"]["policy"] = None
    BASELINE.write_text(json.dumps({**document, "checksum": checksum_of(document)}))
    code, _, err = evalgate("gate")
    assert code == 2
    assert "'policy' is missing" in err


def test_what_is_typed_is_no_change_of_the_file(evalgate: Any) -> None:
    made()
    accept(evalgate)
    assert evalgate("gate", "--threshold", "0.1", "--allow-errors", "3")[0] == 0
    assert report(evalgate, "--threshold", "0.1")["terms"]["typed"] == ["threshold"]


@pytest.mark.parametrize("kind", ["text", "markdown", "html", "json"])
def test_a_policy_that_asks_less_than_the_default_is_told_everywhere(evalgate: Any, kind: str) -> None:
    made()
    assert "looser than" not in evalgate("gate", "--format", kind)[1]
    GATE.write_text("policy: {min_effect: 1, must_not_break: none}\n")
    code, out, _ = evalgate("gate", "--format", kind)
    assert code == 0
    if kind == "json":
        assert json.loads(out)["terms"]["looser"] == ["min_effect 1 (was 0.02)", "must_not_break none (was all)"]
    else:
        assert "looser than the default" in out
        assert "must" in out


def test_the_policy_of_the_base_s_commit_is_compared_with_that_of_now(
    evalgate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    GATE.write_text("policy: {max_flaky: 0.1}\n")
    made()
    accept_here = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    subprocess.run(["git", "init", "-q", "-b", "main"], check=True)
    evalgate("baseline", "accept", "--allow-dirty")
    subprocess.run(["git", "add", "evals"], check=True)
    subprocess.run(["git", *accept_here, "commit", "-qm", "accepted"], check=True)
    GATE.write_text("policy: {max_flaky: 0.2}\n")
    evalgate("baseline", "accept", "--allow-dirty")
    assert evalgate("gate")[0] == 0, "the file of the change accepts it"
    code, out, _ = evalgate("gate", "--base", "git:main")
    assert code == 2
    assert "max_flaky 0.2 (was 0.1)" in out
    assert "a change cannot accept itself" in out
    assert report(evalgate, "--base", "git:main")["terms"]["looser_than_base"] == ["max_flaky 0.2 (was 0.1)"]


def test_a_dataset_of_the_baseline_that_a_suite_leaves_out_is_an_error(evalgate: Any) -> None:
    made(name="refunds")
    accept(evalgate)
    GATE.write_text("command: [python3, -c, pass]\n")
    code, out, _ = evalgate("gate")
    assert code == 2
    assert "refunds is accepted in evals/baseline.json, and no run of this gate judges it" in out
    assert "evalgate baseline remove refunds" in out
    evalgate("baseline", "remove", "refunds")
    assert evalgate("gate")[0] == 0


def test_one_dataset_at_a_time_is_told_what_it_leaves_out(evalgate: Any) -> None:
    made(name="refunds")
    accept(evalgate)
    made(name="other", run_id="r2")
    code, out, _ = evalgate("gate")
    assert code == 0
    assert "base     none (evals/baseline.json has nothing for the dataset 'other'; it has refunds)" in out
    accept(evalgate)
    code, out, _ = evalgate("gate")
    assert code == 0
    assert "note: evals/baseline.json knows refunds besides, of which this says nothing" in out


def test_a_newer_run_that_did_not_end_is_an_error(evalgate: Any) -> None:
    made(run_id="20261120T090000Z-aaaaaa")
    for name, newer in (("other", "20261120T100000Z-bbbbbb"), ("d", "20261120T080000Z-cccccc")):
        with PartialFile.begin(newer, "2026-11-20T10:00:00+00:00", {}, {"dataset": name, "target": "t"}):
            pass
    assert evalgate("gate")[0] == 0
    with PartialFile.begin("20261120T110000Z-dddddd", "2026-11-20T11:00:00+00:00", {}, {"dataset": "d", "target": "t"}):
        pass
    code, out, _ = evalgate("gate")
    assert code == 2
    assert "evalgate run --resume 20261120T110000Z-dddddd" in out
    assert evalgate("gate", "--run", "20261120T090000Z-aaaaaa")[0] == 0, "who names a run means that one"


def test_evaluators_that_are_not_those_of_the_run_are_an_error(evalgate: Any) -> None:
    ROOT.mkdir()
    file = ROOT / "window.yaml"
    file.write_text(WINDOW)
    (evaluator,) = load_evaluators()
    rows = [result("a", evaluator="refund-window")]
    plain = run_of(rows, [evaluator_used(evaluator)])
    save_run(replace(plain, settings=RunSettings(evaluators=str(ROOT))))
    assert evalgate("gate")[0] == 0
    for text in (
        WINDOW.replace("90 days", "900 days"),
        WINDOW + "threshold: 0.9\n",
        WINDOW + "mcc_score: 0.1\n",
        "id: [",
    ):
        file.write_text(text)
        found = report(evalgate)
        assert found["exit_code"] == 2, text
        assert [c["id"] for c in found["checks"] if c["status"] == "error"] == ["integrity:evaluators"]
    file.unlink()
    code, out, _ = evalgate("gate", "--format", "json")
    assert code == 0, "run elsewhere"
    (told,) = (c for c in json.loads(out)["checks"] if c["id"] == "integrity:evaluators")
    assert (told["status"], told["skipped_reason"]) == ("skipped", "absent")
