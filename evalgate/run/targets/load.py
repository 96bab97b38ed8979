"""Targets: what a run sends its cases to.

    python:package.module:function      called with the request as a dict, in this process
    python:path/to/file.py:function     the same, from a file; its folder (of a file in a package: that of the package)
                                        and the current one are importable
    cmd:program --flag                  the request as JSON on stdin, the output as text or JSON on stdout; no shell
    file:outputs.jsonl                  {"case_id", "output", "tool_calls"?} per line: outputs made elsewhere
    recorded                            what production answered

A target answers with a text, or with {"output": text, "tool_calls": [{"name", "arguments"}...]}. What it raises, or
its timeout, is an error of that case: infrastructure, never a bad score.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from evalgate.errors import BadInput
from evalgate.run.targets.function import PythonTarget, load_function
from evalgate.run.targets.program import CommandTarget
from evalgate.run.targets.recorded import load_outputs, recorded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evalgate.run.targets.answer import Target
    from schema.case import Case


def load_target(text: str, cases: Iterable[Case] = ()) -> Target:
    """Return the target that `--target` names.

    Raises:
        BadInput: there is no such thing; nothing was run.

    """
    kind, _, rest = text.partition(":")
    if kind == "python" and rest:
        return PythonTarget(load_function(rest))
    if kind == "cmd" and rest.strip():
        try:
            return CommandTarget(tuple(shlex.split(rest)))
        except ValueError as e:
            raise BadInput(f"--target {text!r} cannot be split into words: {e}") from None
    if kind == "file" and rest:
        return load_outputs(Path(rest))
    if text == "recorded":
        return recorded(cases)
    raise BadInput(
        f"--target {text!r} is not known; use python:module:function, python:path/to/file.py:function, "
        "cmd:program, file:outputs.jsonl or recorded"
    )
