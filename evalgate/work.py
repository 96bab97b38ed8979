"""Work for a few threads."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Job = TypeVar("Job")
Done = TypeVar("Done")


def in_threads(function: Callable[[Job], Done], jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Done]]:
    """Yield each job with what became of it, as they end; what a function raises is raised here.

    The threads are daemons: whoever interrupts waits for none of them (an executor would, at exit). Jobs begin in
    order. Once the iterator is closed, no further one begins.
    """
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Job, Done | None, BaseException | None]] = queue.SimpleQueue()
    stopped = threading.Event()
    for item in jobs:
        waiting.put(item)

    def work() -> None:
        while not stopped.is_set():
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((job, function(job), None))
            except BaseException as e:  # noqa: BLE001 - raised again in the calling thread
                stopped.set()
                done.put((job, None, e))

    for n in range(min(workers, len(jobs))):
        threading.Thread(target=work, name=f"evalgate-{n}", daemon=True).start()
    try:
        for _ in jobs:
            job, result, error = done.get()
            if error is not None:
                raise error
            yield job, result  # type: ignore[misc]  # a result is there where no error is
    finally:
        stopped.set()


def map_in_threads(function: Callable[[Job], Done], jobs: Sequence[Job], workers: int) -> list[Done]:
    """Return what became of each job, in the order of the jobs; as `in_threads`."""
    numbered = list(enumerate(jobs))
    done = {n: result for (n, _), result in in_threads(lambda each: function(each[1]), numbered, max(1, workers))}
    return [done[n] for n, _ in numbered]
