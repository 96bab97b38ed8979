"""A run: one target's outputs on one dataset version, and what the evaluators say of them.

The file is `evalgate/run/1`; a gate needs nothing else. A case passes when every evaluator that applies to it passes;
where none applies it is unscored, and where the target or an evaluator broke it is an error. Neither is ever a pass.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from schema.case import Provenance, parse_provenance
from schema.evaluator import Score
from schema.fields import Fields
from schema.statistics import weighted_share, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from schema.statistics import WeightedShare

SCHEMA = "evalgate/run/1"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Output:
    """What a target answered."""

    text: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    """{name, arguments}, in the order of the calls."""


class ErrorKind(StrEnum):
    """Whose fault it is that a case has no verdict."""

    TARGET = "target"
    TIMEOUT = "timeout"
    EVALUATOR = "evaluator"


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a case could not be judged: infrastructure, not quality."""

    kind: ErrorKind
    message: str


@dataclass(frozen=True, slots=True)
class Result:
    """One case of a run."""

    case_id: str
    content_hash: str
    failure_mode: str | None
    provenance: Provenance
    input_text: str | None
    output: str | None
    tool_calls: tuple[Mapping[str, Any], ...]
    scores: tuple[Score, ...]
    error: RunError | None
    duration_ms: float

    @property
    def passed(self) -> bool | None:
        """True, False, or None where there is no verdict (an error, or no evaluator applies)."""
        if self.error is not None or not self.scores:
            return None
        return all(s.passed for s in self.scores)


@dataclass(frozen=True, slots=True)
class DatasetUsed:
    """Which cases were run."""

    name: str
    version: str
    path: str


