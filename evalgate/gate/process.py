"""Runs the project's own command: a list and never a shell, in its own process group, its output passed through."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalgate.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

DEFAULT_TIMEOUT_S = 3600.0
"""An hour: longer than test suites that people wait for, shorter than the six that a CI job may take."""
GRACE_S = 10.0
"""Between asking a process group to end and ending it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    exit_code: int
    """Negative: the number of the signal that ended it."""
    duration_s: float


def run_command(
    command: Sequence[str],
    *,
    timeout_s: float,
    out: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[subprocess.Popen[bytes], float], int] = subprocess.Popen.wait,
    grace_s: float = GRACE_S,
) -> Ended:
    """Run a command to its end; its stdout goes to `out`, else where ours goes. It has no stdin.

    When the time is up, or we are interrupted, its whole process group is asked to end, then ended.

    Raises:
        BadInput: it cannot be started, or did not end in time.

    """
    began = clock()
    try:
        process = subprocess.Popen(list(command), stdin=subprocess.DEVNULL, stdout=out, start_new_session=True)
    except FileNotFoundError:
        raise BadInput(f"there is no command {command[0]!r}. Is its environment active?") from None
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else e
        raise BadInput(f"the command {command[0]!r} cannot be started: {reason}") from None
    try:
        code = wait(process, timeout_s)
    except subprocess.TimeoutExpired:
        _end(process, signal.SIGTERM, grace_s)
        raise BadInput(
            f"the command {command[0]!r} did not end within {timeout_s:g} s and was ended. Give it longer: --timeout-s"
        ) from None
    except BaseException:  # Ctrl-C: the group is not the terminal's, so nobody else tells it
        _end(process, signal.SIGINT, grace_s)
        raise
    return Ended(code, clock() - began)


def _end(process: subprocess.Popen[bytes], first: signal.Signals, grace_s: float) -> None:
    """End the process group; what is left of it after the leader is ended at once."""
    _signal(process.pid, first)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
