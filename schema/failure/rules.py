"""A failure policy at work: what it raises of a batch of spans, and what it makes of their feedback.

    built-in reasons ─▶ disabled ones go ─▶ retried attempts, if they are ignored ─▶ rules of the user ─▶ columns
    feedback ─▶ scores of evaluations with a threshold are judged by it

Pure, and the same in the collector, in settlement and in a back-test.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from schema.condition import Condition, parse_condition
from schema.failure import reason_columns, reason_masks
from schema.failure.retries import retried
from schema.polarity import of_score

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schema.batch import SpanBatch
    from schema.failure import Masks
    from schema.policy.failure import FailurePolicy


@dataclass(frozen=True, slots=True)
class FailureRules:
    """What raises reasons. Call it with a batch that was normalised, and that has its cost if rules ask for it."""

    policy: FailurePolicy
    conditions: Mapping[str, Condition]
    """Reason -> what raises it: the rules of the user."""

    @classmethod
    def of(cls, policy: FailurePolicy) -> FailureRules:
        """Make the rules of a policy."""
        return cls(policy, {rule.reason: parse_condition(rule.when) for rule in policy.rules})

    def __call__(self, batch: SpanBatch, *, compiled: bool = False) -> SpanBatch:
        """Return the batch with `failing` and `failure_reasons`, its feedback judged.

        `compiled` says whether kernels are used; the result is the same.
        """
        failing, reasons = reason_columns(self.masks(batch, compiled=compiled))
        batch = batch.with_columns({"failing": failing, "failure_reasons": reasons})
        if not self.policy.evaluations or not batch.feedback:
            return batch
        return replace(batch, feedback=tuple(self.judged(row) for row in batch.feedback))

    def masks(self, batch: SpanBatch, *, compiled: bool = False) -> Masks:
        """Return which spans each reason is raised of, those of the user's rules last."""
        masks = reason_masks(batch.columns, len(batch), compiled=compiled)
        for name in self.policy.disabled:
            masks.pop(name, None)
        if self.policy.retried == "ignore":
            excused = retried(batch, masks)
            masks = {name: mask & ~excused[name] if name in excused else mask for name, mask in masks.items()}
        return masks | {reason: condition.mask(batch) for reason, condition in self.conditions.items()}

    def judged(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a row of feedback with the polarity that a threshold gives it; a word that says bad stays bad."""
        threshold = self.policy.threshold(str(row.get("name")))
        if threshold is None:
            return row
        return {**row, "polarity": of_score(row, threshold.fails)}
