"""The rules beyond texts: likeness, refusals, JSON, trajectories, cost. What holds, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from rapidfuzz import fuzz

from evalgate.evaluators.checks.likeness import common, likeness
from evalgate.evaluators.rules import RuleEvaluator, check
from evalgate.evaluators.similarity import fast_likeness
from schema.case import Case, CaseInput, Observed
from schema.evaluator import EvaluatorError, Evidence, Score, parse_evaluator, parse_rule
from schema.run import Output

CALLS = (
    {"name": "order", "arguments": {"id": "o-7"}},
    {"name": "refund", "arguments": {"id": "o-7", "usd": 20}},
    {"name": "mail", "arguments": {"to": "a@example.com"}},
)
CASE = Case(
    "c",
    CaseInput((), "?"),
    observed=Observed("You have thirty days.", CALLS[:2]),
    expected_output="You have 30 days, says the policy.",
    expected_tool_calls=CALLS,
    failure_mode="m",
)
TEXT = "The policy says you have 30 days."
OUTPUT = Output(TEXT, CALLS, "stop", 100, 50, 0.002)


def trajectory(match: str, *calls: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tool_trajectory", "match": match, "calls": list(calls), **more}


@pytest.mark.parametrize(
    ("rule", "holds", "words"),
    [
        ({"type": "exact", "text": TEXT}, True, "is the expected text"),
        ({"type": "similarity", "min": 0.47}, True, "likeness (ratio) is 0.478"),
        ({"type": "similarity", "min": 0.9}, False, 'at least 0.9 is asked for: "The policy'),
        ({"type": "similarity", "min": 1, "method": "token_set", "ignore_case": True}, True, "1.000"),
        ({"type": "similarity", "min": 0.6, "method": "rouge_l", "to": "observed"}, False, "0.364"),
        ({"type": "similarity", "min": 1, "text": f" {TEXT}\n"}, True, "1.000"),
        ({"type": "min_chars", "limit": 33}, True, "33 characters"),
        ({"type": "min_chars", "limit": 34}, False, "at least 34"),
        ({"type": "refusal"}, False, "does not begin like a refusal"),
        ({"type": "not_refusal"}, True, "does not begin"),
        ({"type": "finish_reason", "one_of": "stop"}, True, "'stop'"),
        ({"type": "finish_reason", "one_of": ["length", "content_filter"]}, False, "not length or content_filter"),
        ({"type": "not_finish_reason", "one_of": "stop"}, False, "'stop'"),
        ({"type": "valid_json"}, False, "is not JSON"),
        ({"type": "json_fields", "required": "/a"}, False, "is not JSON"),
        ({"type": "max_output_tokens", "limit": 50}, True, "wrote 50 tokens"),
        ({"type": "max_output_tokens", "limit": 49}, False, "the limit is 49"),
        ({"type": "max_cost_usd", "limit": 0.002}, True, "cost 0.002 USD"),
        ({"type": "max_cost_usd", "limit": 0.001}, False, "the limit is 0.001"),
        ({"type": "max_steps", "times": 1}, False, "4 steps; the limit is 3"),
        ({"type": "max_steps", "times": 1.34}, True, "1.34 times"),
        ({"type": "max_steps", "times": 1, "of": "expected"}, True, "the limit is 4"),
        ({"type": "tool_called", "name": "order", "argument_patterns": {"id": r"^o-\d$"}}, True, "was called"),
        ({"type": "tool_called", "name": "order", "argument_patterns": {"id": r"^x"}}, False, "like /^x/"),
        ({"type": "tool_called", "name": "refund", "argument_patterns": {"usd": "^20$"}}, True, "was called"),
        ({"type": "tool_called", "name": "refund", "arguments": {"usd": True}}, False, '"usd": 20'),
        (trajectory("exact", "order", "refund", "mail"), True, "as wanted"),
        (trajectory("exact", "order", "mail", "refund"), False, "call 2 is refund"),
        (trajectory("exact", "order", "refund"), False, "3 tool calls where 2 are wanted"),
        (trajectory("exact"), False, "where 0 are wanted (no tool)"),
        (trajectory("in_order", "order", "mail"), True, "as wanted"),
        (trajectory("in_order", "mail", "order"), False, "order was not called in its order"),
        (trajectory("in_order", "order", "order"), False, "order was not called in its order"),
        (trajectory("any_order", "mail", "order"), True, "as wanted"),
        (trajectory("any_order", "order", "order"), False, "order was not called"),
        (trajectory("subset", "order", "refund", "mail", "lookup"), True, "as wanted"),
        (trajectory("subset", "order", "mail"), False, "refund("),
        (trajectory("in_order", {"name": "refund", "arguments": {"usd": 20}}), True, "as wanted"),
        (trajectory("in_order", {"name": "refund", "arguments": {"usd": 21}}), False, '{"usd": 21}'),
        ({"type": "tool_trajectory", "match": "exact", "from": "expected"}, True, "as wanted"),
        ({"type": "tool_trajectory", "match": "exact", "from": "observed"}, False, "3 tool calls where 2"),
        ({"type": "tool_trajectory", "match": "in_order", "from": "observed"}, True, "as wanted"),
    ],
)
def test_a_rule_holds_or_says_why_not(rule: dict[str, Any], holds: bool, words: str) -> None:  # noqa: FBT001 - the expectation
    finding = check(parse_rule(rule), CASE, OUTPUT)
    assert finding.holds is holds, finding
    assert words in finding.reason


@pytest.mark.parametrize(
    ("wanted", "given", "holds"),
    [(1, 1.0, True), (1, True, False), (0, False, False), ([1], [True], False), ({"a": 0}, {"a": False}, False)],
)
def test_true_is_not_one(wanted: Any, given: Any, holds: bool) -> None:  # noqa: FBT001 - the expectation
    rule = parse_rule({"type": "tool_called", "name": "t", "arguments": {"x": wanted}})
    assert check(rule, CASE, Output("", ({"name": "t", "arguments": {"x": given}},))).holds is holds


def test_arguments_of_the_case_count_unless_they_are_left_out() -> None:
    other = Output(TEXT, tuple({**c, "arguments": {"id": 1}} for c in CALLS))
    for compare, holds in ((True, False), (False, True)):
        rule = {"type": "tool_trajectory", "match": "exact", "from": "expected", "compare_arguments": compare}
        assert check(parse_rule(rule), CASE, other).holds is holds


def test_any_order_finds_an_assignment_where_taking_the_first_would_not() -> None:
    made = ({"name": "t", "arguments": {"a": 1, "b": 1}}, {"name": "t", "arguments": {"a": 1}})
    wanted = ({"name": "t", "arguments": {"a": 1}}, {"name": "t", "arguments": {"b": 1}})
    assert check(parse_rule(trajectory("any_order", *wanted)), CASE, Output("", made)).holds


@pytest.mark.parametrize(
    ("text", "is_refusal"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I\u2019m unable to help with medical questions.", True),
        ("As an AI language model, I cannot say.", True),
        ("Sorry,\n  I can't do that", True),
        ("Your refund is on its way. I can help with more.", False),
        ("Long answer. " * 60 + "I can't help with the rest.", False),
        ("", False),
    ],
)
def test_a_refusal_is_known_by_how_it_begins(text: str, is_refusal: bool) -> None:  # noqa: FBT001 - the expectation
    assert check(parse_rule({"type": "refusal"}), CASE, Output(text)).holds is is_refusal
    assert check(parse_rule({"type": "not_refusal"}), CASE, Output(text)).holds is not is_refusal


@pytest.mark.parametrize(
    ("text", "pointers", "holds"),
    [
        ('{"a": {"b": [1, {"c": false}]}}', ["/a/b/1/c", "/a/b/0"], True),
        ('{"a": {"b": null}}', ["/a/b"], False),
        ('{"a/b": 1, "~": 2, "": 3}', ["/a~1b", "/~0", "/"], True),
        ('{"a": [1]}', ["/a/1"], False),
        ('{"a": [1]}', ["/a/01"], False),
        ('{"a": [1]}', ["/a/-"], False),
        ('{"a": NaN}', ["/a"], False),
        ('"text"', ["/a"], False),
    ],
)
def test_json_pointers(text: str, pointers: list[str], holds: bool) -> None:  # noqa: FBT001 - the expectation
    assert check(parse_rule({"type": "json_fields", "required": pointers}), CASE, Output(text)).holds is holds


@pytest.mark.parametrize(
    ("rule", "output", "words"),
    [
        ({"type": "max_output_tokens", "limit": 5}, Output("x"), "did not say how many tokens"),
        ({"type": "max_cost_usd", "limit": 5}, Output("x"), "did not say what the output cost"),
        ({"type": "finish_reason", "one_of": "stop"}, Output("x"), "did not say why"),
        ({"type": "not_finish_reason", "one_of": "stop"}, Output("x"), "did not say why"),
        ({"type": "similarity", "min": 0.1}, Output("x" * 100_001), "too long to compare"),
        ({"type": "json_schema", "schema": {"type": "x"}}, Output("1"), "the schema itself is wrong"),
        ({"type": "valid_json"}, Output("[" * 200_000), None),
        (trajectory("any_order", "t"), Output("", ({"name": "t"},) * 301), "too many to compare"),
    ],
)
def test_where_nothing_can_be_said_it_is_an_error_and_never_a_pass(
    rule: dict[str, Any], output: Output, words: str | None
) -> None:
    spec = parse_evaluator({"id": "e", "failure_mode": "m", "rule": rule})
    answer = RuleEvaluator(spec)(CASE, output)
    if words is None:
        assert not (isinstance(answer, Score) and answer.passed)
    else:
        assert isinstance(answer, EvaluatorError)
        assert words in answer.message
    both = parse_evaluator(
        {
            "id": "e",
            "failure_mode": "m",
            "rule": {"type": "any", "rules": [{"type": "max_chars", "limit": 10**6}, rule]},
        }
    )
    assert isinstance(RuleEvaluator(both)(CASE, output), EvaluatorError) is (words is not None)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("", ""),
        ("a", ""),
        ("abcd", "acbd"),
        ("the cat sat", "a cat sat down"),
        ("ÄÖ ü", "ü ÄÖ"),
        ("ab" * 300, "ba" * 300),
    ],
)
def test_likeness_is_that_of_the_library(left: str, right: str) -> None:
    assert likeness(left, right, "ratio") == pytest.approx(fuzz.ratio(left, right) / 100)
    for method in ("ratio", "token_set", "rouge_l"):
        assert fast_likeness(left, right, method) == likeness(left, right, method)
        assert likeness(left, right, method) == likeness(right, left, method)


def test_the_longest_common_subsequence_of_words() -> None:
    assert common(["police", "killed", "the", "gunman"], ["police", "kill", "the", "gunman"]) == 3
    assert likeness("police killed the gunman", "the gunman kill police", "rouge_l") == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("body", "evidence"),
    [
        ({"rule": {"type": "contains", "text": "x"}}, Evidence.OUTCOME),
        ({"rule": {"type": "tool_called", "name": "t"}}, Evidence.BEHAVIOUR),
        ({"rule": {"type": "valid_json"}}, Evidence.BEHAVIOUR),
        ({"rule": {"type": "max_tool_calls", "limit": 1}}, Evidence.TRAJECTORY),
        ({"rule": trajectory("exact", "t")}, Evidence.TRAJECTORY),
        ({"rule": {"type": "max_cost_usd", "limit": 1}}, Evidence.TRAJECTORY),
        (
            {"rule": {"type": "all", "rules": [{"type": "max_cost_usd", "limit": 1}, {"type": "refusal"}]}},
            Evidence.BEHAVIOUR,
        ),
        ({"judge": {"criteria": "polite"}}, Evidence.JUDGE),
        ({"code": "c.py"}, Evidence.OUTCOME),
        ({"use": "other", "eval_type": "llm_judge"}, Evidence.JUDGE),
        ({"rule": {"type": "contains", "text": "x"}, "evidence": "integrity"}, Evidence.INTEGRITY),
    ],
)
def test_the_kind_of_evidence_follows_from_what_judges(body: dict[str, Any], evidence: Evidence) -> None:
    assert parse_evaluator({"id": "e", "failure_mode": "m", **body}).evidence is evidence


@pytest.mark.parametrize(
    ("rule", "lacking"),
    [
        ({"type": "similarity", "min": 0.5}, {"expected_output": None}),
        ({"type": "similarity", "min": 0.5, "to": "observed"}, {"observed": Observed()}),
        ({"type": "tool_trajectory", "match": "exact", "from": "expected"}, {"expected_tool_calls": None}),
        ({"type": "tool_trajectory", "match": "exact", "from": "observed"}, {"observed": Observed()}),
        ({"type": "max_steps", "times": 1}, {"observed": Observed()}),
    ],
)
def test_a_case_without_what_is_compared_with_is_not_judged(rule: dict[str, Any], lacking: dict[str, Any]) -> None:
    spec = parse_evaluator({"id": "e", "failure_mode": "m", "rule": rule})
    assert spec.applies(CASE)
    assert not spec.applies(replace(CASE, **lacking))


def test_a_reason_quotes_hostile_content_on_one_safe_line() -> None:
    rule = {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}
    spec = parse_evaluator({"id": "e", "failure_mode": "m", "rule": rule})
    answer = RuleEvaluator(spec)(CASE, Output(json.dumps({"\x1b[2J\n\u202e" + "x" * 1000: 1})))
    assert isinstance(answer, Score)
    assert not answer.passed
    assert "\x1b" not in answer.reason
    assert "\n" not in answer.reason
    assert len(answer.reason) <= 300
