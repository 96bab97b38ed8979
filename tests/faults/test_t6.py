"""T6: the failure is in the last span of a trace, under a policy that samples one in a hundred.

Injected: traces in 5 pieces of which only the last span fails, each long after the first was stored; a kill -9 before
the last piece.
Holds: every failing trace is flagged whole, with all its spans and a weight of 1; the traces that do not fail are
flagged by their id alone.
Figure: 15 failing traces and 15 others, 10 spans each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.harness import Producer, conserve
from tests.faults.sampling import RandomTraces, in_baseline, traces_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Launch

TRACES = 15
PIECES = 5
RATE = 0.01


@pytest.mark.timeout(120)
def test_a_trace_that_fails_at_its_very_end_is_kept_whole(
    launch: Launch, record_property: Callable[[str, object], None]
) -> None:
    collector = launch(config={"processors": {"sample": {"baseline_rate": RATE}}}).start()
    failing, others = (
        [
            Producer(collector, requests=RandomTraces(2, 10, requests_per_trace=PIECES, failing_piece=piece))
            for _ in range(TRACES)
        ]
        for piece in (PIECES - 1, None)
    )
    producers = [*failing, *others]
    for _ in range(PIECES - 1):
        for producer in producers:
            producer.send(1)
    before = traces_of(collector, producers, spans=2 * (PIECES - 1))
    assert {i: r["flagged"] for i, r in before.items()} == {i: in_baseline(i, RATE) for i in before}
    assert not any(r["failing"] for r in before.values())
    collector.kill()
    collector.start()
    for producer in producers:
        producer.send(1)
    after = traces_of(collector, producers, spans=2 * PIECES)
    runs = {p.run for p in failing}
    assert sum(r["failing"] for r in after.values()) == TRACES
    for trace_id, row in after.items():
        fails = trace_id[:16] in runs
        assert (row["failing"], row["flagged"]) == (fails, fails or in_baseline(trace_id, RATE))
        weight = 1 if fails else 1 / RATE if row["flagged"] else 0
        assert row["sample_weight"] == pytest.approx(weight)
    conserve(collector, *producers)
    record_property("figure", f"{TRACES} failing traces and {TRACES} others, {2 * PIECES} spans each")
