"""Kill collectors side by side at random moments under load, and hold each to its promise after every start."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tests.faults.harness import Producer, conserve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.faults.harness import Collector, Conserved

IN_A_START = 0.3
"""Part of the rounds that have a kill in the middle of a start as well."""
START_S = 1.0
"""About as long as a start takes."""
LOADED_S = 0.3
"""The longest that a collector is left under load once all is well."""
SIDE_BY_SIDE = 2
"""Collectors: as many as the smallest machine has processors."""
PAUSE_S = 0.02
"""Between two requests of a sender."""


@dataclass(slots=True)
class Killed:
    """One collector and what became of it."""

    collector: Collector
    producer: Producer
    kills: int = 0
    rounds: int = 0
    report: Conserved | None = None
    """What the oracle saw at the end."""


def kill_again_and_again(
    collectors: Sequence[Collector], *, kills: int, seed: int, transport: Literal["http", "grpc"] = "http"
) -> str:
    """Kill so many times, spread over the collectors; return the figure.

    A round: perhaps a kill in the middle of a start; a whole start; conservation while the senders go on; more load;
    kill. After the last kill comes another start, and conservation of everything.

    Raises:
        AssertionError: a promise is broken.

    """
    killed = [Killed(c, Producer(c, spans_per_request=3, pause_s=PAUSE_S, transport=transport)) for c in collectors]
    shares = [kills // len(killed) + (i < kills % len(killed)) for i in range(len(killed))]
    with ThreadPoolExecutor(len(killed), thread_name_prefix="killing") as side_by_side:
        work = [side_by_side.submit(_kill, k, n, random.Random(seed + i))  # noqa: S311 - reproducible on purpose
                for i, (k, n) in enumerate(zip(killed, shares, strict=True))]  # fmt: skip
    for each in work:
        each.result()
    assert sum(k.kills for k in killed) == kills == sum(k.collector.kills for k in killed)
    acked = sum(k.report.acked for k in killed if k.report)
    rounds = sum(k.rounds for k in killed)
    return f"{kills} kills, conserved {rounds} times: {acked} spans acknowledged, 0 lost, 0 twice"


def _kill(killed: Killed, kills: int, moments: random.Random) -> None:
    collector, producer = killed.collector, killed.producer
    while killed.kills < kills:
        with producer:
            if moments.random() < IN_A_START:
                collector.start(wait=False)
                producer.wait(moments.uniform(0, START_S))
                collector.kill()
                killed.kills += 1
                if killed.kills == kills:
                    break
            collector.start()
            producer.until_acked(1)
            conserve(collector, producer)
            killed.rounds += 1
            producer.wait(moments.uniform(0, LOADED_S))
            collector.kill()
            killed.kills += 1
    collector.start()
    killed.report = conserve(collector, producer)
    killed.rounds += 1
    assert collector.terminate() == 0
