"""T1: the wall clock jumps.

Injected: the clock of the collector is moved by +1 h, -1 h, +10 years and -10 years while spans come in; and between
runs, with spans in the journal and a sender that repeats what it got no answer for. The embedded database reads the
kernel's clock by itself and stays; a database whose clock was set back is a test of settlement.
Holds: conserved; sequences go on; no duration changes; each row lies in the partition of its receipt as the clock had
it then; traces that came in two pieces, also on both sides of a jump, are settled.
Figure: 9 jumps in one run, 3 between runs; 0 lost, 0 twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.harness import Producer, conserve, until
from tests.faults.harness.producer import Requests
from tests.faults.harness.wall_clock import WallClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.harness import Collector, Launch

HOUR = 3600
YEARS = 10 * 365 * 24 * HOUR
JUMPS = (HOUR, 0, -HOUR, 0, YEARS, HOUR, -YEARS, -HOUR, 0)
ROWS = """
SELECT sequence, received_at, start_time, duration_ns, toYear(toDate(_partition_value.1)) AS year
FROM spans WHERE hex(trace_id) LIKE {run:String} ORDER BY sequence
"""


def test_while_spans_come_in(launch: Launch, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    clock = WallClock(tmp_path)
    collector = launch(environment=clock.environment).start()
    producer = Producer(collector, requests=Requests(4, 20, requests_per_trace=2))
    for jump in JUMPS:
        clock.move(jump)
        producer.send(3)
    sent = producer.acked_requests
    assert sent == 3 * len(JUMPS), dict(producer.answers)
    report = conserve(collector, producer)
    rows = collector.rows(ROWS, {"run": f"{producer.run.upper()}%"})
    assert {row["duration_ns"] for row in rows} == {1_000_000}
    assert sorted({row["sequence"] for row in rows}) == list(range(rows[0]["sequence"], rows[0]["sequence"] + sent))
    years = [row["received_at"].year for row in rows[:: producer.requests.spans_per_request * 3]]
    now = years[1]
    assert years[4] - now in (9, 10)
    assert now - years[6] in (9, 10)
    assert [row["year"] for row in rows] == [row["received_at"].year for row in rows]
    all_settled(collector, producer)
    record_property("figure", f"{len(JUMPS)} jumps: {report}")


def test_between_runs(launch: Launch, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    clock = WallClock(tmp_path)
    collector = launch(environment=clock.environment)
    producer = Producer(collector)
    jumps = (YEARS, -YEARS, 0)
    for jump in jumps:
        clock.move(jump)
        collector.start(failpoints="journal.after_sync=exit@4")  # durable and not acknowledged: it comes again
        with producer:
            assert collector.wait() == -9
            collector.start()
            producer.until_acked(4)
            collector.kill()
    collector.start()
    report = conserve(collector, producer)
    assert producer.resent_requests >= len(jumps)
    record_property("figure", f"{len(jumps)} jumps between runs: {report}")


def all_settled(collector: Collector, producer: Producer) -> None:
    """Every trace of the run is read as a whole."""
    sql = "SELECT count() AS n FROM traces WHERE NOT settled AND startsWith(lower(trace_id), {run:String})"
    until(lambda: collector.rows(sql, {"run": producer.run})[0]["n"] == 0, "every trace is settled")
