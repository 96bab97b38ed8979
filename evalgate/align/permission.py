"""What an evaluator of a run may do: what its agreement with people entitles it to, one answer for run and gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schema.alignment import grant
from schema.evaluator import EvalType

if TYPE_CHECKING:
    from schema.alignment import Grant, Measurement, PermissionPolicy
    from schema.run import EvaluatorUsed


def measurement_of(evaluator: EvaluatorUsed) -> Measurement | None:
    """Return how far an evaluator agrees with people. A measurement of another version is none."""
    found = evaluator.measurement
    if found is None or (found.evaluator, found.version) != (evaluator.id, evaluator.version):
        return None
    return found


def permission_of(evaluator: EvaluatorUsed, policy: PermissionPolicy) -> Grant:
    """Return what an evaluator may do."""
    return grant(
        measurement_of(evaluator),
        deterministic_by_hand=evaluator.eval_type == EvalType.RULE and not evaluator.generated,
        mcc_score=evaluator.mcc_score,
        policy=policy,
    )
