"""Target: a function of the user's, in this process."""

from __future__ import annotations

import asyncio
import copy
import importlib
import importlib.util
import inspect
import sys
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalgate.errors import BadInput
from evalgate.run.targets.answer import Answer, Busy, to_output
from evalgate.terminal import one_line
from schema.fields import did_you_mean
from schema.run import ErrorKind, RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class PythonTarget:
    """A function of this process; it may be a coroutine function."""

    function: Callable[[dict[str, Any]], Any]

    def __call__(self, request: Mapping[str, Any], timeout_s: float) -> Answer:
        """Call it in a thread of its own, which is left behind if it does not end in time."""
        answers: list[Answer] = []

        def work() -> None:
            answers.append(self._call(copy.deepcopy(dict(request))))

        thread = threading.Thread(target=work, name="evalgate-target", daemon=True)
        thread.start()
        thread.join(timeout_s)
        return answers[0] if answers else RunError(ErrorKind.TIMEOUT, f"no answer within {timeout_s:g} s")

    def _call(self, case: dict[str, Any]) -> Answer:
        try:
            answer = self.function(case)
            if inspect.isawaitable(answer):
                answer = asyncio.run(_await(answer))
            return to_output(answer)
        except (ConnectionError, TimeoutError) as e:  # what the application's own clients raise when a service is away
            return Busy(RunError(ErrorKind.TARGET, _describe(e)))
        except BaseException as e:  # noqa: BLE001 - a target may raise anything, SystemExit too; it becomes a value
            return RunError(ErrorKind.TARGET, _describe(e))


def load_function(rest: str) -> Callable[[dict[str, Any]], Any]:
    """Return the function that `module:name` or `file.py:name` names.

    Raises:
        BadInput: there is none, or importing it fails.

    """
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


def _describe(error: BaseException) -> str:
    """Return what was raised and where, on one line."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename != __file__]
    place = f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
    return one_line(f"{type(error).__name__}: {error}", 300) + place
