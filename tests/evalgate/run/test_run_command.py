"""`evalgate run` as it is typed, models and all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.align.store import append_measurement
from evalgate.app import run as evalgate
from evalgate.evaluators.load import load_evaluator
from evalgate.run.commands import _telling
from evalgate.run.engine import Kept
from evalgate.run.show import histogram_line, low_scorers
from evalgate.run.suite import suite_of
from evalgate.run_files import load_run
from schema.alignment import Confusion, Measurement, Permission, PermissionPolicy, PermissionRule, Split
from schema.case import parse_case
from schema.evaluator import EvalType
from schema.run import ErrorKind, EvaluatorUsed
from tests.evalgate.builders import attempt, refund_cases, result, run_of, write_project
from tests.tools.fake_openai import Answer, Asked, FakeOpenAI, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JUDGE = """\
id: kind
failure_mode: policy_hallucination
eval_type: llm_judge
judge: {criteria: The answer is kind.}
"""


@pytest.fixture
def shop(project: Path) -> Path:
    write_project(project, refund_cases(3))
    return project


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenAI]:
    with FakeOpenAI("You have 30 days.") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        monkeypatch.delenv("EVALGATE_JUDGE_MODEL", raising=False)
        yield server


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_production_is_a_target_too(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        {**c, "observed": {"output": f"You have {d} days."}} for c, d in zip(refund_cases(3), (90, 30, 30), strict=True)
    ]
    (shop / "evals/datasets/d.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    assert evalgate(["run", "-d", "d", "-t", "recorded", "--json"]) == 0
    summary = told(capsys)["summary"]
    assert (summary["passed"], summary["failed"]) == (2, 1)


def test_a_model_is_a_target_and_is_asked_once_for_the_same_case(
    shop: Path, fake: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop / "system.md").write_text("Thirty days.")
    words = ["run", "-d", "d", "-t", "openai:shop-1", "--system", "system.md", "--target-price", "1/2", "--json"]
    assert evalgate(words) == 0
    first = told(capsys)
    assert first["summary"]["passed"] == 3
    assert first["cost_usd"] == pytest.approx(3 * (100 * 1 + 20 * 2) / 1e6)
    assert fake.requests[0].messages[0] == {"role": "system", "content": "Thirty days."}
    assert evalgate(words) == 0
    again = told(capsys)
    assert (fake.calls, again["summary"]["attempts"]["cached"], again["cost_usd"]) == (3, 3, None)
    (shop / "system.md").write_text("Ninety days.")
    assert evalgate(words) == 0
    assert fake.calls == 6, "another prompt is another target"
    capsys.readouterr()
    assert evalgate([*words, "--no-output-cache", "--repeats", "2"]) == 0
    assert fake.calls == 12
    _, run = load_run()
    assert (run.settings.model, run.settings.repeats) == ("shop-1", 2)


def test_an_agent_is_run_with_the_tools_that_production_had(
    shop: Path, fake: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = [{"name": "window", "arguments": {"of": "shoes"}, "result": {"days": 30}}]
    lines = [{**c, "observed": {"output": "90", "tool_calls": calls}} for c in refund_cases(2)]
    (shop / "evals/datasets/d.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))

    def agent(asked: Asked) -> str | Answer:
        results = [m["content"] for m in asked.messages if m["role"] == "tool"]
        if results:
            return f"You have {json.loads(results[0])['days']} days."
        return Answer(None, "tool_calls", tool_calls=[{"name": "window", "arguments": {"of": "shoes"}}])

    fake.answers = agent
    assert evalgate(["run", "-d", "d", "-t", "openai:shop-1", "--replay", "--json"]) == 0
    assert told(capsys)["summary"]["passed"] == 2
    (tool,) = fake.requests[0].body["tools"]
    assert tool["function"]["name"] == "window"
    assert tool["function"]["parameters"]["required"] == ["of"]
    _, run = load_run()
    assert all(not r.first.notes for r in run.results)
    assert run.results[0].tool_calls == ({"name": "window", "arguments": {"of": "shoes"}, "result": {"days": 30}},)
    assert run.settings.replay


def test_a_tool_that_production_never_called_is_noted(
    shop: Path, fake: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.answers = lambda asked: (
        "You have 90 days."
        if asked.messages[-1]["role"] == "tool"
        else Answer(None, "tool_calls", tool_calls=[{"name": "guess", "arguments": {}}])
    )
    assert evalgate(["run", "-d", "d", "-t", "openai:shop-1", "--replay"]) == 0
    said = capsys.readouterr().out
    assert "notes on 3 cases in the run file, the first: no recorded result of guess({})" in said
    assert "    note: no recorded result of guess({})" in said


def test_a_budget_ends_a_run_and_more_of_it_finishes_the_run(
    shop: Path, fake: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop / "evals/evaluators/kind.yaml").write_text(JUDGE)
    fake.answers = verdict(0.9)
    words = ["run", "-d", "d", "-t", "python:target.py:fixed", "--concurrency", "1", "--judge-model", "j"]
    assert evalgate([*words, "--max-calls", "2", "--json"]) == 0
    captured = capsys.readouterr()
    first = json.loads(captured.out)
    assert (first["summary"]["passed"], first["summary"]["errors"], first["unpaid_attempts"]) == (2, 1, 1)
    assert "the budget was spent, 1 attempt not made" in captured.err
    assert captured.err.rstrip().endswith(f"{first['resume']} --max-calls N")
    _, run = load_run()
    assert [r.error.kind for r in run.results if r.error] == [ErrorKind.BUDGET]
    assert evalgate(["run", "--resume", first["run_id"], "--judge-model", "j", "--json"]) == 0
    second = told(capsys)
    assert (second["run_id"], second["summary"]["passed"], second["resume"]) == (first["run_id"], 3, None)
    assert fake.calls == 3, "what was judged is not judged again"


def test_lines_that_are_no_case_are_set_aside_and_told(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (shop / "evals/datasets/d.jsonl").open("a") as file:
        file.write('{"input": \n')
    assert evalgate(["run", "-d", "d", "-t", "python:target.py:fixed"]) == 0
    assert "set aside: evals/datasets/d.jsonl line 4: " in capsys.readouterr().out
    _, run = load_run()
    assert [s.line for s in run.set_aside] == [4]
    (shop / "evals/datasets/d.jsonl").write_text("{\n[]\n")
    assert evalgate(["run", "-d", "d", "-t", "python:target.py:fixed"]) == 2
    assert "no line is a case that can be run; line 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--dataset NAME is missing"),
        (["-d", "d"], "--target TARGET is missing"),
        (["-d", "d", "-t", "pyhton:t:f"], "Did you mean 'python'?"),
        (["-d", "d", "-t", "recorded", "--prompt", "p.yaml"], "--prompt is for --target openai:MODEL"),
        (["-d", "d", "-t", "recorded", "--header", "A=B"], "--header is for --target https://URL"),
        (["-d", "d", "-t", "openai:m", "--prompt", "p", "--system", "s"], "not both"),
        (["-d", "d", "-t", "openai:m", "--tools", "tools.json"], "must be a list of tools"),
        (["-d", "d.quarantine", "-t", "recorded"], "drafts that nobody has looked at"),
        (["-d", "dd", "-t", "recorded"], "Did you mean 'd'?"),
    ],
)
@pytest.mark.usefixtures("fake")
def test_what_is_typed_wrong_is_said_before_anything_runs(
    shop: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    (shop / "tools.json").write_text("[1]")
    assert evalgate(["run", *words]) == 2
    assert said in capsys.readouterr().err
    assert not (shop / ".evalgate/runs").exists()


def test_every_case_in_error_exits_2_and_still_leaves_the_run(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evalgate(["run", "-d", "d", "-t", "python:target.py:crash"]) == 2
    captured = capsys.readouterr()
    assert "every case ended in an error, the first: RuntimeError: no key" in captured.err
    assert "evalgate gate" not in captured.out
    assert [r.passed for r in load_run()[1].results] == [None] * 3


def test_low_scorers_are_readable_one_by_one(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evalgate(["run", "-d", "d", "-t", "python:target.py:broken", "--repeats", "2"]) == 0
    said = capsys.readouterr().out
    assert "lowest scores (3 of 3 failing cases)" in said
    assert "refund-window (2 of 2 attempts): the output contains '90 days'" in said
    assert "    asked       Question 0?\n    now         You have 90 days." in said
    assert "scores: 0 █          1, mean 0.00" in said


def test_the_lowest_scores_come_first() -> None:
    results = [result("a", passed=False, score=0.7), result("b", passed=False, score=0.1), result("c", score=0.9)]
    assert [r.case_id for r in low_scorers(results)] == ["b", "a"]


def test_one_case_shows_in_the_picture_however_many_others_there_are() -> None:
    assert histogram_line([1, 0, 0, 0, 0, 0, 0, 0, 0, 1000]) == "0 ▁        █ 1"
    assert histogram_line([0] * 10) is None


def judged(passed: int, failed: int, **used: Any) -> Any:
    results = [result(f"p{n}") for n in range(passed)] + [result(f"f{n}", passed=False) for n in range(failed)]
    return suite_of(run_of(results, [EvaluatorUsed("e", "ev1", "m", **used)]), 0.8)


def test_a_rate_below_its_threshold_blocks_and_one_that_reaches_it_does_not() -> None:
    assert judged(3, 1).to_json() == {
        "deployment_blocked": True,
        "blocking_reason": "e passed 3 of 4 (75 %, needs 80 %)",
        "suite_pass_rate": 0.0,
        "eval_results": [
            {
                "evaluator": "e",
                "failure_mode": "m",
                "permission": Permission.BLOCK,
                "pass_rate": 0.75,
                "passed": False,
                "sample_count": 4,
                "threshold": 0.8,
            }
        ],
    }
    assert judged(4, 1).blocking_reason is None
    assert judged(3, 1, threshold=0.75).blocking_reason is None


def test_a_judge_that_nobody_measured_is_watched_and_does_not_block() -> None:
    suite = judged(0, 4, eval_type=EvalType.LLM_JUDGE)
    assert (suite.eval_results[0].permission, suite.eval_results[0].passed) == (Permission.MONITOR, False)
    assert not suite.deployment_blocked


def test_a_skipped_evaluator_is_no_failure() -> None:
    useless = Measurement("f", "v", "d1", Split.TEST, "2026-11-21T09:00:00+00:00", Confusion(10, 10, 10, 10))
    results = [result("a", attempts=[attempt(1), attempt(2)])]
    run = run_of(
        results,
        [
            EvaluatorUsed("e", "ev1", "m"),
            EvaluatorUsed("f", "v", "n", eval_type=EvalType.LLM_JUDGE, measurement=useless),
        ],
    )
    suite = suite_of(run, 0.8)
    assert [e.skipped for e in suite.eval_results] == [None, "low_mcc"]
    assert suite.eval_results[1].to_json()["reason"] == "low_mcc"
    assert suite.suite_pass_rate == 1.0
    assert not suite.deployment_blocked


def test_nothing_judged_is_no_pass() -> None:
    assert suite_of(run_of([]), 0.8).blocking_reason == "the run has no cases, so nothing was proved"
    broken = suite_of(run_of([result("a", error=ErrorKind.TARGET)]), 0.8)
    assert broken.eval_results[0].skipped == "no_cases"
    assert broken.blocking_reason == "no case has a verdict, so nothing was proved"
    assert broken.suite_pass_rate is None


def test_a_judge_has_the_measurement_of_the_model_that_judges(
    shop: Path, fake: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shop / "evals/evaluators/kind.yaml"
    path.write_text(JUDGE)
    fake.answers = verdict(0.9)
    version = load_evaluator(path, chat=lambda name: _Named(name or "j1")).spec.version
    measured = Measurement(
        "kind", version, "d1", Split.TEST, "2026-11-21T09:00:00+00:00", Confusion(30, 0, 0, 30), model="j1"
    )
    append_measurement(measured)
    words = ["run", "-d", "d", "-t", "python:target.py:fixed", "--json"]
    for model, permission in (("j1", "block"), ("j2", "monitor")):
        assert evalgate([*words, "--judge-model", model]) == 0
        (kind, _) = told(capsys)["suite"]["eval_results"]
        assert (kind["evaluator"], kind["permission"]) == ("kind", permission)
        _, run = load_run()
        assert run.settings.judge_model == model
        assert run.evaluators[0].measurement == (measured if model == "j1" else None)


def test_a_run_tells_what_the_gate_will_ask(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "-d", "d", "-t", "python:target.py:broken", "--json"]
    (shop / "evals/gate.yaml").write_text("policy: {threshold: 0.9, datasets: {d: {threshold: 0}}}")
    assert evalgate(words) == 0
    assert told(capsys)["suite"]["eval_results"][0]["passed"] is True
    (shop / "evals/gate.yaml").write_text("policy: {treshold: 0.9}")
    assert evalgate(words) == 2
    assert len(list((shop / ".evalgate/runs").glob("*Z-*"))) == 1, "nothing was asked"


def test_permission_is_by_the_projects_rule() -> None:
    few = Measurement("e", "ev1", "d1", Split.TEST, "2026-11-21T09:00:00+00:00", Confusion(3, 0, 0, 3))
    used = EvaluatorUsed("e", "ev1", "m", eval_type=EvalType.LLM_JUDGE, measurement=few)
    run = run_of([result("a", passed=False)], [used])
    assert not suite_of(run, 0.8).deployment_blocked
    assert suite_of(run, 0.8, PermissionPolicy(PermissionRule.POINT)).deployment_blocked


def test_a_measurement_of_another_version_permits_nothing_in_a_run() -> None:
    of_another = Measurement("e", "ev0", "d1", Split.ALL, "2026-11-21T09:00:00+00:00", Confusion(30, 0, 0, 30))
    suite = judged(0, 4, eval_type=EvalType.LLM_JUDGE, measurement=of_another)
    assert suite.eval_results[0].permission is Permission.MONITOR
    assert not suite.deployment_blocked


def test_an_unfinished_run_is_not_judged_by_another_model(
    shop: Path, fake: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop / "evals/evaluators/kind.yaml").write_text(JUDGE)
    fake.answers = verdict(0.9)
    words = ["run", "-d", "d", "-t", "python:target.py:fixed", "--judge-model", "j1", "--max-calls", "1"]
    assert evalgate(words) == 0
    assert evalgate(["run", "--resume", "latest", "--judge-model", "j2"]) == 2
    assert "the judges' model changed since it was stopped" in capsys.readouterr().err


def test_the_bar_tells_verdicts_errors_and_cost_so_far() -> None:
    said: list[str] = []
    tell = _telling(lambda status="": said.append(status))
    case = parse_case({"case_id": "c", "input": "Q"})
    tell(Kept(case, attempt(1, cost_usd=0.5)))
    tell(Kept(case, attempt(1, passed=False)))
    tell(Kept(case, attempt(1, error=ErrorKind.TIMEOUT)))
    assert said == ["1 passed, $0.5000", "1 passed, 1 failed, $0.5000", "1 passed, 1 failed, 1 error, $0.5000"]


class _Named:
    """A model that only has a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def complete(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("nobody asks")
