"""`evalgate evals list` and `show`: which evaluators there are, what they may do, and what they last said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalgate.align.show import interval, number, why
from evalgate.align.standing import permissions
from evalgate.align.store import read_measurements
from evalgate.errors import BadInput
from evalgate.evals.options import Folder, JudgeModel, permission_policy
from evalgate.evaluators.files import read_evaluators
from evalgate.evaluators.python_form import python_form
from evalgate.figures import percent
from evalgate.options import Json  # noqa: TC001 - as above
from evalgate.places import EVALUATORS
from evalgate.run_files import recent_runs
from evalgate.terminal import Terminal, count_of
from schema.alignment import measurement_to_json
from schema.evaluator import (
    RULE_TYPES,
    Code,
    EvaluatorSpec,
    Judge,
    body_to_json,
    spec_to_json,
    spec_to_yaml,
)
from schema.evaluator.file import applies_to_json
from schema.fields import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from evalgate.align.standing import Trusted
    from evalgate.evaluators.files import EvaluatorFile
    from schema.run import Run

SHOWN_RUNS = 5
SHOWN_MEASUREMENTS = 5


def register(group: typer.Typer) -> None:
    """Add the commands to the group `evals`."""
    group.command("list")(list_)
    group.command("show")(show)


@dataclass(frozen=True, slots=True)
class LastResult:
    """What an evaluator said in one run."""

    run_id: str
    passed: int
    scored: int
    version: str
    """Of the evaluator, then."""


def list_(*, evaluators: Folder = EVALUATORS, judge_model: JudgeModel = None, json: Json = False) -> None:
    """List the evaluators of this project."""
    terminal = Terminal()
    found = _read(evaluators)
    trusted = permissions([f.spec for f in found], judge_model=judge_model or None, policy=permission_policy())
    runs = recent_runs(limit=SHOWN_RUNS)
    last = {f.spec.id: _results(f.spec, runs) for f in found}
    if json:
        terminal.emit(
            {"evaluators": [_record(f, t, last[f.spec.id]) for f, t in zip(found, trusted, strict=True)]},
        )
        return
    rows = [
        (
            f.spec.id,
            f.spec.failure_mode,
            kind_of(f.spec),
            str(f.spec.evidence),
            f.spec.version,
            str(t.grant.permission),
            _last_words(f.spec, last[f.spec.id]),
        )
        for f, t in zip(found, trusted, strict=True)
    ]
    terminal.table(("evaluator", "failure mode", "type", "evidence", "version", "may", "last run"), rows)
    terminal.note("more of one: evalgate evals show ID")


def show(
    *,
    name: Annotated[str, typer.Argument(metavar="ID", help="An evaluator.")],
    evaluators: Folder = EVALUATORS,
    judge_model: JudgeModel = None,
    python: Annotated[
        bool, typer.Option("--python", help="Print a rule as one Python file that needs nothing else.")
    ] = False,
    json: Json = False,
) -> None:
    """Show one evaluator: what it judges, what it may do, and its history."""
    terminal = Terminal()
    found = _read(evaluators)
    file = next((f for f in found if f.spec.id == name), None)
    if file is None:
        raise BadInput(
            f"there is no evaluator {name!r} in {evaluators}.{did_you_mean(name, [f.spec.id for f in found])}"
        )
    if python:
        try:
            source = file.source if file.source is not None else python_form(file.spec)
        except ValueError as e:
            raise BadInput(str(e)) from None
        if terminal.is_rich:
            terminal.say(source)  # a person looks at it; a file gets every byte as it is
        else:
            terminal.out.write(source)
        return
    (trusted,) = permissions([file.spec], judge_model=judge_model or None, policy=permission_policy())
    results = _results(file.spec, recent_runs(limit=SHOWN_RUNS))
    if json:
        history = [measurement_to_json(m) for m in read_measurements(name)]
        terminal.emit(
            {
                **_record(file, trusted, results[-1:]),
                "file": spec_to_json(file.spec),
                "measurements": history,
                "runs": [_result_json(r) for r in results],
            }
        )
        return
    for line in _about(file, trusted):
        terminal.say(line)
    terminal.say()
    for line in _judges_by(file):
        terminal.say(line)
    terminal.say()
    _history(terminal, file.spec, results)


def kind_of(spec: EvaluatorSpec) -> str:
    """Return what an evaluator is: rule, code, judge, or the name of another package's; generated ones say so."""
    body = spec.body
    if isinstance(body, RULE_TYPES):
        kind = "rule"
    elif isinstance(body, Code):
        kind = "code"
    elif isinstance(body, Judge):
        kind = "judge"
    else:
        kind = f"use {body.name}"
    return f"{kind}, generated" if spec.generated else kind


def _read(folder: Path) -> tuple[EvaluatorFile, ...]:
    found = read_evaluators(folder)
    if not found:
        raise BadInput(
            f"there are no evaluators in {folder}. Write one (docs/evaluators.md), or have one made of labelled cases: "
            "evalgate evals generate --failure-mode NAME"
        )
    return found


