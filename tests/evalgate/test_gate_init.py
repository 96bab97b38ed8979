"""`evalgate init` writes what it can know, asks nothing, and writes over nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from evalgate.gate.first import first_gate_file
from evalgate.gate.settings import GateSettings, read_settings
from tests.evalgate.gate_command import gate_command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@pytest.fixture(scope="module")
def run() -> Callable[[Sequence[str]], int]:
    return gate_command()


@pytest.fixture
def repository(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    subprocess.run(["git", "init", "-q"], check=True)
    return project


def written(folder: Path, *datasets: str) -> GateSettings:
    path = folder / "gate.yaml"
    path.write_text(first_gate_file(folder, datasets))
    return read_settings(path, {})[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", ""),
        ("conftest.py", ""),
        ("pyproject.toml", "[tool.pytest.ini_options]\n"),
        ("setup.cfg", "[tool:pytest]\n"),
        ("tests/test_a.py", ""),
    ],
)
def test_pytest_is_found(name: str, text: str, tmp_path: Path) -> None:
    assert written(tmp_path).command is None
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    settings = written(tmp_path)
    assert settings.command == ("pytest", "-q", "--junitxml=.evalgate/tests.xml")
    assert settings.results_path == Path(".evalgate/tests.xml")


def test_datasets_are_named_as_they_would_stand_there(tmp_path: Path) -> None:
    text = first_gate_file(tmp_path, ["refunds", "tone"])
    uncommented = "\n".join(
        line.removeprefix("# ") for line in text.splitlines() if line.startswith(("# runs", "#   -"))
    )
    runs = yaml.safe_load(uncommented.replace("#   -", "  -"))["runs"]
    assert [r["dataset"] for r in runs] == ["refunds", "tone"]
    assert written(tmp_path, "refunds").runs == ()  # the target is not known


def test_what_is_there_is_left(repository: Path, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Path(".gitignore").write_text("build\n")
    assert run(["init"]) == 0
    out = capsys.readouterr().out
    assert out.count(": written") == 2
    assert "next: look at evals/gate.yaml, then: evalgate gate" in out
    assert Path(".gitignore").read_text() == "build\n.evalgate/\n"
    Path("evals/gate.yaml").write_text("policy: {threshold: 0.1}\n")
    Path(".github/workflows/evalgate.yml").unlink()
    Path(".github/workflows/evalgate.yml").symlink_to("elsewhere")
    assert run(["init"]) == 0
    assert capsys.readouterr().out.count("there already, left as it is") == 2
    assert Path("evals/gate.yaml").read_text() == "policy: {threshold: 0.1}\n"
    assert not Path(".github/workflows/elsewhere").exists()
    assert Path(".gitignore").read_text() == "build\n.evalgate/\n"
    assert run(["init", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == []


def test_a_workflow_belongs_to_the_top(
    repository: Path, run: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("service").mkdir()
    monkeypatch.chdir("service")
    assert run(["init"]) == 0
    assert f"belongs to the top of the repository, {repository.resolve()}" in capsys.readouterr().out
    assert Path("evals/gate.yaml").is_file()
    assert not Path(".github").exists()


def test_without_a_repository_nothing_is_ignored(
    project: Path, run: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    assert run(["init", "--no-workflow"]) == 0
    assert sorted(p.name for p in project.iterdir()) == ["evals"]
