"""The file format of evaluators: read, written and described by one declaration."""

from __future__ import annotations

import contextlib
import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schema.evaluator import (
    RULE_TYPES,
    RULES,
    EvalType,
    Mistaken,
    evaluator_schema,
    parse_evaluator,
    parse_rule,
    rule_to_json,
    spec_to_json,
    spec_to_yaml,
)
from schema.evaluator.file import FIELDS
from tests.evalgate.evaluators.strategies import JSON
from tests.evalgate.evaluators.strategies import RULES as ANY_RULE

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path("schema/evaluator.schema.json")
LINES = st.text(max_size=12).filter(str.strip)
NAMES = st.sampled_from(["m", "tool_loop", "wrong policy"])
APPLIES = st.sampled_from(["all", {"all": True}, {"failure_mode": ["m", "n"]}, {"feature": "refunds"}])
JUDGE = st.fixed_dictionaries(
    {"criteria": LINES},
    optional={
        "prompt": LINES,
        "model": LINES,
        "pass_at": st.sampled_from([0.8, 0.5, 1]),
        "repeats": st.integers(1, 5),
        "examples": st.lists(
            st.fixed_dictionaries({"output": LINES, "score": st.just(0.5), "reasoning": LINES}), max_size=2
        ),
    },
)
BODIES = st.one_of(
    st.fixed_dictionaries({"rule": ANY_RULE}),
    st.fixed_dictionaries({"code": st.just("mine.py")}),
    st.fixed_dictionaries({"judge": JUDGE}),
    st.fixed_dictionaries({"use": st.just("politeness")}, optional={"with": st.just({"language": "de"})}),
)
GENERATED = st.fixed_dictionaries(
    {"by": st.just("evalgate 0.1.0"), "at": st.just("2026-11-20T09:00:00Z"), "method": st.just("rule_search")},
    optional={"issue": st.integers(1, 9), "data_version": st.just("abc")},
)
DOCUMENTS = st.builds(
    lambda head, body: {**head, **body},
    st.fixed_dictionaries(
        {"id": st.sampled_from(["e", "refund-window.2"]), "failure_mode": NAMES},
        optional={
            "description": LINES,
            "applies_to": APPLIES,
            "threshold": st.sampled_from([0, 0.8, 1]),
            "mcc_score": st.sampled_from([-1, 0.62]),
            "coverage_target": LINES,
            "must_not_break": st.booleans(),
            "evidence": st.sampled_from(["outcome", "trajectory"]),
            "generated": GENERATED,
        },
    ),
    BODIES,
)
SEMANTIC = ("regular expression", "has eval_type", "is not a name", "nested more than")
"""Mistakes that a JSON Schema cannot see."""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(DOCUMENTS)
@example(
    {
        "id": "e",
        "failure_mode": "m",
        "judge": {"criteria": "a\x85", "prompt": " b\n\tc \n", "model": "\u2028\x07\ufeff"},
    }
)
def test_what_is_written_reads_the_same(document: dict[str, Any]) -> None:
    spec = parse_evaluator(document)
    text = spec_to_yaml(spec)
    again = parse_evaluator(yaml.safe_load(text))
    assert again == spec, text
    assert again.version == spec.version
    assert spec_to_yaml(again) == text


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _places(item, (*path, key))


