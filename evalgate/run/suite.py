"""The suite: what each evaluator says of the whole run, and whether that stops a deployment by rates alone.

A run only informs; `evalgate gate` decides, with statistics and policy. This is the plain answer: an evaluator that may
block and passes less than its threshold blocks. One that is skipped neither passes nor fails; a run without a single
case is an error, not a pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from evalgate.align.permission import permission_of
from evalgate.figures import percent
from schema.alignment import DEFAULT_POLICY, Permission

if TYPE_CHECKING:
    from schema.alignment import PermissionPolicy
    from schema.run import EvaluatorUsed, Run


@dataclass(frozen=True, slots=True)
class EvalResult:
    """One evaluator over the whole run."""

    evaluator: str
    failure_mode: str
    permission: Permission
    threshold: float
    passed_count: int
    sample_count: int
    skipped: str | None
    """Why it does not count: low_mcc, undefined_mcc, no_cases; None: it counts."""

    @property
    def pass_rate(self) -> float | None:
        """Passed / judged cases."""
        return self.passed_count / self.sample_count if self.sample_count else None

    @property
    def passed(self) -> bool | None:
        """Whether the pass rate reaches the threshold (equal is enough); None where it is skipped."""
        if self.skipped:
            return None
        return Fraction(self.passed_count, self.sample_count) >= Fraction(str(self.threshold))

    def to_json(self) -> dict[str, Any]:
        """Return {pass_rate, passed, failure_mode, sample_count} or {skipped, reason, ...}."""
        told = {"evaluator": self.evaluator, "failure_mode": self.failure_mode, "permission": self.permission}
        if self.skipped:
            return told | {"skipped": True, "reason": self.skipped, "sample_count": self.sample_count}
        return told | {
            "pass_rate": self.pass_rate,
            "passed": self.passed,
            "sample_count": self.sample_count,
            "threshold": self.threshold,
        }


@dataclass(frozen=True, slots=True)
class Suite:
    """All evaluators over the whole run."""

    eval_results: tuple[EvalResult, ...]
    blocking_reason: str | None

    @property
    def deployment_blocked(self) -> bool:
        """Whether a rate stops the change, or nothing is known."""
        return self.blocking_reason is not None

    @property
    def suite_pass_rate(self) -> float | None:
        """Evaluators that passed / evaluators that count; a skipped one is in neither."""
        counted = [e for e in self.eval_results if not e.skipped]
        return sum(e.passed is True for e in counted) / len(counted) if counted else None

    def to_json(self) -> dict[str, Any]:
        """Return the suite's result."""
        return {
            "deployment_blocked": self.deployment_blocked,
            "blocking_reason": self.blocking_reason,
            "suite_pass_rate": self.suite_pass_rate,
            "eval_results": [e.to_json() for e in self.eval_results],
        }


def suite_of(run: Run, threshold: float, permission: PermissionPolicy = DEFAULT_POLICY) -> Suite:
    """Return what the evaluators of a run say; `threshold` is for those that name none."""
    results = tuple(_evaluate(run, used, threshold, permission) for used in run.evaluators)
    failing = [
        f"{e.evaluator} passed {e.passed_count} of {e.sample_count} "
        f"({percent(e.pass_rate)}, needs {percent(e.threshold)})"
        for e in results
        if e.permission is Permission.BLOCK and e.passed is False
    ]
    if not run.results:
        reason: str | None = "the run has no cases, so nothing was proved"
    elif all(e.skipped for e in results):
        reason = "no case has a verdict, so nothing was proved"
    else:
        reason = "; ".join(failing) or None
    return Suite(results, reason)


def _evaluate(run: Run, used: EvaluatorUsed, threshold: float, permission: PermissionPolicy) -> EvalResult:
    granted = permission_of(used, permission)
    verdicts = [v for r in run.results if (v := r.passed_by((used.id,))) is not None]
    skipped = str(granted.reason) if granted.permission is Permission.SKIP else None if verdicts else "no_cases"
    return EvalResult(
        evaluator=used.id,
        failure_mode=used.failure_mode,
        permission=granted.permission,
        threshold=threshold if used.threshold is None else used.threshold,
        passed_count=sum(verdicts),
        sample_count=len(verdicts),
        skipped=skipped,
    )
