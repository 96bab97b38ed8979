"""Where each issue stands: who looks for it, who of them may block, and whether its cases pass by now."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from evalgate.align.store import ALIGNMENT, read_measurements, resting
from evalgate.issues.lifecycle import Facts, Judged, due
from evalgate.issues.production import Production, unexplained
from evalgate.issues.sightings import seen_again
from schema.alignment import DEFAULT_POLICY, Permission, grant
from schema.evaluator import Judge

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from evalgate.issues.lifecycle import Step
    from evalgate.issues.sightings import Sighting
    from schema.alignment import Grant, Measurement, PermissionPolicy
    from schema.evaluator import EvaluatorSpec
    from schema.issue import Issue, IssueStatus
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
    def mistakes(self) -> float:
        """The share of good answers that it fails, as measured; of none in n still half of one in n + 1 (Jeffreys).

        0 of what nobody measured: a rule by hand is policy.
        """
        found = self.measurement.confusion if self.measurement else None
        return (found.fp + 0.5) / (found.negatives + 1) if found and found.negatives else 0.0

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
    """As it stands once everything that is due is done."""
    evaluators: tuple[Trusted, ...]
    before: Issue | None = None
    """As it was recorded; None: as `issue`."""
    due: tuple[Step, ...] = ()
    """The automatic moves that lead from there to here."""

    @property
    def recorded(self) -> IssueStatus:
        """Return the status that was recorded last."""
        return (self.before or self.issue).status

    @property
    def is_covered(self) -> bool:
        """Whether one of them is trusted."""
        return any(t.is_trusted for t in self.evaluators)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of issues besides labels, evaluators and runs."""

    sightings: Mapping[str, Sequence[Sighting]] | None = None
    """By failure mode; None: nobody has them at hand."""
    production: Production = field(default_factory=Production)


NO_EVIDENCE: Final = Evidence()


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
    issues: Iterable[Issue],
    trusted: Sequence[Trusted],
    runs: Sequence[Run],
    evidence: Evidence = NO_EVIDENCE,
) -> list[Standing]:
    """Return where issues stand that were last recorded so. `runs`: the newest last.

    Runs stay on the machine that made them: an issue that is recorded as fixed stays so until a run says more.
    """
    found = []
    for issue in issues:
        own = tuple(t for t in trusted if looks_for(t.spec, issue))
        steps = due(issue.status, _facts(issue, own, runs, evidence), issue.since)
        now = replace(issue, evaluators=tuple(sorted(t.spec.id for t in own)))
        if steps:
            now = replace(now, status=steps[-1].to_status, since=steps[-1].since)
        found.append(Standing(now, own, issue, steps))
    return found


def last_judged(issue: Issue, evaluators: Collection[str], runs: Sequence[Run]) -> Judged | None:
    """Return what the last run says of the issue's cases, and whether one that passes there failed in a run before.

    `evaluators`: whose verdicts count, those that are trusted with this issue. A case that passed all along fixes
    nothing. None: no run judged any.
    """
    cases = set(issue.cases)
    judged = []
    for run in runs:
        said = {r.case_id: r.passed_by(evaluators) for r in run.results if r.case_id in cases}
        if verdicts := {case_id: passed for case_id, passed in said.items() if passed is not None}:
            judged.append((run, verdicts))
    if not judged:
        return None
    run, last = judged[-1]
    failing = tuple(sorted(case_id for case_id, passed in last.items() if not passed))
    before = [r.run_id for r, verdicts in judged[:-1] if any(last.get(i) and not ok for i, ok in verdicts.items())]
    return Judged(run.run_id, run.started_at, len(last), failing, before[-1] if before else None)


def _facts(issue: Issue, own: Sequence[Trusted], runs: Sequence[Run], evidence: Evidence) -> Facts:
    covering = {t.spec.id: t for t in own if t.is_trusted}
    judged = ""
    if issue.is_over and issue.since is not None:
        said = (unexplained(evidence.production, i, t.mistakes, issue.since) for i, t in sorted(covering.items()))
        judged = "; ".join(filter(None, said))
    sightings = evidence.sightings
    seen = seen_again(issue, None if sightings is None else sightings.get(issue.failure_mode, ()), judged)
    ids = tuple(sorted(covering))
    return Facts(
        trusted=ids,
        untrusted=tuple(sorted(t.spec.id for t in own if not t.is_trusted)),
        judged=last_judged(issue, ids, runs),
        last_seen=issue.last_seen,
        seen=seen,
    )
