"""The pages say what the program does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from evalgate.app import build_app, run
from evalgate.evaluators.code import check_source
from evalgate.run.engine import request_of
from evalgate.select.where import FIELDS
from schema.case import Observed, Provenance, case_to_json, parse_case
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
    specs = [
        parse_evaluator(yaml.safe_load(b)) for b in re.findall(r"```yaml\n(.*?)```", page("evaluators.md"), re.DOTALL)
    ]
    assert [type(s.body).__name__ for s in specs] == ["Regex", "ToolTrajectory", "Code", "Judge", "Plugin"]
    (label,) = re.findall(r"(    \{\"trace_id\".*?\})\n", page("cli.md"), re.DOTALL)
    assert parse_label(yaml.safe_load(label)).failure_mode == "policy_hallucination"


def test_the_example_case_has_every_field_and_is_what_a_target_receives() -> None:
    text = _section(page("running.md"), "A case")
    (block,) = re.findall(r"(    \{\"case_id\".*?\}\})\n", text, re.DOTALL)
    case = parse_case(json.loads(block))
    assert (case.verdict, case.observed.output) == ("bad", "You have 90 days.")
    written = case_to_json(case).keys() - {"content_hash"}
    assert written == json.loads(block).keys()
    names = {f.name for part in (Observed, Provenance) for f in fields(part)} | written
    assert {n for n in names if f"`{n}`" not in text} == set()
    (received,) = re.findall(r"A target receives\n\n(.*?\}\})\n", _section(page("running.md"), "Targets"), re.DOTALL)
    assert json.loads(received) == request_of(replace(case, case_id="case-1"), replay=False)


def test_commands_that_need_no_database_are_in_the_index() -> None:
    told = " ".join(page("cli.md").split("\n## ", 1)[0].split())
    alone, asking = told.split("These work from files alone")[1].split("The others ask a database")
    del asking
    for command in ("run", "gate", "baseline", "init", "provenance", "model check", "evals generate", "issues"):
        assert f"`{command}`" in alone, command
    assert "generate: one from your labels" in told


def test_the_example_of_code_judges_also_by_hand(tmp_path: Path) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", page("evaluators.md"), re.DOTALL)
    check_source(source, "total_adds_up.py")
    names: dict[str, Any] = {"__name__": "evaluator"}
    exec(source, names)  # noqa: S102 - what is tested
    for total, score in ((300, 1.0), (301, 0.0)):
        text = f'{{"items": [{{"cents": 100}}, {{"cents": 200}}], "total_cents": {total}}}'
        assert names["evaluate"]({}, {"text": text})["score"] == score
    (tmp_path / "total.py").write_text(source)
    case = json.dumps({"observed": {"output": "none"}})
    command = [sys.executable, "-I", str(tmp_path / "total.py")]
    done = subprocess.run(command, input=case, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == {"passed": False, "reason": "the output is not JSON"}


def _section(text: str, name: str) -> str:
    return text.split(f"\n## {name}\n", 1)[1].split("\n## ", 1)[0]
