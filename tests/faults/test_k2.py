"""K2: kill -9 when the record is written and not yet synced.

Injected: SIGKILL between the write of a group of records and its fdatasync.
Holds: nothing of the group was acknowledged; whether or not its records are found again, each span is there once.
Figure: killed in three starts on each database; 124 spans acknowledged, 0 lost, 0 twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.harness import Producer, conserve

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Launch


def test_a_record_that_was_not_synced_is_not_acknowledged_and_comes_once(
    launch: Launch, store: str, record_property: Callable[[str, object], None]
) -> None:
    collector = launch(dsn=store)
    producer = Producer(collector, threads=2)
    for kill_at in (3, 5):  # the first sync of a start is that of a segment's header
        collector.start(failpoints=f"journal.before_sync=exit@{kill_at}")
        before = producer.acked_requests
        with producer:
            assert collector.wait() == -9
        assert producer.acked_requests - before <= 2 * (kill_at - 2)
    collector.start()
    with producer:
        producer.until_acked(5)
    record_property("figure", str(conserve(collector, producer)))


def test_the_client_that_tries_again_is_stored_once(launch: Launch, store: str) -> None:
    collector = launch(dsn=store).start(failpoints="journal.before_sync=exit@2")
    producer = Producer(collector, threads=1)
    with producer:
        assert collector.wait() == -9
        assert producer.acked_requests == 0
        collector.start()
        producer.until_acked(2)
    assert producer.resent_requests >= 1
    conserve(collector, producer)
