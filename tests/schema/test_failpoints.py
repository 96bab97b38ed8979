"""Failpoints: read whole at the start, counted by pass, and each name has its place in the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from schema.errors import ConfigError
from schema.failpoints import NAMES, FailpointReached, Failpoints, Rule, load, parse

ROOT = Path(__file__).resolve().parents[2]
PLACE = "journal.before_sync"


def calls(source: str) -> set[str]:
    """Return the names that a module gives to `failpoint`; anything but a plain string is an error."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "failpoint":
            (argument,) = node.args
            assert isinstance(argument, ast.Constant), ast.unparse(node)
            found.add(str(argument.value))
    return found


def test_every_failpoint_in_the_source_is_named_and_every_name_is_somewhere_in_the_source() -> None:
    found: set[str] = set()
    for package in ("schema", "exporters", "collector", "evalgate"):
        for file in (ROOT / package).rglob("*.py"):
            if file.name != "failpoints.py":
                found |= calls(file.read_text("utf-8"))
    assert found == NAMES


def test_the_reader_of_calls_sees_them() -> None:
    assert calls("def f():\n    failpoint('a.b')\n    g(1)") == {"a.b"}


def test_rules_are_read() -> None:
    assert parse(f"{PLACE}=exit@3; {PLACE}=pause:/x/y@2+;{PLACE}=raise;") == (
        Rule(PLACE, "exit", 3, later=False),
        Rule(PLACE, "pause:/x/y", 2, later=True),
        Rule(PLACE, "raise", 1, later=False),
    )
    assert load({}) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [("journal.nowhere=exit", "there is no failpoint"), (f"{PLACE}=burn", "is not name="), (f"{PLACE}=exit@0", "@hit")],
)
def test_a_mistake_is_an_error(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load({"EVALGATE_FAILPOINTS": text})


def test_the_pass_that_is_meant_is_the_one_that_fails() -> None:
    points = Failpoints(parse(f"{PLACE}=raise@2"))
    points.reach(PLACE)
    with pytest.raises(FailpointReached):
        points.reach(PLACE)
    points.reach(PLACE)


def test_later_passes_fail_too_where_that_is_said() -> None:
    deaths: list[int] = []
    points = Failpoints(parse(f"{PLACE}=exit@2+"), kill=lambda: deaths.append(1))
    for _ in range(4):
        points.reach(PLACE)
    assert len(deaths) == 3


def test_a_pause_tells_that_it_is_reached_and_ends_with_the_file(tmp_path: Path) -> None:
    go = tmp_path / "go"

    def slept(_: float) -> None:
        assert (tmp_path / "go.reached").exists()
        go.touch()

    Failpoints(parse(f"{PLACE}=pause:{go}"), sleep=slept).reach(PLACE)
    assert go.exists()


def test_a_place_without_a_name_is_an_error_where_failpoints_are_armed() -> None:
    with pytest.raises(ValueError, match="not among the names"):
        Failpoints(()).reach("nobody.knows")


def test_exit_is_a_kill_that_no_handler_sees() -> None:
    code = (
        "import atexit; from schema.failpoints import failpoint\n"
        "atexit.register(print, 'flushed')\n"
        f"failpoint({PLACE!r}); print('first', flush=True); failpoint({PLACE!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"EVALGATE_FAILPOINTS": f"{PLACE}=exit@2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (-9, "first\n"), done.stderr
