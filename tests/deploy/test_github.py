"""deploy/github and the hooks of pre-commit do what they say: their commands are run, in scratch repositories."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from evalgate.app import run

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / "deploy/github/evalgate.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
TESTS = """\
import pathlib, sys
good = "broken" not in pathlib.Path("app.py").read_text()
row = "" if good else "<failure message='it is broken'/>"
pathlib.Path(".evalgate").mkdir(exist_ok=True)
pathlib.Path(".evalgate/tests.xml").write_text(f"<testsuite><testcase name='answers'>{row}</testcase></testsuite>")
sys.exit(not good)
"""
GATE_FILE = f"command: [{json.dumps(sys.executable)}, tests.py]\nresults: .evalgate/tests.xml\n"


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=Ann", "-c", "user.email=ann@example.com", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith(("GIT_", "GITHUB_", "EVALGATE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def clone(clean: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Clone a repository whose main branch has an accepted state, and enter a branch of it."""
    origin = tmp_path / "origin"
    origin.mkdir()
    monkeypatch.chdir(origin)
    git(origin, "init", "-q", "-b", "main")
    (origin / "evals").mkdir()
    for name, text in (
        ("app.py", "fine\n"),
        ("tests.py", TESTS),
        ("evals/gate.yaml", GATE_FILE),
        (".gitignore", ".evalgate/\n"),
    ):
        (origin / name).write_text(text)
    git(origin, "add", "-A")
    git(origin, "commit", "-qm", "first")
    assert run(["gate"]) == 0
    assert run(["baseline", "accept"]) == 0
    git(origin, "add", "-A")
    git(origin, "commit", "-qm", "accepted")
    git(tmp_path, "clone", "-q", str(origin), "clone")
    git(tmp_path / "clone", "checkout", "-qb", "change")
    monkeypatch.chdir(tmp_path / "clone")
    return tmp_path / "clone"


def change(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "change")


@pytest.fixture
def workflow() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text("utf-8"))
    return document


