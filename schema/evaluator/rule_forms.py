"""How each rule stands in a file. The table is the format: reader, writer and JSON Schema are made from it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from schema.evaluator.form import Field, Form, Place
from schema.evaluator.kinds import Likeness, Reference, TrajectoryMatch
from schema.evaluator.refusals import LATEST, REFUSALS
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
from schema.evaluator.values import (
    BOOLEAN,
    COUNT,
    FILLED_OBJECT,
    MAX_NUMBER,
    OBJECT,
    PATTERN,
    PATTERNS,
    POINTERS,
    SHARE,
    TEXT,
    TEXTS,
    Kind,
    choice,
    named,
    number,
    yaml_name,
)
from schema.fields import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_RULE_DEPTH = 8

IGNORE_CASE = Field("ignore_case", BOOLEAN, default=False)
LIMIT = Field("limit", COUNT)
ARGUMENTS = (
    Field("arguments", OBJECT, default={}, description="At least these arguments, with these values."),
    Field("argument_patterns", PATTERNS, default={}, description="Argument name to a pattern found in its value."),
)
CALL = Form(ToolPattern, (Field("name", TEXT), *ARGUMENTS))


def _call(value: Any, place: Place) -> Any:
    if isinstance(value, str) and value.strip():
        return ToolPattern(value)
    return CALL.read(value, "a call", place)


def _calls(value: Any, place: Place) -> tuple[ToolPattern, ...]:
    if not isinstance(value, list):
        raise ValueError(f"must be a list of calls, not {yaml_name(value)}")  # noqa: TRY004 - a mistake in a file
    return tuple(_call(item, place.inner(n)) for n, item in enumerate(value))


def _write_calls(calls: tuple[ToolPattern, ...]) -> list[Any]:
    written = (CALL.write(c) for c in calls)
    return [c["name"] if len(c) == 1 else c for c in written]


CALLS = Kind(
    _calls, {"type": "array", "items": {"anyOf": [{"type": "string", "pattern": "\\S"}, CALL.schema()]}}, _write_calls
)


def _similarity(**attributes: Any) -> Similarity:
    rule = Similarity(**attributes)
    if rule.text is not None and rule.to is not None:
        raise ValueError("give 'to' or 'text', not both")
    return rule


def _trajectory(**attributes: Any) -> ToolTrajectory:
    rule = ToolTrajectory(**attributes)
    if (rule.calls is None) == (rule.source is None):
        raise ValueError("give 'calls', or 'from': expected or observed, and not both")
    return rule


def _rules(value: Any, place: Place) -> tuple[Any, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("must be a list of rules, with one at least")
    return tuple(read_rule(item, place.inner(n)) for n, item in enumerate(value))


def _write_rules(rules: tuple[Rule, ...]) -> list[dict[str, Any]]:
    return [rule_to_json(r) for r in rules]


INNER = Field("rules", Kind(_rules, {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/rule"}}, _write_rules))

RULES: Mapping[str, Form] = MappingProxyType(
    {
        "contains": Form(Contains, (Field("text", TEXTS), IGNORE_CASE), {"negated": False}),
        "not_contains": Form(Contains, (Field("text", TEXTS), IGNORE_CASE), {"negated": True}),
        "equals": Form(Equals, (Field("text", TEXT, default=None), IGNORE_CASE)),
        "exact": Form(Equals, (Field("text", TEXT, default=None), IGNORE_CASE)),
        "regex": Form(Regex, (Field("pattern", PATTERN), IGNORE_CASE), {"negated": False}),
        "not_regex": Form(Regex, (Field("pattern", PATTERN), IGNORE_CASE), {"negated": True}),
        "similarity": Form(
            _similarity,
            (
                Field("min", SHARE, attribute="least", description="The least likeness, from 0 to 1."),
                Field("to", choice(Reference), default=None, description="Default: expected."),
                Field("text", TEXT, default=None, description="A text to compare with, in place of 'to'."),
                Field("method", choice(Likeness), default=Likeness.RATIO, attribute="likeness"),
                IGNORE_CASE,
            ),
            also={"not": {"required": ["to", "text"]}},
        ),
        "refusal": Form(Refusal, (Field("phrases", named(REFUSALS), default=LATEST),), {"negated": False}),
        "not_refusal": Form(Refusal, (Field("phrases", named(REFUSALS), default=LATEST),), {"negated": True}),
        "finish_reason": Form(FinishReason, (Field("one_of", TEXTS),), {"negated": False}),
        "not_finish_reason": Form(FinishReason, (Field("one_of", TEXTS),), {"negated": True}),
        "json_schema": Form(JsonSchema, (Field("schema", FILLED_OBJECT),)),
        "valid_json": Form(ValidJson),
        "json_fields": Form(
            JsonFields, (Field("required", POINTERS, description="JSON pointers, such as /order/id."),)
        ),
        "tool_called": Form(ToolCalled, (Field("name", TEXT), *ARGUMENTS), {"negated": False}),
        "tool_not_called": Form(ToolCalled, (Field("name", TEXT), *ARGUMENTS), {"negated": True}),
        "tool_trajectory": Form(
            _trajectory,
            (
                Field("match", choice(TrajectoryMatch)),
                Field("calls", CALLS, default=None, description="Names of tools, or calls with their arguments."),
                Field("from", choice(Reference), default=None, attribute="source"),
                Field("compare_arguments", BOOLEAN, default=True),
            ),
            also={"oneOf": [{"required": ["calls"]}, {"required": ["from"]}]},
        ),
        "max_tool_calls": Form(
            MaxToolCalls, (LIMIT, Field("name", TEXT, default=None), Field("identical", BOOLEAN, default=False))
        ),
        "max_steps": Form(
            MaxSteps,
            (
                Field("times", number(0, 1000, above=True), description="Of the steps of the case."),
                Field("of", choice(Reference), default=Reference.OBSERVED),
            ),
        ),
        "max_chars": Form(MaxChars, (LIMIT,)),
        "min_chars": Form(MinChars, (LIMIT,)),
        "max_output_tokens": Form(MaxOutputTokens, (LIMIT,)),
        "max_cost_usd": Form(MaxCost, (Field("limit", number(0, MAX_NUMBER), attribute="limit_usd"),)),
        "all": Form(Combined, (INNER,), {"any_of": False}),
        "any": Form(Combined, (INNER,), {"any_of": True}),
    }
)
"""Each rule type. Where two describe the same rule, the first is written."""

MAKES: Mapping[Any, type[Rule]] = MappingProxyType({_similarity: Similarity, _trajectory: ToolTrajectory})


def read_rule(value: Any, place: Place) -> Any:
    """Read one rule and those inside it; None after a mistake."""
    if sum(key == "rules" for key in place.path) > MAX_RULE_DEPTH:
        place.tell(f"rules are nested more than {MAX_RULE_DEPTH} deep")
        return None
    if not isinstance(value, dict):
        place.tell(f"a rule must be an object, not {yaml_name(value)}")
        return None
    kind = value.get("type")
    if kind is None:
        place.tell("a rule lacks 'type'")
        return None
    if not isinstance(kind, str) or kind not in RULES:
        place.inner("type").tell(f"unknown rule type {kind!r}.{did_you_mean(str(kind), RULES)}")
        return None
    return RULES[kind].read({k: v for k, v in value.items() if k != "type"}, f"rule {kind!r}", place)


def parse_rule(value: Any) -> Rule:
    """Read one rule and those inside it.

    Raises:
        Mistaken: with every mistake, in words for its author.

    """
    place = Place()
    rule: Rule = read_rule(value, place)
    place.close()
    return rule


def rule_to_json(rule: Rule) -> dict[str, Any]:
    """Return the object that `parse_rule` makes this rule of."""
    for name, form in RULES.items():
        if MAKES.get(form.make, form.make) is type(rule) and form.says(rule):
            return {"type": name, **form.write(rule)}
    raise TypeError(f"{type(rule).__name__} is not a rule")


def rule_schema() -> dict[str, Any]:
    """Return the JSON Schema of a rule; those inside it are `#/$defs/rule`."""
    return {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": list(RULES)}},
        "allOf": [
            {
                "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
                "then": form.schema({"type": {"const": name}}),
            }
            for name, form in RULES.items()
        ],
    }
