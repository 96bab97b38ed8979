"""Targets: what a run sends its cases to.

    python:package.module:function      called with the case as a dict, in this process
    python:path/to/file.py:function     the same, from a file; its folder (of a file in a package: that of the package)
                                        and the current one are importable
    cmd:program --flag                  the case as JSON on stdin, the output as text or JSON on stdout; never a shell
    file:outputs.jsonl                  {"case_id", "output", "tool_calls"?} per line: outputs made elsewhere

A target answers with a text, or with {"output": text, "tool_calls": [{"name", "arguments"}...]}. What it raises, or
its timeout, is an error of that case: infrastructure, never a bad score.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import importlib
import importlib.util
import inspect
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from evalgate.errors import BadInput
from evalgate.files import read_jsonl
from evalgate.terminal import one_line
from schema.fields import did_you_mean, json_name
from schema.run import ErrorKind, Output, RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ANSWER_FIELDS = ("output", "tool_calls")


class Target(Protocol):
    """Where cases go."""

    def __call__(self, case: Mapping[str, Any], timeout_s: float) -> Output | RunError:
        """Return the output for one case (the JSON object of `schema.case`). Never raises for a case."""


def load_target(text: str) -> Target:
    """Return the target that `--target` names.

    Raises:
        BadInput: there is no such thing; nothing was run.

    """
    kind, _, rest = text.partition(":")
    if kind == "python" and rest:
        return PythonTarget(_load_function(rest))
    if kind == "cmd" and rest.strip():
        try:
            return CommandTarget(tuple(shlex.split(rest)))
        except ValueError as e:
            raise BadInput(f"--target {text!r} cannot be split into words: {e}") from None
    if kind == "file" and rest:
        return _load_outputs(Path(rest))
    raise BadInput(
        f"--target {text!r} is not known; use python:module:function, python:path/to/file.py:function, "
        "cmd:program or file:outputs.jsonl"
    )


def to_output(value: Any) -> Output:
    """Return the output in what a target answered.

    Raises:
        ValueError: it is no answer.

    """
    if isinstance(value, str):
        return Output(value)
    if not isinstance(value, dict):
        raise ValueError(f'the target must return a text or {{"output": ...}}, not {_name(value)}')  # noqa: TRY004 - a value
    if "output" not in value:
        hint = f".{did_you_mean(near, ANSWER_FIELDS)}" if (near := next(iter(value), None)) else ""
        raise ValueError(f"the target's answer lacks 'output'{hint}")
    answer = value["output"]
    text = answer if isinstance(answer, str) else "" if answer is None else json.dumps(answer, ensure_ascii=False)
    calls = value.get("tool_calls") or []
    if not isinstance(calls, (list, tuple)):
        raise ValueError(f"the target's tool_calls must be a list, not {_name(calls)}")  # noqa: TRY004 - a value
    return Output(text, tuple(_tool_call(c) for c in calls))


@dataclass(frozen=True, slots=True)
class PythonTarget:
    """A function of this process; it may be a coroutine function."""

    function: Callable[[dict[str, Any]], Any]

    def __call__(self, case: Mapping[str, Any], timeout_s: float) -> Output | RunError:
        """Call it in a thread of its own, which is left behind if it does not end in time."""
        answers: list[Output | RunError] = []

        def work() -> None:
            answers.append(self._call(copy.deepcopy(dict(case))))

        thread = threading.Thread(target=work, name="evalgate-target", daemon=True)
        thread.start()
        thread.join(timeout_s)
        return answers[0] if answers else RunError(ErrorKind.TIMEOUT, f"no answer within {timeout_s:g} s")

    def _call(self, case: dict[str, Any]) -> Output | RunError:
        try:
            answer = self.function(case)
            if inspect.isawaitable(answer):
                answer = asyncio.run(_await(answer))
            return to_output(answer)
        except BaseException as e:  # noqa: BLE001 - a target may raise anything, SystemExit too; it becomes a value
            return RunError(ErrorKind.TARGET, _describe(e))


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """A program, started once per case."""

    argv: tuple[str, ...]

    def __call__(self, case: Mapping[str, Any], timeout_s: float) -> Output | RunError:
        """Run it with the case on stdin; after the timeout its whole process group is ended."""
        try:
            process = subprocess.Popen(
                self.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as e:
            return RunError(ErrorKind.TARGET, f"cannot start {self.argv[0]}: {e.strerror or e}")
        with process:
            try:
                out, err = process.communicate(json.dumps(case).encode("utf-8"), timeout=timeout_s)
            except subprocess.TimeoutExpired:
                _end_group(process)
                return RunError(ErrorKind.TIMEOUT, f"no answer within {timeout_s:g} s")
            except BaseException:
                _end_group(process)
                raise
        if process.returncode != 0:
            last = next((x for x in reversed(err.decode("utf-8", "replace").splitlines()) if x.strip()), "")
            return RunError(ErrorKind.TARGET, one_line(f"exit {process.returncode}: {last}", 300))
        return _from_stdout(out)


@dataclass(frozen=True, slots=True)
class FileTarget:
    """Outputs that were made elsewhere."""

    path: Path
    outputs: Mapping[str, Output | RunError]

    def __call__(self, case: Mapping[str, Any], timeout_s: float) -> Output | RunError:  # noqa: ARG002 - the seam
        """Look the case up."""
        case_id = case["case_id"]
        return self.outputs.get(case_id) or RunError(ErrorKind.TARGET, f"{self.path} has no line for {case_id}")


def _load_outputs(path: Path) -> FileTarget:
    outputs: dict[str, Output | RunError] = {}
    for number, value in read_jsonl(path):
        try:
            if isinstance(value, ValueError):
                raise value
            if not isinstance(value, dict) or not isinstance(value.get("case_id"), str):
                raise ValueError("each line must be an object with a 'case_id'")  # noqa: TRY004, TRY301 - as above
            error = value.get("error")
            output = RunError(ErrorKind.TARGET, one_line(str(error), 300)) if error else to_output(value)
        except ValueError as e:
            raise BadInput(f"{path} line {number}: {e}") from None
        if value["case_id"] in outputs:
            raise BadInput(f"{path} line {number}: the case {value['case_id']} stands there twice")
        outputs[value["case_id"]] = output
    return FileTarget(path, outputs)


def _load_function(rest: str) -> Callable[[dict[str, Any]], Any]:
    where, colon, name = rest.rpartition(":")
    if not colon or not where or not name:
        raise BadInput(f"--target python:{rest!r} lacks its function; write python:module:function")
    _importable(Path.cwd())
    try:
        module = _import_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except BadInput:
        raise
    except (Exception, SystemExit) as e:  # noqa: BLE001 - importing the user's code may raise anything
        raise BadInput(f"--target: importing {where} failed: {_describe(e)}") from None
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            public = [n for n, v in vars(value).items() if callable(v) and not n.startswith("_")]
            raise BadInput(f"--target: {where} has no {name!r}.{did_you_mean(name, public)}")
        value = getattr(value, part)
    if not callable(value):
        raise BadInput(f"--target: {name!r} of {where} is not a function")
    function: Callable[[dict[str, Any]], Any] = value
    return function


def _import_file(path: Path) -> Any:
    """Import a file: as part of its package if its folder is one, else by itself."""
    if not path.is_file():
        raise BadInput(f"--target: there is no file {path}")
    root, names = path.resolve().parent, [path.stem]
    while (root / "__init__.py").is_file():
        names.insert(0, root.name)
        root = root.parent
    _importable(root)
    if len(names) > 1:
        return importlib.import_module(".".join(names))
    spec = importlib.util.spec_from_file_location(f"evalgate_target_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BadInput(f"--target: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _importable(folder: Path) -> None:
    """Put a folder first on the import path, as `python file.py` does."""
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))


async def _await(answer: Any) -> Any:
    return await answer


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _from_stdout(out: bytes) -> Output | RunError:
    text = out.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except ValueError:
        return Output(text.removesuffix("\n"))
    if isinstance(value, str) or (isinstance(value, dict) and "output" in value):
        try:
            return to_output(value)
        except ValueError as e:
            return RunError(ErrorKind.TARGET, str(e))
    return Output(text.removesuffix("\n"))  # JSON of the application's own


def _tool_call(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError('each of tool_calls must be {"name": ..., "arguments": {...}}')  # noqa: TRY004 - a value
    arguments = value.get("arguments")
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError):
            arguments = json.loads(arguments)
    return {"name": value["name"], "arguments": arguments}


def _describe(error: BaseException) -> str:
    """Return what was raised and where, on one line."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename != __file__]
    place = f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
    return one_line(f"{type(error).__name__}: {error}", 300) + place


def _name(value: Any) -> str:
    return json_name(value) if isinstance(value, (list, bool, int, float, type(None))) else type(value).__name__
