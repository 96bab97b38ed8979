"""The extension `baseline_rates`: rates rise where few traces come (collector/rates).

It runs wherever the processor `sample` has a `target_per_day`; nobody needs to name it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final

from pydantic import Field

from collector.rates.file import RatesFile
from collector.rates.keeper import Keeper
from exporters.clickhouse.connect import connect
from exporters.clickhouse.dsn import default_dsn, parse_dsn
from schema.component import ComponentConfig, Context, Extension, component
from schema.errors import ConfigError, EvalgateError, Retryable
from schema.policy.rates import Rates

if TYPE_CHECKING:
    from schema.policy.rates import Raised

log = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 15.0
"""After a pass that changed a rate; each that changes nothing doubles it, up to the interval. So rates follow traffic
that has just begun, and a rate that was right for the first traces does not hold for thousands."""
RETRY_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
"""Between tries while the database cannot be reached or is not ready: the first, and the longest."""
PART_OF_TIME: Final = 50
SHORT_S: Final = 0.5
"""A pass that takes longer makes the next one wait so many times as long: counting is at most 2 % of the time."""


class BaselineRatesConfig(ComponentConfig):
    """When rates are computed."""

    interval_s: float = Field(default=300.0, gt=0)
    """Between passes while nothing changes."""


class BaselineRates:
    """Owns the task. Each collector has its own rates; a trace has the highest that any of its spans met."""

    def __init__(self, config: BaselineRatesConfig, dsn: str, keeper: Keeper) -> None:
        parse_dsn(dsn)
        self._config = config
        self._dsn = dsn
        self._keeper = keeper
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self.counted = asyncio.Event()
        """Set after the first pass."""

    @property
    def baseline_rates(self) -> Raised:
        """The rates in use that are above what is set."""
        return self._keeper.file.current()

    async def start(self) -> None:
        """Begin; the database is opened by the task, which waits for it as long as it takes."""
        if self._task is None:
            self._stopping.clear()
            self._task = asyncio.create_task(self._run(), name="baseline_rates")

    async def shutdown(self) -> None:
        """Finish the pass under way and end. Safe without start, and twice."""
        self._stopping.set()
        task, self._task = self._task, None
        if task is not None:
            await task

    async def _run(self) -> None:
        pause_s = RETRY_S
        while not self._stopping.is_set():
            try:
                pause_s = await asyncio.to_thread(self._pass, pause_s)
                self.counted.set()
            except EvalgateError as e:
                pause_s = min(max(2 * pause_s, RETRY_S), LONGEST_PAUSE_S)
                log.log(logging.INFO if isinstance(e, Retryable) else logging.WARNING, "the last rates hold: %s", e)
            except Exception:  # must not end for the life of the process because of one pass
                pause_s = LONGEST_PAUSE_S
                log.exception("rates cannot be computed; trying again in %.0f s", pause_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    def _pass(self, paused_s: float) -> float:
        """Count once; return how long to wait."""
        with connect(self._dsn) as db:
            began_s = time.monotonic()
            counted = self._keeper.count(db)
            took_s = time.monotonic() - began_s
            changed = self._keeper.keep(db, counted)
        return pause_after(paused_s, changed=bool(changed), interval_s=self._config.interval_s, took_s=took_s)


def pause_after(paused_s: float, *, changed: bool, interval_s: float, took_s: float) -> float:
    """Return how long to wait after a pass; before it, it was `paused_s`."""
    wanted_s = FIRST_PAUSE_S if changed else max(FIRST_PAUSE_S, 2 * paused_s)
    return max(min(wanted_s, interval_s), PART_OF_TIME * took_s if took_s > SHORT_S else 0.0)


@component("extension", "baseline_rates", BaselineRatesConfig)
def baseline_rates(config: BaselineRatesConfig, context: Context) -> Extension:
    """Make the extension; nothing is opened yet."""
    policy = context.policy.sample if context.policy is not None else None
    if policy is None or policy.target_per_day is None:
        raise ConfigError(
            f"extension {context.name!r} has no target: set target_per_day of the processor sample, or leave it out"
        )
    keeper = Keeper(Rates.of(policy), policy.target_per_day, RatesFile.of(context.data_dir))
    return BaselineRates(config, context.dsn or default_dsn(context.data_dir), keeper)
