"""Read records in a child process, to find those that end the process that reads them.

    parent ──task──▶ child: "ready" ─▶ "begin 0 400" ─▶ "end 0 400" ─▶ …
       ▲                                  └─ dies, hangs, or has not enough memory
       └──── that range in smaller pieces, in a new child ◀────┘

Reading is what the collector would do: decode, every processor, and what the exporter makes of the batch. The child
has limits of its own on memory and processor time. What merely raises is no matter of this module.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import resource
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

from collector.decode.decoder import Decoder, load_kernels
from collector.kernel_cache import filled
from schema.component import Component, Context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from collector.journal import Record
    from schema.batch import SpanBatch
    from schema.component import ComponentConfig, Processor

log = logging.getLogger(__name__)

PIECES: Final = 16
"""Into which a range that ends the child is cut."""
START_TIMEOUT_S: Final = 180.0
"""Kernels may have to be compiled."""
RANGE_TIMEOUT_S: Final = 60.0
"""For reading one range, which takes a second at most where nothing is wrong."""
CPU_S: Final = 600
SPARE_BYTES: Final = 1 << 30
PER_BYTE: Final = 64
"""Memory that the child may take beyond what it has at its start: reading takes about five times of a batch."""
MODULE: Final = "collector.delivery.suspect"

Range = tuple[int, int]


class Rehearsal(Protocol):
    """What finds records that kill."""

    async def killers(self, records: Sequence[Record]) -> list[tuple[int, str]]:
        """Return the indexes of records that must not be read here, each with the reason."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a processor is made again in another process."""

    component: Component[Any] | tuple[str, str]
    """Or the module and the name where it is declared."""
    settings: ComponentConfig
    id: str
    data_dir: Path

    @classmethod
    def of(cls, component: Component[Any], settings: ComponentConfig, component_id: str, data_dir: Path) -> Recipe:
        """Return the recipe of a configured processor."""
        module, name = component.factory.__module__, getattr(component.factory, "__name__", "")
        declared = getattr(sys.modules.get(module), name, None) is component
        return cls((module, name) if declared else component, settings, component_id, data_dir)

    def make(self) -> Processor:
        """Return a new processor."""
        made = self.component
        component = made if isinstance(made, Component) else getattr(import_module(made[0]), made[1])
        processor: Processor = component(self.settings, Context(self.id, self.data_dir))
        return processor


