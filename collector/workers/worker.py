"""One worker as a process: `python -m collector.workers.worker`, started by the supervisor and by nobody else.

stdin    one line of JSON, the `Order`; then nothing, until it is closed: the supervisor is gone, so stop
stdout   lines of JSON: {"ready": endpoints} once, {"status": counts} twice a second, {"error": words} at the end
SIGTERM  stop receiving and drain within the deadline; the second one ends the draining
SIGINT   ignored: the supervisor has it too, and passes on what is meant
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from collector.components import installed
from collector.config import parse
from collector.process import Background, ignore_hangup, log_to_stderr, tune
from collector.service import Service
from collector.workers.plan import part_of
from schema import failpoints
from schema.errors import EvalgateError

if TYPE_CHECKING:
    from collections.abc import Callable

STATUS_INTERVAL_S: Final = 0.5
MAX_UNREAD_BYTES: Final = 256 << 10
"""Of status that the supervisor has not read; more is not written, rather than kept."""
LAST_WORDS_S: Final = 1.0
"""How long they may take to be read."""
ERROR: Final = 2


@dataclass(frozen=True, slots=True)
class Order:
    """What the supervisor tells a worker: the configuration as text, so that all run the same one for good."""

    text: str
    name: str
    workers: int
    number: int
    first_start: bool

    def line(self) -> bytes:
        """Return it as it is sent."""
        return json.dumps(asdict(self)).encode() + b"\n"


def main() -> int:
    """Run one worker; return 0 after a clean end, 2 when it could not start or go on."""
    order = Order(**json.loads(sys.stdin.buffer.readline()))
    config = parse(order.text, order.name, installed(), os.environ).with_workers(order.workers)
    log_to_stderr(config, prefix=f"worker {order.number} ")
    failpoints.armed()
    tune()
    part = part_of(config, order.number, first_start=order.first_start)
    service = Service(part.config, port_sharing=part.port_sharing, leftovers=part.leftovers)
    background = Background()
    with asyncio.Runner(loop_factory=background.new_event_loop) as runner:
        code = runner.run(_serve(service))
        background.end(code)
    return code


async def _serve(service: Service) -> int:
    stop, hurry = asyncio.Event(), asyncio.Event()

    def interrupted() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, interrupted)
    loop.add_signal_handler(signal.SIGHUP, ignore_hangup)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    await loop.connect_read_pipe(lambda: _Lifeline(stop.set), sys.stdin)
    pipe, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, sys.stdout)

    def say(document: dict[str, Any]) -> None:
        if pipe.get_write_buffer_size() < MAX_UNREAD_BYTES:
            pipe.write(orjson.dumps(document, default=str) + b"\n")

    code = 0
    try:
        await service.start()
        telling = asyncio.create_task(_tell(service, say))
        say({"ready": service.endpoints()})
        try:
            await service.wait(stop)
        finally:
            await service.stop(hurry=hurry)
            telling.cancel()
            say({"status": service.status()})
    except EvalgateError as e:
        say({"error": str(e)})
        code = ERROR
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORDS_S):
            while pipe.get_write_buffer_size():  # noqa: ASYNC110 - a pipe of uvloop tells nobody
                await asyncio.sleep(0.01)
    pipe.close()
    return code


async def _tell(service: Service, say: Callable[[dict[str, Any]], None]) -> None:
    while True:
        say({"status": service.status()})
        await asyncio.sleep(STATUS_INTERVAL_S)


class _Lifeline(asyncio.Protocol):
    """Calls back when the other end of a pipe is closed, however its process ended."""

    def __init__(self, cut: Callable[[], None]) -> None:
        self._cut = cut

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._cut()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
