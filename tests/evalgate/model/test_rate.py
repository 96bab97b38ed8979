"""A minute never holds more calls than its limit, whoever makes them."""

from __future__ import annotations

import math
import threading

from evalgate.model import Completion
from evalgate.model.rate import RateLimit
from tests.evalgate.model.moving import ASKED, MovingTime, Script, model_of, ok, refuse


def test_calls_are_spread_over_the_minute() -> None:
    time = MovingTime()
    rate = RateLimit(per_minute=30, clock=time.clock)
    began = []
    for _ in range(31):
        assert rate.wait(0, math.inf)
        began.append(time.now - 1000)
    assert began[:3] == [0.0, 2.0, 4.0]
    assert began[30] == 60.0


def test_no_minute_holds_more_than_its_limit_and_a_second() -> None:
    time = MovingTime()
    rate = RateLimit(per_minute=600, clock=time.clock)
    time.now += 3600  # a long rest saves up no more than one second's worth
    began = []
    for _ in range(1300):
        assert rate.wait(0, math.inf)
        began.append(time.now)
    busiest = max(sum(1 for b in began if a <= b < a + 60) for a in began)
    assert 600 <= busiest <= 611


def test_tokens_are_taken_by_estimate_and_put_right() -> None:
    time = MovingTime()
    rate = RateLimit(tokens_per_minute=6000, clock=time.clock)  # 100 a second
    assert rate.wait(1100, math.inf)
    assert time.slept == []  # a call larger than a second's worth does not wait for itself
    rate.correct(1100, 600)
    assert rate.wait(100, math.inf)
    assert sum(time.slept) == 6.0  # 500 of debt, and 100 of its own


def test_a_turn_that_comes_too_late_is_not_taken() -> None:
    time = MovingTime()
    rate = RateLimit(per_minute=6, clock=time.clock)
    assert rate.wait(0, math.inf)
    assert not rate.wait(0, time.now + 5)
    assert time.slept == []
    assert rate.wait(0, math.inf)
    assert sum(time.slept) == 10.0


def test_everybody_waits_when_the_endpoint_says_so() -> None:
    time = MovingTime()
    rate = RateLimit(clock=time.clock)
    turns: list[bool] = []
    time.on_sleep = lambda: turns.append(rate.wait(0, time.now + 10))  # somebody else, while the first one waits
    model = model_of(Script([refuse(429, headers={"retry-after": "11"}), ok()]), time=time, rate=rate)
    assert isinstance(model.complete(ASKED), Completion)
    assert turns == [False]
    assert time.now == 1011
    time.on_sleep = lambda: None
    rate.pause(5)
    assert isinstance(model_of(Script([ok()]), time=time, rate=rate).complete(ASKED), Completion)
    assert time.now == 1016


def test_waiting_for_ones_own_limit_is_no_fault_of_the_endpoint() -> None:
    time = MovingTime()
    rate = RateLimit(per_minute=0.1, clock=time.clock)  # ten minutes a call, more than any deadline
    model = model_of(Script([ok()]), time=time, rate=rate)
    assert [type(model.complete(ASKED)) for _ in range(3)] == [Completion] * 3
    assert time.now == 2200


def test_threads_share_one_limit() -> None:
    time = MovingTime()
    rate = RateLimit(per_minute=60, clock=time.clock)
    taken = []

    def work() -> None:
        for _ in range(10):
            rate.wait(0, math.inf)
            taken.append(1)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert len(taken) == 60
    assert time.now - 1000 >= 59
