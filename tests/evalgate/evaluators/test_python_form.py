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

from evalgate.evaluators.code import code_evaluator, shown_case
from evalgate.evaluators.python_form import python_form
from evalgate.evaluators.rules import RuleEvaluator
from schema.case import Case, CaseInput, Observed, case_to_json
from schema.evaluator import EvaluatorError, EvaluatorSpec, Score, parse_evaluator
from schema.run import Output
from tests.evalgate.evaluators.strategies import CASES, OUTPUTS, RULES

if TYPE_CHECKING:
    from pathlib import Path


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


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow], deadline=None)
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
