"""Imports point one way: schema <- exporters <- collector, and schema <- exporters <- evalgate."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = {
    "schema": {"schema"},
    "exporters": {"schema", "exporters"},
    "collector": {"schema", "exporters", "collector"},
    "evalgate": {"schema", "exporters", "evalgate"},
}


def imported(source: str) -> set[str]:
    """Return the top-level names that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_lies_below_it(package: str) -> None:
    for file in (ROOT / package).rglob("*.py"):
        wrong = (imported(file.read_text("utf-8")) & ALLOWED.keys()) - ALLOWED[package]
        assert not wrong, f"{file.relative_to(ROOT)} imports {wrong}"


def test_the_reader_of_imports_sees_every_form() -> None:
    assert imported("import a.b\ndef f():\n    from c.d import e") == {"a", "c"}


def test_nothing_under_the_four_packages_imports_tests_or_examples() -> None:
    for package in ALLOWED:
        for file in (ROOT / package).rglob("*.py"):
            assert not imported(file.read_text("utf-8")) & {"tests", "examples", "bench"}, file


HEAVY = ("pyarrow", "grpc", "chdb", "clickhouse_connect", "pandas", "scipy", "numba", "starlette", "uvicorn", "openai")


@pytest.mark.parametrize(
    "module", ["evalgate.cli", "evalgate.app", "evalgate.run", "evalgate.gate", "evalgate.dataset"]
)
def test_the_gate_needs_only_the_core_install(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


ROOMS = (
    # What every room may stand on.
    *("errors", "layout", "work", "terminal", "figures", "files", "git", "options", "database", "once"),
    *("places", "run_files"),
    # Traffic, and what is known of it.
    *("select", "top", "ledger", "sample", "stats", "signals", "review", "issues", "dataset"),
    # Evaluators, runs, the gate.
    *("model", "evaluators", "align", "cluster", "flag", "run", "gate", "generate", "provenance", "erase"),
    # What puts the rooms together for the command line.
    *("queue", "synthesize", "label", "evals", "demo", "web", "app", "cli"),
)
"""From the lowest up: a room imports only rooms that stand before it, so that none import each other in a circle."""
UPWARDS = {
    ("evalgate/run/commands.py", "evalgate.gate.settings"): (
        "what `evalgate run` tells is by evals/gate.yaml, whose model is one piece with the gate's policy"
    )
}
"""The imports that point up nevertheless: (file, module) to the reason."""


def rooms_imported(source: str) -> set[tuple[str, str]]:
    """Return (room, module) of every import from evalgate, wherever in a module."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            own = node.module == "evalgate"
            modules = [f"evalgate.{a.name}" for a in node.names] if own else [node.module or ""]
        found |= {(m.split(".")[1], m) for m in modules if m.startswith("evalgate.")}
    return found


def upward_imports() -> set[tuple[str, str]]:
    """Return (file, module) of every import of a room that does not stand before the own one."""
    found = set()
    for file in (ROOT / "evalgate").rglob("*.py"):
        place = file.relative_to(ROOT)
        room = file.stem if len(place.parts) == 2 else place.parts[1]
        if room == "__init__":
            continue
        assert room in ROOMS, f"{place}: say in ROOMS where {room!r} stands"
        for other, module in rooms_imported(file.read_text("utf-8")):
            if other != room and ROOMS.index(other) > ROOMS.index(room):
                found.add((str(place), module))
    return found


def test_the_rooms_of_evalgate_do_not_import_in_circles() -> None:
    assert upward_imports() == UPWARDS.keys()


def test_the_reader_of_rooms_sees_every_form() -> None:
    source = (
        "import evalgate.run.engine\ndef f():\n    from evalgate import gate\n    from evalgate.align.store import x"
    )
    assert rooms_imported(source) == {
        ("run", "evalgate.run.engine"),
        ("gate", "evalgate.gate"),
        ("align", "evalgate.align.store"),
    }
