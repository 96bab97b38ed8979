"""The Python form of a rule says what the rule says, alone and on any machine."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalgate.evaluators.code import code_evaluator, shown_case
from evalgate.evaluators.python_form import python_form
from evalgate.evaluators.rules import RuleEvaluator
from schema.case import Case, CaseInput, Observed, case_to_json
from schema.evaluator import EvaluatorError, EvaluatorSpec, Score, parse_evaluator
from schema.run import Output

if TYPE_CHECKING:
    from pathlib import Path

WORDS = st.sampled_from(
    ["90 days", "30 days", "Refund", "refund!", "a", "ß", "SS", "\u2019", "I can't help with", "\n"]
)
TEXTS = st.lists(WORDS, max_size=6).map(" ".join)
SOME_TEXT = TEXTS.filter(str.strip)
VALUES = st.sampled_from([1, 1.0, True, "o-7", None, [1], {"a": 1}])
ARGUMENTS = st.dictionaries(st.sampled_from(["id", "full"]), VALUES, max_size=2)
CALLS = st.lists(st.fixed_dictionaries({"name": st.sampled_from(["t", "u"]), "arguments": ARGUMENTS}), max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, 1.0, "x", "xyz", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=6,
)
BOOLEANS = st.booleans()
SIZES = st.integers(0, 30)


def _rule(kind: str, **fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(kind), **fields})


SCHEMAS = st.recursive(
    st.booleans()
    | st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(
                ["string", "integer", "number", "object", "array", "boolean", "null", ["null", "string"]]
            ),
            "enum": st.lists(JSON, min_size=1, max_size=3),
            "const": JSON,
            "minLength": st.integers(0, 3),
            "pattern": st.sampled_from(["^x", "z"]),
            "minimum": st.integers(-3, 3),
            "exclusiveMaximum": st.integers(-3, 3),
            "required": st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True),
            "maxItems": st.integers(0, 2),
            "maxProperties": st.integers(0, 2),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
            "additionalProperties": inner,
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
        },
    ),
    max_leaves=5,
)
PATTERN = st.sampled_from([r"\b[39]0 days?\b", "^Refund", "(a|ß)", "days$"])
CASE_FLAG = {"ignore_case": BOOLEANS}
SIMPLE = st.one_of(
    _rule("contains", text=st.lists(WORDS, min_size=1, max_size=2), **CASE_FLAG),
    _rule("not_contains", text=st.lists(WORDS, min_size=1, max_size=2), **CASE_FLAG),
    _rule("equals", text=SOME_TEXT, **CASE_FLAG),
    _rule("equals", **CASE_FLAG),
    _rule("regex", pattern=PATTERN, **CASE_FLAG),
    _rule("not_regex", pattern=PATTERN, **CASE_FLAG),
    _rule(
        "similarity",
        min=st.sampled_from([0, 0.3, 0.5, 0.9, 1]),
        to=st.sampled_from(["expected", "observed"]),
        method=st.sampled_from(["ratio", "token_set", "rouge_l"]),
        **CASE_FLAG,
    ),
    _rule("refusal"),
    _rule("not_refusal"),
    _rule("finish_reason", one_of=st.sampled_from(["stop", ["stop", "length"]])),
    _rule("not_finish_reason", one_of=st.just("length")),
    _rule("valid_json"),
    _rule("json_fields", required=st.sampled_from(["/a", "/0", ["/a/b", "/c"]])),
    _rule("json_schema", schema=SCHEMAS.filter(lambda s: isinstance(s, dict) and bool(s))),
    _rule("tool_called", name=st.just("t"), arguments=ARGUMENTS),
    _rule("tool_not_called", name=st.just("t"), argument_patterns=st.just({"id": "o-"})),
    _rule(
        "tool_trajectory",
        match=st.sampled_from(["exact", "in_order", "any_order", "subset"]),
        calls=CALLS | st.lists(st.sampled_from(["t", "u"]), max_size=3),
    ),
    _rule(
        "tool_trajectory",
        match=st.sampled_from(["exact", "in_order", "any_order", "subset"]),
        compare_arguments=BOOLEANS,
        **{"from": st.sampled_from(["expected", "observed"])},
    ),
    _rule("max_tool_calls", limit=st.integers(0, 3), identical=BOOLEANS),
    _rule("max_steps", times=st.sampled_from([0.5, 1, 1.5]), of=st.sampled_from(["expected", "observed"])),
    _rule("max_chars", limit=SIZES),
    _rule("min_chars", limit=SIZES),
    _rule("max_output_tokens", limit=SIZES),
    _rule("max_cost_usd", limit=st.sampled_from([0, 0.001])),
)
RULES = SIMPLE | st.fixed_dictionaries(
    {"type": st.sampled_from(["all", "any"]), "rules": st.lists(SIMPLE, min_size=1, max_size=3)}
)
OUTPUTS = st.builds(
    Output,
    text=TEXTS | JSON.map(json.dumps),
    tool_calls=CALLS.map(tuple),
    finish_reason=st.sampled_from(["stop", "length", None]),
    output_tokens=st.none() | SIZES,
    cost_usd=st.sampled_from([None, 0.0, 0.01]),
)
CASES = st.builds(
    Case,
    case_id=st.just("c"),
    input=st.just(CaseInput((), "?")),
    observed=st.builds(Observed, output=st.none() | TEXTS, tool_calls=CALLS.map(tuple)),
    expected_output=st.none() | TEXTS,
    expected_tool_calls=st.none() | CALLS.map(tuple),
)


def spec_of(rule: dict[str, Any]) -> EvaluatorSpec:
    return parse_evaluator({"id": "e-1", "failure_mode": "m", "applies_to": "all", "rule": rule})


def evaluate(source: str, case: Case, output: Output) -> Any:
    """Run the file in this process, without this package in reach of its names."""
    names: dict[str, Any] = {"__name__": "form"}
    exec(compile(source, "e_1.py", "exec"), names)  # noqa: S102 - what is tested
    try:
        return names["evaluate"](json.loads(json.dumps(shown_case(case))), json.loads(json.dumps(asdict(output))))
    except ValueError as e:
        return e


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(RULES, CASES, OUTPUTS)
def test_both_forms_give_the_same_verdict(rule: dict[str, Any], case: Case, output: Output) -> None:
    spec = spec_of(rule)
    live = RuleEvaluator(spec)(case, output)
    alone = evaluate(python_form(spec), case, output)
    if isinstance(live, EvaluatorError):
        assert isinstance(alone, ValueError), (live, alone)
    else:
        assert not isinstance(alone, ValueError), (live, alone)
        assert (live.passed, live.score) == (alone["passed"], alone["score"]), (live, alone)


HOSTILE = {
    "text": '"""\nimport os\nos.system("true")\n"""',
    "escapes": "\\\"'''\\N{BULLET}\u202e\x00{case}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_of_a_file_becomes_code(name: str) -> None:
    text = HOSTILE[name]
    spec = parse_evaluator(
        {"id": "e", "failure_mode": "m", "description": text, "rule": {"type": "contains", "text": text}}
    )
    source = python_form(spec)
    imported = {a.name for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Import) for a in n.names}
    assert imported == {"json", "sys"}
    constants = [n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant)]
    assert text in constants
    case = Case("c", CaseInput((), "?"))
    assert evaluate(source, case, Output(f"see {text}!"))["passed"]


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ({"observed": {"output": "You have 90 days."}}, 1, {"score": 0.0, "passed": False}),
        ({"observed": {"output": "You have 30 days."}}, 0, {"score": 1.0, "passed": True}),
        ({"case": {"case_id": "c"}, "output": "30 days"}, 0, {"passed": True}),
        ({"case": {"case_id": "c"}, "output": {"output": "90 days"}}, 1, {"passed": False}),
        ({}, 2, {"error": "KeyError: 'observed'"}),
        ([], 2, {}),
    ],
)
def test_a_stranger_can_run_it(tmp_path: Path, given: Any, code: int, said: dict[str, Any]) -> None:
    path = tmp_path / "window.py"
    path.write_text(python_form(spec_of({"type": "not_contains", "text": "90 days"})), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(path)],
        input=json.dumps(given).encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code
    assert said.items() <= json.loads(done.stdout).items()


def test_it_is_code_of_an_evaluator_file_too() -> None:
    source = python_form(
        spec_of({"type": "all", "rules": [{"type": "regex", "pattern": "days"}, {"type": "valid_json"}]})
    )
    spec = parse_evaluator({"id": "e", "failure_mode": "m", "code": "e.py"})
    evaluator = code_evaluator(spec, source, "e.py")
    answers = [evaluator(Case("c", CaseInput((), "?")), Output(t)) for t in ('"30 days"', "30 days")]
    evaluator.sandbox.close()
    assert [isinstance(a, Score) and a.passed for a in answers] == [True, False]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"judge": {"criteria": "polite"}}, "only rules have a Python form"),
        ({"rule": {"type": "json_schema", "schema": {"properties": {"a": {"$ref": "#"}}}}}, r"uses \$ref"),
        ({"rule": {"type": "any", "rules": [{"type": "json_schema", "schema": {"contains": {}}}]}}, "uses contains"),
    ],
)
def test_what_has_no_python_form_says_so(body: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        python_form(parse_evaluator({"id": "e", "failure_mode": "m", **body}))


def test_the_case_of_the_file_is_the_case_of_a_dataset() -> None:
    case = Case("c", CaseInput((), "?"), observed=Observed("so", ({"name": "t", "arguments": {}},)))
    source = python_form(spec_of({"type": "tool_trajectory", "match": "exact", "from": "observed"}))
    names: dict[str, Any] = {"__name__": "form"}
    exec(compile(source, "e_1.py", "exec"), names)  # noqa: S102 - what is tested
    assert names["evaluate"](case_to_json(case), case_to_json(case)["observed"])["passed"]
