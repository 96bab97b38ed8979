"""Send every case of a dataset to a target and have the evaluators judge the outputs."""

from __future__ import annotations

import queue
import secrets
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from schema.case import case_to_json
from schema.evaluator import EvaluatorError, Score
from schema.run import DatasetUsed, ErrorKind, EvaluatorUsed, Output, Result, Run, RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evalgate.dataset.store import Dataset
    from evalgate.run.target import Target
    from schema.case import Case
    from schema.evaluator import Evaluator

DEFAULT_TIMEOUT_S = 60.0
"""Long enough for an agent of several model calls."""
DEFAULT_CONCURRENCY = 4
"""Polite to a provider's rate limit."""


def _now() -> datetime:
    return datetime.now(UTC)


def new_run_id(at: datetime, suffix: str | None = None) -> str:
    """Return an id that sorts by time: 20261121T013700Z-1f9c2a."""
    return f"{at:%Y%m%dT%H%M%SZ}-{suffix or secrets.token_hex(3)}"


@dataclass(frozen=True, slots=True)
class Settings:
    """How to run."""

    concurrency: int = DEFAULT_CONCURRENCY
    timeout_s: float = DEFAULT_TIMEOUT_S


def run_dataset(
    dataset: Dataset,
    target: Target,
    evaluators: Sequence[Evaluator],
    *,
    target_name: str,
    settings: Settings = Settings(),
    step: Callable[[], None] = lambda: None,
    now: Callable[[], datetime] = _now,
    run_id: str | None = None,
) -> Run:
    """Return the run; results are in the order of the dataset. `step` is called after each case, from any thread."""
    started = now()

    def one(case: Case) -> Result:
        result = run_case(case, target, evaluators, settings.timeout_s)
        step()
        return result

    results = _map(one, dataset.cases, settings.concurrency)
    return Run(
        run_id=run_id or new_run_id(started),
        started_at=started.isoformat(timespec="milliseconds"),
        finished_at=now().isoformat(timespec="milliseconds"),
        dataset=DatasetUsed(dataset.name, dataset.version, str(dataset.path)),
        target=target_name,
        evaluators=tuple(
            EvaluatorUsed(
                e.spec.id,
                e.spec.version,
                e.spec.failure_mode,
                e.spec.mcc_score,
                e.spec.threshold,
                e.spec.coverage_target,
            )
            for e in evaluators
        ),
        results=results,
    )


def run_case(case: Case, target: Target, evaluators: Sequence[Evaluator], timeout_s: float) -> Result:
    """Run one case and judge it by every evaluator that applies."""
    began = time.perf_counter()
    answer = target(case_to_json(case), timeout_s)
    duration_ms = round((time.perf_counter() - began) * 1000, 3)
    output = answer if isinstance(answer, Output) else None
    error = answer if isinstance(answer, RunError) else None
    scores: list[Score] = []
    if output is not None:
        for evaluator in evaluators:
            if evaluator.spec.applies(case):
                verdict = evaluator(case, output)
                if isinstance(verdict, EvaluatorError):
                    error = error or RunError(ErrorKind.EVALUATOR, f"{verdict.evaluator}: {verdict.message}")
                else:
                    scores.append(verdict)
    return Result(
        case_id=case.case_id,
        content_hash=case.content_hash,
        failure_mode=case.failure_mode,
        provenance=case.provenance,
        input_text=case.input.text,
        output=output.text if output else None,
        tool_calls=output.tool_calls if output else (),
        scores=tuple(scores),
        error=error,
        duration_ms=duration_ms,
    )


def _map(function: Callable[[Case], Result], cases: Sequence[Case], workers: int) -> tuple[Result, ...]:
    """Return the result of each case, in order, from a few threads.

    The threads are daemons: whoever interrupts a run waits for no target. (An executor would wait at exit.)
    """
    waiting: queue.SimpleQueue[tuple[int, Case]] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Result | BaseException]] = queue.SimpleQueue()
    for item in enumerate(cases):
        waiting.put(item)

    def work() -> None:
        while True:
            try:
                number, case = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((number, function(case)))
            except BaseException as e:  # noqa: BLE001 - raised again in the calling thread
                done.put((number, e))

    for n in range(min(workers, len(cases))):
        threading.Thread(target=work, name=f"evalgate-run-{n}", daemon=True).start()
    results: dict[int, Result] = {}
    while len(results) < len(cases):
        number, result = done.get()
        if isinstance(result, BaseException):
            raise result
        results[number] = result
    return tuple(results[n] for n in range(len(cases)))
