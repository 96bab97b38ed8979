"""Target: a program, the case as JSON on its stdin; never a shell."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalgate.run.targets.answer import Answer, Busy, to_output
from evalgate.terminal import one_line
from schema.run import ErrorKind, Output, RunError

if TYPE_CHECKING:
    from collections.abc import Mapping

TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h: how a program says that it may work a moment later."""


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """A program, started once per case."""

    argv: tuple[str, ...]

    def __call__(self, request: Mapping[str, Any], timeout_s: float) -> Answer:
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
                out, err = process.communicate(json.dumps(request).encode("utf-8"), timeout=timeout_s)
            except subprocess.TimeoutExpired:
                _end_group(process)
                return RunError(ErrorKind.TIMEOUT, f"no answer within {timeout_s:g} s")
            except BaseException:
                _end_group(process)
                raise
        if process.returncode != 0:
            last = next((x for x in reversed(err.decode("utf-8", "replace").splitlines()) if x.strip()), "")
            error = RunError(ErrorKind.TARGET, one_line(f"exit {process.returncode}: {last}", 300))
            return Busy(error) if process.returncode == TRY_AGAIN else error
        return from_bytes(out)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def from_bytes(out: bytes) -> Output | RunError:
    """Return the output in what a program or a server sent: our JSON, any other JSON as it is, or plain text."""
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
