"""K7: kill -9 after the INSERT, before the cursor.

Injected: SIGKILL when the database has a batch whole, and the cursor of its reader was not moved.
Holds: the batch is replayed, and its tokens make that nothing.
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
def test_what_was_stored_and_not_confirmed_is_stored_once(
    launch: Launch, store: str, batch: int, record_property: Callable[[str, object], None]
) -> None:
    collector = launch(dsn=store).start(failpoints=f"delivery.before_confirm=exit@{batch}")
    producer = Producer(collector, retry=False, pause_s=0.01)
    with producer:
        assert collector.wait() == -9
        collector.start()
        producer.until_acked(producer.acked_requests + 5)
    report = conserve(collector, producer)
    assert report.extra_rows == 0, "no row is there twice, even before it is read"
    record_property("figure", str(report))
