"""What a run failed, as drafts of cases: the same question, and the answer that was given now. Pure.

A draft is no judgement of a person: it has no verdict and is quarantined. A failure that the case is there for is no
news and makes no draft; the case itself goes on failing until it is fixed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from schema.case import Case, CaseInput, Observed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from schema.run import Attempt, Result, Run


@dataclass(frozen=True, slots=True)
class Drafts:
    """What became of the failures of a run."""

    cases: tuple[Case, ...]
    known: int
    """Failures of the mode for which the case is in the dataset."""
    without_input: int
    """Cases of which neither the dataset nor the run has the question."""


def drafts_of(run: Run, cases: Iterable[Case], drafted_by: str) -> Drafts:
    """Return a draft for each case and failure mode that the run failed; `cases` are those of its dataset."""
    source = {(c.case_id, c.content_hash): c for c in cases}
    modes = {e.id: e.failure_mode for e in run.evaluators}
    drafts: list[Case] = []
    known = without_input = 0
    for result in run.results:
        if result.passed is not False:
            continue
        for mode, attempt in _failed_modes(result, modes).items():
            if mode == result.failure_mode:
                known += 1
                continue
            asked = _input(source.get((result.case_id, result.content_hash)), result)
            if asked is None:
                without_input += 1
                continue
            drafts.append(_draft(run, result, mode, attempt, asked=asked, drafted_by=drafted_by))
    return Drafts(tuple(drafts), known, without_input)


def _failed_modes(result: Result, modes: Mapping[str, str]) -> dict[str, Attempt]:
    """Return each failure mode that most attempts failed, with the first attempt that did."""
    failed: dict[str, Attempt] = {}
    for attempt in result.attempts:
        for s in attempt.scores if attempt.error is None else ():
            if not s.passed and result.passed_by((s.evaluator,)) is False:
                failed.setdefault(modes.get(s.evaluator, s.evaluator), attempt)
    return failed


def _input(case: Case | None, result: Result) -> CaseInput | None:
    if case is not None:
        return case.input
    if not result.input_text:
        return None
    return CaseInput(({"role": "user", "parts": [{"type": "text", "content": result.input_text}]},), result.input_text)


def _draft(run: Run, result: Result, mode: str, attempt: Attempt, *, asked: CaseInput, drafted_by: str) -> Case:
    output = attempt.output
    return Case(
        case_id="case-" + hashlib.sha256(f"run:{result.case_id}:{mode}".encode()).hexdigest()[:16],
        input=asked,
        observed=Observed(
            output=output.text if output else None,
            tool_calls=output.tool_calls if output else (),
            finish_reason=output.finish_reason if output else None,
            input_tokens=output.input_tokens if output else None,
            output_tokens=output.output_tokens if output else None,
            duration_ms=attempt.duration_ms,
        ),
        failure_mode=mode,
        feature=result.feature,
        tags=(f"from:{result.case_id}",),
        # It is the same question: a gate must not take both for independent evidence.
        cluster=result.cluster or result.case_id,
        provenance=replace(
            result.provenance,
            annotation_id=None,
            annotator=None,
            labelled_at=None,
            run_id=run.run_id,
            drafted_by=drafted_by,
            promoted=None,
        ),
    )
