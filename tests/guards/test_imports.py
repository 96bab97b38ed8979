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
