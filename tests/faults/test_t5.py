"""T5: the sampler starts again, or with another policy, in the middle of a trace.

Injected: a kill -9 between the pieces of each trace; then starts with a higher rate and with a lower one.
Holds: every piece under one policy version has the decision that the trace id gives at its rate, before and after the
kill; what is in the baseline stays in it, whatever comes; a trace has the weight of the highest rate that it met, and
names each version once.
Figure: 12 traces in 4 pieces, 3 policies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.harness import Producer, conserve
from tests.faults.sampling import SPANS, RandomTraces, in_baseline, traces_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Launch

TRACES = 12
PIECES = 4
RATES = (0.3, 0.6, 0.05)


@pytest.mark.timeout(120)
def test_a_decision_is_that_of_its_policy_and_is_never_taken_back(
    launch: Launch, record_property: Callable[[str, object], None]
) -> None:
    collector = launch(config={"processors": {"sample": {"baseline_rate": RATES[0]}}}).start()
    producers = [Producer(collector, requests=RandomTraces(2, 10, requests_per_trace=PIECES)) for _ in range(TRACES)]

    def send() -> None:
        for producer in producers:
            producer.send(1)

    send()
    first = traces_of(collector, producers, spans=2)
    assert {i: r["baseline"] for i, r in first.items()} == {i: in_baseline(i, RATES[0]) for i in first}
    collector.kill()
    collector.start()
    send()
    again = traces_of(collector, producers, spans=4)
    assert {i: r["baseline"] for i, r in again.items()} == {i: r["baseline"] for i, r in first.items()}
    assert all(len(r["policy_versions"]) == 1 for r in again.values()), "the same settings are the same version"
    for rate, spans in zip(RATES[1:], (6, 8), strict=True):
        collector.kill()
        collector.config["processors"]["sample"] = {"baseline_rate": rate}
        collector.start()
        send()
        found = traces_of(collector, producers, spans=spans)
        assert {i: r["baseline"] for i, r in found.items()} == {i: in_baseline(i, RATES[1]) for i in found}
        assert all(r["baseline_rate"] == RATES[1] for r in found.values())
        for row in found.values():
            assert row["sample_weight"] == pytest.approx(1 / RATES[1] if row["baseline"] else 0)
    assert {len(r["policy_versions"]) for r in found.values()} == {len(RATES)}
    rows = collector.rows(SPANS)
    assert len(rows) == TRACES * len(RATES)
    assert {r["decisions"] for r in rows} == {1}
    assert [r["kept"] for r in rows] == [in_baseline(r["id"], r["rate"]) for r in rows]
    assert len(collector.rows("SELECT version FROM sampling_policies")) == len(RATES), "noted once each, over 4 starts"
    conserve(collector, *producers)
    record_property("figure", f"{TRACES} traces in {PIECES} pieces, {len(RATES)} policies")
