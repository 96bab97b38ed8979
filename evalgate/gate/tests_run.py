"""Makes a run of what a project's own tests came to: every test is a case, judged by one evaluator.

The exit code is a case of its own, which fails where the tests do not explain it: a runner that ends with 1 while every
test passed has found something else (coverage, warnings, a broken teardown), and that is never a pass.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evalgate.errors import BadInput
from evalgate.gate.junit_in import Outcome
from schema.case import Provenance, dataset_version
from schema.evaluator import Score
from schema.hashing import short_hash
from schema.run import (
    Attempt,
    DatasetUsed,
    ErrorKind,
    EvaluatorUsed,
    Output,
    Result,
    Run,
    RunError,
    RunSettings,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from evalgate.gate.junit_in import TestAttempt, TestResult
    from evalgate.gate.process import Ended

TESTS = "tests"
COMMAND = "command"
EXIT_CODE = "(exit code)"
"""No test runner can name a test so."""
FAILED_TEST = "failed_test"
FAILED_COMMAND = "failed_command"
COMMON_RESULTS = ("--junitxml", "--junit-xml", "--junitfile", "--junit-file")
"""What pytest, and gotestsum, call the file."""


def results_of(command: Sequence[str]) -> Path | None:
    """Return the JUnit file that a command line names, None where it names none."""
    for word, following in zip(command, [*command[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        if option in COMMON_RESULTS and (path := value if equals else following):
            return Path(path)
    return None


def state_of(path: Path) -> os.stat_result | None:
    """Return what tells a file from the one that is written after it; None: there is no file."""
    try:
        return path.stat()
    except OSError:
        return None


def refuse_stale(path: Path, before: os.stat_result | None, ended: Ended) -> None:
    """Refuse results that the command did not write.

    Raises:
        BadInput: there are none, or they were there before and have not changed.

    """
    now = state_of(path)
    if now is None:
        raise BadInput(
            f"the command ended with {ended.exit_code} and wrote no results to {path}. "
            "Which file does it write? --results XML, or results: in evals/gate.yaml"
        )
    if before is not None and _identity(now) == _identity(before):
        raise BadInput(
            f"the command ended with {ended.exit_code} and did not write {path}: what is there is of an earlier time"
        )


def run_from_tests(
    tests: Sequence[TestResult],
    ended: Ended | None,
    *,
    command: Sequence[str],
    results: Path,
    name: str,
    threshold: float | None,
    run_id: str,
    times: tuple[str, str],
) -> Run:
    """Return the run that a file of results and an exit code make; `threshold` is the least share of tests.

    Without an exit code (the tests were run by somebody else) there is no case for it.

    Raises:
        BadInput: the file holds no tests.

    """
    if not tests:
        end = f"; the command ended with {ended.exit_code}" if ended else ""
        raise BadInput(f"{results} holds no tests, so nothing was proved{end}")
    rows = [_test_row(t) for t in tests]
    evaluators = [EvaluatorUsed(TESTS, "1", FAILED_TEST, threshold=threshold)]
    if ended is not None:
        explained = any(t.attempts[-1].outcome in (Outcome.FAILED, Outcome.ERROR) for t in tests)
        rows.append(_command_row(ended, command, explained_by_tests=explained))
        evaluators.append(EvaluatorUsed(COMMAND, "1", FAILED_COMMAND, threshold=1.0))
    return _run(rows, evaluators, name=name, path=str(results), command=command, run_id=run_id, times=times)


def run_from_exit_code(
    ended: Ended, *, command: Sequence[str], name: str, path: str, run_id: str, times: tuple[str, str]
) -> Run:
    """Return the run of a command that writes no results: one case, which passes with exit code 0.

    `path` is the file that a reader is pointed to.
    """
    evaluators = [EvaluatorUsed(COMMAND, "1", FAILED_COMMAND, threshold=1.0)]
    rows = [_command_row(ended, command, explained_by_tests=None)]
    return _run(rows, evaluators, name=name, path=path, command=command, run_id=run_id, times=times)


def _run(
    rows: Sequence[Result],
    evaluators: Sequence[EvaluatorUsed],
    *,
    name: str,
    path: str,
    command: Sequence[str],
    run_id: str,
    times: tuple[str, str],
) -> Run:
    return Run(
        run_id=run_id,
        started_at=times[0],
        finished_at=times[1],
        dataset=DatasetUsed(name, dataset_version(rows), path),
        target=f"cmd:{' '.join(command)}" if command else f"file:{path}",
        evaluators=tuple(evaluators),
        results=tuple(rows),
        settings=RunSettings(repeats=max(len(r.attempts) for r in rows)),
    )


def _test_row(test: TestResult) -> Result:
    attempts = [_attempt(number, a) for number, a in enumerate(test.attempts, 1)]
    return _row(test.test_id, FAILED_TEST, test.test_id, attempts)


def _attempt(number: int, tried: TestAttempt) -> Attempt:
    duration_ms = round(tried.duration_s * 1000, 3)
    output = Output(tried.message or tried.outcome)
    if tried.outcome is Outcome.ERROR:
        message = tried.message or "the test broke"
        return Attempt(number, None, error=RunError(ErrorKind.TARGET, message), duration_ms=duration_ms)
    if tried.outcome is Outcome.SKIPPED:
        return Attempt(number, output, duration_ms=duration_ms, notes=("skipped",))
    passed = tried.outcome is Outcome.PASSED
    reason = "the test passed" if passed else _first_line(tried.message) or "the test failed"
    return Attempt(number, output, (Score(TESTS, float(passed), passed, reason),), duration_ms=duration_ms)


def _command_row(ended: Ended, command: Sequence[str], *, explained_by_tests: bool | None) -> Result:
    """Return the case of the exit code; None: there are no tests that could explain it."""
    passed = ended.exit_code == 0 or explained_by_tests is True
    unexplained = not passed and explained_by_tests is not None
    words = f"the command ended with {ended.exit_code}" + (", which no failing test explains" if unexplained else "")
    attempt = Attempt(
        1, Output(words), (Score(COMMAND, float(passed), passed, words),), duration_ms=round(ended.duration_s * 1000, 3)
    )
    return _row(EXIT_CODE, FAILED_COMMAND, " ".join(command), [attempt])


def _row(case_id: str, failure_mode: str, asked: str, attempts: Sequence[Attempt]) -> Result:
    return Result(
        case_id=case_id,
        content_hash=short_hash(case_id),
        failure_mode=failure_mode,
        feature=None,
        cluster=None,
        provenance=Provenance(),
        input_text=asked,
        observed_output=None,
        expected_output=None,
        attempts=tuple(attempts),
    )


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _identity(state: os.stat_result) -> tuple[int, int, int]:
    return state.st_ino, state.st_mtime_ns, state.st_size