@dataclass(frozen=True, slots=True)
class EvaluatorUsed:
    """Which evaluator judged, as it was then."""

    id: str
    version: str
    failure_mode: str
    mcc_score: float | None = None
    threshold: float | None = None
    coverage_target: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One run."""

    run_id: str
    started_at: str
    finished_at: str
    dataset: DatasetUsed
    target: str
    evaluators: tuple[EvaluatorUsed, ...]
    results: tuple[Result, ...] = field(repr=False)


def run_to_json(run: Run) -> dict[str, Any]:
    """Return the JSON object of a run, with its summary."""
    return {
        "schema": SCHEMA,
        "run_id": run.run_id,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "dataset": asdict(run.dataset),
        "target": run.target,
        "evaluators": [asdict(e) for e in run.evaluators],
        "summary": summarise(run),
        "results": [_result_json(r) for r in run.results],
    }


def summarise(run: Run) -> dict[str, Any]:
    """Return counts and rates: of the run, per evaluator, per failure mode.

    A pass rate is passed / (passed + failed); errors and unscored cases are counted beside it, never in it. `weighted`
    is the same, each case by what its trace stands for in production; null where no case says so.
    """
    per_evaluator = {}
    for used in run.evaluators:
        scores = [
            (s.passed, r.provenance.sample_weight) for r in run.results for s in r.scores if s.evaluator == used.id
        ]
        plain = _rate(sum(passed for passed, _ in scores), len(scores))
        per_evaluator[used.id] = {**plain, "weighted": weighted_json(weighted_share(scores))}
    modes: dict[str, list[Result]] = {}
    for r in run.results:
        modes.setdefault(r.failure_mode or "", []).append(r)
    judged = [(r.passed, r.provenance.sample_weight) for r in run.results if r.passed is not None]
    return {
        **_tally(run.results),
        "weighted": weighted_json(weighted_share(judged)),
        "evaluators": per_evaluator,
        "failure_modes": {mode: _tally(results) for mode, results in sorted(modes.items())},
    }


def weighted_json(share: WeightedShare | None) -> dict[str, Any] | None:
    """Return the JSON object of a weighted pass rate."""
    if share is None:
        return None
    return {
        "status": "insufficient_data" if share.rate is None else "estimate",
        "pass_rate": share.rate,
        "pass_rate_interval_95": [share.low, share.high],
        "effective_n": share.effective_n,
        "cases": share.counted,
        "cases_without_weight": share.unweighted,
    }


def _tally(results: Iterable[Result]) -> dict[str, Any]:
    rows = list(results)
    count = Counter(r.passed for r in rows)
    errors = sum(r.error is not None for r in rows)
    return {
        "total": len(rows),
        "passed": count[True],
        "failed": count[False],
        "errors": errors,
        "unscored": count[None] - errors,
        **_interval(count[True], count[True] + count[False]),
    }


def _rate(passed: int, total: int) -> dict[str, Any]:
    return {"scored": total, "passed": passed, **_interval(passed, total)}


def _interval(passed: int, total: int) -> dict[str, Any]:
    interval = wilson_interval(passed, total)
    return {
        "pass_rate": passed / total if total else None,
        "pass_rate_interval_95": list(interval) if interval else None,
    }


def _result_json(r: Result) -> dict[str, Any]:
    return {
        "case_id": r.case_id,
        "content_hash": r.content_hash,
        "failure_mode": r.failure_mode,
        "passed": r.passed,
        "error": asdict(r.error) if r.error else None,
        "input_text": r.input_text,
        "output": r.output,
        "tool_calls": [dict(c) for c in r.tool_calls],
        "scores": [asdict(s) for s in r.scores],
        "duration_ms": r.duration_ms,
        "provenance": asdict(r.provenance),
    }


def parse_run(value: Any) -> Run:
    """Read a run.

    Raises:
        ValueError: in words for the person who pointed at the file.

    """
    fields = Fields(value, "a run")
    if (spoken := fields.any("schema")) != SCHEMA:
        raise ValueError(f"its schema is {spoken!r}, not {SCHEMA!r}")
    run = Run(
        run_id=fields.text("run_id"),
        started_at=fields.text("started_at"),
        finished_at=fields.text("finished_at"),
        dataset=_read(
            fields.any("dataset"), "dataset", lambda f: DatasetUsed(f.text("name"), f.text("version"), f.text("path"))
        ),
        target=fields.text("target"),
        evaluators=tuple(_read(e, "an evaluator", _evaluator_used) for e in fields.sequence("evaluators")),
        results=tuple(_read(r, "a result", _result) for r in fields.sequence("results")),
    )
    fields.mapping("summary")
    fields.close()
    ids = Counter(r.case_id for r in run.results)
    if twice := [i for i, n in ids.items() if n > 1]:
        raise ValueError(f"the case {twice[0]} stands there twice")
    return run


def _read(value: Any, what: str, read: Callable[[Fields], T]) -> T:
    fields = Fields(value, what)
    item = read(fields)
    fields.close()
    return item


def _evaluator_used(f: Fields) -> EvaluatorUsed:
    return EvaluatorUsed(
        id=f.text("id"),
        version=f.text("version"),
        failure_mode=f.text("failure_mode"),
        mcc_score=f.optional_number("mcc_score"),
        threshold=f.optional_number("threshold"),
        coverage_target=f.optional_text("coverage_target"),
    )


def _result(f: Fields) -> Result:
    error = f.any("error")
    f.any("passed")  # derived: recomputed from the scores
    return Result(
        case_id=f.text("case_id"),
        content_hash=f.text("content_hash"),
        failure_mode=f.optional_text("failure_mode"),
        provenance=_read(f.mapping("provenance"), "provenance", parse_provenance),
        input_text=f.optional_text("input_text"),
        output=f.optional_text("output"),
        tool_calls=f.objects("tool_calls"),
        scores=tuple(_read(s, "a score", _score) for s in f.sequence("scores")),
        error=_read(error, "error", _error) if error is not None else None,
        duration_ms=f.optional_number("duration_ms") or 0.0,
    )


def _score(f: Fields) -> Score:
    score, passed = f.optional_number("score"), f.optional_bool("passed")
    if score is None or passed is None:
        raise ValueError("a score lacks 'score' or 'passed'")
    return Score(f.text("evaluator"), score, passed, f.optional_text("reason") or "")


def _error(f: Fields) -> RunError:
    return RunError(ErrorKind(f.text("kind")), f.text("message"))
