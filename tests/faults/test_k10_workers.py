"""K10 workers: kill -9 of workers and of their parent.

Injected: SIGKILL of two workers one after the other under load, and of their parent.
Holds: the parent starts another worker; workers end with their parent; nothing acknowledged is lost or twice.
Figure: 6 workers and 2 parents killed, 4 076 spans acknowledged, 0 lost, 0 twice.
"""

from __future__ import annotations

import os
import random
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.harness import Producer, conserve, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Collector, Launch


@pytest.mark.server
@pytest.mark.timeout(120)
def test_a_worker_and_its_parent_are_killed(
    launch: Launch, server_dsn: str, record_property: Callable[[str, object], None]
) -> None:
    """What one worker acknowledged the other never saw; a re-sent request may go to either."""
    collector = launch(dsn=server_dsn, workers=2)
    producer = Producer(collector, threads=3)
    moments = random.Random(7)  # noqa: S311 - reproducible on purpose
    killed = 0
    for _ in range(2):
        collector.start()
        with producer:
            for _ in range(3):
                until(lambda: None not in pids(collector), "both workers run")
                producer.until_acked(6)
                before = pids(collector)
                os.kill(moments.choice([pid for pid in before if pid]), signal.SIGKILL)
                killed += 1
                until(partial(differ, collector, before), "the parent starts another")
            producer.until_acked(3)
            orphans = [pid for pid in pids(collector) if pid]
            collector.kill()
            until(partial(have_ended, orphans), "the workers end too")
    collector.start()
    report = conserve(collector, producer)
    record_property("figure", f"{killed} workers and 2 parents killed: {report}")


def pids(collector: Collector) -> list[int | None]:
    """Return the process of each worker; None of one that does not run."""
    return [worker["pid"] for worker in collector.status()["workers"]]


def differ(collector: Collector, before: list[int | None]) -> bool:
    return pids(collector) != before


def have_ended(processes: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in processes)
