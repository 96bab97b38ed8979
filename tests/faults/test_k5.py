"""K5: kill -9 in the middle of reading a batch.

Injected: SIGKILL between decoding and the processors: normalise, cost, failure, sample.
Holds: the batch is read again with the same decisions, as they are functions of the trace; stored once.
Figure: killed at the first and at the third batch, embedded and on a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.harness import Producer, conserve

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Launch


@pytest.mark.parametrize("batch", [1, 3])
def test_what_was_half_read_is_stored_once(
    launch: Launch, store: str, batch: int, record_property: Callable[[str, object], None]
) -> None:
    collector = launch(dsn=store).start(failpoints=f"delivery.after_decode=exit@{batch}")
    producer = Producer(collector, retry=False, pause_s=0.01)
    with producer:
        assert collector.wait() == -9
        collector.start()
        producer.until_acked(producer.acked_requests + 5)
    report = conserve(collector, producer)
    assert report.extra_rows == 0, "no row is there twice, even before it is read"
    record_property("figure", str(report))
