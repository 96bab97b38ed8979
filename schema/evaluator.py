r"""An evaluator: what makes an output good or bad for one failure mode, as a file that people read and review.

    id: refund-window
    failure_mode: policy_hallucination
    eval_type: rule
    rule: {type: not_regex, pattern: '\b90[- ]day'}

The seam: an evaluator takes (case, output) and returns a `Score` or an `EvaluatorError`, both values. An output that is
wrong is a low score; an evaluator that could not judge is an error and never a score.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from schema.fields import Fields, did_you_mean, json_name
from schema.hashing import short_hash
from schema.verdict import failure_mode_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schema.case import Case
    from schema.run import Output

MAX_RULE_DEPTH = 8
ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Score:
    """What one evaluator says of one output."""

    evaluator: str
    score: float
    """0 (worst) to 1 (best)."""
    passed: bool
    reason: str
    """One line for the person who reads the gate's report."""


@dataclass(frozen=True, slots=True)
class EvaluatorError:
    """The evaluator could not judge."""

    evaluator: str
    message: str


class Evaluator(Protocol):
    """The seam. Never raises for an individual case."""

    @property
    def spec(self) -> EvaluatorSpec:
        """What it was made from."""

    def __call__(self, case: Case, output: Output) -> Score | EvaluatorError:
        """Judge one output."""


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
class JsonSchema:
    """The output is JSON that this schema accepts."""

    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The tool was called, with at least these arguments; with `negated`, it was not."""

    name: str
    arguments: Mapping[str, Any]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class MaxToolCalls:
    """No more than `limit` calls, of one tool or of all; with `identical`, of the same tool with the same arguments."""

    limit: int
    name: str | None = None
    identical: bool = False


@dataclass(frozen=True, slots=True)
class MaxChars:
    """The output has no more than `limit` characters."""

    limit: int


@dataclass(frozen=True, slots=True)
class Combined:
    """All of the rules hold, or, with `any_of`, at least one."""

    rules: tuple[Rule, ...]
    any_of: bool = False


Rule = Contains | Equals | Regex | JsonSchema | ToolCalled | MaxToolCalls | MaxChars | Combined


@dataclass(frozen=True, slots=True)
class AppliesTo:
    """Which cases an evaluator judges: all, or those that match each list that is not empty."""

    all: bool = False
    failure_modes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluatorSpec:
    """One evaluator file."""

    id: str
    failure_mode: str
    rule: Rule
    applies_to: AppliesTo
    eval_type: str = "rule"
    coverage_target: str | None = None
    """The issue this evaluator covers."""
    mcc_score: float | None = None
    """Matthews correlation with people's labels; None: not measured."""
    threshold: float | None = None
    """The pass rate the gate asks of this evaluator; None: the gate's own."""

    @property
    def version(self) -> str:
        """Hash of what decides a score, so that a changed rule is a changed version."""
        content = {
            "eval_type": self.eval_type,
            "applies_to": asdict(self.applies_to),
            "kind": _kinds(self.rule),
            "rule": asdict(self.rule),
        }
        return short_hash(content)

    def applies(self, case: Case) -> bool:
        """Return whether the case is this evaluator's business and holds what its rule compares with."""
        if needs_expected(self.rule) and case.expected_output is None:
            return False
        wanted = self.applies_to
        if wanted.all:
            return True
        if wanted.failure_modes and case.failure_mode not in wanted.failure_modes:
            return False
        return not wanted.features or case.feature in wanted.features


def needs_expected(rule: Rule) -> bool:
    """Return whether the rule compares with the case's own expected output."""
    match rule:
        case Equals(text=None):
            return True
        case Combined(rules=rules):
            return any(needs_expected(r) for r in rules)
        case _:
            return False


def parse_evaluator(value: Any) -> EvaluatorSpec:
    """Read an evaluator.

    Raises:
        ValueError: in words for its author.

    """
    fields = Fields(value, "an evaluator")
    name = fields.text("id")
    if not ID.fullmatch(name):
        raise ValueError(f"the id must be letters, digits, '.', '_' and '-', not {name!r}")
    failure_mode = failure_mode_of(fields.text("failure_mode"))
    eval_type = fields.optional_text("eval_type") or "rule"
    if eval_type != "rule":
        raise ValueError(f"eval_type {eval_type!r} is not known; this version judges by 'rule'")
    raw_rule = fields.any("rule")
    if raw_rule is None:
        raise ValueError("an evaluator lacks 'rule'")
    spec = EvaluatorSpec(
        id=name,
        failure_mode=failure_mode or "",
        rule=parse_rule(raw_rule),
        applies_to=_applies_to(fields.any("applies_to"), failure_mode or ""),
        eval_type=eval_type,
        coverage_target=fields.optional_text("coverage_target"),
        mcc_score=_within(fields.optional_number("mcc_score"), -1, 1, "mcc_score"),
        threshold=_within(fields.optional_number("threshold"), 0, 1, "threshold"),
    )
    fields.optional_text("description")
    fields.close()
    return spec


