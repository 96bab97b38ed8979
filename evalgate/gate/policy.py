"""What is asked of a run: `policy:` of `evals/gate.yaml`. docs/gate.md gives the reason of each default.

policy:
  threshold: 0.8
  must_not_break: all
  groups:
    - {feature: refunds, threshold: 0.95}
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schema.alignment import PermissionPolicy, PermissionRule
from schema.fields import did_you_mean

DEFAULT_THRESHOLD = 0.8

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class MustNotBreak(StrEnum):
    """Which cases that passed in the base must pass now, each one, whatever the statistics say."""

    ALL = "all"
    """Those that deterministic blocking evaluators judge. A judge's verdicts are left to the statistics."""
    NAMED = "named"
    """Those of `must_not_break_cases` and `must_not_break_modes`, and of evaluators that say `must_not_break`."""
    NONE = "none"


class RateRule(StrEnum):
    """How a pass rate is compared with its threshold."""

    POINT = "point"
    """The rate itself, equal is enough."""
    INTERVAL = "interval"
    """Its 95 % interval: below fails, above passes, around is inconclusive."""


class Inconclusive(StrEnum):
    """What a decision that cannot tell harm from chance does."""

    WARN = "warn"
    FAIL = "fail"


class Integrity(StrEnum):
    """What is looked at to know that the data are what they say."""

    RUN = "run"
    """The results are the cases of the dataset version that the run names, all of them."""
    DATASET = "dataset"
    """The dataset's file is still that version."""
    EVALUATORS = "evaluators"
    """The evaluators' files are still those of the run."""
    BASELINE = "baseline"
    """The baseline file has its checksum."""
    PROVENANCE = "provenance"
    """The chain from case to span is whole."""
    DUPLICATES = "duplicates"
    """No content stands in the dataset twice."""
    LEAKED = "leaked"
    """No case was used to make the evaluator that judges it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GroupPolicy(_Strict):
    """A pass rate asked of some of the cases. Give one or more of feature, failure_mode, tag and evaluator."""

    feature: str | None = None
    failure_mode: str | None = None
    tag: str | None = None
    evaluator: str | None = None
    threshold: Share
    min_cases: Annotated[int, Field(ge=1)] = 1
    """With fewer the check is an error: a group that has gone is never a pass."""

    @model_validator(mode="after")
    def _names_something(self) -> GroupPolicy:
        if not self.name:
            raise ValueError("a group names a feature, a failure_mode, a tag or an evaluator")
        return self

    @property
    def name(self) -> str:
        """What it is called in checks: feature=refunds,failure_mode=x."""
        parts = {
            "feature": self.feature,
            "failure_mode": self.failure_mode,
            "tag": self.tag,
            "evaluator": self.evaluator,
        }
        return ",".join(f"{k}={v}" for k, v in parts.items() if v is not None)


class TrajectoryPolicy(_Strict):
    """What may change in the way to an answer since the base. None: told, not decided.

    Of steps, cost and latency how much more they may be, as a share: 0.2 is a fifth more. Of order the share of cases
    that may take other tools, or in another order.
    """

    steps: Annotated[float, Field(ge=0)] | None = None
    order: Share | None = None
    cost: Annotated[float, Field(ge=0)] | None = None
    latency: Annotated[float, Field(ge=0)] | None = None


class PermissionSettings(_Strict):
    """What an evaluator's agreement with people must be, to block (schema/alignment.py)."""

    rule: PermissionRule = PermissionRule.LOWER_BOUND
    block_at: Annotated[float, Field(ge=-1, le=1)] = 0.6
    monitor_at: Annotated[float, Field(ge=-1, le=1)] = 0.4
    min_labels: Annotated[int, Field(ge=0)] = 20
    min_per_class: Annotated[int, Field(ge=0)] = 5
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95

    @property
    def policy(self) -> PermissionPolicy:
        """The same as a plain value."""
        return PermissionPolicy(
            self.rule, self.block_at, self.monitor_at, self.min_labels, self.min_per_class, self.level
        )


