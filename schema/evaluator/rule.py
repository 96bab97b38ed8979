"""The rules: deterministic, free, and read by people. Each says what must be true of an output."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from schema.evaluator.kinds import Evidence, Likeness, Reference, TrajectoryMatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schema.case import Case


@dataclass(frozen=True, slots=True)
class Contains:
    """Every text stands in the output; with `negated`, none does."""

    text: tuple[str, ...]
    ignore_case: bool = False
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Equals:
    """The output is this text, or the case's expected output; white space around it does not count."""

    text: str | None = None
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class Regex:
    """The pattern is found in the output; with `negated`, it is not."""

    pattern: str
    ignore_case: bool = False
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Similarity:
    """The output is at least so like a text: this one, or the case's expected or observed output."""

    least: float
    to: Reference | None = None
    """None, and no text: the expected output."""
    text: str | None = None
    likeness: Likeness = Likeness.RATIO
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """The output begins like a refusal; with `negated`, it does not."""

    phrases: str
    """The name of a list in schema/evaluator/refusals.py."""
    negated: bool = False


@dataclass(frozen=True, slots=True)
class FinishReason:
    """The model stopped for one of these reasons; with `negated`, for none of them."""

    one_of: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """The output is JSON that this schema accepts."""

    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ValidJson:
    """The output is JSON."""


@dataclass(frozen=True, slots=True)
class JsonFields:
    """The output is JSON and has a value, not null, at each of these places (JSON pointers, RFC 6901)."""

    required: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolPattern:
    """A call that is looked for."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """At least these, with these values."""
    argument_patterns: Mapping[str, str] = field(default_factory=dict)
    """A pattern that is found in the argument; one that is not a text is matched as JSON."""


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The tool was called, with at least these arguments; with `negated`, it was not."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    negated: bool = False
    argument_patterns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolTrajectory:
    """The tools were called as in `calls`, or as the case says."""

    match: TrajectoryMatch
    calls: tuple[ToolPattern, ...] | None = None
    source: Reference | None = None
    """Whose calls are the wanted ones, where `calls` is None."""
    compare_arguments: bool = True
    """Whether the arguments of the case's calls must be the same; names always must."""


@dataclass(frozen=True, slots=True)
class MaxToolCalls:
    """No more than `limit` calls, of one tool or of all; with `identical`, of the same tool with the same arguments."""

    limit: int
    name: str | None = None
    identical: bool = False


@dataclass(frozen=True, slots=True)
class MaxSteps:
    """No more than `times` the tool calls of the case's expected or observed way, and one more for the answer."""

    times: float
    of: Reference = Reference.OBSERVED


@dataclass(frozen=True, slots=True)
class MaxChars:
    """The output has no more than `limit` characters."""

    limit: int


@dataclass(frozen=True, slots=True)
class MinChars:
    """The output has at least `limit` characters, white space around it aside."""

    limit: int


@dataclass(frozen=True, slots=True)
class MaxOutputTokens:
    """The model wrote no more than `limit` tokens."""

    limit: int


@dataclass(frozen=True, slots=True)
class MaxCost:
    """The output cost no more than `limit_usd`."""

    limit_usd: float


@dataclass(frozen=True, slots=True)
class Combined:
    """All of the rules hold, or, with `any_of`, at least one."""

    rules: tuple[Rule, ...]
    any_of: bool = False


Rule = (
    Contains
    | Equals
    | Regex
    | Similarity
    | Refusal
    | FinishReason
    | JsonSchema
    | ValidJson
    | JsonFields
    | ToolCalled
    | ToolTrajectory
    | MaxToolCalls
    | MaxSteps
    | MaxChars
    | MinChars
    | MaxOutputTokens
    | MaxCost
    | Combined
)


def has_reference(rule: Rule, case: Case) -> bool:
    """Return whether the case holds everything that the rule compares with."""
    match rule:
        case Equals(text=None):
            return case.expected_output is not None
        case Similarity(text=None, to=Reference.OBSERVED):
            return case.observed.output is not None
        case Similarity(text=None):
            return case.expected_output is not None
        case ToolTrajectory(calls=None, source=source) | MaxSteps(of=source):
            if source is Reference.EXPECTED:
                return case.expected_tool_calls is not None
            return case.observed.output is not None or bool(case.observed.tool_calls)
        case Combined(rules=rules):
            return all(has_reference(r, case) for r in rules)
        case _:
            return True


def evidence_of(rule: Rule) -> Evidence:
    """Return the kind of evidence a rule gives: of several, the first in the order of `Evidence`."""
    match rule:
        case ToolTrajectory() | MaxToolCalls() | MaxSteps() | MaxOutputTokens() | MaxCost():
            return Evidence.TRAJECTORY
        case ToolCalled() | FinishReason() | Refusal() | JsonSchema() | ValidJson() | JsonFields():
            return Evidence.BEHAVIOUR
        case Combined(rules=rules):
            order = list(Evidence)
            return min((evidence_of(r) for r in rules), key=order.index)
        case _:
            return Evidence.OUTCOME
