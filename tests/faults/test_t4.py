"""T4: a span comes late, when its trace was decided on.

Injected: a span of a trace that was stored and settled, 1 s, 1 h and 25 h after it; once failing, once not; and again
after a kill -9.
Holds: it joins its trace: the same baseline decision, the trace settled again; a late failure flags the whole trace,
and what comes after a failure does not take the flag away.
Figure: 3 delays, each with a failure and without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.faults.harness import Producer, conserve, until
from tests.faults.harness.wall_clock import WallClock
from tests.faults.sampling import RandomTraces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.harness import Collector, Launch

DELAYS_S = (1, 3600, 25 * 3600)
TRACES = """
SELECT trace_id, span_count, failing, baseline, flagged, settled FROM traces
WHERE startsWith(lower(trace_id), {run:String}) ORDER BY trace_id
"""
DECISIONS = """
SELECT uniqExact(baseline) AS decisions, uniqExact(toDate(received_at)) AS days FROM spans
WHERE hex(trace_id) LIKE {run:String} GROUP BY trace_id
"""
PIECES = 3


def test_a_late_span_follows_its_trace(
    launch: Launch, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    clock = WallClock(tmp_path)
    collector = launch(environment=clock.environment, config={"processors": {"sample": {"baseline_rate": 0.5}}})
    collector.start()
    at_s = 0
    for delay_s in DELAYS_S:
        for fails in (True, False):
            requests = RandomTraces(2, 10, requests_per_trace=PIECES, failing_piece=1 if fails else None)
            producer = Producer(collector, requests=requests)
            producer.send(1)
            before = the_trace(collector, producer, spans=2)
            assert (before["failing"], before["flagged"]) == (False, before["baseline"])
            at_s += delay_s
            clock.move(at_s)
            producer.send(1)
            late = the_trace(collector, producer, spans=4)
            assert late["failing"] is fails
            assert late["flagged"] is (fails or before["baseline"])
            producer.send(1)
            after = the_trace(collector, producer, spans=6)
            assert {k: after[k] for k in ("failing", "baseline", "flagged")} == {
                "failing": fails,
                "baseline": before["baseline"],
                "flagged": fails or before["baseline"],
            }
            (row,) = collector.rows(DECISIONS, {"run": f"{producer.run.upper()}%"})
            assert row["decisions"] == 1
            assert row["days"] >= (2 if delay_s > 24 * 3600 else 1)
            conserve(collector, producer)
    record_property("figure", f"{len(DELAYS_S)} delays, up to {DELAYS_S[-1] // 3600} h, with and without a failure")


def test_the_decision_is_the_same_after_a_kill(launch: Launch) -> None:
    collector = launch(config={"processors": {"sample": {"baseline_rate": 0.5}}}).start()
    producers = [Producer(collector, requests=RandomTraces(2, 10, requests_per_trace=2)) for _ in range(8)]
    for producer in producers:
        producer.send(1)
    before = [the_trace(collector, p, spans=2)["baseline"] for p in producers]
    collector.kill()
    collector.start()
    for producer in producers:
        producer.send(1)
    assert [the_trace(collector, p, spans=4)["baseline"] for p in producers] == before
    conserve(collector, *producers)


def the_trace(collector: Collector, producer: Producer, *, spans: int) -> dict[str, Any]:
    """Return the trace of a run, once it has so many spans and is settled."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = collector.rows(TRACES, {"run": producer.run})
        return len(found) == 1 and found[0]["span_count"] == spans and found[0]["settled"]

    until(there, f"the trace has {spans} spans and is settled; now {found}", deadline_s=15)
    return found[0]
