r"""An evaluator: what makes an output good or bad for one failure mode, as a file that people read and review.

    id: refund-window
    failure_mode: policy_hallucination
    rule: {type: not_regex, pattern: '\b90[- ]day'}

The seam: an evaluator takes (case, output) and returns a `Score` or an `EvaluatorError`, both values. An output that is
wrong is a low score; an evaluator that could not judge is an error and never a score.

It judges by a rule, by code beside the file, by a judge (a model that is asked), or by another package.
"""

from schema.evaluator.file import (
    body_to_json,
    evaluator_schema,
    parse_evaluator,
    spec_to_json,
    spec_to_yaml,
)
from schema.evaluator.form import Mistake, Mistaken
from schema.evaluator.kinds import EvalType, Evidence, Likeness, Reference, TrajectoryMatch
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
    ToolPattern,
    ToolTrajectory,
    ValidJson,
)
from schema.evaluator.rule_forms import MAX_RULE_DEPTH, RULES, parse_rule, rule_to_json
from schema.evaluator.score import Evaluator, EvaluatorError, Remembering, Score, fresh
from schema.evaluator.spec import (
    PASS_AT,
    RULE_TYPES,
    AppliesTo,
    Body,
    Code,
    EvaluatorSpec,
    Generated,
    Judge,
    JudgeExample,
    Plugin,
    source_hash,
)
from schema.evaluator.values import ID

__all__ = [
    "ID",
    "MAX_RULE_DEPTH",
    "PASS_AT",
    "RULES",
    "RULE_TYPES",
    "AppliesTo",
    "Body",
    "Code",
    "Combined",
    "Contains",
    "Equals",
    "EvalType",
    "Evaluator",
    "EvaluatorError",
    "EvaluatorSpec",
    "Evidence",
    "FinishReason",
    "Generated",
    "JsonFields",
    "JsonSchema",
    "Judge",
    "JudgeExample",
    "Likeness",
    "MaxChars",
    "MaxCost",
    "MaxOutputTokens",
    "MaxSteps",
    "MaxToolCalls",
    "MinChars",
    "Mistake",
    "Mistaken",
    "Plugin",
    "Reference",
    "Refusal",
    "Regex",
    "Remembering",
    "Rule",
    "Score",
    "Similarity",
    "ToolCalled",
    "ToolPattern",
    "ToolTrajectory",
    "TrajectoryMatch",
    "ValidJson",
    "body_to_json",
    "evaluator_schema",
    "fresh",
    "parse_evaluator",
    "parse_rule",
    "rule_to_json",
    "source_hash",
    "spec_to_json",
    "spec_to_yaml",
]
