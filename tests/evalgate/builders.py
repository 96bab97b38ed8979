"""Cases, evaluators, runs and projects for tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from schema.case import Provenance, dataset_version
from schema.evaluator import Score
from schema.run import Attempt, DatasetUsed, ErrorKind, EvaluatorUsed, Output, Result, Run, RunError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
WINDOW = """\
id: refund-window
failure_mode: policy_hallucination
rule: {type: not_contains, text: 90 days}
"""


def attempt(
    number: int = 1,
    *,
    passed: bool | None = True,
    evaluator: str = "e",
    error: ErrorKind | None = None,
    score: float | None = None,
    output: str = "said",
    tool_calls: Sequence[Mapping[str, Any]] = (),
    cost_usd: float | None = None,
    scores: Sequence[Score] = (),
) -> Attempt:
    """Return an attempt with these scores, else with one, none (passed=None), or an error."""
    if error:
        return Attempt(number, None, error=RunError(error, "broke"), duration_ms=1.0)
    if not scores and passed is not None:
        scores = (Score(evaluator, float(passed) if score is None else score, passed, "because"),)
    return Attempt(number, Output(output, tuple(tool_calls), cost_usd=cost_usd), tuple(scores), duration_ms=1.0)


def result(
    case_id: str,
    *,
    passed: bool | None = True,
    evaluator: str = "e",
    error: ErrorKind | None = None,
    content_hash: str | None = None,
    failure_mode: str | None = "m",
    feature: str | None = None,
    cluster: str | None = None,
    trace_id: str | None = None,
    sample_weight: float | None = None,
    score: float | None = None,
    attempts: Sequence[Attempt] = (),
    context_hash: str = "",
) -> Result:
    """Return a result: of these attempts, else of one with one score, none (passed=None), or an error."""
    return Result(
        case_id=case_id,
        content_hash=content_hash or f"hash of {case_id}",
        failure_mode=failure_mode,
        feature=feature,
        cluster=cluster,
        provenance=Provenance(trace_id=trace_id, sample_weight=sample_weight),
        input_text="asked",
        observed_output=None,
        expected_output=None,
        context_hash=context_hash,
        attempts=tuple(attempts) or (attempt(passed=passed, evaluator=evaluator, error=error, score=score),),
    )


def run_of(
    results: Iterable[Result], evaluators: Sequence[EvaluatorUsed] | None = None, version: str | None = None
) -> Run:
    """Return a run of these results, by default judged by one evaluator named "e"; the version is that of the cases."""
    rows = tuple(results)
    return Run(
        run_id="r1",
        started_at="2026-11-20T09:00:00+00:00",
        finished_at="2026-11-20T09:00:01+00:00",
        dataset=DatasetUsed("d", version or dataset_version(rows), "evals/datasets/d.jsonl"),
        target="python:t:f",
        evaluators=tuple(evaluators or (EvaluatorUsed("e", "ev1", "m"),)),
        results=rows,
    )


def write_project(folder: Path, cases: Iterable[dict[str, Any]], evaluator: str = WINDOW) -> None:
    """Write a dataset named d, one evaluator and two targets."""
    (folder / "evals/datasets").mkdir(parents=True)
    (folder / "evals/evaluators").mkdir(parents=True)
    (folder / "evals/datasets/d.jsonl").write_text("".join(json.dumps(c) + "\n" for c in cases))
    (folder / "evals/evaluators/window.yaml").write_text(evaluator)
    (folder / "target.py").write_text(
        "def broken(case):\n    print('noise')\n    return 'You have 90 days.'\n\n"
        "def fixed(case):\n    return {'output': 'You have 30 days.', 'tool_calls': []}\n\n"
        "def crash(case):\n    raise RuntimeError('no key')\n"
    )


def refund_cases(count: int = 3) -> list[dict[str, Any]]:
    """Return cases of one failure mode, each from a trace."""
    return [
        {
            "case_id": f"case-{n}",
            "input": f"Question {n}?",
            "failure_mode": "policy_hallucination",
            "provenance": {"trace_id": f"{n:02x}" + TRACE[2:]},
        }
        for n in range(count)
    ]
