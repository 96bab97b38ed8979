"""Send every case of a dataset to a target and have the evaluators judge the outputs.

    (case, attempt) ──▶ target, again where something broke on the way ──▶ evaluators ──▶ Attempt ──▶ kept at once

An attempt is tried again only where infrastructure broke: a timeout, a refused connection, "too many requests". An
answer is never asked for anew, whatever the evaluators say of it: failures would be re-rolled until they pass.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from evalgate.run.targets.answer import Busy, TargetAnswer, plain
from evalgate.work import in_threads
from schema.case import case_to_json
from schema.evaluator import EvaluatorError, Score, fresh
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
    from collections.abc import Callable, Mapping, Sequence

    from evalgate.dataset.store import Dataset
    from evalgate.run.targets.answer import Target
    from schema.alignment import Measurement
    from schema.case import Case
    from schema.evaluator import Evaluator

DEFAULT_TIMEOUT_S = 60.0
"""Long enough for an agent of several model calls."""
DEFAULT_CONCURRENCY = 4
"""Polite to a provider's rate limit."""
DEFAULT_RETRIES = 2
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
WITHHELD = ("observed", "expected", "verdict", "failure_mode", "tags", "provenance", "content_hash", "cluster")
"""What a target is not told: the answer, and what people said of the last one."""


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
    repeats: int = 1
    retries: int = DEFAULT_RETRIES
    replay: bool = False


class Outputs:
    """Where outputs are kept between runs: this one keeps none."""

    def get(self, request: Mapping[str, Any]) -> tuple[Output, float] | None:  # noqa: ARG002 - the seam
        """Return the output for a request, and what it took in ms."""
        return None

    def put(self, request: Mapping[str, Any], output: Output, duration_ms: float) -> None:
        """Keep an output."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run touches of the world, so that tests can put something else there."""

    now: Callable[[], datetime] = _now
    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random
    outputs: Outputs = field(default_factory=Outputs)
    turn: Callable[[], None] = lambda: None
    """Called before each try of the target: waits for its rate limit."""
    spent: threading.Event = field(default_factory=threading.Event)
    """Set once a call was not made for want of budget: no further attempt begins."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An attempt of a case, as it ends."""

    case: Case
    attempt: Attempt


def run_dataset(
    dataset: Dataset,
    target: Target,
    evaluators: Sequence[Evaluator],
    *,
    target_name: str,
    settings: Settings = Settings(),
    step: Callable[[Kept], None] = lambda _: None,
    around: Surroundings = Surroundings(),
    run_id: str | None = None,
    started_at: str | None = None,
    done: Mapping[tuple[str, int], Attempt] | None = None,
    used: Sequence[EvaluatorUsed] | None = None,
    recorded: RunSettings | None = None,
) -> Run:
    """Return the run; results are in the order of the dataset.

    `step` is called in this thread after each attempt, as it ends. `done` are attempts of an earlier, unfinished run,
    by case and number: they are taken as they are. An interruption is raised once; what was kept is kept.
    """
    began = around.now()
    attempts = dict(done or {})
    jobs = [
        (case, number)
        for number in range(1, settings.repeats + 1)
        for case in dataset.cases
        if (case.case_id, number) not in attempts
    ]

    again = [fresh(e) for e in evaluators] if settings.repeats > 1 else []

    def work(job: tuple[Case, int]) -> Attempt:
        case, number = job
        judges = evaluators if number == 1 else again
        return run_attempt(case, number, target, judges, settings=settings, around=around)

    for (case, number), attempt in in_threads(work, jobs, settings.concurrency):
        attempts[case.case_id, number] = attempt
        step(Kept(case, attempt))
    return Run(
        run_id=run_id or new_run_id(began),
        started_at=started_at or began.isoformat(timespec="milliseconds"),
        finished_at=around.now().isoformat(timespec="milliseconds"),
        dataset=DatasetUsed(dataset.name, dataset.version, str(dataset.path)),
        target=target_name,
        evaluators=tuple(used if used is not None else [evaluator_used(e) for e in evaluators]),
        results=tuple(
            result_of(case, [attempts[case.case_id, n] for n in range(1, settings.repeats + 1)])
            for case in dataset.cases
        ),
        settings=recorded
        or RunSettings(settings.repeats, settings.concurrency, settings.timeout_s, replay=settings.replay),
        cost_usd=total(a.output.cost_usd for a in attempts.values() if a.output and not a.cached),
        judge_cost_usd=total(a.judge_cost_usd for a in attempts.values()),
        set_aside=dataset.set_aside,
    )