def _mutated(document: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """Return a document with one thing changed, taken away or added somewhere."""
    changed: dict[str, Any] = {"root": copy.deepcopy(document)}
    path = ("root", *data.draw(st.sampled_from(list(_places(document))[1:])))
    parent: Any = changed
    for key in path[:-1]:
        parent = parent[key]
    deed = data.draw(st.sampled_from(["replace", "remove", "add"]))
    if deed == "remove":
        del parent[path[-1]]
    elif deed == "replace":
        parent[path[-1]] = data.draw(JSON | st.sampled_from(["all", "contains", -1, 1e16, "", " "]))
    elif isinstance(parent, dict):
        parent[data.draw(st.sampled_from(["rule", "limt", "calls", "from", "text", "to", "with", "judge"]))] = (
            data.draw(JSON)
        )
    root: dict[str, Any] = changed["root"]
    return root


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(DOCUMENTS, st.data())
def test_the_schema_and_the_parser_agree(document: dict[str, Any], data: st.DataObject) -> None:
    _agree(document)
    _agree(_mutated(document, data))


VALIDATOR = jsonschema.Draft202012Validator(evaluator_schema())


def _agree(document: dict[str, Any]) -> None:
    with contextlib.suppress(Mistaken):
        parse_evaluator(document)
        assert VALIDATOR.is_valid(document), document
        return
    with pytest.raises(Mistaken) as error:
        parse_evaluator(document)
    seen = [m for m in error.value.mistakes if not any(word in m.message for word in SEMANTIC)]
    assert bool(seen) is not VALIDATOR.is_valid(document), (document, error.value.mistakes)


def test_the_schema_file_is_the_one_of_the_parser() -> None:
    assert json.loads(FILE.read_text(encoding="utf-8")) == json.loads(json.dumps(evaluator_schema())), (
        "write it anew: evalgate evals check --schema > schema/evaluator.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(evaluator_schema())


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from([f.name for f in FIELDS]), JSON, max_size=5) | JSON)
def test_no_value_is_anything_but_a_mistake(value: Any) -> None:
    with contextlib.suppress(Mistaken):
        parse_evaluator(value)
    with contextlib.suppress(Mistaken):
        parse_rule(value)


def test_every_rule_type_has_a_class_and_is_drawn() -> None:
    kinds = {type(parse_rule(_least(name))) for name in RULES}
    assert kinds == set(RULE_TYPES)


def _least(name: str) -> dict[str, Any]:
    """Return the smallest rule of a type."""
    values = {
        "text": "x",
        "pattern": "x",
        "min": 0.5,
        "one_of": "stop",
        "schema": {"type": "object"},
        "required": "/a",
        "name": "t",
        "match": "exact",
        "limit": 1,
        "times": 1,
        "rules": [{"type": "valid_json"}],
    }
    form = RULES[name]
    rule = {"type": name, **{f.name: values[f.name] for f in form.fields if f.is_required}}
    return {**rule, "calls": ["t"]} if name == "tool_trajectory" else rule


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_written_by_its_first_name(name: str) -> None:
    rule = parse_rule(_least(name))
    written = rule_to_json(rule)
    assert parse_rule(written) == rule
    assert written["type"] == ("equals" if name == "exact" else name)


