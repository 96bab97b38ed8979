"""Evaluator files: strict, with the name that was probably meant."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evalgate.errors import BadInput
from evalgate.evaluators.files import WrongFile
from evalgate.evaluators.load import load_evaluator, load_evaluators
from schema.evaluator import parse_evaluator
from tests.evalgate.builders import WINDOW

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must be an object, not null"),
        ("- a", "must be an object, not a list"),
        ("id: [", "a.yaml line 1: is not YAML: expected"),
        ("id: a\nid: b", "a.yaml line 2: is not YAML: the key 'id' stands twice"),
        ("id: a", "lacks 'failure_mode'"),
        ("id: a b\nfailure_mode: m\nrule: {}", "'id' must be letters"),
        ("id: a\nfailure_mode: m", "lacks 'rule'"),
        ("id: a\nfailure_mode: m\nrule: {type: contain, text: x}", "Did you mean 'contains'?"),
        ("id: a\nfailure_mode: m\nrule: {type: contains, txt: x}", "lacks 'text'"),
        ("id: a\nfailure_mode: m\nrule: {type: contains, text: ['']}", "'text' must be a text or a list"),
        ("id: a\nfailure_mode: m\nrule: {type: max_chars, limit: 1, nmae: x}", "unknown field 'nmae'"),
        ("id: a\nfailure_mode: m\nrule: {type: max_chars, limit: '5'}", "must be a whole number, not a string"),
        ("id: a\nfailure_mode: m\nrule: {type: max_chars, limit: -1}", "0 or more"),
        ("id: a\nfailure_mode: m\nrule: {type: regex, pattern: '('}", "is not a regular expression"),
        ("id: a\nfailure_mode: m\nrule: {type: all}", "lacks 'rules'"),
        ("id: a\nfailure_mode: m\nrule: {type: max_chars, limit: 1}\nthreshhold: 1", "Did you mean 'threshold'?"),
        ("id: a\nfailure_mode: m\nrule: {type: max_chars, limit: 1}\nthreshold: 80", "between 0 and 1"),
        ("id: a\nfailure_mode: m\nrule: {type: max_chars, limit: 1}\nmcc_score: .nan", "must be a number"),
        (
            "id: a\nfailure_mode: m\nrule: {type: max_chars, limit: 1}\neval_type: llm_judge",
            "a rule is of eval_type rule",
        ),
        ("id: a\nfailure_mode: m\nrule: {type: max_chars, limit: 1}\napplies_to: {}", "names nothing"),
        ("id: a\nfailure_mode: m\nrule: {type: max_chars, limit: 1}\napplies_to: {mode: x}", "unknown field 'mode'"),
        ("id: a\nfailure_mode: m\nrule: {type: tool_called, name: t, arguments: {d: 2026-01-01}}", "not JSON"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(BadInput) as error:
        load_evaluator(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)


def test_mistakes_come_in_the_order_of_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("threshhold: 1\nid: a b\nrule: {type: contain}\nfailure_mode: m\nmcc_score: x\n")
    with pytest.raises(WrongFile) as error:
        load_evaluator(path)
    lines = [m.line for m in error.value.mistakes]
    assert len(lines) > 2
    assert lines == sorted(lines)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    rule = "{type: max_chars, limit: 1}"
    for _ in range(10):
        rule = f"{{type: all, rules: [{rule}]}}"
    (tmp_path / "a.yaml").write_text(f"id: a\nfailure_mode: m\nrule: {rule}")
    with pytest.raises(BadInput, match="nested more than 8 deep"):
        load_evaluator(tmp_path / "a.yaml")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=40) | st.binary(max_size=20), st.integers(0, 60))
@example("id: " + "[" * 600, 0)
@example("id: a\nfailure_mode: m\nrule: {type: max_chars, limit: " + "9" * 5000 + "}", 0)
@example("id: !!python/object/apply:os.system [true]", 0)
@example("{? [a]: b}", 0)
@example("--- a\n--- b", 0)
def test_no_file_is_anything_but_wrong(tmp_path: Path, noise: str | bytes, at: int) -> None:
    path = tmp_path / "a.yaml"
    raw = noise if isinstance(noise, bytes) else noise.encode("utf-8", "surrogatepass")
    for content in (raw, WINDOW.encode()[:at] + raw + WINDOW.encode()[at:]):
        path.write_bytes(content)
        with contextlib.suppress(BadInput):
            load_evaluator(path)


def test_an_empty_folder_says_how_to_write_one(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(BadInput, match=r"there are no evaluators in .* Write one"):
            load_evaluators(folder)


def test_one_id_twice_names_both_files(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yml"):
        (tmp_path / name).write_text(WINDOW)
    with pytest.raises(BadInput, match=r"b\.yml: the id 'refund-window' is taken by .*a\.yaml"):
        load_evaluators(tmp_path)


def test_the_version_follows_what_decides_a_score_and_nothing_else() -> None:
    base = {"id": "a", "failure_mode": "m", "rule": {"type": "contains", "text": "x"}}
    version = parse_evaluator(base).version
    for same in ({"mcc_score": 0.9}, {"threshold": 1}, {"coverage_target": "i"}, {"description": "d"}, {"id": "b"}):
        assert parse_evaluator({**base, **same}).version == version
    rules = [
        {"type": "contains", "text": "y"},
        {"type": "not_contains", "text": "x"},
        {"type": "equals", "text": "x"},
        {"type": "all", "rules": [{"type": "contains", "text": "x"}]},
        {"type": "any", "rules": [{"type": "contains", "text": "x"}]},
    ]
    versions = {parse_evaluator({**base, "rule": r}).version for r in rules}
    versions.add(parse_evaluator({**base, "applies_to": "all"}).version)
    assert len(versions | {version}) == 7
