"""C11: the replica that took an INSERT is gone before it could say so, and another answers.

Injected: the answer to an INSERT is lost, then the first address refuses; a second leads to a replica that is read-only
at first. One server behind two addresses stands for the replicas: the server of the tests has no Keeper.
Holds: the same block goes to the other under the same token, and is stored once.
Figure: tries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.delivering import INSERT, Delivery, batch, counts, record, server_port, through, whole
from tests.faults.test_c6 import fault
from tests.tools.proxy import Fault, Proxy

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.server


def test_another_replica_knows_the_token(server_dsn: str, record_property: Callable[[str, object], None]) -> None:
    port = server_port(server_dsn)
    with Proxy(port) as second, Proxy(port) as balancer:
        balancer.fault(Fault("down", after=0, matching=INSERT))
        second.fault(Fault("up", how="answer", said=fault(242, "TABLE_IS_READ_ONLY"), matching=INSERT))

        def on_wait(number: int) -> None:
            if number == 1:
                balancer.refusing = True
                balancer.hang_up()
            elif number == 3:
                balancer.refusing, balancer.server_port = False, second.port

        delivery = Delivery(through(server_dsn, balancer.port), on_wait=on_wait)
        lane, source = delivery.run(batch(1, record(1, 40)))
    assert second.connections > 0
    assert lane.progress.retries == 4
    assert counts(server_dsn) == whole(40)
    assert len(source.confirmed) == 1
    record_property("figure", f"stored once at try {lane.progress.retries + 1}, by another replica")
