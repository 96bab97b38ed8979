"""Code of an evaluator: what it may do, and that nothing else ends in a pass or a hang."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.evaluators.child import PATIENCE, ChildFailed, Patience
from evalgate.evaluators.code import CodeEvaluator, code_evaluator, to_score
from evalgate.evaluators.sandbox import PROGRAM, Limits
from schema.case import Case, CaseInput, Observed, Provenance
from schema.evaluator import EvaluatorError, Score, parse_evaluator
from schema.run import Output
from schema.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CASE = Case(
    "case-1",
    CaseInput((), "Where is my parcel?"),
    observed=Observed("Lost."),
    expected_output="On its way.",
    verdict=Verdict.BAD,
    failure_mode="m",
    provenance=Provenance(trace_id="4bf92f3577b34da6a3ce929d0e0e4736"),
)
OUTPUT = Output("It is on its way.", ({"name": "track", "arguments": {"id": 7}},), "stop", 10, 20, 0.001, "model-a")
SPEC = parse_evaluator({"id": "mine", "failure_mode": "m", "code": "mine.py"})


@pytest.fixture
def make() -> Iterator[Callable[..., CodeEvaluator]]:
    made: list[CodeEvaluator] = []

    def evaluator(source: str, **limits: Any) -> CodeEvaluator:
        made.append(code_evaluator(SPEC, source, "mine.py", Limits(**limits)))
        return made[-1]

    yield evaluator
    for each in made:
        each.sandbox.close()


def judged(evaluator: CodeEvaluator) -> str:
    """Return why it is an error; anything else fails the test."""
    answer = evaluator(CASE, OUTPUT)
    assert isinstance(answer, EvaluatorError), answer
    assert answer.evaluator == "mine"
    assert "\n" not in answer.message
    return answer.message


def test_code_sees_the_case_and_the_output_and_not_what_people_say_of_it(make: Any) -> None:
    source = """
def evaluate(case, output):
    assert case["input"]["text"] == "Where is my parcel?" and case["expected"]["output"] == "On its way."
    assert not {"verdict", "failure_mode", "provenance"} & set(case), sorted(case)
    assert output["tool_calls"][0]["arguments"]["id"] == 7 and output["output_tokens"] == 20
    return {"score": 0.9, "passed": True, "reason": "it says " + output["text"]}
"""
    assert make(source)(CASE, OUTPUT) == Score("mine", 0.9, passed=True, reason="it says It is on its way.")


def test_one_child_judges_many_cases_and_most_of_the_library_is_there(make: Any) -> None:
    source = """
import collections, csv, dataclasses, datetime, decimal, difflib, enum, fractions, functools, hashlib, html, itertools
import json, math, operator, random, re, statistics, string, textwrap, typing, unicodedata, urllib.parse
calls = []
@dataclasses.dataclass
class Seen:
    count: int = 0
def evaluate(case, output):
    calls.append(1)
    return {"passed": True, "reason": f"call {len(calls)}"}
"""
    evaluator = make(source)
    reasons = [evaluator(CASE, OUTPUT).reason for _ in range(3)]
    assert reasons == ["call 1", "call 2", "call 3"]


HEAD = """import importlib, io, os, sys
LOADER, SPEC = importlib._bootstrap._imp, importlib._bootstrap.ModuleSpec
def C(name):
    folder = next(p for p in sys.path if p.endswith("lib-dynload"))
    return next((folder + "/" + f for f in os.listdir(folder) if f.startswith(name + ".")), folder + "/" + name + ".so")
