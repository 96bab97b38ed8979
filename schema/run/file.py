"""The JSON of a run.

{"schema": "evalgate/run/2", "run_id", "started_at", "finished_at",
 "dataset": {"name", "version", "path"}, "target", "settings": {...}, "cost_usd", "judge_cost_usd",
 "evaluators": [{...EvaluatorUsed, "measurement": {...} | null}...],
 "set_aside": [{"case_id", "line", "reason"}...],
 "summary": {...},                                    derived: for readers, never read back
 "results": [{"case_id", "content_hash", "passed", "flaky", ..., "attempts": [{"number", "passed", "output": {...},
              "scores": [...], "error", "duration_ms", "cached", "judge_cost_usd", "notes"}...]}...]}
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from schema.alignment import measurement_to_json, parse_measurement
from schema.case import parse_provenance, provenance_to_json
from schema.evaluator import EvalType, Evidence, Score
from schema.fields import Fields
from schema.run.summary import summarise
from schema.run.values import (
    Attempt,
    DatasetUsed,
    ErrorKind,
    EvaluatorUsed,
    Output,
    Result,
    Run,
    RunError,
    RunSettings,
    SetAside,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = "evalgate/run/2"

T = TypeVar("T")


def run_to_json(run: Run) -> dict[str, Any]:
    """Return the JSON object of a run, with its summary."""
    return {
        "schema": SCHEMA,
        "run_id": run.run_id,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "dataset": asdict(run.dataset),
        "target": run.target,
        "settings": asdict(run.settings),
        "cost_usd": run.cost_usd,
        "judge_cost_usd": run.judge_cost_usd,
        "evaluators": [_evaluator_json(e) for e in run.evaluators],
        "set_aside": [asdict(s) for s in run.set_aside],
        "summary": summarise(run),
        "results": [result_to_json(r) for r in run.results],
    }


def result_to_json(r: Result) -> dict[str, Any]:
    """Return the JSON object of one case of a run."""
    return {
        "case_id": r.case_id,
        "content_hash": r.content_hash,
        "failure_mode": r.failure_mode,
        "feature": r.feature,
        "tags": list(r.tags),
        "context_hash": r.context_hash,
        "cluster": r.cluster,
        "passed": r.passed,
        "flaky": r.flaky,
        "input_text": r.input_text,
        "observed_output": r.observed_output,
        "expected_output": r.expected_output,
        "attempts": [attempt_to_json(a) for a in r.attempts],
        "provenance": provenance_to_json(r.provenance),
    }


def attempt_to_json(a: Attempt) -> dict[str, Any]:
    """Return the JSON object of an attempt."""
    return {
        "number": a.number,
        "passed": a.passed,
        "output": output_to_json(a.output) if a.output else None,
        "scores": [_score_json(s) for s in a.scores],
        "error": asdict(a.error) if a.error else None,
        "duration_ms": a.duration_ms,
        "cached": a.cached,
        "judge_cost_usd": a.judge_cost_usd,
        "notes": list(a.notes),
    }


def output_to_json(output: Output) -> dict[str, Any]:
    """Return the JSON object of what a target answered."""
    return {
        "text": output.text,
        "tool_calls": [dict(c) for c in output.tool_calls],
        "finish_reason": output.finish_reason,
        "input_tokens": output.input_tokens,
        "output_tokens": output.output_tokens,
        "cost_usd": output.cost_usd,
        "model": output.model,
    }


def parse_run(value: Any) -> Run:
    """Read a run.

    Raises:
        ValueError: in words for the person who pointed at the file.

    """
    fields = Fields(value, "a run")
    if (spoken := fields.any("schema")) != SCHEMA:
        raise ValueError(f"its schema is {spoken!r}, not {SCHEMA!r}; make it again: evalgate run")
    run = Run(
        run_id=fields.text("run_id"),
        started_at=fields.text("started_at"),
        finished_at=fields.text("finished_at"),
        dataset=_read(
            fields.any("dataset"), "dataset", lambda f: DatasetUsed(f.text("name"), f.text("version"), f.text("path"))
        ),
        target=fields.text("target"),
        settings=_read(fields.mapping("settings"), "settings", _settings),
        cost_usd=fields.optional_number("cost_usd"),
        judge_cost_usd=fields.optional_number("judge_cost_usd"),
        evaluators=tuple(_read(e, "an evaluator", _evaluator_used) for e in fields.sequence("evaluators")),
        set_aside=tuple(_read(s, "a case set aside", _set_aside) for s in fields.sequence("set_aside")),
        results=tuple(_read(r, "a result", _result) for r in fields.sequence("results")),
    )
    fields.mapping("summary")
    fields.close()
    ids = Counter(r.case_id for r in run.results)
    if twice := [i for i, n in ids.items() if n > 1]:
        raise ValueError(f"the case {twice[0]} stands there twice")
    return run


def parse_attempt(value: Any) -> Attempt:
    """Read an attempt.

    Raises:
        ValueError: it is none.

    """
    return _read(value, "an attempt", _attempt)


def parse_output(value: Any) -> Output:
    """Read what a target answered.

    Raises:
        ValueError: it is no output.

    """
    return _read(value, "an output", _output)


def _read(value: Any, what: str, read: Callable[[Fields], T]) -> T:
    fields = Fields(value, what)
    item = read(fields)
    fields.close()
    return item


def _evaluator_json(used: EvaluatorUsed) -> dict[str, Any]:
    return {
        "id": used.id,
        "version": used.version,
        "failure_mode": used.failure_mode,
        "eval_type": used.eval_type,
        "evidence": used.evidence,
        "generated": used.generated,
        "mcc_score": used.mcc_score,
        "threshold": used.threshold,
        "pass_at": used.pass_at,
        "coverage_target": used.coverage_target,
        "must_not_break": used.must_not_break,
        "measurement": measurement_to_json(used.measurement) if used.measurement else None,
    }


def _evaluator_used(f: Fields) -> EvaluatorUsed:
    measured = f.any("measurement")
    return EvaluatorUsed(
        id=f.text("id"),
        version=f.text("version"),
        failure_mode=f.text("failure_mode"),
        eval_type=EvalType(f.optional_text("eval_type") or EvalType.RULE),
        evidence=Evidence(f.optional_text("evidence") or Evidence.OUTCOME),
        generated=f.optional_bool("generated") or False,
        mcc_score=_within(f, "mcc_score", -1.0),
        threshold=_within(f, "threshold"),
        pass_at=_within(f, "pass_at"),
        coverage_target=f.optional_text("coverage_target"),
        must_not_break=f.optional_bool("must_not_break") or False,
        measurement=parse_measurement(measured) if measured is not None else None,
    )


def _settings(f: Fields) -> RunSettings:
    return RunSettings(
        repeats=f.optional_int("repeats") or 1,
        concurrency=f.optional_int("concurrency") or 1,
        timeout_s=f.optional_number("timeout_s"),
        model=f.optional_text("model"),
        judge_model=f.optional_text("judge_model"),
        temperature=f.optional_number("temperature"),
        prompt_hash=f.optional_text("prompt_hash"),
        replay=f.optional_bool("replay") or False,
        evaluators=f.optional_text("evaluators"),
    )


def _set_aside(f: Fields) -> SetAside:
    return SetAside(f.optional_text("case_id"), f.optional_int("line") or 0, f.text("reason"))


def _result(f: Fields) -> Result:
    f.any("passed")  # derived: computed anew from the scores
    f.any("flaky")
    attempts = tuple(parse_attempt(a) for a in f.sequence("attempts"))
    case_id = f.text("case_id")
    if not attempts:
        raise ValueError(f"the result of {case_id} has no attempts")
    if [a.number for a in attempts] != sorted({a.number for a in attempts}):
        raise ValueError(f"the attempts of {case_id} are not in the order of their numbers")
    return Result(
        case_id=case_id,
        content_hash=f.text("content_hash"),
        failure_mode=f.optional_text("failure_mode"),
        feature=f.optional_text("feature"),
        cluster=f.optional_text("cluster"),
        provenance=_read(f.mapping("provenance"), "provenance", parse_provenance),
        input_text=f.optional_text("input_text"),
        observed_output=f.optional_text("observed_output"),
        expected_output=f.optional_text("expected_output"),
        attempts=attempts,
        tags=f.texts("tags"),
        context_hash=f.optional_text("context_hash") or "",
    )


def _attempt(f: Fields) -> Attempt:
    f.any("passed")
    number, output, error = f.optional_int("number"), f.any("output"), f.any("error")
    if number is None or number < 1:
        raise ValueError("an attempt lacks its number, from 1")
    return Attempt(
        number=number,
        output=parse_output(output) if output is not None else None,
        scores=tuple(_read(s, "a score", _score) for s in f.sequence("scores")),
        error=_read(error, "error", _error) if error is not None else None,
        duration_ms=f.optional_number("duration_ms") or 0.0,
        cached=f.optional_bool("cached") or False,
        judge_cost_usd=f.optional_number("judge_cost_usd"),
        notes=f.texts("notes"),
    )


def _output(f: Fields) -> Output:
    return Output(
        text=f.optional_text("text") or "",
        tool_calls=f.objects("tool_calls"),
        finish_reason=f.optional_text("finish_reason"),
        input_tokens=f.optional_int("input_tokens"),
        output_tokens=f.optional_int("output_tokens"),
        cost_usd=f.optional_number("cost_usd"),
        model=f.optional_text("model"),
    )


def _score_json(score: Score) -> dict[str, Any]:
    """Return the JSON object of a score; what only a judge has stands there only if it says something."""
    values = asdict(score)
    extras = {"cost_usd": None, "cached": False, "repeats": ()}
    return {k: v for k, v in values.items() if k not in extras or v != extras[k]}


def _score(f: Fields) -> Score:
    score, passed = _within(f, "score"), f.optional_bool("passed")
    if score is None or passed is None:
        raise ValueError("a score lacks 'score' or 'passed'")
    repeats = f.sequence("repeats")
    if not all(isinstance(r, (int, float)) and not isinstance(r, bool) and 0 <= r <= 1 for r in repeats):
        raise ValueError("the repeats of a score must be numbers from 0 to 1")
    return Score(
        evaluator=f.text("evaluator"),
        score=score,
        passed=passed,
        reason=f.optional_text("reason") or "",
        cost_usd=f.optional_number("cost_usd"),
        cached=f.optional_bool("cached") or False,
        repeats=tuple(float(r) for r in repeats),
    )


def _within(f: Fields, name: str, least: float = 0.0) -> float | None:
    """Return a number from `least` to 1; whatever lies outside would move means and rates that rest on it."""
    value = f.optional_number(name)
    if value is not None and not least <= value <= 1:
        raise ValueError(f"{name!r} must be a number from {least:g} to 1, not {value:g}")
    return value


def _error(f: Fields) -> RunError:
    return RunError(ErrorKind(f.text("kind")), f.text("message"))
