"""What counts as failing: the settings of the processor `failure`, checked whole before anything starts.

    failure:
      retried: count                      # or ignore: a failed attempt whose retry succeeded
      evaluations: {relevance: 0.5, toxicity: {above: 0.3}}
      disabled: [finish:length]
      rules:
        - {name: slow_answer, when: "span_kind = 'llm' AND duration_ms > 30000"}

docs/failing.md has every reason and every setting for people who write this.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, field_validator, model_validator

from schema.component import ComponentConfig
from schema.failure.names import REASONS, USER_RULE
from schema.fields import did_you_mean
from schema.policy.rule import MAX_RULES, Rule


class FailureRule(Rule):
    """A condition of the user's own on a span; the trace fails with the reason `rule:<name>`."""

    @property
    def reason(self) -> str:
        """The reason that it raises."""
        return f"{USER_RULE}{self.name}"


class Threshold(ComponentConfig):
    """Where the scores of an evaluation begin to be failures; the threshold itself passes."""

    below: FiniteFloat | None = None
    above: FiniteFloat | None = None

    @model_validator(mode="after")
    def _has_one(self) -> Threshold:
        if self.below is None and self.above is None:
            raise ValueError("say below: or above:")
        if self.below is not None and self.above is not None and self.below > self.above:
            raise ValueError(f"no score passes: below {self.below} and above {self.above} fail; swap them")
        return self

    def fails(self, score: float) -> bool:
        """Say whether a score is a failure."""
        return (self.below is not None and score < self.below) or (self.above is not None and score > self.above)


class FailurePolicy(ComponentConfig):
    """What counts as failing."""

    retried: Literal["count", "ignore"] = "count"
    """Whether a failed attempt counts whose retry succeeded."""
    evaluations: dict[str, FiniteFloat | Threshold] = Field(default_factory=dict)
    """Name of an evaluation -> the score under which it fails."""
    disabled: tuple[str, ...] = ()
    """Built-in reasons that nothing raises."""
    rules: Annotated[tuple[FailureRule, ...], Field(max_length=MAX_RULES)] = ()

    @field_validator("disabled")
    @classmethod
    def _are_reasons(cls, disabled: tuple[str, ...]) -> tuple[str, ...]:
        for name in disabled:
            if name not in REASONS:
                raise ValueError(f"{name!r} is no built-in reason.{did_you_mean(name, REASONS)}")
        return disabled

    @field_validator("rules")
    @classmethod
    def _are_distinct(cls, rules: tuple[FailureRule, ...]) -> tuple[FailureRule, ...]:
        names = [rule.name for rule in rules]
        for at, name in enumerate(names):
            if name in names[:at]:
                raise ValueError(f"two rules are named {name!r}: rename one, its name is the reason people see")
        return rules

    def threshold(self, evaluation: str) -> Threshold | None:
        """Return the threshold of an evaluation, None where the settings say nothing of it."""
        found = self.evaluations.get(evaluation)
        return Threshold(below=found) if isinstance(found, float) else found
