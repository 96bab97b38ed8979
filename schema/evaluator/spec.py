"""The specification of an evaluator: what one file says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from schema.evaluator.kinds import EvalType, Evidence
from schema.evaluator.rule import (
    Combined,
    Contains,
    Equals,
    FinishReason,
    JsonFields,
    JsonSchema,
    MaxChars,
    MaxCost,
    MaxOutputTokens,
    MaxSteps,
    MaxToolCalls,
    MinChars,
    Refusal,
    Regex,
    Rule,
    Similarity,
    ToolCalled,
    ToolTrajectory,
    ValidJson,
    evidence_of,
    has_reference,
)
from schema.hashing import short_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schema.case import Case

PASS_AT = 0.8
"""The least score of a judge that passes."""
JUDGE_FRAME = "judge/1"
"""What the product tells every judge besides its file; other words make another evaluator."""
JUDGE_OUTPUT_TOKENS = 1024
"""Room for reasoning and a verdict."""


@dataclass(frozen=True, slots=True)
class Code:
    """A Python file beside the evaluator file, run apart: `def evaluate(case, output)`."""

    path: str
    """A file name, without a folder."""
    source_hash: str = ""
    """SHA-256 of the file, in hex; whoever reads the file fills it in."""


@dataclass(frozen=True, slots=True)
class JudgeExample:
    """An output with the verdict that the judge should give of it."""

    output: str
    score: float
    reasoning: str
    input: str | None = None


@dataclass(frozen=True, slots=True)
class Judge:
    """A model that is asked for a score and its reasoning."""

    criteria: str
    """What makes an output good, in words."""
    prompt: str | None = None
    """The whole of the judge's instructions; None: the product's own, with the criteria."""
    model: str | None = None
    """None: the one that the run is given."""
    pass_at: float = PASS_AT
    repeats: int = 1
    """How often it is asked about one output; the mean counts."""
    examples: tuple[JudgeExample, ...] = ()
    max_output_tokens: int = JUDGE_OUTPUT_TOKENS


@dataclass(frozen=True, slots=True)
class Plugin:
    """An evaluator of another package, found by its entry point."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    release: str = ""
    """Name and version of the package; whoever loads it fills it in."""


Body = Rule | Code | Judge | Plugin
RULE_TYPES = (
    Contains,
    Equals,
    Regex,
    Similarity,
    Refusal,
    FinishReason,
    JsonSchema,
    ValidJson,
    JsonFields,
    ToolCalled,
    ToolTrajectory,
    MaxToolCalls,
    MaxSteps,
    MaxChars,
    MinChars,
    MaxOutputTokens,
    MaxCost,
    Combined,
)
"""For isinstance."""


@dataclass(frozen=True, slots=True)
class AppliesTo:
    """Which cases an evaluator judges: all, or those that match each list that is not empty."""

    all: bool = False
    failure_modes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generated:
    """That the file was made from judgements, by a program."""

    by: str
    """Program and version."""
    at: str
    """ISO 8601, UTC."""
    method: str
    """rule_search or gepa."""
    issue: int | None = None
    data_version: str | None = None
    """Of the labelled cases it was made from."""
    version: str | None = None
    """The evaluator's version as it was written: another one says that a person changed the file since."""


@dataclass(frozen=True, slots=True)
class EvaluatorSpec:
    """One evaluator file."""

    id: str
    failure_mode: str
    eval_type: EvalType
    body: Body
    applies_to: AppliesTo
    coverage_target: str | None = None
    """The issue this evaluator covers."""
    mcc_score: float | None = None
    """Matthews correlation with people's labels, as the file says; it never grants, it can only take away."""
    threshold: float | None = None
    """The pass rate the gate asks of this evaluator; None: the gate's own."""
    evidence_given: Evidence | None = None
    """What the file says; `evidence` has what follows from the body where it says nothing."""
    must_not_break: bool = False
    """One case that passed in the base and fails now fails the gate."""
    generated: Generated | None = None
    """None: a person wrote it."""
    description: str | None = None

    @property
    def evidence(self) -> Evidence:
        """The kind of evidence its verdicts are."""
        if self.evidence_given is not None:
            return self.evidence_given
        if self.eval_type is EvalType.LLM_JUDGE:
            return Evidence.JUDGE
        return evidence_of(self.body) if isinstance(self.body, RULE_TYPES) else Evidence.OUTCOME

    @property
    def version(self) -> str:
        """Hash of what decides a score, so that a changed rule is a changed version."""
        from schema.evaluator.file import applies_to_json, body_to_json  # noqa: PLC0415 - the file format knows the spec

        content = {
            "eval_type": str(self.eval_type),
            "applies_to": applies_to_json(self.applies_to),
            "body": body_to_json(self.body),
        }
        match self.body:
            case Code(source_hash=found) | Plugin(release=found):
                content["found"] = found
            case Judge():
                content["found"] = JUDGE_FRAME
        return short_hash(content)

    @property
    def is_deterministic_by_hand(self) -> bool:
        """Whether a person wrote it and no model judges: it may block without being measured."""
        return self.eval_type is EvalType.RULE and self.generated is None

    def applies(self, case: Case) -> bool:
        """Return whether the case is this evaluator's business and holds what its rule compares with."""
        if isinstance(self.body, RULE_TYPES) and not has_reference(self.body, case):
            return False
        wanted = self.applies_to
        if wanted.all:
            return True
        if wanted.failure_modes and case.failure_mode not in wanted.failure_modes:
            return False
        return not wanted.features or case.feature in wanted.features


def source_hash(source: bytes) -> str:
    """Return the hash of a code file that goes into the version of its evaluator."""
    return hashlib.sha256(source).hexdigest()
