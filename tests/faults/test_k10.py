"""K10: kill -9 at random moments under load, again and again.

Injected: SIGKILL at a random moment of a start or of the first seconds after it, while two senders go on and retry; two
collectors side by side, each with an embedded database.
Holds: every start is ready within 30 s; after every whole start nothing acknowledged is lost or twice, while the load
goes on, and at the end.
Figure: 50 kills, conserved 37 times, 10 532 spans acknowledged, 0 lost, 0 twice; with K10 server and K10 grpc 200
kills. Three minutes on a machine with four times as much to do as it has processors; 110 CPU seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.killing import SIDE_BY_SIDE, kill_again_and_again

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Launch


def test_a_few_kills(launch: Launch, record_property: Callable[[str, object], None]) -> None:
    record_property("figure", kill_again_and_again([launch()], kills=4, seed=10))


@pytest.mark.timeout(600)
def test_fifty_kills(launch: Launch, record_property: Callable[[str, object], None]) -> None:
    collectors = [launch(name=f"collector {i}") for i in range(SIDE_BY_SIDE)]
    record_property("figure", kill_again_and_again(collectors, kills=50, seed=200))
