"""The first start of exporters: one that is not ready, or says nothing, keeps nobody from listening."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from collector.delivery import Lane, lanes
from collector.delivery.lanes import Lanes
from schema.errors import ConfigError, Retryable
from tests.collector.conftest import spans_request
from tests.delivery.fakes import Batches, Scripted, batch


@dataclass
class Silent(Scripted):
    """Starts only once it is spoken to."""

    answers: asyncio.Event = field(default_factory=asyncio.Event)
    starts: int = 0

    async def start(self) -> None:
        self.starts += 1
        await self.answers.wait()
        await super().start()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "FIRST_START_S", 0.01)


@pytest.mark.parametrize("faults", [[], [Retryable("not yet"), Retryable("not yet")]], ids=["well", "ill"])
def test_one_that_says_nothing_is_waited_for_beside_the_others_and_started_once(faults: list[Exception]) -> None:
    given = len(faults)

    async def work() -> None:
        silent, other = Silent(list(faults)), Scripted()
        sources = [Batches([batch(spans_request(1))]) for _ in range(2)]
        all_lanes = Lanes(
            {n: Lane(n, s, e, jitter=lambda: 0.0) for n, s, e in zip("ab", sources, (silent, other), strict=True)}, "a"
        )
        await all_lanes.start()
        assert all_lanes.lanes["a"].progress.waiting_for == "exporter a: it says nothing for 0 s"
        running = asyncio.create_task(all_lanes.run())
        async with asyncio.timeout(10):
            while not other.stored:  # noqa: ASYNC110 - the other lane is under way
                await asyncio.sleep(0)
        assert silent.starts == 1
        silent.answers.set()
        await running
        assert len(silent.stored) == 1
        assert silent.starts == 1 + given
        assert all_lanes.lanes["a"].progress.waiting_for is None

    asyncio.run(work())


def test_a_mistake_that_shows_at_once_ends_the_start() -> None:
    async def work() -> None:
        with pytest.raises(ConfigError, match="wrong"):
            await Lanes({"a": Lane("a", Batches([]), Scripted([ConfigError("wrong")]))}, "a").start()

    asyncio.run(work())