def run_attempt(
    case: Case,
    number: int,
    target: Target,
    evaluators: Sequence[Evaluator],
    *,
    settings: Settings,
    around: Surroundings,
) -> Attempt:
    """Ask the target once, again where something broke on the way, and have every evaluator judge that applies."""
    if around.spent.is_set():
        return Attempt(number, None, error=RunError(ErrorKind.BUDGET, "the budget was spent before it was tried"))
    request = request_of(case, replay=settings.replay)
    kept = around.outputs.get(request) if number == 1 else None
    notes: list[str] = []
    if kept is not None:
        answer, duration_ms = TargetAnswer(kept[0]), kept[1]
    else:
        began = around.clock()
        answer = _ask(request, target, settings, around, notes)
        duration_ms = round((around.clock() - began) * 1000, 3)
    output = answer.output
    if kept is None and output is not None and number == 1 and not answer.notes:
        around.outputs.put(request, output, duration_ms)
    scores: list[Score] = []
    error = answer.error
    if output is not None:
        scores, error = judge(case, output, evaluators)
        if error is not None and around.spent.is_set():
            error = RunError(ErrorKind.BUDGET, error.message)
    elif error is not None and error.kind is ErrorKind.BUDGET:
        around.spent.set()
    return Attempt(
        number=number,
        output=output,
        scores=tuple(scores),
        error=error,
        duration_ms=duration_ms,
        cached=kept is not None,
        judge_cost_usd=total(s.cost_usd for s in scores),
        notes=(*notes, *answer.notes),
    )


def judge(case: Case, output: Output, evaluators: Sequence[Evaluator]) -> tuple[list[Score], RunError | None]:
    """Return what each evaluator that applies says of an output, and the first error of one."""
    scores: list[Score] = []
    error = None
    for evaluator in evaluators:
        if evaluator.spec.applies(case):
            verdict = evaluator(case, output)
            if isinstance(verdict, Score) and not 0 <= verdict.score <= 1:  # NaN, too: an evaluator may be anybody's
                verdict = EvaluatorError(verdict.evaluator, f"its score is {verdict.score}, which is not from 0 to 1")
            if isinstance(verdict, EvaluatorError):
                error = error or RunError(ErrorKind.EVALUATOR, plain(f"{verdict.evaluator}: {verdict.message}"))
            else:
                scores.append(replace(verdict, reason=plain(verdict.reason)))
    return scores, error


def request_of(case: Case, *, replay: bool) -> dict[str, Any]:
    """Return what a target is told of a case: what was asked, never what a right answer is.

    With `replay` also what the tools answered in production.
    """
    request = {k: v for k, v in case_to_json(case).items() if k not in WITHHELD}
    if replay:
        request["replay"] = [dict(c) for c in case.observed.tool_calls]
    return request


def evaluator_used(evaluator: Evaluator, measurement: Measurement | None = None) -> EvaluatorUsed:
    """Return what a run notes of an evaluator."""
    spec = evaluator.spec
    return EvaluatorUsed(
        id=spec.id,
        version=spec.version,
        failure_mode=spec.failure_mode,
        eval_type=spec.eval_type,
        evidence=spec.evidence,
        generated=spec.generated is not None,
        mcc_score=spec.mcc_score,
        threshold=spec.threshold,
        pass_at=getattr(spec.body, "pass_at", None),
        coverage_target=spec.coverage_target,
        must_not_break=spec.must_not_break,
        measurement=measurement,
    )


def result_of(case: Case, attempts: Sequence[Attempt]) -> Result:
    """Return the result that these attempts make."""
    return Result(
        case_id=case.case_id,
        content_hash=case.content_hash,
        failure_mode=case.failure_mode,
        feature=case.feature,
        cluster=case.cluster,
        provenance=case.provenance,
        input_text=case.input.text,
        observed_output=case.observed.output,
        expected_output=case.expected_output,
        attempts=tuple(attempts),
        tags=case.tags,
        context_hash=case.context_hash,
    )


def _ask(
    request: Mapping[str, Any], target: Target, settings: Settings, around: Surroundings, notes: list[str]
) -> TargetAnswer:
    """Return the answer, or the error of the last try."""
    tries = 1
    while True:
        around.turn()
        answer = target(request, settings.timeout_s)
        if not isinstance(answer, Busy):
            return answer if isinstance(answer, TargetAnswer) else TargetAnswer.of(answer)
        if tries > settings.retries:
            again = f" (tried {tries} times)" if tries > 1 else ""
            return TargetAnswer(error=RunError(answer.error.kind, answer.error.message + again))
        notes.append(f"tried again: {answer.error.message}")
        around.sleep(_wait_s(tries, answer.retry_after_s, around.random()))
        tries += 1


def _wait_s(tries: int, retry_after_s: float | None, lot: float) -> float:
    """Return how long to wait after so many tries: what the other side asks for, else twice as long each time.

    `lot` (0 to 1) spreads clients that were refused together.
    """
    if retry_after_s is not None:
        return min(max(retry_after_s, 0.0), LONGEST_WAIT_S)
    return min(FIRST_WAIT_S * 2.0 ** (tries - 1), LONGEST_WAIT_S) * (0.5 + 0.5 * lot)


def total(costs: Any) -> float | None:
    """Return the sum of what is known; None where nothing is."""
    known = [c for c in costs if c is not None]
    return sum(known) if known else None
