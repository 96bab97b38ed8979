"""Where each issue stands: who looks for it, who of them may block, and whether its cases pass by now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from evalgate.align.store import ALIGNMENT, read_measurements, resting
from schema.alignment import DEFAULT_POLICY, Permission, grant
from schema.evaluator import Judge
from schema.issue import IssueStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from schema.alignment import Grant, Measurement, PermissionPolicy
    from schema.evaluator import EvaluatorSpec
    from schema.issue import Issue
    from schema.run import Run

LEAST_CAUGHT: Final = 0.5
"""Share of the bad cases that an evaluator must fail to cover their issue."""


@dataclass(frozen=True, slots=True)
class Trusted:
    """An evaluator and what it may do."""

    spec: EvaluatorSpec
    measurement: Measurement | None
    grant: Grant

    @property
    def may_block(self) -> bool:
        """Whether the gate may fail because of it."""
        return self.grant.permission is Permission.BLOCK

    @property
    def is_trusted(self) -> bool:
        """Whether it covers an issue: it may block, and is not known to miss most of it.

        A rule by hand may block unmeasured, and is often meant for the cases of its issue alone: of it only what it
        catches is asked, not what it says of other answers.
        """
        tpr = self.measurement.confusion.tpr if self.measurement else None
        return self.may_block and (tpr is None or tpr >= LEAST_CAUGHT)


@dataclass(frozen=True, slots=True)
class Standing:
    """One issue, with its status, and the evaluators that look for it."""

    issue: Issue
    evaluators: tuple[Trusted, ...]

    @property
    def is_covered(self) -> bool:
        """Whether one of them is trusted."""
        return any(t.is_trusted for t in self.evaluators)


def permissions(
    specs: Iterable[EvaluatorSpec],
    *,
    judge_model: str | None = None,
    folder: Path = ALIGNMENT,
    policy: PermissionPolicy = DEFAULT_POLICY,
) -> list[Trusted]:
    """Return what each evaluator may do by the measurements on disk.

    `judge_model`: whom judges ask whose file names no model, as a run would be told; None: nobody has said, and what
    was measured of any model counts.

    Raises:
        BadInput: a file of measurements is wrong.

    """
    found = []
    for spec in specs:
        measurement = resting(read_measurements(spec.id, folder), spec.version, model=_asks(spec, judge_model))
        given = grant(
            measurement,
            deterministic_by_hand=spec.is_deterministic_by_hand,
            mcc_score=spec.mcc_score,
            policy=policy,
        )
        found.append(Trusted(spec, measurement, given))
    return found


def _asks(spec: EvaluatorSpec, judge_model: str | None) -> str | None:
    return (spec.body.model or judge_model) if isinstance(spec.body, Judge) else None


def looks_for(spec: EvaluatorSpec, issue: Issue) -> bool:
    """Tell whether an evaluator looks for an issue: by its coverage target, else by its failure mode.

    A target is the issue's number ("3", "#3", "issue-3") or its failure mode.
    """
    target = spec.coverage_target
    if target is None or not target.strip():
        return spec.failure_mode == issue.failure_mode
    written = target.strip().lower()
    return written.removeprefix("issue").lstrip("-# ") == str(issue.id) or target.strip() == issue.failure_mode


def standings(
    issues: Iterable[Issue], trusted: Sequence[Trusted], runs: Sequence[Run], before: Iterable[Issue] = ()
) -> list[Standing]:
    """Return where the issues stand. `runs`: the newest last; `before`: what the snapshot says.

    Runs stay on the machine that made them: an issue that the snapshot has as fixed stays so until a run says more.
    """
    were_fixed = {i.failure_mode for i in before if i.status is IssueStatus.FIXED}
    found = []
    for issue in issues:
        own = tuple(t for t in trusted if looks_for(t.spec, issue))
        status = IssueStatus.NEW
        if trusted_ids := {t.spec.id for t in own if t.is_trusted}:
            fixed = is_fixed(issue, trusted_ids, runs)
            stays = fixed is None and issue.failure_mode in were_fixed
            status = IssueStatus.FIXED if fixed or stays else IssueStatus.COVERED
        named = tuple(sorted(t.spec.id for t in own))
        found.append(Standing(replace(issue, status=status, evaluators=named), own))
    return found


def is_fixed(issue: Issue, evaluators: set[str], runs: Sequence[Run]) -> bool | None:
    """Tell whether the issue's cases pass in the last run that judged any of them, and one failed in a run before.

    `evaluators`: whose verdicts count, those that are trusted with this issue. A case that passed all along fixes
    nothing. None: all pass, and there is no run before to tell more.
    """
    cases = set(issue.cases)
    judged = []
    for run in runs:
        said = {r.case_id: r.passed_by(evaluators) for r in run.results if r.case_id in cases}
        verdicts = {case_id: passed for case_id, passed in said.items() if passed is not None}
        if verdicts:
            judged.append(verdicts)
    if judged and not all(judged[-1].values()):
        return False
    if len(judged) < 2:
        return None
    return any(not passed for verdicts in judged[:-1] for case_id, passed in verdicts.items() if case_id in judged[-1])
