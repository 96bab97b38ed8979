"""What a process and its children cost, from /proc: CPU seconds and resident memory. Linux only."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
POLL_S: Final = 0.25
IDLE_S: Final = 1.0
"""How long a process must be idle to count as done."""
IDLE_SHARE: Final = 0.05
"""Of one core; what a poll of its health and timers may cost."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a process and its children, since each began."""

    user_s: float
    system_s: float
    rss_bytes: int
    rss_peak_bytes: int
    """Sum of each process's own peak, so an upper bound where there are several."""

    @property
    def cpu_s(self) -> float:
        """User and system together; resolution 10 ms."""
        return self.user_s + self.system_s


def usage(pid: int) -> Usage:
    """Read the usage now; a process that is gone counts as nothing."""
    user = system = rss = peak = 0
    for each in _tree(pid):
        try:
            stat = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            status = Path(f"/proc/{each}/status").read_text()
        except OSError:
            continue
        user += int(stat[11])
        system += int(stat[12])
        rss += _kib(status, "VmRSS")
        peak += _kib(status, "VmHWM")
    return Usage(user / TICKS_PER_S, system / TICKS_PER_S, rss << 10, peak << 10)


def _kib(status: str, name: str) -> int:
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith(name)), 0)


def _tree(pid: int) -> list[int]:
    pids = [pid]
    for each in pids:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                pids += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return pids


def await_idle(pids: Iterable[int], *, timeout_s: float, done: Callable[[], bool] = lambda: True) -> tuple[float, bool]:
    """Wait until `done()` and the processes have been idle for a second.

    Returns the moment (`time.monotonic`) since which they were idle, and False when the time was up before.
    """
    watched = list(pids)
    deadline = time.monotonic() + timeout_s
    since, cpu_s = time.monotonic(), _cpu_s(watched)
    while time.monotonic() < deadline:
        time.sleep(POLL_S)
        now, now_s = time.monotonic(), _cpu_s(watched)
        # At 10 ms a tick, one tick in a quarter of a second is still idle.
        if now_s - cpu_s > max(IDLE_SHARE * (now - since), 1.5 / TICKS_PER_S) or not done():
            since, cpu_s = now, now_s
        elif now - since >= IDLE_S:
            return since, True
    return since, False


def _cpu_s(pids: Iterable[int]) -> float:
    return sum(usage(pid).cpu_s for pid in pids)
