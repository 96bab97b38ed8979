"""All lanes of a collector: each a task of its own, over the journals that are left from before and over its own."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from collector.delivery.retry import say
from schema.errors import ConfigError, DatabaseOwned, Retryable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.delivery.lane import Lane
    from collector.journal import Journal

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Lanes:
    """The lanes by name. One that is not required may fail without the others."""

    lanes: Mapping[str, Lane]
    leading: str
    """The lane whose counts stand for the collector: that of the database."""
    leftovers: Sequence[Journal] = ()
    """Open journals of earlier starts, with a reader for each lane: delivered first, then closed."""
    _late: set[str] = field(default_factory=set)
    _reading: dict[int, int] = field(default_factory=dict)

    async def start(self) -> None:
        """Start the exporters. One that is not ready yet, which is no reason to refuse senders, is started later.

        Raises:
            ConfigError: a required one will not get ready by waiting.

        """
        for name, lane in self.lanes.items():
            try:
                await lane.exporter.start()
            except DatabaseOwned as e:
                raise ConfigError(str(e)) from None
            except Retryable as e:
                log.warning("exporter %s is not ready: %s; what arrives waits in the journal", name, e)
                self._late.add(name)

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
            if lane.name in self._late:
                await lane.start_exporter()
            for number, journal in enumerate(self.leftovers):
                await replace(lane, source=journal.reader(lane.name)).run()
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
        each = {name: {**asdict(lane.progress), "required": lane.required} for name, lane in self.lanes.items()}
        return {**asdict(self.lanes[self.leading].progress), "exporters": each}