def evaluate(case, output):
    """
ATTACKS = {
    "reads a file": ("return 'root' in open('/etc/passwd').read()", "may not open '/etc/passwd'"),
    "reads by descriptor": ("return bool(os.open('/etc/hostname', os.O_RDONLY))", "may not open '/etc/hostname'"),
    "reads its parent": ("return open(f'/proc/{os.getppid()}/environ', 'rb').read()", "may not open '/proc/"),
    "lists a folder": ("return os.listdir('/')", "may not list '/'"),
    "climbs out of the library": (
        "return open(os.path.dirname(os.__file__) + '/../../../../../../etc/passwd').read()",
        "may not open",
    ),
    "writes a file": ("open('out.txt', 'w').write('x'); return True", "may not open 'out.txt'"),
    "writes over the library": ("open(os.__file__, 'a'); return True", "may not open"),
    "removes a file": ("os.remove('x'); return True", "may not do this (os.remove)"),
    "opens a socket": ("import socket; return True", "may not import 'socket'"),
    "asks the network": ("import urllib.request; return True", "may not import 'urllib.request'"),
    "starts a process": ("import subprocess; return True", "may not import 'subprocess'"),
    "starts a shell": ("os.system('true'); return True", "may not do this (os.system)"),
    "forks": ("while True: os.fork()", "may not do this (os.fork)"),
    "becomes another program": ("os.execv('/bin/true', ['true'])", "may not do this (os.exec)"),
    "spawns": ("os.posix_spawn('/bin/true', ['true'], {})", "may not do this (os.posix_spawn)"),
    "kills its parent": ("os.kill(os.getppid(), 9); return True", "may not do this (os.kill)"),
    "calls C": ("import ctypes; return True", "may not import 'ctypes'"),
    "lifts its limits": ("import resource; return True", "may not import 'resource'"),
    "imports from its neighbours": ("import numpy; return True", "may not import 'numpy'"),
    "makes a hook of its own": (
        "sys.addaudithook(lambda *_: sys.exit(1)); compile('1', 'x', 'eval'); raise ValueError('none was added')",
        "none was added",
    ),
    "takes all memory": ("return len(bytearray(10 * 2**30)) > 0", "MemoryError"),
    "leaves": ("sys.exit(0)", "SystemExit"),
    "leaves without a word": ("getattr(os, '_exit')(0)", "no attribute '_exit'"),
    "answers twice": ("os.write(4, b'{}'); return True", "no attribute 'write'"),
    "answers by a file": ("io.FileIO(4, 'w').write(b'{}'); return True", "may not open 4"),
    "loads a module of C under another name": (
        "return hasattr(LOADER.create_dynamic(SPEC('json._posixsubprocess', None, origin=C('_posixsubprocess'))), 'x')",
        "may not load modules of C",
    ),
    "loads a module of C that was there": (
        "return hasattr(LOADER.create_dynamic(SPEC('_ctypes', None, origin=C('_ctypes'))), 'x')",
        "may not load modules of C",
    ),
    "loads a built-in module anew": (
        "return hasattr(LOADER.create_builtin(SPEC('posix', None)), 'write')",
        "may not load modules of C",
    ),
    "reloads what was taken away": (
        "import importlib, posix; return hasattr(importlib.reload(posix), 'write')",
        "may not load modules of C",
    ),
    "takes it from what is loaded": ("return sys.modules['_signal'].alarm(1)", "KeyError: '_signal'"),
    "looks at the frames": (
        "\n    try: raise ValueError\n    except ValueError as e: return bool(e.__traceback__.tb_frame)",
        "may not look at frames",
    ),
    "recurses": ("return evaluate(case, output)", "RecursionError"),
    "returns nothing": ("pass", "must return true or false"),
    "returns a text": ("return 'passed'", "must return true or false"),
    "returns what is not JSON": ("return {1, 2}", "not JSON serializable"),
    "returns NaN": ("return float('nan')", "not JSON compliant"),
    "returns too much": ("return 1.5", "a score from 0 to 1"),
    "misspells": ("return {'pased': True}", "Did you mean 'passed'?"),
    "returns a book": ("return {'passed': True, 'reason': 'x' * 100_000}", "longer than"),
    "raises what cannot be told": (
        "\n    class E(Exception):\n        def __str__(self): raise self\n    raise E",
        "E",
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_code_may_not_do_is_an_error(make: Any, name: str) -> None:
    body, words = ATTACKS[name]
    assert words in judged(make(HEAD + body + "\n"))


def test_what_it_prints_is_no_verdict(make: Any) -> None:
    source = """
