"""The end of a process: nobody who waits for something dead keeps it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import asyncio, threading
from collector.process import Background

background = Background()

async def work():
    asyncio.get_running_loop().run_in_executor(None, {wait})
    await asyncio.sleep(0)

with asyncio.Runner(loop_factory=background.new_event_loop) as runner:
    runner.run(work())
    print("before", flush=True)
    background.end(3, "the database is gone")
print("after", flush=True)
"""
SOON_S = 20.0


def run(wait: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE.format(wait=wait)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_thread_that_waits_for_ever_is_left_behind_and_the_reason_told() -> None:
    began_s = time.monotonic()
    done = run("threading.Event().wait")
    assert time.monotonic() - began_s < SOON_S
    assert (done.returncode, done.stdout) == (3, "before\n")
    assert done.stderr.endswith(": the database is gone\n")


def test_threads_that_end_are_waited_for_and_the_process_goes_on() -> None:
    done = run("lambda: None")
    assert (done.returncode, done.stdout, done.stderr) == (0, "before\nafter\n", "")
