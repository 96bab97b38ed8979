"""Attempts: several of a case, tried again only where something broke, never to get a better verdict."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.dataset.store import Dataset
from evalgate.model.chat import Completion, ModelError, ModelErrorKind
from evalgate.run.engine import LONGEST_WAIT_S, Kept, Outputs, Settings, Surroundings, run_dataset
from evalgate.run.experiment import Noticing
from evalgate.run.outputs import KeptOutputs
from evalgate.run.targets.answer import Busy
from evalgate.run_files import load_run, save_run
from schema.case import parse_case
from schema.evaluator import EvaluatorError, EvaluatorSpec, Score, parse_evaluator
from schema.run import ErrorKind, Output, RunError
from tests.evalgate.builders import attempt, result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from schema.case import Case

SPEC = parse_evaluator(
    {"id": "yes", "failure_mode": "m", "applies_to": "all", "rule": {"type": "equals", "text": "yes"}}
)
ONE = Settings(concurrency=1)


@dataclass(frozen=True)
class Yes:
    """Passes the text "yes"; remembers whether it was asked for a fresh verdict."""

    is_fresh: bool = False

    @property
    def spec(self) -> EvaluatorSpec:
        return SPEC

    def fresh(self) -> Yes:
        return Yes(is_fresh=True)

    def __call__(self, case: Case, output: Output) -> Score | EvaluatorError:  # noqa: ARG002 - the seam
        cost = 0.5 if self.is_fresh else 0.25
        return Score("yes", float(output.text == "yes"), output.text == "yes", output.text, cost_usd=cost)


class Answers:
    """A target that answers from a list, in the order it is asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[Mapping[str, Any]] = []

    def __call__(self, request: Mapping[str, Any], timeout_s: float, /) -> Any:  # noqa: ARG002 - the seam
        self.requests.append(request)
        return self.answers[min(len(self.requests), len(self.answers)) - 1]


def dataset(count: int = 1, **extra: Any) -> Dataset:
    cases = [parse_case({"case_id": f"c{i}", "input": f"Q{i}", "failure_mode": "m", **extra}) for i in range(count)]
    return Dataset("d", Path("d.jsonl"), tuple(cases))


def around(waits: list[float] | None = None, outputs: Outputs | None = None) -> Surroundings:
    return Surroundings(
        sleep=(waits if waits is not None else []).append, random=lambda: 1.0, outputs=outputs or Outputs()
    )


def one(target: Any, settings: Settings = ONE, where: Surroundings | None = None) -> Any:
    run = run_dataset(
        dataset(), target, [Yes()], target_name="t", settings=settings, around=where if where is not None else around()
    )
    (only,) = run.results
    return only


AWAY = Busy(RunError(ErrorKind.TARGET, "away"))


def test_what_broke_on_the_way_is_tried_again_and_noted() -> None:
    waits: list[float] = []
    found = one(Answers(AWAY, AWAY, Output("yes")), where=around(waits))
    assert found.passed is True
    assert found.first.notes == ("tried again: away", "tried again: away")
    assert waits == [0.5, 1.0], "twice as long each time"


def test_who_is_asked_to_wait_waits_that_long_within_bounds() -> None:
    waits: list[float] = []
    one(Answers(Busy(AWAY.error, 7.0), Busy(AWAY.error, 9000.0), Output("yes")), where=around(waits))
    assert waits == [7.0, LONGEST_WAIT_S]


def test_after_the_last_try_it_is_an_error_and_no_score() -> None:
    target = Answers(AWAY)
    found = one(target, Settings(concurrency=1, retries=2))
    assert found.passed is None
    assert found.error == RunError(ErrorKind.TARGET, "away (tried 3 times)")
    assert len(target.requests) == 3


def test_every_try_of_the_target_waits_for_its_turn() -> None:
    turns: list[int] = []
    target = Answers(AWAY, Output("yes"))
    where = replace(around(), turn=lambda: turns.append(len(target.requests)))
    assert one(target, where=where).passed
    assert turns == [0, 1]


