"""Two runs case by case, and a dataset across its runs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from evalgate.app import run as evalgate
from evalgate.errors import BadInput
from evalgate.run.compare import Change, compare
from evalgate.run.history import MIN_CASES, history
from evalgate.run_files import run_before, runs_of, save_run
from schema.run import ErrorKind, EvaluatorUsed
from tests.evalgate.builders import attempt, result, run_of

if TYPE_CHECKING:
    from pathlib import Path

    from schema.run import Result, Run

BEFORE = run_of(
    [
        result("same"),
        result("worse"),
        result("better", passed=False),
        result("broke"),
        result("reworded", content_hash="old"),
        result("gone"),
    ]
)
NOW = replace(
    run_of(
        [
            result("same"),
            result("worse", passed=False),
            result("better"),
            result("broke", error=ErrorKind.TIMEOUT),
            result("reworded", content_hash="new", passed=False),
            result("new", passed=False),
        ]
    ),
    run_id="r2",
    started_at="2026-11-21T09:00:00+00:00",
)


def test_cases_are_paired_by_id_and_content() -> None:
    compared = compare(BEFORE, NOW)
    assert {c.case_id: c.change for c in compared.cases} == {
        "same": Change.UNCHANGED,
        "worse": Change.REGRESSED,
        "better": Change.IMPROVED,
        "broke": Change.NO_VERDICT,
        "reworded": Change.REWORDED,
        "new": Change.NEW,
        "gone": Change.GONE,
    }
    assert compared.mean_score_change == pytest.approx(0.0)
    (worse,) = compared.of(Change.REGRESSED)
    assert (worse.score_change, worse.evaluators) == (-1.0, ("e",))


def test_a_change_has_an_interval_and_cases_of_one_session_count_less() -> None:
    def changed(cluster: str | None = None, content: str | None = None) -> tuple[float, float]:
        def tens(name: str | None, n: int) -> str | None:
            return name and f"{name}{n // 10}"

        before, now = (
            [
                result(f"c{n}", passed=n < passing, cluster=tens(cluster, n), content_hash=tens(content, n))
                for n in range(40)
            ]
            for passing in (10, 20)
        )
        compared = compare(run_of(before), run_of(now))
        assert compared.pass_rates == (0.25, 0.5)
        assert compared.change_interval is not None
        return compared.change_interval

    low, high = changed()
    assert 0 < low < 0.25 < high < 0.5
    wide_low, wide_high = changed("session")
    assert wide_low < low
    assert wide_high > high
    assert changed(content="copies") == (wide_low, wide_high)
    assert compare(run_of([result("a")]), run_of([result("b")])).change_interval is None


def test_repeats_are_one_case() -> None:
    flaky = result("c", attempts=[attempt(1), attempt(2, passed=False), attempt(3)])
    assert compare(run_of([result("c")]), run_of([flaky])).counts["unchanged"] == 1


def test_an_evaluator_of_another_version_is_told() -> None:
    other = run_of([result("c")], [EvaluatorUsed("e", "ev2", "m")])
    assert compare(run_of([result("c")]), other).evaluators_changed == ("e",)
    assert compare(run_of([result("c")]), run_of([result("c")])).evaluators_changed == ()


def test_compare_only_informs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_run(BEFORE)
    save_run(NOW)
    assert evalgate(["compare"]) == 0
    said = capsys.readouterr().out
    assert "3 cases compared: 1 improved, 1 regressed, 1 unchanged" in said
    assert "pass rate 66.7 % to 66.7 %: 0 points (95 % interval -78.4 points to +78.4 points)" in said
    assert "not compared: 1 new, 1 gone, 1 reworded, 1 without a verdict in one of the two" in said
    assert said.index("regressed  worse") < said.index("improved  better")
    assert "! broke  timeout: broke" in said
    assert said.index("    why     e: because") < said.index("    was     e: because")
    assert evalgate(["compare", "r1", "r2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["counts"]["regressed"] == 1
    (worse,) = (c for c in told["cases"] if c["case_id"] == "worse")
    assert (worse["before"]["passed"], worse["now"]["passed"]) == (True, False)
    assert worse["now"]["output"]["text"] == "said"


def test_nothing_in_common_is_said(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_run(run_of([result("a")]))
    save_run(replace(run_of([result("b")]), run_id="r2", started_at="2026-11-21T09:00:00+00:00"))
    assert evalgate(["compare"]) == 0
    assert "no case is in both with a verdict, so nothing can be said" in capsys.readouterr().out


def test_there_is_nothing_to_compare_with(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evalgate(["compare"]) == 2
    assert "there is no run in" in capsys.readouterr().err
    save_run(BEFORE)
    assert evalgate(["compare"]) == 2
    assert "there is no run of d before r1" in capsys.readouterr().err
    assert evalgate(["compare", "--history", "-d", "other"]) == 2
    assert "there is no run of 'other'" in capsys.readouterr().err
    assert evalgate(["compare", "-d", "d"]) == 2
    assert "--dataset goes with --history" in capsys.readouterr().err


def test_the_run_before_is_of_the_same_dataset_and_a_damaged_file_hides_none(project: Path) -> None:
    save_run(BEFORE)
    other = replace(BEFORE, run_id="r1b", dataset=replace(BEFORE.dataset, name="other"))
    save_run(other)
    save_run(NOW)
    (project / ".evalgate/runs/r0.json").write_text("{")
    assert run_before(NOW).run_id == "r1"
    assert [r.run_id for r in runs_of("d")] == ["r1", "r2"]
    assert [r.run_id for r in runs_of("d", last=1)] == ["r2"]
    with pytest.raises(BadInput):
        run_before(BEFORE)


def numbered(run_id: str, results: list[Result]) -> Run:
    return replace(run_of(results), run_id=run_id, started_at=f"2026-11-2{run_id}T09:00:00+00:00")


def test_improvement_is_what_passes_now_and_did_not_over_all_regression_cases() -> None:
    first = [result(f"bad{n}", passed=False) for n in range(4)] + [result("good", failure_mode=None)]
    second = [result(f"bad{n}", passed=n < 3) for n in range(4)] + [result("good", failure_mode=None, passed=False)]
    third = [result("bad0", passed=False), *second[1:]]
    one, two, three = history([numbered("1", first), numbered("2", second), numbered("3", third)])
    assert (one.improved, one.regressions) == (None, None)
    assert two.improved is not None
    assert (two.improved.count, two.improved.total) == (3, 4)
    assert two.improved.interval == pytest.approx((0.3006, 0.9544), abs=1e-4)
    assert two.regressions is not None
    assert (two.regressions.count, two.regressions.total) == (1, 1), "the good case that passed before"
    assert (two.failures_passing.count, two.failures_passing.total) == (3, 4)
    assert three.improved is not None
    assert three.regressions is not None
    assert (three.improved.count, three.regressions.count, three.regressions.total) == (0, 1, 3)


def test_a_changed_evaluator_stands_with_the_step_it_may_explain(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_run(numbered("1", [result("a", passed=False)]))
    save_run(replace(numbered("2", [result("a")]), evaluators=(EvaluatorUsed("e", "ev2", "m"),)))
    assert evalgate(["compare", "--history"]) == 0
    said = capsys.readouterr().out
    assert "1/1 *" in said
    assert "* evaluators changed since the run before: what differs may be the ruler" in said


def test_few_cases_are_insufficient_data_and_no_cases_have_no_rate() -> None:
    few = history([numbered("1", [result("a")])])[0].to_json()
    assert few["passed"]["status"] == "insufficient_data"
    assert few["passed"]["interval_95"] is not None
    enough = history([numbered("1", [result(f"c{n}") for n in range(MIN_CASES)])])[0]
    assert enough.passed.to_json()["status"] == "estimate"
    broken = history([numbered("1", [result("a", error=ErrorKind.TARGET)])])[0]
    assert (broken.passed.rate, broken.passed.interval, broken.errors) == (None, None, 1)


def test_grades_are_bands_of_the_score() -> None:
    scores = [0.0, 0.39, 0.4, 0.6, 0.7, 0.1 + 0.7, 1.0]
    results = [result(f"c{n}", score=s, passed=s >= 0.8) for n, s in enumerate(scores)]
    (step,) = history([numbered("1", results)])
    assert {name: share.count for name, share in step.grades} == {"poor": 2, "weak": 1, "fair": 2, "good": 2}


def test_history_is_printed_and_says_that_it_is_little(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_run(BEFORE)
    save_run(NOW)
    assert evalgate(["compare", "--history"]) == 0
    said = capsys.readouterr().out
    assert "improvement rate of the last run: 1 of 3 regression cases" in said
    assert "insufficient data: the last run has fewer than 20 cases" in said
    assert evalgate(["compare", "--history", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 2
