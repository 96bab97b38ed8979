"""The pages say what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from evalgate.app import build_app, run
from evalgate.select.where import FIELDS
from schema.evaluator import RULES, parse_evaluator
from schema.verdict import parse_label

DOCS = Path(__file__).parents[2] / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_every_command_has_its_line() -> None:
    app = build_app()
    names = [c.name for c in app.registered_commands] + [g.name for g in app.registered_groups]
    for name in names:
        assert f"    evalgate {name}" in page("cli.md"), name


@pytest.mark.parametrize("command", ["traces", "label", "cases", "dataset", "run", "gate", "query"])
def test_every_option_named_on_a_page_exists(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = page("gate.md") if command == "gate" else _section(page("cli.md"), command)
    groups = {"cases": ["list", "promote", "reject"], "dataset": ["build", "list"], "traces": ["", "show"]}
    known = ""
    for sub in groups.get(command, [""]):
        assert run([command, *([sub] if sub else []), "--help"]) == 0
        known += capsys.readouterr().out
    if command == "gate":  # the page shows how its input is made
        assert run(["run", "--help"]) == 0
        known += capsys.readouterr().out
    named = set(re.findall(r"--[a-z][a-z-]+", text))
    assert named
    assert {o for o in named if o not in known} == set()


def test_every_field_of_conditions_is_listed() -> None:
    section = _section(page("cli.md"), "traces")
    assert {f for f in FIELDS if f not in section} == set()


def test_every_rule_is_listed() -> None:
    text = page("evaluators.md")
    assert {kind for kind in (*RULES, "all", "any") if f"`{kind}`" not in text} == set()


def test_the_example_evaluator_and_label_are_right() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", page("evaluators.md"), re.DOTALL)
    assert parse_evaluator(yaml.safe_load(block)).id == "refund-window"
    (label,) = re.findall(r"(    \{\"trace_id\".*?\})\n", page("cli.md"), re.DOTALL)
    assert parse_label(yaml.safe_load(label)).failure_mode == "policy_hallucination"


def _section(text: str, name: str) -> str:
    return text.split(f"\n## {name}\n", 1)[1].split("\n## ", 1)[0]
