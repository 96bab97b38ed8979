"""K1: kill -9 before the journal has the request.

Injected: SIGKILL when a request is admitted and nothing of it is written.
Holds: no acknowledgement, no record; the client's retry is stored once.
Figure: killed once on each database; 40 spans acknowledged on each, 0 lost, 0 twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.harness import Producer, conserve

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Launch


def test_a_request_that_was_never_written_is_stored_once_by_the_retry(
    launch: Launch, store: str, record_property: Callable[[str, object], None]
) -> None:
    collector = launch(dsn=store).start(failpoints="journal.before_append=exit@4")
    producer = Producer(collector, threads=1)
    producer.send(3)
    with producer:
        assert collector.wait() == -9
        assert producer.acked_requests == 3
        collector.start()
        producer.until_acked(5)
    report = conserve(collector, producer)
    assert report.without_answer == 0
    record_property("figure", str(report))
