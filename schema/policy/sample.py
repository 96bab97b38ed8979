"""Which traces are sampled whether or not they fail: the settings of the processor `sample`, checked before any start.

    sample:
      baseline_rate: 0.1
      rules:
        - {name: triage, when: "service_name = 'triage' AND environment = 'prod'", rate: 1.0}
        - {name: acme, when: "tenant = 'acme'", rate: 0.25}
      target_per_day: 50

A span has the highest rate of the rules that hold for it, and `baseline_rate` where none does; a trace has the highest
rate of its spans. docs/sampling.md has every setting for people who write this.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, FiniteFloat, field_validator

from schema.component import ComponentConfig
from schema.policy.rule import MAX_RULES, Rule
from schema.sampling.tracestate import MIN_ARRIVAL_RATE, Trust


def _as_rate(value: object) -> float:
    """Return a number between 0 and 1; YAML reads 1e-3 as text."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else -1.0
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise ValueError(f"a rate is a part of all traces, from 0 to 1: 0.1 is one in ten; {value!r} is none")
    return number


Rate = Annotated[float, BeforeValidator(_as_rate)]


class RateRule(Rule):
    """The rate of the spans for which a condition holds."""

    rate: Rate


class SamplePolicy(ComponentConfig):
    """How much is sampled."""

    baseline_rate: Rate = 0.1
    """Part of the traces that is flagged whether or not they fail, where no rule says another."""
    rules: Annotated[tuple[RateRule, ...], Field(max_length=MAX_RULES)] = ()
    """In any order: of those that hold, the highest rate counts."""
    target_per_day: Annotated[FiniteFloat, Field(gt=0)] | None = None
    """So many sampled traces a day are wanted of each tenant and rule: rates rise above what is set to reach it."""
    tracestate: Literal["believe", "ignore"] = "believe"
    """Whether what samplers before us say counts. Ignored, nothing that a caller sends changes a weight."""
    min_arrival_rate: Annotated[Rate, Field(gt=0)] = MIN_ARRIVAL_RATE
    """Who says that samplers before us let through less is not believed: a trace counts for 1 / that at most."""

    @property
    def trust(self) -> Trust:
        """What of tracestates is believed."""
        return Trust(self.tracestate == "believe", self.min_arrival_rate)

    @field_validator("rules")
    @classmethod
    def _are_distinct(cls, rules: tuple[RateRule, ...]) -> tuple[RateRule, ...]:
        names = [rule.name for rule in rules]
        for at, name in enumerate(names):
            if name in names[:at]:
                raise ValueError(f"two rules are named {name!r}: rename one, its name is how figures tell them apart")
        return rules
