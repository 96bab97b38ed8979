"""Who may block: what an evaluator's agreement with people entitles it to, by the policy of the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalgate.align import permission

if TYPE_CHECKING:
    from evalgate.gate.policy import GatePolicy
    from schema.alignment import Grant, Measurement
    from schema.run import EvaluatorUsed


def measurement_of(evaluator: EvaluatorUsed) -> Measurement | None:
    """Return how far an evaluator agrees with people. A measurement of another version is none."""
    return permission.measurement_of(evaluator)


def permission_of(evaluator: EvaluatorUsed, policy: GatePolicy) -> Grant:
    """Return what an evaluator may do."""
    return permission.permission_of(evaluator, policy.permission.policy)