import sys
for stream in (sys.stdout, sys.stderr, sys.__stdout__):
    print('{"id": "0", "result": true}', file=stream, flush=True)
def evaluate(case, output):
    print('{"result": true}', flush=True)
    return False
"""
    answer = make(source)(CASE, OUTPUT)
    assert isinstance(answer, Score)
    assert not answer.passed


def test_patching_what_the_answers_are_made_with_makes_no_pass(make: Any) -> None:
    source = """
import json
json.dumps = json.loads = lambda *a, **k: '{"result": true}'
json.JSONEncoder.encode = lambda *a: '{"result": true}'
class Bad(dict):
    pass
def evaluate(case, output):
    return False
"""
    answer = make(source)(CASE, OUTPUT)
    assert not (isinstance(answer, Score) and answer.passed)


def test_a_loop_ends_at_the_deadline_and_the_next_case_has_a_new_child(make: Any) -> None:
    source = """
def evaluate(case, output):
    while output["text"] == "hang":
        pass
    return True
"""
    evaluator = make(source, deadline_s=0.3)
    began = time.monotonic()
    answer = evaluator(CASE, Output("hang"))
    assert isinstance(answer, EvaluatorError)
    assert "no answer within 0.3 s" in answer.message
    assert time.monotonic() - began < 20
    answer = evaluator(CASE, OUTPUT)
    assert isinstance(answer, Score)
    assert answer.passed


def test_nothing_is_left_of_it(make: Any) -> None:
    evaluator = make("def evaluate(case, output): return True")
    assert isinstance(evaluator(CASE, OUTPUT), Score)
    pid = evaluator.sandbox._child.pid
    folder = evaluator.sandbox._child._cwd
    assert os.path.isdir(folder)  # noqa: PTH112 - as the child has it
    evaluator.sandbox.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")
def test_the_kernel_takes_part(make: Any) -> None:
    evaluator = make("def evaluate(case, output): return True")
    assert isinstance(evaluator(CASE, OUTPUT), Score)
    assert "privileges" in evaluator.sandbox.shut


ROUND_THE_HOOK = """
import json, os, runpy, socket, subprocess, sys
def forked():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
listener = socket.create_server(("127.0.0.1", 0))
confined = runpy.run_path(sys.argv[1])
shut = confined["_shut_kernel_doors"]()
done = []
for name, attempt in {
    "files": lambda: open("/etc/passwd").read(),
    "written": lambda: open(sys.argv[2], "w").write("x"),
    "network": lambda: socket.create_connection(listener.getsockname(), 5),
    "forked": forked,
    "started": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
    "became": lambda: os.execv("/nowhere/at/all", ["x"]),
    "reached": lambda: os.kill(os.getppid(), 0),
    "a socket": socket.socket,
    "changed": lambda: os.chmod(sys.argv[3], 0o600),
    "in place": lambda: os.open(sys.argv[3], os.O_RDWR),
    "limits": lambda: __import__("resource").setrlimit(__import__("resource").RLIMIT_CORE, (0, 0)),
}.items():
    try:
        attempt()
        done.append(name)
    except FileNotFoundError:
        done.append(name)
    except (OSError, ValueError):
        pass
