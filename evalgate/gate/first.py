"""`evalgate init`: a first evals/gate.yaml and a workflow for CI, from what the project has; nothing is asked."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.dataset.store import list_names
from evalgate.files import read_text, write_atomic
from evalgate.git import tree_of
from evalgate.options import Json  # noqa: TC001 - typer reads it at run time
from evalgate.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

GATE_FILE = Path("evals/gate.yaml")
WORKFLOW = Path(".github/workflows/evalgate.yml")
IGNORE = Path(".gitignore")
IGNORED = ".evalgate/"
PYTEST_FILES = ("pytest.ini", "conftest.py", "tests/conftest.py")
PYTEST_SECTIONS = (("pyproject.toml", "[tool.pytest"), ("setup.cfg", "[tool:pytest]"), ("tox.ini", "[pytest]"))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    *,
    workflow: Annotated[bool, typer.Option(help="Also write a workflow of GitHub Actions.")] = True,
    json: Json = False,
) -> None:
    """Write a first evals/gate.yaml and a workflow for CI. Files that are there are left as they are."""
    terminal = Terminal()
    wanted = {GATE_FILE: first_gate_file(Path(), list_names())}
    tree = tree_of(Path())
    is_top = tree is None or tree.top == Path.cwd().resolve()
    if workflow and is_top:
        wanted[WORKFLOW] = files("evalgate.gate").joinpath("templates/evalgate.yml").read_text("utf-8")
    written = [p for p, text in wanted.items() if _write_new(p, text)]
    if tree is not None and _ignore(Path()):
        written.append(IGNORE)
    if json:
        terminal.emit({"written": [str(p) for p in written], "left": [str(p) for p in wanted if p not in written]})
        return
    for path in wanted:
        terminal.say(f"{path}: {'written' if path in written else 'there already, left as it is'}")
    if workflow and tree is not None and not is_top:
        terminal.say(f"{WORKFLOW}: not written, because it belongs to the top of the repository, {tree.top}")
    if IGNORE in written:
        terminal.say(f"{IGNORE}: {IGNORED} added, where runs and reports are kept")
    terminal.say(
        f"next: look at {GATE_FILE}, then: evalgate gate; when all is as it should be: evalgate baseline accept"
    )


def first_gate_file(folder: Path, datasets: Sequence[str]) -> str:
    """Return the text of a first gate.yaml: what is known of the project is written, the rest stands as comments."""
    tests = "command: [pytest, -q, --junitxml=.evalgate/tests.xml]"
    names = datasets or ["support"]
    runs = [f'#   - {{dataset: {n}, target: "python:my_app.evals:answer"}}' for n in names]
    return "\n".join(
        [
            "# What `evalgate gate` runs, and how it judges; docs/ci.md has every key.",
            "",
            "# The project's own tests. A list, no shell line; any runner that writes JUnit XML will do.",
            tests if _has_pytest(folder) else f"# {tests}",
            "",
            "# Datasets that are run for every gate, as by `evalgate run --dataset support --target ...`.",
            *(["# Those of this project:"] if datasets else []),
            "# runs:",
            *runs,
            "",
            "# Without command: and runs: the latest run is judged.",
            "policy:",
            "  threshold: 0.8 # least pass rate of an evaluator that names none",
            "",
        ]
    )


def _has_pytest(folder: Path) -> bool:
    if any((folder / name).is_file() for name in PYTEST_FILES):
        return True
    for name, section in PYTEST_SECTIONS:
        try:
            if section in (folder / name).read_text("utf-8"):
                return True
        except (OSError, UnicodeDecodeError):
            continue
    return any((folder / "tests").glob("test_*.py"))


def _write_new(path: Path, text: str) -> bool:
    """Write a file that is not there; return whether it was written."""
    if path.exists() or path.is_symlink():
        return False
    write_atomic(path, text)
    return True


def _ignore(folder: Path) -> bool:
    """Keep `.evalgate/` out of commits where it is not yet; return whether a line was added."""
    path = folder / IGNORE
    lines = read_text(path).splitlines() if path.is_file() else []
    if IGNORED.strip("/") in {line.strip().strip("/") for line in lines}:
        return False
    write_atomic(path, "\n".join([*lines, IGNORED]) + "\n")
    return True
