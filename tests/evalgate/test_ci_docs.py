"""docs/ci.md says what the program does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from evalgate.gate.outputs import KEPT_GATES
from evalgate.gate.process import DEFAULT_TIMEOUT_S
from evalgate.gate.settings import read_settings
from tests.evalgate.gate_command import gate_command

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/ci.md").read_text("utf-8")


def blocks(begin: str) -> list[str]:
    return [b for b in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if b.startswith(begin)]


def test_gate_yaml_of_the_page_is_understood(tmp_path: Path) -> None:
    (text,) = blocks("command:")
    path = tmp_path / "gate.yaml"
    path.write_text(text)
    settings, _ = read_settings(path, {})
    assert settings.command == ("pytest", "-q", "--junitxml=.evalgate/tests.xml")
    assert settings.results_path == Path(".evalgate/tests.xml")
    assert [r.options for r in settings.runs] == [("--repeats", "3")]
    assert f"default {DEFAULT_TIMEOUT_S:g}" in text


def test_every_option_of_the_page_exists(capsys: pytest.CaptureFixture[str]) -> None:
    run = gate_command()
    for command in (["gate"], ["baseline", "accept"], ["baseline", "show"], ["baseline", "verify"], ["init"]):
        assert run([*command, "--help"]) == 0
    known = capsys.readouterr().out
    elsewhere = {"--junitxml", "--repeats", "--hook-type"}
    assert {o for o in re.findall(r"--[a-z][a-z-]+", PAGE) if o not in known} <= elsewhere


def test_hooks_of_the_page_exist() -> None:
    (text,) = blocks("repos:")
    ids = {h["id"] for h in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))}
    assert {h["id"] for h in yaml.safe_load(text)["repos"][0]["hooks"]} == ids


def test_figures_of_the_page_are_those_of_the_program() -> None:
    assert f"the last {KEPT_GATES} gates" in PAGE
    recorded = ROOT / "tests/evalgate/gate_compatible"
    counts = [len((recorded / f"{n}.jsonl").read_text("utf-8").splitlines()) for n in ("recorded", "probed")]
    assert f"{counts[0]} recorded cases and {counts[1]} further reports" in PAGE
