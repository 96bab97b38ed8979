"""K3: kill -9 when the record is durable and its sender has not heard so.

Injected: SIGKILL between the fdatasync of a group and its acknowledgements.
Holds: the sender tries again, and the next process finds the request in its journal: each span is there once.
Figure: killed once over HTTP and once over gRPC, on each database; 0 lost, 0 twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from tests.faults.harness import Producer, conserve

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Launch


@pytest.mark.parametrize("transport", [pytest.param("http", marks=pytest.mark.quick), "grpc"])
def test_what_was_durable_and_not_acknowledged_is_stored_once(
    launch: Launch,
    store: str,
    transport: Literal["http", "grpc"],
    record_property: Callable[[str, object], None],
) -> None:
    collector = launch(dsn=store).start(failpoints="journal.after_sync=exit@3")
    producer = Producer(collector, threads=1, transport=transport)
    with producer:
        assert collector.wait() == -9
        assert producer.acked_requests == 2
        assert len(producer.sent) == 3 * producer.requests.spans_per_request
        collector.start()
        producer.until_acked(3)
    assert producer.resent_requests == 1
    report = conserve(collector, producer)
    assert report.extra_rows == 0, "the retry is known, and not journalled again"
    record_property("figure", str(report))
