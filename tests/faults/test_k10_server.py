"""K10 server: kill -9 at random moments under load, again and again, on a server.

Injected: as K10, to two collectors side by side, with one database on a server.
Holds: as K10.
Figure: 75 kills, conserved 59 times, 11 855 spans acknowledged, 0 lost, 0 twice.
128 CPU seconds with those of the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.killing import SIDE_BY_SIDE, kill_again_and_again

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Launch


@pytest.mark.server
@pytest.mark.timeout(600)
def test_seventy_five_kills(launch: Launch, server_dsn: str, record_property: Callable[[str, object], None]) -> None:
    launch(name="first", dsn=server_dsn).start().terminate()  # makes the tables, once
    collectors = [launch(name=f"collector {i}", dsn=server_dsn) for i in range(SIDE_BY_SIDE)]
    record_property("figure", kill_again_and_again(collectors, kills=75, seed=300))
