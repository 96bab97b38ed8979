"""The rules: (rule, case, output) to holds or not, with a reason in one line.

Each rule is one call of a function of `checks`, on subjects of the case and the output. The same description of the
call is carried out here and written down as Python by `python_form`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from evalgate.evaluators.checks import calls, data, likeness, text
from evalgate.evaluators.patterns import PatternSearch
from evalgate.evaluators.similarity import fast_likeness
from evalgate.terminal import one_line
from schema.evaluator import (
    RULE_TYPES,
    Combined,
    Contains,
    Equals,
    EvaluatorError,
    EvaluatorSpec,
    FinishReason,
    JsonFields,
    JsonSchema,
    MaxChars,
    MaxCost,
    MaxOutputTokens,
    MaxSteps,
    MaxToolCalls,
    MinChars,
    Reference,
    Refusal,
    Regex,
    Rule,
    Score,
    Similarity,
    ToolCalled,
    ToolTrajectory,
    ValidJson,
)
from schema.evaluator.refusals import OPENING_CHARS, REFUSALS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schema.case import Case
    from schema.run import Output

REASON_CHARS = 300


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether a rule holds, and why."""

    holds: bool
    reason: str


class Subject(StrEnum):
    """What a check looks at, as Python says it of the JSON objects of a case and an output."""

    TEXT = 'output["text"]'
    CALLS = 'output["tool_calls"]'
    FINISH_REASON = 'output["finish_reason"]'
    OUTPUT_TOKENS = 'output["output_tokens"]'
    COST_USD = 'output["cost_usd"]'
    EXPECTED = 'case["expected"]["output"]'
    EXPECTED_CALLS = 'case["expected"]["tool_calls"]'
    OBSERVED = 'case["observed"]["output"]'
    OBSERVED_CALLS = 'case["observed"]["tool_calls"]'


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a check."""

    function: Callable[..., tuple[bool, str]]
    subjects: tuple[Subject, ...]
    values: tuple[Any, ...] = ()
    """Arguments that stand after the subjects; like all that is said here, they are JSON."""
    named: Mapping[str, Any] = field(default_factory=dict)
    engine: str = ""
    """The argument that an engine of this process takes the place of; the default is plain Python."""


def call_of(rule: Rule) -> Call:
    """Return the call that a rule is; of `Combined`, see `check`."""
    match rule:
        case Contains():
            return Call(text.contains, (Subject.TEXT,), (list(rule.text),), _flags(rule, "ignore_case", "negated"))
        case Equals(text=None):
            return Call(text.equals, (Subject.TEXT, Subject.EXPECTED), (), _flags(rule, "ignore_case"))
        case Equals():
            return Call(text.equals, (Subject.TEXT,), (rule.text,), _flags(rule, "ignore_case"))
        case Regex():
            flags = _flags(rule, "ignore_case", "negated")
            return Call(text.regex, (Subject.TEXT,), (rule.pattern,), flags, "search")
        case Similarity():
            named: dict[str, Any] = {"method": str(rule.likeness), **_flags(rule, "ignore_case")}
            if rule.text is not None:
                return Call(likeness.similarity, (Subject.TEXT,), (rule.text, rule.least), named, "measure")
            other = Subject.OBSERVED if rule.to is Reference.OBSERVED else Subject.EXPECTED
            return Call(likeness.similarity, (Subject.TEXT, other), (rule.least,), named, "measure")
        case Refusal():
            phrases = list(REFUSALS[rule.phrases])
            return Call(text.refusal, (Subject.TEXT,), (phrases, OPENING_CHARS), _flags(rule, "negated"))
        case MaxChars():
            return Call(text.max_chars, (Subject.TEXT,), (rule.limit,))
        case MinChars():
            return Call(text.min_chars, (Subject.TEXT,), (rule.limit,))
        case FinishReason():
            reasons = list(rule.one_of)
            return Call(calls.finish_reason, (Subject.FINISH_REASON,), (reasons,), _flags(rule, "negated"))
        case JsonSchema():
            return Call(data.json_schema, (Subject.TEXT,), (dict(rule.schema),), engine="validate")
        case ValidJson():
            return Call(data.valid_json, (Subject.TEXT,))
        case JsonFields():
            return Call(data.json_fields, (Subject.TEXT,), (list(rule.required),))
        case ToolCalled():
            values = (rule.name, dict(rule.arguments), dict(rule.argument_patterns))
            return Call(calls.tool_called, (Subject.CALLS,), values, _flags(rule, "negated"), "search")
        case ToolTrajectory(calls=None):
            reference = _calls_of(rule.source)
            named = {"compare_arguments": rule.compare_arguments}
            return Call(calls.tool_trajectory, (Subject.CALLS, reference), (str(rule.match),), named, "search")
        case ToolTrajectory():
            wanted = [
                {"name": c.name, "arguments": dict(c.arguments), "argument_patterns": dict(c.argument_patterns)}
                for c in rule.calls or ()
            ]
            return Call(calls.tool_trajectory, (Subject.CALLS,), (wanted, str(rule.match)), engine="search")
        case MaxToolCalls():
            named = {"name": rule.name, **_flags(rule, "identical")}
            return Call(calls.max_tool_calls, (Subject.CALLS,), (rule.limit,), named)
        case MaxSteps():
            return Call(calls.max_steps, (Subject.CALLS, _calls_of(rule.of)), (rule.times,))
        case MaxOutputTokens():
            return Call(calls.max_output_tokens, (Subject.OUTPUT_TOKENS,), (rule.limit,))
        case MaxCost():
            return Call(calls.max_cost_usd, (Subject.COST_USD,), (rule.limit_usd,))
        case Combined():
            raise TypeError("a combined rule is several calls")


def _flags(rule: Any, *names: str) -> dict[str, Any]:
    """Return those of the flags that are set."""
    return {name: True for name in names if getattr(rule, name)}


def _calls_of(reference: Reference | None) -> Subject:
    return Subject.EXPECTED_CALLS if reference is Reference.EXPECTED else Subject.OBSERVED_CALLS


@dataclass(frozen=True, slots=True)
class Engines:
    """What this process does better than plain Python. One for many evaluators; safe from many threads."""

    search: PatternSearch = field(default_factory=PatternSearch)

    def named(self, engine: str, subject: Any) -> dict[str, Any]:
        """Return the argument that an engine is."""
        if engine == "search":
            return {"search": self.search}
        if engine == "measure":
            return {"measure": fast_likeness}
        if engine == "validate":
            chars = len(subject)
            return {"validate": lambda value, schema: self.search.schema_mistake(value, schema, chars)}
        return {}


def check(rule: Rule, case: Case, output: Output, engines: Engines | None = None) -> Finding:
    """Apply one rule.

    Raises:
        ValueError: nothing can be said: what is compared with is not there, or it took too long.

    """
    return Finding(*_found(rule, case, output, engines or Engines()))


def _found(rule: Rule, case: Case, output: Output, engines: Engines) -> tuple[bool, str]:
    if isinstance(rule, Combined):
        findings = (_found(r, case, output, engines) for r in rule.rules)
        return (calls.any_of if rule.any_of else calls.all_of)(*findings)
    call = call_of(rule)
    subjects = [_subject(s, case, output) for s in call.subjects]
    return call.function(*subjects, *call.values, **call.named, **engines.named(call.engine, subjects[0]))


def _subject(subject: Subject, case: Case, output: Output) -> Any:
    match subject:
        case Subject.TEXT:
            return output.text
        case Subject.CALLS:
            return output.tool_calls
        case Subject.FINISH_REASON:
            return output.finish_reason
        case Subject.OUTPUT_TOKENS:
            return output.output_tokens
        case Subject.COST_USD:
            return output.cost_usd
        case Subject.EXPECTED:
            return case.expected_output
        case Subject.EXPECTED_CALLS:
            return case.expected_tool_calls
        case Subject.OBSERVED:
            return case.observed.output
        case Subject.OBSERVED_CALLS:
            seen = case.observed
            return seen.tool_calls if seen.tool_calls or seen.output is not None else None


@dataclass(frozen=True, slots=True)
class RuleEvaluator:
    """Judges by rule: deterministic, free, no network. Safe from many threads."""

    spec: EvaluatorSpec
    engines: Engines = field(default_factory=Engines)

    def __call__(self, case: Case, output: Output) -> Score | EvaluatorError:
        """Judge one output; an error inside the rule is a value."""
        rule = self.spec.body
        if not isinstance(rule, RULE_TYPES):
            return EvaluatorError(self.spec.id, "it is not a rule")
        try:
            finding = check(rule, case, output, self.engines)
        except (ValueError, TypeError, RecursionError, KeyError, OverflowError) as e:
            return EvaluatorError(self.spec.id, one_line(str(e) or type(e).__name__, REASON_CHARS))
        reason = one_line(finding.reason, REASON_CHARS)
        return Score(self.spec.id, 1.0 if finding.holds else 0.0, finding.holds, reason)