def _results(spec: EvaluatorSpec, runs: Sequence[Run]) -> list[LastResult]:
    """Return what an evaluator said in runs, the oldest first; runs without it are left out."""
    found = []
    for run in sorted(runs, key=lambda r: (r.started_at, r.run_id)):
        used = next((e for e in run.evaluators if e.id == spec.id), None)
        if used is not None:
            verdicts = [v for r in run.results if (v := r.passed_by((spec.id,))) is not None]
            found.append(LastResult(run.run_id, sum(verdicts), len(verdicts), used.version))
    return found


def _last_words(spec: EvaluatorSpec, results: Sequence[LastResult]) -> str:
    if not results:
        return "–"
    last = results[-1]
    if not last.scored:
        return "judged no case"
    changed = "" if last.version == spec.version else ", an earlier version"
    return f"{last.passed}/{last.scored} passed{changed}"


def _result_json(result: LastResult) -> dict[str, Any]:
    return {
        "run_id": result.run_id,
        "version": result.version,
        "scored": result.scored,
        "passed": result.passed,
        "pass_rate": result.passed / result.scored if result.scored else None,
    }


def _record(file: EvaluatorFile, trusted: Trusted, results: Sequence[LastResult]) -> dict[str, Any]:
    """Return the record of an evaluator. `mcc_score` is the measured one of this version, else what the file says."""
    spec, grant = file.spec, trusted.grant
    return {
        "id": spec.id,
        "failure_mode": spec.failure_mode,
        "eval_type": str(spec.eval_type),
        "evaluator": body_to_json(spec.body),
        "mcc_score": spec.mcc_score if trusted.measurement is None else trusted.measurement.confusion.mcc,
        "coverage_target": spec.coverage_target,
        "version": spec.version,
        "evidence": str(spec.evidence),
        "generated": spec.generated is not None,
        "threshold": spec.threshold,
        "must_not_break": spec.must_not_break,
        "applies_to": applies_to_json(spec.applies_to),
        "path": str(file.path),
        "permission": {
            "permission": str(grant.permission),
            "reason": str(grant.reason),
            "mcc": grant.mcc,
            "interval_90": None if grant.low is None else [grant.low, grant.high],
            "labels": grant.n,
            "further_labels": grant.further_labels,
        },
        "last_run": _result_json(results[-1]) if results else None,
    }


def _about(file: EvaluatorFile, trusted: Trusted) -> Iterator[str]:
    spec, grant = file.spec, trusted.grant
    yield f"{spec.id}: {spec.description}" if spec.description else spec.id
    yield f"  guards against  {spec.failure_mode}"
    yield f"  type            {kind_of(spec)} ({spec.eval_type}); evidence: {spec.evidence}"
    yield f"  version         {spec.version}  ({file.path})"
    yield f"  judges          {_cases_words(spec)}"
    measured = "" if grant.mcc is None else f" MCC {number(grant.mcc)}, {interval(grant.low, grant.high)}, "
    rests_on = f" ({measured.lstrip()}{count_of(grant.n, 'label')})" if grant.n else ""
    yield f"  may             {grant.permission}: {why(grant, permission_policy())}{rests_on}"
    if spec.threshold is not None:
        yield f"  threshold       {percent(spec.threshold)} of cases must pass"
    if spec.must_not_break:
        yield "  must not break  one case that passed in the base and fails now fails the gate"
    if spec.coverage_target:
        yield f"  covers          issue {spec.coverage_target}"
    if (made := spec.generated) is not None:
        edited = "" if made.version in (None, spec.version) else "; a person changed it since"
        yield f"  generated       by {made.by} at {made.at}, {made.method}{edited}"


def _cases_words(spec: EvaluatorSpec) -> str:
    wanted = spec.applies_to
    if wanted.all:
        return "every case"
    parts = []
    if wanted.failure_modes:
        parts.append(f"of failure mode {' or '.join(wanted.failure_modes)}")
    if wanted.features:
        parts.append(f"of feature {' or '.join(wanted.features)}")
    return f"cases {' and '.join(parts)}"


def _judges_by(file: EvaluatorFile) -> Iterator[str]:
    """Yield how it judges, as the file says it."""
    lines = spec_to_yaml(file.spec).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(("rule:", "code:", "judge:", "use:")))
    yield f"  {lines[start]}"
    for line in lines[start + 1 :]:
        if line and not line.startswith((" ", "with:")):
            break
        yield f"  {line}"


def _history(terminal: Terminal, spec: EvaluatorSpec, results: Sequence[LastResult]) -> None:
    measurements = read_measurements(spec.id)[-SHOWN_MEASUREMENTS:]
    if measurements:
        terminal.table(
            ("measured", "version", "labels", "mcc", "split"),
            [
                (
                    m.at,
                    "this" if m.version == spec.version else m.version,
                    str(m.confusion.n),
                    number(m.confusion.mcc),
                    str(m.split),
                )
                for m in measurements
            ],
        )
    else:
        terminal.say(f"not measured: evalgate evals align {spec.id}")
    if results:
        terminal.say()
        terminal.table(
            ("run", "version", "passed", "pass rate"),
            [
                (
                    r.run_id,
                    "this" if r.version == spec.version else r.version,
                    f"{r.passed}/{r.scored}",
                    percent(r.passed / r.scored if r.scored else None),
                )
                for r in results
            ],
        )
    else:
        terminal.say("in no run yet: evalgate run --dataset NAME --target TARGET")