def test_every_mistake_is_told_with_its_path() -> None:
    with pytest.raises(Mistaken) as error:
        parse_evaluator(
            {
                "id": "a b",
                "rule": {
                    "type": "all",
                    "rules": [{"type": "contains", "tex": 1}, {"type": "regx"}, {"type": "regex", "pattern": "("}],
                },
                "thresold": 1,
                "mcc_score": None,
            }
        )
    told = {m.path: m.message for m in error.value.mistakes}
    assert set(told) == {
        ("id",),
        (),
        ("rule", "rules", 0),
        ("rule", "rules", 0, "tex"),
        ("rule", "rules", 1, "type"),
        ("rule", "rules", 2, "pattern"),
        ("thresold",),
        ("mcc_score",),
    }
    assert "lacks 'failure_mode'" in told[()]
    assert "Did you mean 'text'?" in told[("rule", "rules", 0, "tex")]
    assert "is empty" in told[("mcc_score",)]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "lacks 'rule'"),
        ({"rule": {"type": "valid_json"}, "code": "a.py"}, "has 'rule' and 'code'; it can have one"),
        ({"code": "../a.py"}, "a .py file beside this one"),
        ({"code": "/etc/a.py"}, "a .py file beside this one"),
        ({"code": ".a.py"}, "a .py file beside this one"),
        ({"rule": {"type": "valid_json"}, "with": {"a": 1}}, "lacks 'use'"),
        ({"judge": {"criteria": "x"}, "eval_type": "rule"}, "a judge is of eval_type llm_judge"),
        ({"judge": {"criteria": "x", "pass_at": 0}}, "between 0 and 1"),
        ({"judge": {"criteria": "x", "repeats": 0}}, "1 or more"),
        ({"judge": {"criteria": ""}}, "says something"),
        ({"rule": {"type": "similarity", "min": 0.5, "to": "expected", "text": "x"}}, "'to' or 'text'"),
        ({"rule": {"type": "tool_trajectory", "match": "exact"}}, "give 'calls', or 'from'"),
        ({"rule": {"type": "tool_trajectory", "match": "unordered", "calls": []}}, "must be one of exact"),
        ({"rule": {"type": "refusal", "phrases": "fr-1"}}, "is not known: 'fr-1'"),
        ({"rule": {"type": "json_fields", "required": "a.b"}}, "JSON pointers such as"),
        ({"rule": {"type": "regex", "pattern": "[[a]"}}, "is not a regular expression: Possible nested set"),
        ({"rule": {"type": "regex", "pattern": "(" * 3000}}, "is not a regular expression"),
        ({"evidence": "hearsay", "rule": {"type": "valid_json"}}, "must be one of outcome"),
        ({"generated": {"by": "x"}, "rule": {"type": "valid_json"}}, "generated lacks 'at'"),
    ],
)
def test_bodies_that_do_not_agree_say_how(said: dict[str, Any], words: str) -> None:
    with pytest.raises(Mistaken) as error:
        parse_evaluator({"id": "e", "failure_mode": "m", **said})
    assert words in str(error.value)


def test_the_version_follows_the_body_the_code_and_the_package() -> None:
    def spec(**body: Any) -> Any:
        return parse_evaluator({"id": "e", "failure_mode": "m", **body})

    code, plugin = spec(code="a.py"), spec(use="p")
    versions = {
        code.version,
        replace(code, body=replace(code.body, source_hash="1")).version,
        plugin.version,
        replace(plugin, body=replace(plugin.body, release="acme 1.0")).version,
        spec(use="p", **{"with": {"a": 1}}).version,
        spec(judge={"criteria": "x"}).version,
        spec(judge={"criteria": "x", "pass_at": 0.7}).version,
        spec(judge={"criteria": "x", "model": "m"}).version,
        spec(rule={"type": "equals", "text": "x"}).version,
        spec(rule={"type": "not_contains", "text": "x"}).version,
        spec(rule={"type": "contains", "text": "x"}).version,
    }
    assert len(versions) == 11
    assert spec(rule={"type": "exact", "text": "x"}).version == spec(rule={"type": "equals", "text": "x"}).version
    for same in ({"must_not_break": True}, {"evidence": "integrity"}, {"eval_type": "rule"}):
        assert spec(rule={"type": "valid_json"}, **same).version == spec(rule={"type": "valid_json"}).version


def test_who_may_block_without_being_measured() -> None:
    made = {"by": "evalgate 0.1.0", "at": "2026-11-20T09:00:00Z", "method": "rule_search"}
    rule = {"id": "e", "failure_mode": "m", "rule": {"type": "valid_json"}}
    assert parse_evaluator(rule).is_deterministic_by_hand
    assert not parse_evaluator({**rule, "generated": made}).is_deterministic_by_hand
    judge = parse_evaluator({"id": "e", "failure_mode": "m", "judge": {"criteria": "x"}})
    assert judge.eval_type is EvalType.LLM_JUDGE
    assert not judge.is_deterministic_by_hand
    assert spec_to_json(judge) == {"id": "e", "failure_mode": "m", "eval_type": "llm_judge", "judge": {"criteria": "x"}}
