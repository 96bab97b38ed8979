"""C4: the connection is cut in each phase of an INSERT.

Injected: a TCP proxy resets the connection before the INSERT, in its body, behind its body, and in the answer.
Holds: the same block is sent again under the same token; spans, views and ledger hold each once.
Figure: phases at which it was cut, each over 40 spans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.delivering import INSERT, Delivery, batch, counts, record, server_port, through, whole
from tests.tools.proxy import Fault, Proxy

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.server

PHASES = {
    "before": Fault("up", after=0, matching=INSERT),
    "in the head": Fault("up", after=300, matching=INSERT),
    "in the body": Fault("up", after=9_000, matching=INSERT),
    "behind the body": Fault("down", after=0, matching=INSERT),
    "in the answer": Fault("down", after=20, matching=INSERT),
    "behind the body, closed": Fault("down", after=0, matching=INSERT, how="close"),
}


@pytest.mark.parametrize("phase", list(PHASES))
def test_an_insert_that_was_cut_off_is_stored_once(
    server_dsn: str, phase: str, record_property: Callable[[str, object], None]
) -> None:
    fault = PHASES[phase]
    fault.happened.clear()
    with Proxy(server_port(server_dsn)) as proxy:
        proxy.fault(fault)
        lane, source = Delivery(through(server_dsn, proxy.port)).run(batch(1, record(1, 40)), batch(2, record(41, 1)))
    assert fault.happened.is_set(), "the connection was not cut"
    assert lane.progress.retries >= 1
    assert counts(server_dsn) == whole(41)
    assert len(source.confirmed) == 2
    record_property("figure", f"cut {phase}: 41 of 41 stored once after {lane.progress.retries} retries")
