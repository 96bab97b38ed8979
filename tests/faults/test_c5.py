"""C5: a connection that is open at one end only.

Injected: a TCP proxy that stops forwarding, without a FIN, in the body of an INSERT, and before its answer.
Holds: it is given up within 30 s without progress; the batch is sent again under the same token and stored once.
Figure: seconds until it was given up.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import pytest

from exporters.clickhouse.send import PROGRESS_TIMEOUT_S
from tests.faults.delivering import INSERT, Delivery, batch, counts, record, server_port, through, whole
from tests.tools.proxy import Fault, Proxy

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.server
MORE_S = 10.0
"""For a machine that does other things at the same time."""


@pytest.mark.parametrize("way", ["up", "down"])
def test_silence_is_given_up_and_the_batch_is_stored_once(
    server_dsn: str, way: Literal["up", "down"], record_property: Callable[[str, object], None]
) -> None:
    with Proxy(server_port(server_dsn)) as proxy:
        proxy.fault(Fault(way, after=9_000 if way == "up" else 0, how="silence", matching=INSERT))
        failed: list[float] = []
        began_s = time.monotonic()
        delivery = Delivery(
            through(server_dsn, proxy.port), on_wait=lambda _: failed.append(time.monotonic() - began_s)
        )
        _, source = delivery.run(batch(1, record(1, 40)))
    assert len(failed) == 1
    assert failed[0] < PROGRESS_TIMEOUT_S + MORE_S
    assert counts(server_dsn) == whole(40)
    assert len(source.confirmed) == 1
    record_property("figure", f"given up after {failed[0]:.1f} s, stored once")
