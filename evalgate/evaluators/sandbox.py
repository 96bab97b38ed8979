"""Someone's code, run apart: one child process per evaluator, inside a fence, with a deadline per case.

confined.py is the program of the child and says what the fence is made of.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalgate.evaluators.child import Child, ChildFailed, NeverReady, Patience

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = Path(__file__).with_name("confined.py")
CASE_DEADLINE_S = 5.0
"""A deterministic check of one output takes milliseconds."""

LOAD_DEADLINE_S = 30.0
"""To import what the code imports, on a busy machine."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child may use."""

    memory_bytes: int = 512 * 1024 * 1024
    """Of address space; Python itself takes 30 MB."""
    cpu_s: int = 600
    """Of the whole run; the deadline of a case is kept by the parent."""
    open_files: int = 32
    deadline_s: float = CASE_DEADLINE_S
    """Per case."""
    load_s: float = LOAD_DEADLINE_S

    def to_json(self) -> dict[str, int]:
        """Return the limits of the kernel, by their names in `resource`."""
        return {
            "RLIMIT_AS": self.memory_bytes,
            "RLIMIT_CPU": self.cpu_s,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_FSIZE": 0,
            "RLIMIT_NPROC": 0,
            "RLIMIT_CORE": 0,
        }


class Sandbox:
    """Runs `evaluate(case, output)` of one source. Safe from many threads: one case at a time."""

    def __init__(self, source: str, name: str, limits: Limits) -> None:
        self._source = source
        self._name = name
        self._limits = limits
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._patience = Patience()
        self._never = ""
        """Why it cannot be loaded; it is tried once."""

    @property
    def shut(self) -> tuple[str, ...]:
        """What the kernel keeps from the code, beyond limits: privileges, network, files; () before the first case."""
        return tuple(self._child.opening.get("shut", ())) if self._child else ()

    def evaluate(self, case: Mapping[str, Any], output: Mapping[str, Any]) -> Any:
        """Return what the code returned.

        Raises:
            ChildFailed: a ValueError: the code did not come to an end.
            CodeRaised: a ValueError: it raised.

        """
        if self._never:
            raise NeverReady(self._never)
        self._patience.check()
        try:
            answer = self._ready().ask({"case": case, "output": output}, self._limits.deadline_s)
        except NeverReady as e:
            self._never = str(e)
            raise
        except ChildFailed:
            self._patience.note(failed=True)
            raise
        self._patience.note(failed=False)
        if (wrong := answer.get("error")) is not None:
            raise CodeRaised(str(wrong))
        return answer.get("result")

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.close()

    def _ready(self) -> Child:
        """Return the child, made when it is first needed: whoever only reads evaluators starts nothing."""
        with self._lock:
            if self._child is None:
                folder = tempfile.mkdtemp(prefix="evalgate-evaluator-")
                weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
                # As -I (no environment, no current folder, no user site) and without site-packages; -I itself would
                # also ignore the seed of hashes, and with it the order of a set would change from run to run.
                self._child = Child(
                    [sys.executable, "-P", "-s", "-S", "-B", "-X", "utf8", str(PROGRAM)],
                    first={"source": self._source, "name": self._name, "limits": self._limits.to_json()},
                    first_deadline_s=self._limits.load_s,
                    env={"PYTHONHASHSEED": "0"},
                    cwd=folder,
                )
            return self._child


class CodeRaised(ValueError):
    """The code of an evaluator raised; the message is what, and in which line."""
