"""All lanes of a collector: each a task of its own, over the journals that are left from before and over its own."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from collector.delivery.retry import say
from schema.errors import ConfigError, DatabaseOwned, Retryable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.delivery.lane import Lane
    from collector.journal import Journal

log = logging.getLogger(__name__)

FIRST_START_S: Final = 10.0
"""How long the start of a collector waits for each exporter, all in all well below the 30 s that a start may take."""


@dataclass(slots=True)
class Lanes:
    """The lanes by name. One that is not required may fail without the others."""

    lanes: Mapping[str, Lane]
    leading: str
    """The lane whose counts stand for the collector: that of the database."""
    leftovers: Sequence[Journal] = ()
    """Open journals of earlier starts, with a reader for each lane: delivered first, then closed."""
    _late: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    """First starts that failed, or are still under way."""
    _reading: dict[int, int] = field(default_factory=dict)

    async def start(self) -> None:
        """Start the exporters. One that is not ready yet, which is no reason to refuse senders, is started later.

        Neither is one that says nothing: after FIRST_START_S it goes on by itself.

        Raises:
            ConfigError: a required one will not get ready by waiting.

        """
        for name, lane in self.lanes.items():
            starting = asyncio.ensure_future(lane.exporter.start())
            done, _ = await asyncio.wait({starting}, timeout=FIRST_START_S)
            why = f"it says nothing for {FIRST_START_S:.0f} s"
            try:
                if done:
                    starting.result()
                    continue
            except DatabaseOwned as e:
                raise ConfigError(str(e)) from None
            except Retryable as e:
                why = str(e)
            log.warning("exporter %s is not ready: %s; what arrives waits in the journal", name, why)
            lane.progress.waiting_for = f"exporter {name}: {why}"
            self._late[name] = starting

    async def run(self) -> None:
        """Deliver until every journal is empty and drained.

        Raises:
            Exception: what ended a required lane; the others are cancelled.

        """
        self._reading = dict.fromkeys(range(len(self.leftovers)), len(self.lanes))
        tasks = {n: asyncio.create_task(self._run(lane), name=f"delivery {n}") for n, lane in self.lanes.items()}
        try:
            await asyncio.gather(*(task for name, task in tasks.items() if self.lanes[name].required))
            for name, task in tasks.items():
                if self.lanes[name].progress.failures:  # the end is not held up by what does not work
                    task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _run(self, lane: Lane) -> None:
        try:
            if starting := self._late.pop(lane.name, None):
                await _started(starting, lane)
            for number, journal in enumerate(self.leftovers):
                # Those who decide on traces have not read it: all of it goes on, as it came.
                await replace(lane, source=journal.reader(lane.name), sampler=None).run()
                await self._left(number, journal)
            await lane.run()
        except Exception as e:
            lane.progress.stopped_by = say(e)
            if lane.required:
                raise
            log.exception("exporter %s ended; the others go on", lane.name)

    async def _left(self, number: int, journal: Journal) -> None:
        self._reading[number] -= 1
        if self._reading[number] == 0:
            await journal.close()

    def status(self) -> dict[str, Any]:
        """Return the counts of the leading lane, and under `exporters` those of each."""
        if not self.lanes:
            return {}
        each = {
            name: {
                **asdict(lane.progress),
                "required": lane.required,
                **_of_exporter(lane.exporter),
                **(lane.sampler.status() if lane.sampler is not None else {}),
            }
            for name, lane in self.lanes.items()
        }
        return {**asdict(self.lanes[self.leading].progress), "exporters": each}


def _of_exporter(exporter: object) -> dict[str, int]:
    """Return what the exporter itself counts."""
    forgotten = getattr(exporter, "forgotten_blocks", None)
    return {} if forgotten is None else {"forgotten_blocks": forgotten}


async def _started(starting: asyncio.Future[None], lane: Lane) -> None:
    """Return when the exporter is started: by the first start, or else by another."""
    try:
        await starting
    except Retryable:
        await lane.start_exporter()
    else:
        lane.progress.waiting_for = None
