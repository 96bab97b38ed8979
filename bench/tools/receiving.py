"""What receiving costs, in a process of its own: HTTP or gRPC in front of a journal that forgets."""

from __future__ import annotations

import multiprocessing
import threading
from typing import TYPE_CHECKING, Final, Literal

from bench.receive import serve
from bench.tools.loadgen import GrpcSender, HttpSender, Load
from bench.tools.payloads import stamper

if TYPE_CHECKING:
    from bench.tools.payloads import Kind

CONNECTIONS: Final = 4
WARM_UP_REQUESTS: Final = 16


def cpu_us(protocol: Literal["http", "grpc"], kind: Kind, batch: int, requests: int) -> float:
    """Return CPU microseconds a span, user and system, from the first request to the last answer.

    Raises:
        SystemExit: a request was refused.

    """
    pipe, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    process.start()
    load = Load(pipe.recv()[protocol], protocol=protocol, kind=kind, batch=batch)
    made = stamper(kind, batch, start=1)
    warm = [made.next() for _ in range(WARM_UP_REQUESTS)]
    bodies = [made.next() for _ in range(max(requests, CONNECTIONS))]
    refused: list[str] = []

    def send(some: list[bytes]) -> None:
        sender = GrpcSender(load) if protocol == "grpc" else HttpSender(load)
        refused.extend(answer.why for body in some if not (answer := sender.send(body)).ok)
        sender.close()

    try:
        send(warm)
        pipe.send("cpu")
        before = pipe.recv()
        threads = [threading.Thread(target=send, args=(bodies[i::CONNECTIONS],)) for i in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pipe.send("cpu")
        used_s: float = pipe.recv() - before
    finally:
        pipe.send("")
        process.join()
    if refused:
        raise SystemExit(f"{len(refused)} requests were refused: {refused[0]}")
    return used_s / (len(bodies) * batch) * 1e6