@pytest.mark.parametrize("answer", [Output("no"), RunError(ErrorKind.TARGET, "crashed")])
def test_an_answer_and_a_crash_are_never_tried_again(answer: Output | RunError) -> None:
    target = Answers(answer, Output("yes"))
    assert one(target, Settings(concurrency=1, retries=9)).passed is not True
    assert len(target.requests) == 1


def test_repeats_are_attempts_and_most_of_them_decide() -> None:
    found = one(Answers(*(Output(t) for t in ("yes", "no", "yes"))), Settings(concurrency=1, repeats=3))
    assert [a.number for a in found.attempts] == [1, 2, 3]
    assert [a.passed for a in found.attempts] == [True, False, True]
    assert (found.passed, found.flaky) == (True, True)
    assert found.score_of("yes") == pytest.approx(2 / 3)


def test_a_tie_fails_and_an_attempt_that_broke_has_no_say() -> None:
    tie = result("c", attempts=[attempt(1, passed=True), attempt(2, passed=False)])
    assert (tie.passed, tie.flaky) == (False, True)
    broke = result("c", attempts=[attempt(1, error=ErrorKind.TIMEOUT), attempt(2, passed=True)])
    assert (broke.passed, broke.flaky, broke.error) == (True, False, None)
    none = result("c", attempts=[attempt(1, error=ErrorKind.TIMEOUT), attempt(2, error=ErrorKind.TARGET)])
    assert none.passed is None
    assert none.error == RunError(ErrorKind.TIMEOUT, "broke")


def test_a_verdict_can_be_asked_for_as_if_only_some_had_judged() -> None:
    scores = (Score("a", 1.0, passed=True, reason=""), Score("b", 0.0, passed=False, reason=""))
    found = result("c", attempts=[attempt(1, scores=scores)])
    assert [found.passed, found.passed_by(("a",)), found.passed_by(("b",)), found.passed_by(("x",))] == [
        False,
        True,
        False,
        None,
    ]


def test_outputs_are_kept_between_runs_and_repeats_do_not_read_them(tmp_path: Path) -> None:
    target = Answers(Output("yes"), Output("no"), Output("no"))
    settings = Settings(concurrency=1, repeats=2)
    where = around(outputs=KeptOutputs({"target": "x"}, tmp_path))
    first = one(target, settings, where)
    assert [a.cached for a in first.attempts] == [False, False]
    second = one(target, settings, where)
    assert [a.cached for a in second.attempts] == [True, False]
    assert [a.output.text for a in second.attempts] == ["yes", "no"]
    assert len(target.requests) == 3


def test_another_target_another_case_and_other_records_are_asked_anew(tmp_path: Path) -> None:
    kept = KeptOutputs({"target": "x"}, tmp_path)
    request = {"case_id": "c", "input": {"text": "Q"}}
    kept.put(request, Output("yes", cost_usd=0.1), 12.0)
    assert kept.get(request) == (Output("yes", cost_usd=0.1), 12.0)
    assert KeptOutputs({"target": "y"}, tmp_path).get(request) is None
    assert kept.get({**request, "input": {"text": "R"}}) is None
    assert kept.get({**request, "replay": []}) is None


def test_a_kept_output_that_is_damaged_is_asked_for_again(tmp_path: Path) -> None:
    kept = KeptOutputs({"target": "x"}, tmp_path)
    kept.put({"case_id": "c"}, Output("yes"), 1.0)
    (path,) = tmp_path.rglob("*.json")
    path.write_bytes(path.read_bytes().replace(b"yes", b"yet"))
    assert kept.get({"case_id": "c"}) is None


def test_what_came_from_the_cache_costs_nothing_and_judges_are_asked_anew_for_repeats(tmp_path: Path) -> None:
    where = around(outputs=KeptOutputs({"target": "x"}, tmp_path))
    answers = Answers(Output("yes", cost_usd=1.0))
    costs = []
    for _ in range(2):
        run = run_dataset(
            dataset(),
            answers,
            [Yes()],
            target_name="t",
            settings=Settings(concurrency=1, repeats=2),
            around=where,
        )
        costs.append((run.cost_usd, run.judge_cost_usd))
    assert costs == [(2.0, 0.75), (1.0, 0.75)], "the first attempt by a kept verdict, the second by a fresh one"


