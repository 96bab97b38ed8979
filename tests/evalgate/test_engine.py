"""A run: every case once, in order, errors beside scores."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalgate.dataset.store import Dataset
from evalgate.errors import BadInput
from evalgate.evaluators.rules import RuleEvaluator
from evalgate.run.engine import Settings, new_run_id, run_dataset
from evalgate.run_files import load_run, save_run
from schema.case import parse_case
from schema.evaluator import EvaluatorError, EvaluatorSpec, Score, parse_evaluator
from schema.run import ErrorKind, Output, RunError, parse_run, run_to_json, summarise
from tests.evalgate.builders import attempt, result, run_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schema.case import Case

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
SHORT = parse_evaluator({"id": "short", "failure_mode": "m", "rule": {"type": "max_chars", "limit": 3}})


def dataset(*modes: str) -> Dataset:
    cases = [parse_case({"case_id": f"c{i}", "input": f"Q{i}", "failure_mode": m}) for i, m in enumerate(modes)]
    return Dataset("d", Path("d.jsonl"), tuple(cases))


def answering(case: Mapping[str, Any], timeout_s: float) -> Output | RunError:
    return Output("yes") if case["case_id"] != "c1" else Output("much too long")


def test_each_case_is_judged_by_what_applies_to_it() -> None:
    run = run_dataset(dataset("m", "m", "other"), answering, [RuleEvaluator(SHORT)], target_name="t", run_id="r")
    assert [r.passed for r in run.results] == [True, False, None]
    assert [len(r.scores) for r in run.results] == [1, 1, 0]
    assert run.run_id == "r"
    summary = summarise(run)
    counts = {k: summary[k] for k in ("total", "passed", "failed", "errors", "unscored", "pass_rate")}
    assert counts == {"total": 3, "passed": 1, "failed": 1, "errors": 0, "unscored": 1, "pass_rate": 0.5}
    assert summary["evaluators"]["short"]["scored"] == 2
    assert summary["failure_modes"]["other"]["unscored"] == 1


def test_a_target_error_is_no_score() -> None:
    def broken(case: Mapping[str, Any], timeout_s: float) -> Output | RunError:
        return RunError(ErrorKind.TIMEOUT, f"{timeout_s}")

    settings = Settings(timeout_s=7)
    run = run_dataset(dataset("m"), broken, [RuleEvaluator(SHORT)], target_name="t", settings=settings)
    (only,) = run.results
    assert (only.passed, only.scores, only.error) == (None, (), RunError(ErrorKind.TIMEOUT, "7"))
    assert summarise(run)["pass_rate"] is None


def test_an_evaluator_error_is_no_score_and_leaves_the_output() -> None:
    class Refusing:
        @property
        def spec(self) -> EvaluatorSpec:
            return SHORT

        def __call__(self, case: Case, output: Output) -> Score | EvaluatorError:  # noqa: ARG002 - the seam
            return EvaluatorError("short", "cannot")

    run = run_dataset(dataset("m"), answering, [RuleEvaluator(SHORT), Refusing()], target_name="t")
    (only,) = run.results
    assert only.passed is None
    assert only.error == RunError(ErrorKind.EVALUATOR, "short: cannot")
    assert only.output == "yes"


def test_results_keep_the_order_of_the_dataset_whoever_ends_first() -> None:
    second_is_done = threading.Event()

    def racing(case: Mapping[str, Any], timeout_s: float) -> Output:
        if case["case_id"] == "c0":
            assert second_is_done.wait(20)
        else:
            second_is_done.set()
        return Output(case["case_id"])

    run = run_dataset(dataset("m", "m"), racing, [], target_name="t", settings=Settings(concurrency=2))
    assert [r.output for r in run.results] == ["c0", "c1"]


def test_more_workers_than_cases_and_fewer() -> None:
    for concurrency in (1, 2, 9):
        run = run_dataset(dataset(*"mmmmm"), answering, [], target_name="t", settings=Settings(concurrency=concurrency))
        assert [r.case_id for r in run.results] == ["c0", "c1", "c2", "c3", "c4"]


def test_a_fault_of_the_engine_is_no_result() -> None:
    def faulty(case: Mapping[str, Any], timeout_s: float) -> Output:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_dataset(dataset("m", "m"), faulty, [], target_name="t")


def test_run_ids_sort_by_time() -> None:
    assert new_run_id(AT, "aa") == "20261120T090000Z-aa"
    assert new_run_id(AT) != new_run_id(AT)


@given(st.lists(st.sampled_from([True, False, None, *ErrorKind]), max_size=12))
def test_a_run_survives_its_file(verdicts: list[bool | ErrorKind | None]) -> None:
    results = [
        result(f"c{i}", error=v) if isinstance(v, ErrorKind) else result(f"c{i}", passed=v, trace_id="aa")
        for i, v in enumerate(verdicts)
    ]
    run = run_of(results)
    document = json.loads(json.dumps(run_to_json(run)))
    assert parse_run(document) == run
    summary = document["summary"]
    assert summary["total"] == summary["passed"] + summary["failed"] + summary["errors"] + summary["unscored"]


VERDICTS = st.lists(st.sampled_from([True, False, None, ErrorKind.TIMEOUT]), min_size=1, max_size=5)


@given(st.lists(VERDICTS, max_size=6))
def test_attempts_survive_their_file_and_derive_one_verdict(cases: list[list[bool | ErrorKind | None]]) -> None:
    results = [
        result(
            f"c{i}",
            attempts=[
                attempt(n, error=v) if isinstance(v, ErrorKind) else attempt(n, passed=v) for n, v in enumerate(said, 1)
            ],
        )
        for i, said in enumerate(cases)
    ]
    document = json.loads(json.dumps(run_to_json(run_of(results))))
    found = parse_run(document).results
    assert found == tuple(results)
    for said, one in zip(cases, found, strict=True):
        broken = 2 * said.count(ErrorKind.TIMEOUT) > len(said)  # then the others prove nothing
        yes, no = (0, 0) if broken else (said.count(True), said.count(False))
        assert one.passed is (None if yes + no == 0 else yes > no)
        assert one.flaky is (yes > 0 and no > 0)
        assert (one.error is not None) is (yes + no == 0 and ErrorKind.TIMEOUT in said)
        assert one.passed_by(("e",)) is one.passed
    assert document["summary"]["attempts"]["total"] == sum(map(len, cases))


def test_a_file_that_claims_a_pass_without_scores_is_not_believed() -> None:
    document = run_to_json(run_of([result("c", passed=None)]))
    document["results"][0]["passed"] = True
    assert parse_run(document).results[0].passed is None


def test_a_case_twice_in_a_run_is_refused() -> None:
    with pytest.raises(ValueError, match="the case c stands there twice"):
        parse_run(run_to_json(run_of([result("c"), result("c")])))


def test_latest_is_the_last_run(project: Path) -> None:
    path = save_run(run_of([result("c")]))
    assert load_run() == (Path(".evalgate/runs/latest.json"), run_of([result("c")]))
    assert load_run("r1")[0] == path
    assert load_run(str(path))[0] == path


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "must be an object"),
        ("{}", "its schema is None"),
        ('{"schema": "evalgate/run/2"}', "lacks 'run_id'"),
    ],
)
def test_a_file_that_is_no_run_is_refused(project: Path, content: str, words: str) -> None:
    (project / "x.json").write_text(content)
    with pytest.raises(BadInput) as error:
        load_run("x.json")
    assert words in str(error.value)
