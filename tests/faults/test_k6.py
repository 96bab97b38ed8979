"""K6: kill -9 after an INSERT, before anybody knows of it.

Injected: SIGKILL when the database has the spans of a batch and not yet its ledger.
Holds: the replay sends the same blocks under the same tokens; spans, views and ledger hold each once.
Figure: killed at the first and at the third batch, embedded and on a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.harness import Producer, conserve

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Launch


@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.quick), 3])
def test_what_was_inserted_and_not_known_is_stored_once(
    launch: Launch, store: str, batch: int, record_property: Callable[[str, object], None]
) -> None:
    collector = launch(dsn=store).start(failpoints=f"exporter.after_insert=exit@{batch}")
    producer = Producer(collector, retry=False, pause_s=0.01)
    with producer:
        assert collector.wait() == -9
        collector.start()
        producer.until_acked(producer.acked_requests + 5)
    report = conserve(collector, producer)
    assert report.extra_rows == 0, "no row is there twice, even before it is read"
    record_property("figure", str(report))
