"""What processes cost, from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.tools.proc import await_idle, usage

if TYPE_CHECKING:
    from collections.abc import Iterator

SPIN = "import time\nprint(flush=True)\nwhile True: pass"
REST = "import threading\nprint(flush=True)\nthreading.Event().wait()"
SPIN_IN_A_CHILD = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {SPIN!r}])"


@contextmanager
def python(code: str) -> Iterator[int]:
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # its children are of its session


def test_a_process_that_works_is_not_idle() -> None:
    with python(SPIN) as pid:
        before = usage(pid).cpu_s
        _, idle = await_idle([pid], timeout_s=1.5)
        assert not idle
        assert usage(pid).cpu_s > before


def test_the_work_of_a_child_is_work() -> None:
    with python(SPIN_IN_A_CHILD) as pid:
        before = usage(pid).cpu_s
        _, idle = await_idle([pid], timeout_s=1.5)
        assert not idle
        assert usage(pid).cpu_s > before


def test_a_process_that_waits_is_idle_once_its_work_is_done() -> None:
    with python(REST) as pid:
        answers = iter([False, True])
        _, idle = await_idle([pid], timeout_s=10, done=lambda: next(answers, True))
        assert idle
        assert next(answers, None) is None
        _, idle = await_idle([pid], timeout_s=1.2, done=lambda: False)
        assert not idle


def test_memory_is_that_of_the_process_and_a_process_that_is_gone_costs_nothing() -> None:
    with python(REST) as pid:
        seen = usage(pid)
        assert 1 << 20 < seen.rss_bytes <= seen.rss_peak_bytes < 1 << 30
    assert usage(pid).rss_bytes == 0
