"""The simulated samplers follow the algorithms that they stand for, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.tools.arrivals import Mode, Plan, Sign, Stream, stream
from bench.tools.samplers import TailSampler, coin_flips

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.tools.samplers import Kept


def of(*arrivals: tuple[float, int, int, Sign]) -> Stream:
    """Return a stream of arrivals: seconds, trace, spans, sign."""
    at, trace, spans, sign = (np.array(column) for column in zip(*arrivals, strict=True))
    n = int(trace.max()) + 1
    failing = np.bincount(trace[sign != Sign.NOTHING], minlength=n) > 0
    mode = np.where(failing, Mode.AT_ONCE, Mode.FINE)
    return Stream(at.astype(float), trace, spans, sign, mode, np.zeros(n), np.zeros((n, 16), np.uint8))


def tail(
    found: Stream, *, lucky: Sequence[int] = (), crashes: Sequence[float] = (), size: int = 9, cache: int = 0
) -> Kept:
    is_lucky = np.isin(np.arange(len(found.mode)), lucky)
    return TailSampler(found, 10, is_lucky, num_traces=size, cache_traces=cache).run(crashes)


NO, ERROR = Sign.NOTHING, Sign.STATUS_ERROR


def test_an_error_within_the_wait_keeps_the_whole_trace() -> None:
    kept = tail(of((0, 0, 3, NO), (1, 1, 2, NO), (29.5, 0, 1, ERROR)))
    assert kept.spans.tolist() == [4, 0]
    assert kept.shows_failure.tolist() == [True, False]
    assert (kept.peak_bytes, kept.peak_traces) == (60, 2)


def test_an_error_after_the_decision_follows_it() -> None:
    found = of((0, 0, 3, NO), (1, 1, 2, NO), (60, 0, 1, ERROR), (60, 1, 1, ERROR))
    kept = tail(found, lucky=[1])
    assert kept.spans.tolist() == [0, 3]
    assert kept.shows_failure.tolist() == [False, True]


def test_what_was_pushed_out_is_decided_anew_and_from_nothing() -> None:
    found = of((0, 0, 3, NO), *((40 + i, 1 + i, 1, NO) for i in range(9)), (100, 0, 1, ERROR))
    kept = tail(found)
    assert kept.lost_early == 0
    assert (kept.spans[0], kept.shows_failure[0]) == (1, True)
    # A decision that is cached is not made again.
    assert tail(found, cache=100).spans[0] == 0
    assert tail(found, cache=5).spans[0] == 1


def test_too_many_at_once_are_lost_before_their_decision() -> None:
    kept = tail(of((0, 0, 3, ERROR), *((0.1, 1 + i, 1, NO) for i in range(9))))
    assert kept.lost_early == 1
    assert kept.spans[0] == 0
    assert kept.peak_bytes == 110


def test_a_crash_forgets_what_is_undecided_and_what_was_decided() -> None:
    found = of((0, 0, 3, ERROR), (0, 1, 3, NO), (50, 2, 1, ERROR), (70, 0, 1, NO), (70, 1, 1, ERROR))
    kept = tail(found, crashes=[60])
    assert kept.spans.tolist() == [3, 1, 0]
    assert kept.lost_in_crash == 1


def test_a_coin_is_flipped_for_each_request_so_split_traces_are_picked_more_often() -> None:
    n = 20_000
    together = coin_flips(of(*((0, i, 4, NO) for i in range(n))), 0.1, seed=1)
    split = coin_flips(of(*((j, i, 1, NO) for j in range(4) for i in range(n))), 0.1, seed=1)
    assert np.mean(together.spans > 0) == pytest.approx(0.1, abs=0.01)
    assert np.mean(split.spans > 0) == pytest.approx(1 - 0.9**4, abs=0.01)


def test_the_stream_has_what_its_plan_says() -> None:
    plan = Plan(traces=40_000, burst_traces=20_000)
    made = stream(plan)
    assert len(made.mode) == 60_000
    assert (np.diff(made.at_s) >= 0).all()
    assert np.isin(np.arange(60_000), made.trace[made.spans > 0]).all()
    middle = plan.seconds / 2
    assert ((made.began_s >= middle) & (made.began_s < middle + plan.burst_seconds)).sum() >= 20_000
    # Every failing trace has one sign of it, and no other has any.
    told = np.bincount(made.trace[made.sign != Sign.NOTHING], minlength=60_000)
    assert (told == made.failing).all()
    when = np.zeros(60_000)
    when[made.trace[made.sign != Sign.NOTHING]] = made.at_s[made.sign != Sign.NOTHING]
    delay = when - made.began_s
    assert delay[made.mode == Mode.AT_ONCE].max() < 5
    assert np.median(delay[made.mode == Mode.LATE]) == pytest.approx(600, rel=0.2)
    assert delay[made.mode == Mode.AFTER_HOLDING].min() > 9 * 86_400
    again = stream(plan)
    assert (again.ids == made.ids).all()
    assert (again.at_s == made.at_s).all()
