"""T2: the process stands still, and goes on.

Injected: SIGSTOP under load, SIGCONT 60 s later (3 s in the quick form); senders give up on their answers and send the
same again.
Holds: the same process goes on; what stood between sync and answer is there once; nothing expires. Conserved.
Figure: 60 s, after which 4 requests had been sent again; 0 lost, 0 twice.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.faults.harness import Producer, conserve

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Launch


def stop_and_go(launch: Launch, dsn: str | None, *, stopped_s: float) -> str:
    collector = launch(dsn=dsn).start()
    pid = collector.pid
    with Producer(collector, answer_s=1.0) as by_http, Producer(collector, transport="grpc", answer_s=1.0) as by_grpc:
        by_http.until_acked(10)
        collector.signal(signal.SIGSTOP)
        by_http.wait(stopped_s)
        collector.signal(signal.SIGCONT)
        by_http.until_acked(20)
        by_grpc.until_acked(20)
    assert collector.pid == pid
    report = conserve(collector, by_http, by_grpc)
    resent = by_http.resent_requests + by_grpc.resent_requests
    assert resent > 0
    return f"{stopped_s:.0f} s stopped, {resent} requests sent again: {report}"


def test_a_short_stop(launch: Launch, record_property: Callable[[str, object], None]) -> None:
    record_property("figure", stop_and_go(launch, None, stopped_s=3))


@pytest.mark.timeout(150)
def test_a_minute(launch: Launch, store: str, record_property: Callable[[str, object], None]) -> None:
    record_property("figure", stop_and_go(launch, store, stopped_s=60))
