"""Patterns and schemas cannot hang a run, and give the verdicts they would give without their bounds."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pytest

from evalgate.evaluators.patterns import MAX_STEPS_HERE, PatternSearch, most_steps, patterns_of
from evalgate.evaluators.rules import Engines, RuleEvaluator
from schema.case import Case, CaseInput
from schema.evaluator import EvaluatorError, Score, parse_evaluator
from schema.run import Output

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CASE = Case("c", CaseInput((), "?"), failure_mode="m")
HOSTILE = "a" * 40 + "!"


@pytest.fixture(scope="module")
def search() -> Iterator[PatternSearch]:
    found = PatternSearch(deadline_s=0.5)
    yield found
    found.close()


@pytest.mark.parametrize(
    "rule",
    [
        {"type": "regex", "pattern": r"^(a+)+$"},
        {"type": "regex", "pattern": r"^(?x: ( a+ ) +)$"},
        {"type": "tool_called", "name": "t", "argument_patterns": {"x": r"^(a+)+$"}},
        {
            "type": "tool_trajectory",
            "match": "any_order",
            "calls": [{"name": "t", "argument_patterns": {"x": "(a+)+$"}}],
        },
    ],
)
def test_a_pattern_that_explodes_is_an_error_soon_and_the_next_case_is_judged(
    search: PatternSearch, rule: dict[str, object]
) -> None:
    spec = parse_evaluator({"id": "e", "failure_mode": "m", "rule": rule})
    evaluator = RuleEvaluator(spec, Engines(search))
    began = time.monotonic()
    answer = evaluator(CASE, Output(HOSTILE, ({"name": "t", "arguments": {"x": HOSTILE}},)))
    assert isinstance(answer, EvaluatorError)
    assert "no answer within 0.5 s" in answer.message
    assert time.monotonic() - began < 20
    assert isinstance(evaluator(CASE, Output("aaa", ({"name": "t", "arguments": {"x": "aaa"}},))), Score)


def test_a_schema_with_a_pattern_that_explodes_is_an_error() -> None:
    schema = {"type": "object", "patternProperties": {"^(a+)+$": {"type": "string"}}}
    spec = parse_evaluator({"id": "e", "failure_mode": "m", "rule": {"type": "json_schema", "schema": schema}})
    search = PatternSearch(schema_deadline_s=0.5)
    evaluator = RuleEvaluator(spec, Engines(search))
    assert isinstance(evaluator(CASE, Output('{"aa": "x"}')), Score)
    answer = evaluator(CASE, Output(f'{{"{HOSTILE}": 1}}'))
    assert isinstance(answer, EvaluatorError)
    assert "no answer within 0.5 s" in answer.message
    search.close()


def test_a_schema_that_compares_every_item_with_every_other_is_an_error_soon() -> None:
    rule = {"type": "json_schema", "schema": {"type": "array", "uniqueItems": True}}
    search = PatternSearch(schema_deadline_s=0.5)
    evaluator = RuleEvaluator(parse_evaluator({"id": "e", "failure_mode": "m", "rule": rule}), Engines(search))
    answer = evaluator(CASE, Output(json.dumps([{"a": n} for n in range(15_000)])))
    assert isinstance(answer, EvaluatorError)
    assert "no answer within 0.5 s" in answer.message
    search.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_schema_that_points_elsewhere_fetches_nothing(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    for url in ((tmp_path / "schema.json").as_uri(), "http://127.0.0.1:9/schema.json", "#/$defs/absent"):
        rule = {"type": "json_schema", "schema": {"$ref": url}}
        answer = RuleEvaluator(parse_evaluator({"id": "e", "failure_mode": "m", "rule": rule}))(CASE, Output("{}"))
        assert isinstance(answer, EvaluatorError)
        assert "points at what is not in it" in answer.message


@pytest.mark.parametrize("pattern", [r"\b90[- ]days?\b", r"^\s*\{", "very (busy|full) now", r"[+*({]\)", r"a{2,3}b"])
def test_what_people_write_runs_here(pattern: str) -> None:
    assert most_steps(pattern, 2000) <= MAX_STEPS_HERE


@pytest.mark.parametrize(
    "pattern",
    [r"(a+)+", r"(a|b)*c", r"(?x)( a+ ) +", r"(\w+\s?){5,}", r".*.*.*x", "(?i)(ab)+", "(a?){30}", "((a)?|b)+"],
)
def test_what_may_explode_runs_apart(pattern: str) -> None:
    assert most_steps(pattern, 2000) > MAX_STEPS_HERE


def test_more_text_or_more_repeats_never_lower_the_bound() -> None:
    assert most_steps("a+b", 100) < most_steps("a+b", 10_000) < most_steps("a+b+", 10_000)
    assert most_steps("a" + "b?" * 4000, 10) > MAX_STEPS_HERE


@pytest.mark.parametrize("pattern", [r"(?:ab|c)+", r"(\d+,)*\d+", "(é)+", r"([^\x00-\x7f]{2})+"])
@pytest.mark.parametrize("text", ["", "xabcab", "ÉÉ 1,22,333", "日本語 café", "\ud800", "\x00\n\u2028"])
@pytest.mark.parametrize("ignore_case", [False, True])
def test_the_child_finds_what_re_finds(search: PatternSearch, pattern: str, text: str, *, ignore_case: bool) -> None:
    found = re.search(pattern, text, re.IGNORECASE if ignore_case else 0)
    assert search(pattern, text, ignore_case=ignore_case) == (found.span() if found else None)


def test_every_pattern_of_a_schema_is_seen() -> None:
    schema = {
        "properties": {"a": {"pattern": "A"}, "pattern": {"type": "string"}},
        "patternProperties": {"P": {"items": [{"pattern": "B"}]}},
        "anyOf": [{"not": {"pattern": "C"}}],
    }
    assert sorted(patterns_of(schema)) == ["A", "B", "C", "P"]
