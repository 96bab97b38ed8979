"""Whatever arrives when, and wherever the process ends: what is flagged within its wait goes on, nothing else does."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.clickhouse.otlp import span
from tests.delivery.fakes import Scripted
from tests.delivery.sidecar import WAIT_S, Clock, sidecar, spans_of, thresholds_of

TRACES = 12
"""Of which the tenth is in the baseline."""
SEND = st.tuples(st.just("send"), st.integers(1, TRACES), st.sampled_from([False, False, False, True]))
PASS = st.tuples(st.just("pass"), st.sampled_from([0.5, 10.0, WAIT_S - 1, WAIT_S + 1]), st.just(value=False))
STEPS = st.lists(st.one_of(SEND, SEND, SEND, PASS, st.just(("restart", 0, False))), max_size=30)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.integers(1, 5))
def test_what_is_flagged_in_time_goes_on_and_nothing_else(steps: list[tuple[str, float, bool]], cut: int) -> None:
    sent: list[tuple[int, int, bool, float]] = []
    restarts = [i for i, (what, _, _) in enumerate(steps) if what == "restart"]
    lives = [steps[a:b] for a, b in zip([0, *restarts], [*restarts, len(steps)], strict=True)]
    out, clock = Scripted(), Clock()

    async def live(folder: Path, life: list[tuple[str, float, bool]], *, is_last: bool) -> None:
        async with sidecar(folder, exporters={"out": out}, clock=clock, batch_records=cut) as one:
            for what, value, fails in life:
                if what == "send":
                    number = len(sent) + 1
                    sent.append((int(value), number, fails, clock.s))
                    await one.send(span(int(value), number, name="fails" if fails else "work"))
                elif what == "pass":
                    clock.pass_s(value)
                    await asyncio.sleep(0)
            if is_last:
                while one.journal.reader("out").position.sequence < one.journal.next_sequence:
                    clock.pass_s(WAIT_S)
                    await asyncio.sleep(0.001)
                assert one.counts()["early_keeps"] == 0

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            for life in lives:
                await live(Path(folder), life, is_last=life is lives[-1])

    asyncio.run(main())
    got = Counter(spans_of(out))
    for trace, number, _, at_s in sent:
        failures = [when for t, _, fails, when in sent if t == trace and fails]
        if trace % 10 == 0 or any(when <= at_s + WAIT_S for when in failures):
            assert got[trace, number] >= 1, "what is flagged within its wait goes on"
        elif not failures:
            assert got[trace, number] == 0, "what nothing flags stays"
    if len(lives) == 1:
        assert max(got.values(), default=1) == 1
    limits = thresholds_of(out)
    assert all(limits[trace, number] == 0 for trace, number, fails, _ in sent if fails)