class GatePolicy(_Strict):
    """What is asked of a run."""

    threshold: Share = DEFAULT_THRESHOLD
    """Least pass rate of each evaluator that does not name its own."""
    rate_rule: RateRule = RateRule.POINT
    allow_errors: Annotated[int, Field(ge=0)] = 0
    """Cases that may end without a verdict because something broke."""
    allow_set_aside: Annotated[int, Field(ge=0)] = 0
    """Lines of the dataset that may be corrupt or too large to run."""
    allow_changed: Annotated[int, Field(ge=0)] = 0
    """Cases of the base that may say something else now, and so compare with nothing."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """How often, at most, the paired checks together may fail a change that changes nothing."""
    power: Annotated[float, Field(gt=0.5, lt=1)] = 0.8
    """How surely a drop of the minimum detectable effect is found."""
    min_effect: Share = 0.02
    """A drop must be larger to fail, however sure: in shares of cases, or points of score."""
    margin: Share | None = 0.1
    """Non-inferiority: it passes only where a drop larger than this is ruled out, or nothing got worse. None: it
    passes where the drop that was seen is no larger than `min_effect`."""
    primary: tuple[str, ...] = ()
    """Ids of the paired checks that decide, declared beforehand; the others are told. Empty: all decide, and share
    alpha."""
    must_not_break: MustNotBreak = MustNotBreak.ALL
    must_not_break_cases: tuple[str, ...] = ()
    must_not_break_modes: tuple[str, ...] = ()
    max_flaky: Share = 0.25
    """Share of the repeated cases whose attempts may disagree; one always may."""
    groups: tuple[GroupPolicy, ...] = ()
    permission: PermissionSettings = PermissionSettings()
    trajectory: TrajectoryPolicy = TrajectoryPolicy()
    integrity: tuple[Integrity, ...] = (
        Integrity.RUN,
        Integrity.DATASET,
        Integrity.EVALUATORS,
        Integrity.BASELINE,
        Integrity.PROVENANCE,
    )
    """What blocks; the rest is looked at and told."""
    inconclusive: Inconclusive = Inconclusive.WARN
    resamples: Annotated[int, Field(ge=2000, le=1_000_000)] = 5000
    """Of the bootstrap, and of the permutation test where it cannot be counted out."""
    datasets: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """What a dataset of this name has instead; what it does not name stays."""

    def of(self, dataset: str) -> GatePolicy:
        """Return the policy of a dataset."""
        said = self.datasets.get(dataset)
        if said is None:
            return self
        common = {name: getattr(self, name) for name in self.model_fields_set - {"datasets"}}
        return GatePolicy.model_validate({**common, **said})

    def but(self, **said: Any) -> GatePolicy:
        """Return a policy in which these settings hold for every dataset: what was typed wins over what was written."""
        datasets = {n: {k: v for k, v in own.items() if k not in said} for n, own in self.datasets.items()}
        return self.model_copy(update={**said, "datasets": datasets})

    @model_validator(mode="after")
    def _datasets_have_policies(self) -> GatePolicy:
        for name, own in self.datasets.items():
            if "datasets" in own:
                raise ValueError(f"{name}: a dataset has no datasets")
            try:
                self.of(name)
            except ValidationError as e:
                first = e.errors(include_url=False)[0]
                where = ".".join(str(part) for part in first["loc"])
                hint = did_you_mean(where, GatePolicy.model_fields) if first["type"] == "extra_forbidden" else ""
                raise ValueError(f"{name}: {where}: {first['msg']}.{hint}") from None
        return self

    @model_validator(mode="after")
    def _protects_what_it_names(self) -> GatePolicy:
        named = self.must_not_break_cases or self.must_not_break_modes
        if named and self.must_not_break is MustNotBreak.NONE:
            raise ValueError("must_not_break is none, yet cases or modes are named that must not; write named")
        return self