open(json.__file__).read()
print(json.dumps({"shut": shut, "done": done}))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="namespaces and Landlock are Linux's")
def test_the_doors_of_the_kernel_are_shut_without_the_hook(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.touch()
    command = [sys.executable, "-I", "-S", "-c", ROUND_THE_HOOK, str(PROGRAM), str(tmp_path / "out"), str(there)]
    told = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert "privileges" in told["shut"]
    assert not set(told["shut"]) & set(told["done"])
    if "files" in told["shut"]:
        assert "written" not in told["done"]
    if "processes" in told["shut"]:
        assert told["done"] in ([], ["files"]), "of root, too; reading is Landlock's part"


@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="the headers of this machine")
def test_the_numbers_of_system_calls_are_the_kernels() -> None:
    headers = {"asm-generic/unistd.h": 2, f"{os.uname().machine}-linux-gnu/asm/unistd_64.h": 1}
    rows = [r.split() for r in runpy.run_path(str(PROGRAM))["REFUSED_SYSTEM_CALLS"].split(";")]
    compared = 0
    for header, column in headers.items():
        path = Path("/usr/include") / header
        if not path.exists():
            continue
        known = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", path.read_text(encoding="utf-8")))
        told = {row[0]: row[column] for row in rows if row[0] in known}
        assert told == {name: known[name] for name in told}
        compared += len(told)
    if not compared:
        pytest.skip("no headers of the kernel")


def test_many_threads_get_the_answers_to_their_own_questions(make: Any) -> None:
    evaluator = make("def evaluate(case, output): return {'passed': True, 'reason': output['text']}")

    def ask(n: int) -> str:
        answer = evaluator(CASE, Output(f"n{n}"))
        return answer.reason if isinstance(answer, Score) else answer.message

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(200))) == [f"n{n}" for n in range(200)]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def evaluate(case output): pass", "mine.py is not Python: invalid syntax"),
        ("def judge(case, output): pass", "no function evaluate(case, output)"),
        ("def evaluate(output): pass", "takes (case, output), not 1 arguments"),
        ("async def evaluate(case, output): pass", "must not be async"),
        ("x = '\0'", "is not Python"),
    ],
)
def test_code_that_cannot_be_run_is_refused_when_it_is_read(source: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"mine\.py") as error:
        code_evaluator(SPEC, source, "mine.py")
    assert words in str(error.value)


def test_code_that_breaks_as_it_is_loaded_is_an_error_of_each_case(make: Any) -> None:
    evaluator = make("x = 1 / 0\ndef evaluate(case, output): return True")
    for _ in range(2):
        assert "ZeroDivisionError: division by zero (mine.py line 1)" in judged(evaluator)


def test_code_that_cannot_be_loaded_is_loaded_once(make: Any) -> None:
    evaluator = make("while True: pass\ndef evaluate(case, output): return True", load_s=0.5)
    began = time.monotonic()
    assert len({judged(evaluator) for _ in range(50)}) == 1
    assert time.monotonic() - began < 20


def test_code_that_fails_again_and_again_is_given_up(make: Any) -> None:
    evaluator = make("def evaluate(case, output):\n    while True: pass", deadline_s=0.01)
    messages = [judged(evaluator) for _ in range(PATIENCE + 1)]
    assert "no answer within 0.01 s" in messages[-2]
    assert "not tried any more, after 20 failures" in messages[-1]


def test_patience_is_for_failures_in_a_row() -> None:
    patience = Patience(2)
    for failed in (True, False, True):
        patience.note(failed=failed)
        patience.check()
    patience.note(failed=True)
    with pytest.raises(ChildFailed):
        patience.check()


def test_an_error_names_its_line(make: Any) -> None:
    assert "KeyError: 'x' (mine.py line 2)" in judged(make("def evaluate(case, output):\n    return case['x']"))


@pytest.mark.parametrize(
    ("result", "score", "passed"),
    [
        (True, 1.0, True),
        (False, 0.0, False),
        (0.8, 0.8, True),
        (0.79, 0.79, False),
        (1, 1.0, True),
        ({"score": 0.5, "passed": True}, 0.5, True),
        ({"passed": False}, 0.0, False),
        ({"score": True}, 1.0, True),
    ],
)
def test_what_code_may_return(result: Any, score: float, passed: bool) -> None:  # noqa: FBT001 - the expectation
    answer = to_score("e", result)
    assert (answer.score, answer.passed) == (score, passed)
