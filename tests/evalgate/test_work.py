"""Work for a few threads: in order, with its errors, and without waiting for anybody after an interruption."""

from __future__ import annotations

import threading

import pytest

from evalgate.work import in_threads, map_in_threads


def test_results_come_in_the_order_of_the_jobs_and_workers_work_beside_each_other() -> None:
    together = threading.Barrier(4, timeout=20)

    def double(n: int) -> int:
        together.wait()
        return 2 * n

    assert map_in_threads(double, range(8), 4) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert map_in_threads(double, [], 4) == []
    assert map_in_threads(str, [1, 2], 0) == ["1", "2"]


def test_who_is_interrupted_waits_for_nobody() -> None:
    never = threading.Event()

    def work(n: int) -> int:
        if n == 1:
            raise KeyboardInterrupt
        never.wait(60)
        return n

    with pytest.raises(KeyboardInterrupt):
        map_in_threads(work, [0, 1], 2)
    never.set()


def test_nothing_begins_after_the_end() -> None:
    begun: list[int] = []
    turns = threading.Semaphore(0)

    def work(n: int) -> None:
        begun.append(n)
        assert turns.acquire(timeout=20)

    others = set(threading.enumerate())
    turns.release()
    for _ in in_threads(work, range(100), 1):
        break
    turns.release(100)
    for thread in set(threading.enumerate()) - others:
        thread.join(20)
    assert len(begun) <= 2