def parse_rule(value: Any, depth: int = 0) -> Rule:
    """Read one rule and those inside it."""
    if depth > MAX_RULE_DEPTH:
        raise ValueError(f"rules are nested more than {MAX_RULE_DEPTH} deep")
    fields = Fields(value, "a rule")
    kind = fields.text("type")
    if kind in ("all", "any"):
        inner = tuple(parse_rule(r, depth + 1) for r in fields.sequence("rules"))
        if not inner:
            raise ValueError(f"rule {kind!r} lacks 'rules'")
        rule: Rule = Combined(inner, any_of=kind == "any")
    elif kind in RULES:
        rule = RULES[kind](fields)
    else:
        raise ValueError(f"unknown rule type {kind!r}.{did_you_mean(kind, [*RULES, 'all', 'any'])}")
    fields.close()
    return rule


def _contains(fields: Fields, *, negated: bool) -> Rule:
    value = fields.any("text")
    texts = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
    if not texts or not all(isinstance(t, str) and t for t in texts):
        raise ValueError("'text' must be a text or a list of texts, none of them empty")
    return Contains(texts, fields.optional_bool("ignore_case") or False, negated)


def _regex(fields: Fields, *, negated: bool) -> Rule:
    pattern = fields.text("pattern")
    try:
        re.compile(pattern)
    except re.error as e:
        raise ValueError(f"the pattern {pattern!r} is not a regular expression: {e}") from None
    return Regex(pattern, fields.optional_bool("ignore_case") or False, negated)


def _json_schema(fields: Fields) -> Rule:
    schema = fields.mapping("schema")
    if not schema:
        raise ValueError("rule 'json_schema' lacks 'schema'")
    return JsonSchema(schema)


def _limit(fields: Fields) -> int:
    limit = fields.optional_int("limit")
    if limit is None or limit < 0:
        raise ValueError("'limit' must be a whole number, 0 or more")
    return limit


RULES: Mapping[str, Callable[[Fields], Rule]] = {
    "contains": lambda f: _contains(f, negated=False),
    "not_contains": lambda f: _contains(f, negated=True),
    "equals": lambda f: Equals(f.optional_text("text"), f.optional_bool("ignore_case") or False),
    "regex": lambda f: _regex(f, negated=False),
    "not_regex": lambda f: _regex(f, negated=True),
    "json_schema": _json_schema,
    "tool_called": lambda f: ToolCalled(f.text("name"), f.mapping("arguments")),
    "tool_not_called": lambda f: ToolCalled(f.text("name"), f.mapping("arguments"), negated=True),
    "max_tool_calls": lambda f: MaxToolCalls(_limit(f), f.optional_text("name"), f.optional_bool("identical") or False),
    "max_chars": lambda f: MaxChars(_limit(f)),
}
"""How each rule type is read. `all` and `any` take `rules`."""


def _applies_to(value: Any, failure_mode: str) -> AppliesTo:
    if value is None:
        return AppliesTo(failure_modes=(failure_mode,))
    if value == "all":
        return AppliesTo(all=True)
    fields = Fields(value, "applies_to")
    applies = AppliesTo(fields.optional_bool("all") or False, _names(fields, "failure_mode"), _names(fields, "feature"))
    fields.close()
    if applies == AppliesTo():
        raise ValueError("applies_to names nothing; write all: true, failure_mode: NAME or feature: NAME")
    return applies


def _names(fields: Fields, name: str) -> tuple[str, ...]:
    value = fields.any(name)
    values = value if isinstance(value, list) else [] if value is None else [value]
    for item in values:
        if not isinstance(item, str) or not item.strip():
            raise ValueError(f"applies_to: {name!r} must be a name or a list of names, not {json_name(item)}")
    return tuple(values)


def _within(value: float | None, low: float, high: float, name: str) -> float | None:
    if value is not None and not low <= value <= high:
        raise ValueError(f"{name!r} must lie between {low} and {high}, not {value}")
    return value


def _kinds(rule: Rule) -> Any:
    """Return the shape of a rule, which `asdict` loses."""
    return [type(rule).__name__, [_kinds(r) for r in rule.rules]] if isinstance(rule, Combined) else type(rule).__name__