@dataclass(frozen=True, slots=True)
class Task:
    """What the child is told, pickled, over its standard input."""

    recipes: tuple[Recipe, ...]
    encode: Callable[[SpanBatch], object] | None
    records: Sequence[Record]
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Child:
    """Rehearses in processes of their own, one after another."""

    recipes: tuple[Recipe, ...]
    encode: Callable[[SpanBatch], object] | None = None
    """What the exporter makes of a batch, without sending it; a function of a module."""
    range_timeout_s: float = RANGE_TIMEOUT_S

    async def killers(self, records: Sequence[Record]) -> list[tuple[int, str]]:
        """Return the indexes of records that must not be read here, each with the reason.

        All of them where each can be read by itself but not all together.
        """
        todo: list[Range] = [(0, len(records))]
        found: list[tuple[int, str]] = []
        why_together = ""
        plain = tuple(records)
        while todo:
            fatal, why = await self._read(plain, todo)
            if fatal is None:
                break
            low, high = fatal
            todo = todo[todo.index(fatal) + 1 :]
            if high - low == 1:
                found.append((low, why))
            else:
                why_together = why
                todo = [*_pieces(low, high), *todo]
        if why_together and not found:
            return [(i, f"reading these {len(records)} records together: {why_together}") for i in range(len(records))]
        return sorted(found)

    async def _read(self, records: tuple[Record, ...], ranges: Sequence[Range]) -> tuple[Range | None, str]:
        """Read the ranges in one child; return the one that ended it and how, or None."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", MODULE),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        assert process.stdout is not None  # noqa: S101 - as above
        try:
            task = Task(_picklable(self.recipes), self.encode, records, tuple(ranges))
            feeding = asyncio.ensure_future(_feed(process.stdin, pickle.dumps(task)))
            under_way, timed_out = await self._follow(process.stdout)
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        finally:
            if process.returncode is None:
                process.kill()
            code = await process.wait()
        if under_way is None:
            return None, ""
        return under_way, f"took longer than {self.range_timeout_s:.0f} s to read" if timed_out else _ended(code)

    async def _follow(self, lines: asyncio.StreamReader) -> tuple[Range | None, bool]:
        """Return the range that was begun and not ended, and whether the time ran out."""
        under_way: Range | None = None
        timeout_s = START_TIMEOUT_S
        while True:
            try:
                line = await asyncio.wait_for(lines.readline(), timeout_s)
            except TimeoutError:
                return under_way, True
            word, *numbers = line.split()[:3] or [b""]
            if word == b"":
                return under_way, False
            if word == b"begin":
                under_way = (int(numbers[0]), int(numbers[1]))
            elif word == b"end":
                under_way = None
            timeout_s = self.range_timeout_s


async def _feed(stdin: asyncio.StreamWriter, data: bytes) -> None:
    try:
        stdin.write(data)
        await stdin.drain()
        stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        return  # it died before it had read everything; `_follow` hears that


def _pieces(low: int, high: int) -> list[Range]:
    step = max(1, (high - low) // PIECES)
    return [(a, min(a + step, high)) for a in range(low, high, step)]


def _ended(code: int) -> str:
    """Say how a child ended; 255 is asyncio's word for not knowing."""
    how = "" if code == 255 else f", with signal {-code}" if code < 0 else f", with code {code}"
    return f"ends the process that reads it{how}"


def _picklable(recipes: Iterable[Recipe]) -> tuple[Recipe, ...]:
    """Return the recipes that can be handed to a child."""
    found = []
    for recipe in recipes:
        try:
            pickle.dumps(recipe)
        except Exception as e:  # noqa: BLE001 - a stranger's component may hold anything
            log.warning("the processor %s cannot be tried in a child process: %s", recipe.id, e)
        else:
            found.append(recipe)
    return tuple(found)


# -- in the child ------------------------------------------------------------------------------------------------


def main() -> None:
    """Read the ranges one after another, saying before each which it is."""
    task = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent, over a pipe
    decoder = Decoder(filled(load_kernels))
    decoder.warm_up().join()
    _limit(sum(len(r.body) for r in task.records))
    rehearse(task, decoder, sys.stdout)


def rehearse(task: Task, decode: Callable[[Sequence[Record]], SpanBatch], out: IO[str]) -> None:
    """Read the ranges of a task. MemoryError ends it, as it would end the collector."""
    processors = [recipe.make() for recipe in task.recipes]
    print("ready", file=out, flush=True)
    for low, high in task.ranges:
        print("begin", low, high, file=out, flush=True)
        try:
            batch = decode(task.records[low:high])
            for processor in processors:
                batch = processor(batch)
            if task.encode is not None:
                task.encode(batch)
        except MemoryError:
            raise
        except Exception:  # it only raises: the collector finds that out by itself
            log.debug("records %d to %d raise", low, high, exc_info=True)
        print("end", low, high, file=out, flush=True)


def _limit(body_bytes: int) -> None:
    room = _data_bytes() + SPARE_BYTES + PER_BYTE * body_bytes
    for what, limit in ((resource.RLIMIT_DATA, room), (resource.RLIMIT_CPU, CPU_S), (resource.RLIMIT_CORE, 0)):
        _, most = resource.getrlimit(what)
        wanted = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(what, (wanted, most))


def _data_bytes() -> int:
    """Return what the process has of the memory that RLIMIT_DATA counts; 0 where nobody says."""
    try:
        with open("/proc/self/status", encoding="ascii") as lines:  # noqa: PTH123 - a pseudo file
            return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:")), 0)
    except OSError:
        return 0


if __name__ == "__main__":
    main()
