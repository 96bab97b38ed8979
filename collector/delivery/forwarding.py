"""Put the processor `asymmetric_sampler` to work: a look-ahead for the journal, and a sampler for each lane."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from collector.delivery.hold import Hold, Waiting
from collector.delivery.look_ahead import NS_PER_S, LookAhead, Observer, Watched
from collector.journal.fs import Fs
from collector.processors.asymmetric_sampler.file import DecisionFile
from collector.processors.asymmetric_sampler.memory import Memory
from collector.processors.asymmetric_sampler.sampler import Sampler
from schema.errors import ConfigError
from schema.sampling.arrival import DEFAULT_TRUST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from collector.delivery.lane import Lane
    from collector.journal import Journal
    from collector.processors.asymmetric_sampler import AsymmetricSamplerConfig
    from schema.component import Processor
    from schema.sampling import Trust


@dataclass(frozen=True, slots=True)
class Clocks:
    """What time it is."""

    now_s: Callable[[], float] = time.monotonic
    now_unix_ns: Callable[[], int] = time.time_ns


@dataclass(frozen=True, slots=True)
class Forwarding:
    """How a service forwards."""

    name: str
    """Of the reader that looks ahead: the id of the processor."""
    settings: AsymmetricSamplerConfig
    max_wait_bytes: int
    policy_version: str
    trust: Trust = DEFAULT_TRUST
    """What of incoming tracestates is believed: as the processor `sample` has it."""
    fs: Fs = field(default_factory=Fs)
    clocks: Clocks = Clocks()

    async def over(
        self, journal: Journal, lanes: Mapping[str, Lane], processors: Mapping[str, Processor] | None = None
    ) -> tuple[LookAhead, dict[str, Lane]]:
        """Return the look-ahead, and the lanes that follow it.

        The processors of the lanes are those that see everything, for the look-ahead; `processors`, if others are
        given, are for the lanes, so that what processors count is counted once.

        Raises:
            ConfigError: the file of decisions cannot be used.

        """
        settings, clocks = self.settings, self.clocks
        directory = journal.options.directory
        file = DecisionFile(directory, self.fs)
        memory = Memory(file, journal.id, max_traces=settings.max_traces, policy=self.policy_version)
        reader = journal.reader(self.name)
        read_before = reader.position.sequence
        readers = [reader, *(journal.reader(name) for name in lanes)]
        mark = max(r.marked for r in readers)
        try:
            await asyncio.to_thread(partial(memory.load, read_before, mark=mark))
        except OSError as e:
            raise ConfigError(f"the file of decisions in {directory} cannot be used: {e.strerror or e}") from None
        for one in readers:
            one.mark = lambda: memory.mark
        hold = Hold(
            {name: journal.reader(name) for name in lanes},
            frozenset(name for name, lane in lanes.items() if lane.required),
            max_bytes=self.max_wait_bytes,
            now_s=clocks.now_s,
            arrived=lambda: journal.next_sequence,
        )
        memory.free_before = lambda: hold.delivered
        if read_before > hold.delivered:  # when it was received is not known without reading it again
            behind_bytes = max(journal.reader(name).lag_bytes for name in lanes) - reader.lag_bytes
            now_unix_ns, wait_ns = clocks.now_unix_ns(), int(settings.decision_wait_s * NS_PER_S)
            due_s = clocks.now_s() + settings.decision_wait_s
            hold.push(Waiting(read_before, due_s, now_unix_ns + wait_ns, max(0, behind_bytes)), now_unix_ns)
        any_lane = next(iter(lanes.values()))
        watched = Watched(reader, memory, hold, settings.decision_wait_s, clocks.now_s, clocks.now_unix_ns)
        looking = replace(
            any_lane,
            name=self.name,
            source=watched,
            exporter=Observer(memory, hold),
            required=False,
            on_stored=None,
            masks=True,
            sampler=None,
            progress=type(any_lane.progress)(),
        )
        ahead = LookAhead(looking, memory, hold, decide_at_end=settings.at_shutdown == "decide")
        following = {
            name: replace(
                lane,
                processors=processors if processors is not None else lane.processors,
                sampler=Sampler(memory, settings.max_traces, hold.is_early, hold.moved, self.trust),
            )
            for name, lane in lanes.items()
        }
        return ahead, following