@pytest.fixture
def ci(clone: Path, workflow: dict[str, Any], tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Run the shell steps of the gate job as a runner does; return the exit code of the last, and what all printed."""

    def steps(*, pull_request: bool = True) -> tuple[int, str]:
        environment = {**os.environ, "CI": "true", "GITHUB_ACTIONS": "true"}
        for name in ("GITHUB_ENV", "GITHUB_STEP_SUMMARY"):
            (tmp_path / name).touch()
            environment[name] = str(tmp_path / name)
        environment["GITHUB_BASE_REF"] = "main" if pull_request else ""
        printed = ""
        for step in workflow["jobs"]["gate"]["steps"]:
            if "run" not in step or step["name"] == "Install" or ("if" in step and not pull_request):
                continue
            written = (tmp_path / "GITHUB_ENV").read_text().splitlines()
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=clone,
                env={**environment, **dict(line.split("=", 1) for line in written)},
                capture_output=True,
                text=True,
                check=False,
                timeout=100,
            )
            printed += done.stdout + done.stderr
            if done.returncode:
                return done.returncode, printed
        return 0, printed

    return steps


def test_a_change_that_passes_and_one_that_does_not(clone: Path, ci: Any, tmp_path: Path) -> None:
    change(clone, {"app.py": "fine, and more\n"})
    code, out = ci()
    assert code == 0, out
    assert "GATE PASSED" in out
    assert "accepted" in out  # the merge base's state was found and compared with
    change(clone, {"app.py": "broken\n"})
    code, out = ci()
    assert code == 1, out
    assert re.search(r"^::error .*answers", out, re.MULTILINE)
    assert "REGRESSION" in out
    summary = (tmp_path / "GITHUB_STEP_SUMMARY").read_text()
    assert "GATE PASSED" in summary
    assert "GATE FAILED" in summary
    kept = clone / ".evalgate"
    assert (kept / "comment.md").read_text().startswith("<!-- evalgate gate -->")
    assert json.loads((kept / "gate.sarif").read_text())["version"] == "2.1.0"
    assert json.loads((kept / "last-report.json").read_text())["status"] == "fail"
    assert len(list(kept.glob("gate/*/*.html"))) == 2


@pytest.mark.thorough
def test_a_change_cannot_accept_its_own_regression(clone: Path, ci: Any, capsys: pytest.CaptureFixture[str]) -> None:
    change(clone, {"app.py": "broken\n", "evals/gate.yaml": GATE_FILE + "threshold: 0\n"})
    run(["gate"])
    assert run(["baseline", "accept", "--accept-regressions"]) == 0, capsys.readouterr()
    change(clone, {"more.txt": ""})
    assert run(["gate"]) == 0  # by its own baseline
    code, out = ci()
    assert (code, "REGRESSION" in out) == (1, True), out
    code, out = ci(pull_request=False)
    assert code == 1  # EVALGATE_BASE stands in the environment file of that job
    assert "REGRESSION" in out


@pytest.mark.thorough
def test_a_branch_without_a_baseline_is_told(clone: Path, ci: Any) -> None:
    git(clone, "checkout", "-q", "--orphan", "fresh")
    (clone / "evals/baseline.json").unlink()
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "without")
    git(clone, "update-ref", "refs/remotes/origin/main", "HEAD")
    code, out = ci()
    assert code == 0, out
    assert "The branch main has no baseline yet" in out


def test_the_workflow_asks_for_little_and_is_pinned(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    gate, comment = workflow["jobs"]["gate"], workflow["jobs"]["comment"]
    assert "permissions" not in gate
    assert comment["permissions"] == {"pull-requests": "write"}
    steps = [*gate["steps"], *comment["steps"]]
    used = [s["uses"] for s in steps if "uses" in s]
    assert len(used) == 4
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", u) for u in used)
    assert len(re.findall(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", WORKFLOW.read_text("utf-8"), re.MULTILINE)) == 4
    assert not [s for s in steps if "${{" in s.get("run", "")]  # expressions would be pasted into the script
    assert not [s for s in comment["steps"] if "checkout" in s.get("uses", "")]
    (upload,) = [s for s in gate["steps"] if "upload-artifact" in s.get("uses", "")]
    assert upload["if"] == "always()"
    assert upload["with"]["path"] == ".evalgate/"


def test_init_writes_this_very_workflow(clean: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["init"]) == 0
    assert Path(".github/workflows/evalgate.yml").read_bytes() == WORKFLOW.read_bytes()


def as_pre_commit_would(hook_id: str, folder: Path) -> subprocess.CompletedProcess[str] | None:
    """Run a hook on the staged files, or not at all where none is its own."""
    (hook,) = [h for h in yaml.safe_load(HOOKS.read_text("utf-8")) if h["id"] == hook_id]
    staged = git(folder, "diff", "--cached", "--name-only").splitlines()
    own = [f for f in staged if re.search(hook.get("files", ""), f)]
    if not own and not hook.get("always_run"):
        return None
    command = [*shlex.split(hook["entry"]), *(own if hook.get("pass_filenames", True) else [])]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=100)


def test_the_hook_of_a_push_runs_the_gate(clone: Path) -> None:
    done = as_pre_commit_would("evalgate-gate", clone)
    assert done is not None
    assert done.returncode == 0, done.stdout + done.stderr
    (clone / "app.py").write_text("broken\n")
    done = as_pre_commit_would("evalgate-gate", clone)
    assert done is not None
    assert done.returncode == 1
    assert "GATE FAILED" in done.stdout


def test_the_hook_of_a_commit_refuses_an_edited_baseline(clone: Path) -> None:
    assert as_pre_commit_would("evalgate-baseline", clone) is None
    path = clone / "evals/baseline.json"
    path.write_text(path.read_text().replace("true", "false", 1))
    git(clone, "add", "-A")
    done = as_pre_commit_would("evalgate-baseline", clone)
    assert done is not None
    assert done.returncode == 2
    assert "is not as it was written" in done.stderr


@pytest.mark.thorough
def test_the_hook_of_a_commit_refuses_a_broken_evaluator(clone: Path) -> None:
    folder = clone / "evals/evaluators"
    folder.mkdir()
    (folder / "window.yaml").write_text("id: window\nfailure_mode: m\nrule: {type: not_contains, text: x}\n")
    git(clone, "add", "-A")
    done = as_pre_commit_would("evalgate-evaluators", clone)
    assert done is not None
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "window.yaml").write_text("id: window\nrule: {type: not_contians}\n")
    git(clone, "add", "-A")
    done = as_pre_commit_would("evalgate-evaluators", clone)
    assert done is not None
    assert done.returncode != 0


def test_every_hook_says_what_pre_commit_needs() -> None:
    hooks = yaml.safe_load(HOOKS.read_text("utf-8"))
    assert len({h["id"] for h in hooks}) == len(hooks) == 3
    for hook in hooks:
        assert {"id", "name", "entry", "language"} <= set(hook)
        assert hook["language"] in {"python", "system"}
