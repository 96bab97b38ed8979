"""A command imports what it needs and no more."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from evalgate.app import PARTS, build_app
from evalgate.options import new_app


@pytest.mark.parametrize("module", PARTS)
def test_a_part_registers_the_commands_it_is_listed_with(module: str) -> None:
    app = new_app("")
    import_module(module).register(app)
    names = {c.name for c in app.registered_commands} | {g.name for g in app.registered_groups}
    assert names == set(PARTS[module])


def test_a_word_that_is_no_command_of_ours_has_all_of_them() -> None:
    names = {c.name for c in build_app("gat").registered_commands}
    assert {"gate", "label", "run"} <= names
    assert {c.name for c in build_app("gate").registered_commands} == {"gate", "init"}


def test_the_gate_imports_neither_the_database_s_commands_nor_those_of_others() -> None:
    strange = ("evalgate.database", "evalgate.select.commands", "numpy", "jinja2")
    code = (
        "import sys; from evalgate.app import run; run(['gate', '--help']); "
        f"sys.exit(' '.join(m for m in {strange} if m in sys.modules) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_command_of_others_imports_none_of_ours() -> None:
    code = (
        "import sys; from evalgate.app import run; run(['up', '--print-config']); "
        "sys.exit(' '.join(m for m in sys.modules if m.endswith('.commands') and m.startswith('evalgate.')) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "receivers:" in done.stdout
