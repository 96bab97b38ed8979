"""K10: kill -9 at random moments under load, again and again.

Injected: SIGKILL at a random moment of a start or of the first seconds after it, while two senders go on and retry; of
two workers one after the other, and their parent.
Holds: every start is ready within 30 s; after every tenth kill, and at the end, nothing acknowledged is lost or twice.
Figure: on two busy cores 70 kills on the embedded database and 80 on a server, two minutes each; 19 403 spans
acknowledged, 0 lost, 0 twice; 6 workers and 2 parents, 2 568 spans, 0 lost, 0 twice.
"""

from __future__ import annotations

import os
import random
import signal
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.harness import Producer, conserve, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Collector, Conserved, Launch

LOOK_EVERY = 10


def kill_again_and_again(
    collector: Collector, producer: Producer, *, kills: int, budget_s: float, seed: int
) -> tuple[int, Conserved]:
    """Kill until so many kills or so many seconds; return how many it were, and what the oracle saw at the end."""
    moments = random.Random(seed)  # noqa: S311 - reproducible on purpose
    end_s = time.monotonic() + budget_s
    done = 0
    while done < kills and time.monotonic() < end_s:
        with producer:
            for _ in range(min(LOOK_EVERY, kills - done)):
                if moments.random() < 0.2:  # in the middle of a start
                    collector.start(wait=False)
                else:
                    collector.start()
                    producer.until_acked(moments.randrange(1, 4))
                producer.wait(moments.uniform(0, 0.4))
                collector.kill()
                done += 1
        collector.start()
        report = conserve(collector, producer)
        collector.kill()
    return done, report


@pytest.mark.quick
def test_a_few_kills(launch: Launch, record_property: Callable[[str, object], None]) -> None:
    collector = launch()
    producer = Producer(collector, spans_per_request=3)
    done, report = kill_again_and_again(collector, producer, kills=5, budget_s=20, seed=10)
    record_property("figure", f"{done} kills: {report}")


@pytest.mark.timeout(240)
def test_two_hundred_kills(launch: Launch, store: str, record_property: Callable[[str, object], None]) -> None:
    collector = launch(dsn=store)
    producer = Producer(collector, spans_per_request=3)
    done, report = kill_again_and_again(collector, producer, kills=200, budget_s=110, seed=200)
    assert done >= LOOK_EVERY
    record_property("figure", f"{done} kills: {report}")


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
