"""Targets: whatever goes wrong in one is an error of that case."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.errors import BadInput
from evalgate.run.targets.answer import Busy, to_output
from evalgate.run.targets.load import load_target
from schema.run import ErrorKind, Output, RunError

if TYPE_CHECKING:
    from pathlib import Path

CASE = {"case_id": "case-1", "input": {"messages": [], "text": "Hi"}}


@pytest.fixture
def module(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a file of functions; the import path and modules are as before afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    path = project / "functions.py"
    path.write_text(
        textwrap.dedent("""
            import asyncio, sys, threading

            def text(case): return "said " + case["input"]["text"]
            def structured(case): return {"output": "x", "tool_calls": [{"name": "t", "arguments": '{"a": 1}'}]}
            async def later(case):
                await asyncio.sleep(0)
                return "later"
            def crash(case): raise KeyError("api \\x1b[31mkey")
            def leave(case): sys.exit(3)
            def nothing(case): return None
            def typo(case): return {"outptu": "x"}
            def away(case): raise ConnectionRefusedError("the shop is closed")
            def never(case): threading.Event().wait()
            def meddle(case):
                case["input"]["text"] = "changed"
                return "x"
            class Agent:
                def answer(self, case): return "method"
            agent = Agent()
            constant = 3
        """)
    )
    return path


@pytest.mark.parametrize("where", ["functions", "functions.py"])
def test_python_functions_from_a_module_and_from_a_file(module: Path, where: str) -> None:
    assert load_target(f"python:{where}:text").target(CASE, 5) == Output("said Hi")
    assert load_target(f"python:{where}:later").target(CASE, 5) == Output("later")
    assert load_target(f"python:{where}:agent.answer").target(CASE, 5) == Output("method")
    structured = load_target(f"python:{where}:structured").target(CASE, 5)
    assert structured == Output("x", ({"name": "t", "arguments": {"a": 1}},))


def test_a_file_inside_a_package_may_import_its_neighbours(module: Path) -> None:
    package = module.parent / "pack" / "inner"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "words.py").write_text("WORD = 'neighbour'")
    (package / "target.py").write_text("from .words import WORD\ndef f(case): return WORD\n")
    assert load_target("python:pack/inner/target.py:f").target(CASE, 5) == Output("neighbour")


@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        ("crash", ErrorKind.TARGET, "KeyError: 'api \\x1b[31mkey' (functions.py:9)"),
        ("leave", ErrorKind.TARGET, "SystemExit: 3"),
        ("nothing", ErrorKind.TARGET, "not null"),
        ("typo", ErrorKind.TARGET, "lacks 'output'. Did you mean 'output'?"),
    ],
)
def test_what_a_function_raises_is_an_error_of_the_case(
    module: Path, function: str, kind: ErrorKind, words: str
) -> None:
    answer = load_target(f"python:functions.py:{function}").target(CASE, 5)
    assert isinstance(answer, RunError)
    assert answer.kind is kind
    assert words in answer.message


def test_a_service_that_a_function_or_a_program_cannot_reach_is_worth_another_try(module: Path) -> None:
    answer = load_target("python:functions.py:away").target(CASE, 5)
    assert isinstance(answer, Busy)
    assert "ConnectionRefusedError: the shop is closed" in answer.error.message
    target = load_target(script(module.parent, "import sys\nsys.stderr.write('busy')\nsys.exit(75)")).target
    assert target(CASE, 20) == Busy(RunError(ErrorKind.TARGET, "exit 75: busy"))


def test_a_function_that_never_ends_times_out(module: Path) -> None:
    answer = load_target("python:functions.py:never").target(CASE, 0.05)
    assert answer == RunError(ErrorKind.TIMEOUT, "no answer within 0.05 s")


def test_a_function_cannot_change_the_case(module: Path) -> None:
    load_target("python:functions.py:meddle").target(CASE, 5)
    assert CASE["input"] == {"messages": [], "text": "Hi"}


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("functions:text", "is not known; use python:"),
        ("python:functions", "lacks its function"),
        ("python:absent.py:f", "there is no file absent.py"),
        ("python:absent_module:f", "No module named 'absent_module'"),
        ("python:functions:txt", "Did you mean 'text'?"),
        ("python:functions:constant", "is not a function"),
        ("python:leaving.py:f", "importing leaving.py failed: SystemExit: 0 (leaving.py:1)"),
        ("cmd:", "is not known"),
        ("cmd:a 'b", "cannot be split"),
        ("file:absent.jsonl", "cannot read absent.jsonl"),
    ],
)
def test_a_target_that_does_not_exist_stops_before_anything_runs(module: Path, target: str, words: str) -> None:
    (module.parent / "leaving.py").write_text("raise SystemExit(0)")
    with pytest.raises(BadInput) as error:
        load_target(target)
    assert words in str(error.value)


def script(project: Path, body: str) -> str:
    """Return a cmd: target that runs this Python."""
    path = project / "program.py"
    path.write_text(body)
    return f"cmd:{sys.executable} {path}"


@pytest.mark.parametrize(
    ("printed", "output"),
    [
        ("'plain text'", Output("plain text")),
        ("json.dumps('a string')", Output("a string")),
        (
            "json.dumps({'output': 'x', 'tool_calls': [{'name': 't'}]})",
            Output("x", ({"name": "t", "arguments": None},)),
        ),
        ("json.dumps({'days': 30})", Output('{"days": 30}')),
        ("json.load(sys.stdin)['input']['text']", Output("Hi")),
        ("'[' * 100_000", Output("[" * 100_000)),
        ('\'{"output": "x", "cost_usd": 1\' + "0" * 400 + "}"', Output("x")),
    ],
)
def test_a_program_answers_on_stdout(project: Path, printed: str, output: Output) -> None:
    target = load_target(script(project, f"import json, sys\nprint({printed})\n")).target
    assert target(CASE, 20) == output


def test_a_program_that_fails_is_an_error_with_its_last_words(project: Path) -> None:
    target = load_target(script(project, "import sys\nprint('first', file=sys.stderr)\nsys.exit('no key\\n')")).target
    assert target(CASE, 20) == RunError(ErrorKind.TARGET, "exit 1: no key")


def test_a_program_that_does_not_exist_is_an_error() -> None:
    answer = load_target("cmd:/absent/program").target(CASE, 5)
    assert isinstance(answer, RunError)
    assert "cannot start /absent/program" in answer.message


def test_a_slow_program_is_ended_with_its_children(project: Path) -> None:
    body = "import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    assert load_target(script(project, body)).target(CASE, 0.5) == RunError(ErrorKind.TIMEOUT, "no answer within 0.5 s")


def test_a_program_that_never_stops_writing_is_ended(project: Path) -> None:
    body = "import sys\nwhile True:\n    sys.stdout.write('x' * 65536)\n"
    answer = load_target(script(project, body)).target(CASE, 60)
    assert answer == RunError(ErrorKind.TARGET, "the answer is larger than 8 MiB")


def test_a_program_may_write_before_it_reads_and_need_not_read_at_all(project: Path) -> None:
    large = {**CASE, "input": {"messages": [], "text": "x" * 300_000}}
    first = "import sys, json\nprint('y' * 300000, flush=True)\nprint(len(json.load(sys.stdin)['input']['text']))\n"
    answer = load_target(script(project, first)).target(large, 30)
    assert isinstance(answer, Output)
    assert answer.text == "y" * 300_000 + "\n300000"
    assert load_target(script(project, "print('deaf')")).target(large, 30) == Output("deaf")


def test_a_program_gets_words_and_no_shell(project: Path) -> None:
    target = load_target(script(project, "import sys\nprint(sys.argv[1:])") + " $HOME ; 'a b'").target
    assert target(CASE, 20) == Output("['$HOME', ';', 'a b']")


def test_outputs_from_a_file(project: Path) -> None:
    lines = [{"case_id": "case-1", "output": "x"}, {"case_id": "case-2", "error": "rate limit"}]
    (project / "o.jsonl").write_text("\n".join(map(json.dumps, lines)))
    target = load_target("file:o.jsonl").target
    assert target(CASE, 1) == Output("x")
    assert target({"case_id": "case-2"}, 1) == RunError(ErrorKind.TARGET, "rate limit")
    assert target({"case_id": "case-3"}, 1) == RunError(ErrorKind.TARGET, "o.jsonl has no output for case-3")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2: this is not JSON: Expecting"),
        ('{"output": "x"}', "line 2: each line must be an object with a 'case_id'"),
        ('{"case_id": "b"}', "line 2: the target's answer lacks 'output'"),
        ('{"case_id": "a", "output": "y"}', "line 2: the case a stands there twice"),
        ('{"case_id": "b", "output": NaN}', "line 2: NaN is not JSON"),
    ],
)
def test_a_wrong_line_of_outputs_is_named(project: Path, line: str, words: str) -> None:
    (project / "o.jsonl").write_text('{"case_id": "a", "output": "x"}\n' + line)
    with pytest.raises(BadInput) as error:
        load_target("file:o.jsonl")
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "not a number"),
        (["x"], "not a list"),
        ({"output": "x", "tool_calls": "t"}, "tool_calls must be a list"),
        ({"output": "x", "tool_calls": [{"function": "t"}]}, "each of tool_calls must be"),
        ({}, "lacks 'output'"),
    ],
)
def test_what_is_no_answer_says_what_one_is(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        to_output(value)


def test_an_output_may_be_json_or_null_beside_tool_calls() -> None:
    assert to_output({"output": {"days": 30}}) == Output('{"days": 30}')
    assert to_output({"output": None, "tool_calls": [{"name": "t"}]}).text == ""


def test_a_number_that_no_file_could_hold_is_a_text() -> None:
    call = {"name": "t", "arguments": {"n": 10**5000}}
    found = to_output({"output": "x", "tool_calls": [call], "cost_usd": 2})
    assert found.tool_calls[0]["arguments"] == {"n": hex(10**5000)}
    assert found.cost_usd == 2.0


def test_arguments_that_are_nested_too_deep_stay_a_text() -> None:
    found = to_output({"output": "x", "tool_calls": [{"name": "t", "arguments": "[" * 100_000}]})
    assert found.tool_calls[0]["arguments"] == "[" * 100_000


@pytest.mark.parametrize(
    ("target", "edited"),
    [
        ("python:functions.py:text", "functions.py"),
        ("python:functions:text", "functions.py"),
        ("file:outputs.jsonl", "outputs.jsonl"),
        ("cmd:./agent.sh --fast", "agent.sh"),
        ("cmd:python agent.sh", "agent.sh"),
        ("cmd:absent --config=agent.sh", "agent.sh"),
    ],
)
def test_a_target_whose_file_was_edited_is_another_target(module: Path, target: str, edited: str) -> None:
    folder = module.parent
    (folder / "outputs.jsonl").write_text('{"case_id": "case-1", "output": "x"}\n')
    (folder / "agent.sh").write_text("one")
    before = load_target(target).identity
    assert load_target(target).identity == before
    (folder / edited).write_text((folder / edited).read_text() + "\n")
    assert load_target(target).identity != before


def test_a_target_without_files_is_its_name(module: Path) -> None:
    assert load_target("cmd:absent -x ''").identity == {"target": "cmd:absent -x ''"}
    assert load_target("recorded").identity == {"target": "recorded"}
