"""The rules: (rule, case, output) to holds or not, with a reason in one line."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalgate.terminal import count_of, one_line
from schema.evaluator import (
    Combined,
    Contains,
    Equals,
    EvaluatorError,
    EvaluatorSpec,
    JsonSchema,
    MaxChars,
    MaxToolCalls,
    Regex,
    Rule,
    Score,
    ToolCalled,
)
from schema.hashing import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schema.case import Case
    from schema.run import Output

CONTEXT_CHARS = 40
"""How much of an output a reason quotes on either side of what it found."""
OPENING_CHARS = 120


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether a rule holds, and why."""

    holds: bool
    reason: str


@dataclass(frozen=True, slots=True)
class RuleEvaluator:
    """Judges by rule: deterministic, free, no network."""

    spec: EvaluatorSpec

    def __call__(self, case: Case, output: Output) -> Score | EvaluatorError:
        """Judge one output; an error inside the rule is a value."""
        try:
            finding = check(self.spec.body, case, output)
        except (ValueError, TypeError, RecursionError, KeyError) as e:
            return EvaluatorError(self.spec.id, one_line(f"{type(e).__name__}: {e}", 300))
        return Score(self.spec.id, 1.0 if finding.holds else 0.0, finding.holds, one_line(finding.reason, 300))


def _held(reason: str) -> Finding:
    return Finding(holds=True, reason=reason)


def _broken(reason: str) -> Finding:
    return Finding(holds=False, reason=reason)


def check(rule: Rule, case: Case, output: Output) -> Finding:
    """Apply one rule."""
    match rule:
        case Contains():
            return _contains(rule, output.text)
        case Equals():
            return _equals(rule, case, output.text)
        case Regex():
            return _regex(rule, output.text)
        case JsonSchema():
            return _json_schema(rule, output.text)
        case ToolCalled():
            return _tool_called(rule, output)
        case MaxToolCalls():
            return _max_tool_calls(rule, output)
        case MaxChars():
            size = len(output.text)
            said = f"the output has {count_of(size, 'character')}; the limit is {rule.limit}"
            return Finding(size <= rule.limit, said)
        case Combined():
            return _combined(rule, case, output)


def _contains(rule: Contains, text: str) -> Finding:
    def find(wanted: str) -> int:
        return text.casefold().find(wanted.casefold()) if rule.ignore_case else text.find(wanted)

    for wanted in rule.text:
        at = find(wanted)
        if rule.negated and at >= 0:
            return _broken(f"the output contains {wanted!r}: {_quote(text, at, at + len(wanted))}")
        if not rule.negated and at < 0:
            return _broken(f"the output lacks {wanted!r}: {_opening(text)}")
    words = ", ".join(repr(t) for t in rule.text)
    return _held(f"the output {'lacks' if rule.negated else 'contains'} {words}")


def _equals(rule: Equals, case: Case, text: str) -> Finding:
    wanted = rule.text if rule.text is not None else case.expected_output
    if wanted is None:
        raise ValueError("the case has no expected output to compare with")
    left, right = text.strip(), wanted.strip()
    same = left.casefold() == right.casefold() if rule.ignore_case else left == right
    if same:
        return _held("the output is the expected text")
    return _broken(f"the output is {_opening(left)}, expected {_opening(right)}")


def _regex(rule: Regex, text: str) -> Finding:
    found = re.search(rule.pattern, text, re.IGNORECASE if rule.ignore_case else 0)
    if rule.negated:
        if found:
            return _broken(f"the output matches /{rule.pattern}/: {_quote(text, *found.span())}")
        return _held(f"the output does not match /{rule.pattern}/")
    if found:
        return _held(f"the output matches /{rule.pattern}/")
    return _broken(f"the output does not match /{rule.pattern}/: {_opening(text)}")


def _json_schema(rule: JsonSchema, text: str) -> Finding:
    import jsonschema  # noqa: PLC0415 - costs 0.1 s; most projects have no such rule

    try:
        value = json.loads(text)
    except ValueError as e:
        return _broken(f"the output is not JSON: {e}: {_opening(text)}")
    schema = dict(rule.schema)
    validator = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        validator.check_schema(schema)
    except jsonschema.SchemaError as e:
        raise ValueError(f"the schema itself is wrong: {e.message}") from None
    error = jsonschema.exceptions.best_match(validator(schema).iter_errors(value))
    if error is None:
        return _held("the output fits the schema")
    return _broken(f"the output does not fit the schema at {error.json_path}: {error.message}")


def _tool_called(rule: ToolCalled, output: Output) -> Finding:
    calls = [c for c in output.tool_calls if c.get("name") == rule.name]
    matching = [c for c in calls if _holds(c.get("arguments"), rule.arguments)]
    wanted = f"{rule.name}({_arguments(rule.arguments)})" if rule.arguments else rule.name
    if rule.negated:
        return Finding(
            not matching, f"{wanted} was called {len(matching)} times" if matching else f"{wanted} was not called"
        )
    if matching:
        return _held(f"{wanted} was called")
    if calls:
        return _broken(f"{rule.name} was called with {_arguments(calls[0].get('arguments'))}, not {wanted}")
    called = ", ".join(dict.fromkeys(str(c.get("name")) for c in output.tool_calls)) or "no tool"
    return _broken(f"{wanted} was not called; the target called {called}")


def _max_tool_calls(rule: MaxToolCalls, output: Output) -> Finding:
    calls = [c for c in output.tool_calls if rule.name is None or c.get("name") == rule.name]
    if not rule.identical:
        what = f"calls of {rule.name}" if rule.name else "tool calls"
        return Finding(len(calls) <= rule.limit, f"{len(calls)} {what}; the limit is {rule.limit}")
    counts: dict[bytes, int] = {}
    most, name = 0, "any tool"
    for call in calls:
        key = canonical_json([call.get("name"), call.get("arguments")])
        counts[key] = counts.get(key, 0) + 1
        if counts[key] > most:
            most, name = counts[key], str(call.get("name"))
    return Finding(most <= rule.limit, f"{most} identical calls of {name}; the limit is {rule.limit}")


def _combined(rule: Combined, case: Case, output: Output) -> Finding:
    findings = [check(r, case, output) for r in rule.rules]
    if rule.any_of:
        good = next((f for f in findings if f.holds), None)
        return good or _broken("none of: " + "; ".join(f.reason for f in findings))
    bad = next((f for f in findings if not f.holds), None)
    return bad or _held("; ".join(f.reason for f in findings))


def _holds(given: Any, wanted: Mapping[str, Any]) -> bool:
    """Return whether the given arguments hold at least the wanted ones."""
    if not wanted:
        return True
    return isinstance(given, dict) and all(k in given and given[k] == v for k, v in wanted.items())


def _arguments(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _opening(text: str) -> str:
    """Return how a text begins, where nothing was found in it to point at."""
    return _quote(text, 0, OPENING_CHARS - CONTEXT_CHARS)


def _quote(text: str, start: int, end: int) -> str:
    """Return what was found with a little of the text around it, on one line."""
    low, high = max(0, start - CONTEXT_CHARS), min(len(text), end + CONTEXT_CHARS)
    piece = one_line(text[low:high])
    return f'"{"…" if low else ""}{piece}{"…" if high < len(text) else ""}"'