def test_once_the_budget_is_spent_no_further_case_is_tried() -> None:
    no_money = RunError(ErrorKind.BUDGET, "nothing is left (--max-usd)")
    target = Answers(Output("yes"), no_money)
    run = run_dataset(dataset(4), target, [Yes()], target_name="t", settings=Settings(concurrency=1), around=around())
    assert [r.passed for r in run.results] == [True, None, None, None]
    assert [r.error.kind for r in run.results if r.error] == [ErrorKind.BUDGET] * 3
    assert len(target.requests) == 2


def test_a_judge_without_budget_makes_an_error_of_kind_budget() -> None:
    where = around()

    class Model:
        name = "judge"

        def complete(self, *_: Sequence[Mapping[str, Any]], **__: Any) -> Completion | ModelError:
            return ModelError(ModelErrorKind.BUDGET, "the budget of 0 calls is spent (--max-calls)")

    model = Noticing(Model(), where.spent)

    class Judge(Yes):
        def __call__(self, case: Case, output: Output) -> Score | EvaluatorError:  # noqa: ARG002 - the seam
            answer = model.complete([])
            assert isinstance(answer, ModelError)
            return EvaluatorError("yes", answer.message)

    run = run_dataset(
        dataset(2), Answers(Output("yes")), [Judge()], target_name="t", settings=Settings(concurrency=1), around=where
    )
    assert [r.error.kind for r in run.results if r.error] == [ErrorKind.BUDGET] * 2


def test_a_target_is_not_told_what_a_right_answer_is() -> None:
    target = Answers(Output("yes"))
    secret = {
        "observed": {"output": "SECRET-1", "tool_calls": [{"name": "t", "arguments": {}, "result": "R"}]},
        "expected": {"output": "SECRET-2"},
        "verdict": "bad",
        "tags": ["SECRET-3"],
    }
    run_dataset(dataset(1, **secret), target, [], target_name="t", around=around())
    (request,) = target.requests
    assert set(request) == {"case_id", "input", "feature"}
    assert "SECRET" not in str(request)
    run_dataset(dataset(1, **secret), target, [], target_name="t", settings=Settings(replay=True), around=around())
    assert target.requests[1]["replay"] == [{"name": "t", "arguments": {}, "result": "R"}]
    assert "SECRET" not in str(target.requests[1])


def test_a_step_is_told_in_the_thread_that_asked_for_the_run() -> None:
    threads: list[str] = []

    def step(kept: Kept) -> None:
        threads.append(threading.current_thread().name)

    run_dataset(dataset(6), Answers(Output("yes")), [], target_name="t", step=step, around=around())
    assert threads == [threading.current_thread().name] * 6


def test_a_damaged_thread_of_work_ends_the_run_and_starts_no_further_case() -> None:
    started: list[str] = []

    def target(request: Mapping[str, Any], timeout_s: float, /) -> Output:
        started.append(request["case_id"])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_dataset(dataset(50), target, [], target_name="t", settings=Settings(concurrency=1), around=around())
    assert started == ["c0"]


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -0.1, 1.1])
def test_a_score_that_is_none_is_an_error_of_the_evaluator(score: float) -> None:
    class Odd(Yes):
        def __call__(self, case: Case, output: Output) -> Score | EvaluatorError:  # noqa: ARG002 - the seam
            return Score("yes", score, passed=True, reason="")

    run = run_dataset(dataset(), Answers(Output("yes")), [Odd()], target_name="t", settings=ONE, around=around())
    (only,) = run.results
    assert only.passed is None
    assert only.error == RunError(ErrorKind.EVALUATOR, f"yes: its score is {score}, which is not from 0 to 1")


def test_half_a_character_in_a_reason_does_not_cost_the_run(tmp_path: Path) -> None:
    class Torn(Yes):
        def __call__(self, case: Case, output: Output) -> Score | EvaluatorError:  # noqa: ARG002 - the seam
            return Score("yes", 1.0, passed=True, reason="half \ud83d")

    run = run_dataset(dataset(), Answers(Output("yes")), [Torn()], target_name="t", settings=ONE, around=around())
    path = save_run(run, tmp_path)
    assert load_run(str(path))[1].results[0].scores[0].reason == "half \ufffd"
