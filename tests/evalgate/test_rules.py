"""Each rule: what holds, what does not, and what it says of it."""

from __future__ import annotations

from typing import Any

import pytest

from evalgate.evaluators.rules import RuleEvaluator, check
from schema.case import Case, CaseInput
from schema.evaluator import EvaluatorError, Score, parse_evaluator, parse_rule
from schema.run import Output

CASE = Case("case-1", CaseInput((), "?"), expected_output=" Thirty days ", failure_mode="m", feature="refunds")
CALLS = (
    {"name": "order", "arguments": {"id": 7, "full": True}},
    {"name": "order", "arguments": {"full": True, "id": 7}},
    {"name": "refund", "arguments": {"id": 8}},
)
TEXT = "You have 90 days, says the Policy."


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ({"type": "contains", "text": "90 days"}, True),
        ({"type": "contains", "text": "policy"}, False),
        ({"type": "contains", "text": "policy", "ignore_case": True}, True),
        ({"type": "contains", "text": ["90", "30"]}, False),
        ({"type": "not_contains", "text": ["30", "60"]}, True),
        ({"type": "not_contains", "text": ["30", "90"]}, False),
        ({"type": "not_contains", "text": "POLICY", "ignore_case": True}, False),
        ({"type": "equals", "text": TEXT + "\n"}, True),
        ({"type": "equals", "text": TEXT.upper()}, False),
        ({"type": "equals", "text": TEXT.upper(), "ignore_case": True}, True),
        ({"type": "equals"}, False),
        ({"type": "regex", "pattern": r"\b90[- ]day"}, True),
        ({"type": "regex", "pattern": "^policy"}, False),
        ({"type": "not_regex", "pattern": r"\d{3}"}, True),
        ({"type": "not_regex", "pattern": "POLICY", "ignore_case": True}, False),
        ({"type": "tool_called", "name": "refund"}, True),
        ({"type": "tool_called", "name": "order", "arguments": {"id": 7}}, True),
        ({"type": "tool_called", "name": "order", "arguments": {"id": 8}}, False),
        ({"type": "tool_called", "name": "cancel"}, False),
        ({"type": "tool_not_called", "name": "cancel"}, True),
        ({"type": "tool_not_called", "name": "refund"}, False),
        ({"type": "tool_not_called", "name": "refund", "arguments": {"id": 9}}, True),
        ({"type": "max_tool_calls", "limit": 3}, True),
        ({"type": "max_tool_calls", "limit": 2}, False),
        ({"type": "max_tool_calls", "limit": 1, "name": "refund"}, True),
        ({"type": "max_tool_calls", "limit": 1, "name": "order"}, False),
        ({"type": "max_tool_calls", "limit": 1, "identical": True}, False),
        ({"type": "max_tool_calls", "limit": 2, "identical": True}, True),
        ({"type": "max_chars", "limit": len(TEXT)}, True),
        ({"type": "max_chars", "limit": len(TEXT) - 1}, False),
        ({"type": "all", "rules": [{"type": "contains", "text": "90"}, {"type": "contains", "text": "30"}]}, False),
        ({"type": "any", "rules": [{"type": "contains", "text": "90"}, {"type": "contains", "text": "30"}]}, True),
        ({"type": "any", "rules": [{"type": "contains", "text": "x1"}, {"type": "contains", "text": "x2"}]}, False),
    ],
)
def test_rule(rule: dict[str, Any], holds: bool) -> None:  # noqa: FBT001 - the expectation
    finding = check(parse_rule(rule), CASE, Output(TEXT, CALLS))
    assert finding.holds is holds
    assert finding.reason


def test_equals_compares_with_the_expected_output_of_the_case() -> None:
    assert check(parse_rule({"type": "equals"}), CASE, Output("Thirty days")).holds


@pytest.mark.parametrize(
    ("text", "holds", "words"),
    [
        ('{"days": 30}', True, "fits"),
        ('{"days": "30"}', False, "$.days"),
        ("thirty", False, "not JSON"),
    ],
)
def test_json_schema(text: str, holds: bool, words: str) -> None:  # noqa: FBT001 - the expectation
    rule = parse_rule({"type": "json_schema", "schema": {"properties": {"days": {"type": "integer"}}}})
    finding = check(rule, CASE, Output(text))
    assert finding.holds is holds
    assert words in finding.reason


def test_a_schema_that_is_wrong_itself_is_an_error_and_no_score() -> None:
    spec = parse_evaluator(
        {"id": "e", "failure_mode": "m", "rule": {"type": "json_schema", "schema": {"type": "nonsense"}}}
    )
    answer = RuleEvaluator(spec)(CASE, Output("{}"))
    assert isinstance(answer, EvaluatorError)
    assert "schema itself is wrong" in answer.message


def test_a_reason_quotes_the_finding_on_one_clean_line() -> None:
    spec = parse_evaluator({"id": "e", "failure_mode": "m", "rule": {"type": "not_contains", "text": "90"}})
    answer = RuleEvaluator(spec)(CASE, Output("a\n\x1b[31m90 days" + "x" * 500))
    assert isinstance(answer, Score)
    assert not answer.passed
    assert answer.score == 0.0
    assert "\\x1b[31m90 days" in answer.reason
    assert "\n" not in answer.reason
    assert "\x1b" not in answer.reason
    assert len(answer.reason) <= 300


@pytest.mark.parametrize(
    ("applies_to", "mode", "feature", "applies"),
    [
        (None, "m", None, True),
        (None, "n", None, False),
        ("all", "n", None, True),
        ({"all": True}, None, None, True),
        ({"failure_mode": ["n", "o"]}, "o", None, True),
        ({"feature": "refunds"}, "n", "refunds", True),
        ({"feature": "refunds"}, "n", "orders", False),
        ({"feature": "refunds", "failure_mode": "m"}, "n", "refunds", False),
    ],
)
def test_which_cases_an_evaluator_judges(
    applies_to: Any,
    mode: str | None,
    feature: str | None,
    applies: bool,  # noqa: FBT001 - the expectation
) -> None:
    said = {} if applies_to is None else {"applies_to": applies_to}
    spec = parse_evaluator({"id": "e", "failure_mode": "m", "rule": {"type": "max_chars", "limit": 1}, **said})
    assert spec.applies(Case("c", CaseInput((), "?"), failure_mode=mode, feature=feature)) is applies


def test_a_rule_that_needs_an_expected_output_skips_cases_without_one() -> None:
    inner = {"type": "any", "rules": [{"type": "equals"}, {"type": "max_chars", "limit": 0}]}
    spec = parse_evaluator({"id": "e", "failure_mode": "m", "applies_to": "all", "rule": inner})
    assert spec.applies(CASE)
    assert not spec.applies(Case("c", CaseInput((), "?")))
