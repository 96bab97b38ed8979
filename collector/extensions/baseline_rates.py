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

SHORTEST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
"""Between tries while the database cannot be reached or is not ready."""
PART_OF_TIME: Final = 20
"""A pass that takes long makes the next one wait so many times as long: counting is at most 5 % of the time."""


class BaselineRatesConfig(ComponentConfig):
    """When rates are computed."""

    interval_s: float = Field(default=600.0, gt=0)
    """Between passes."""


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
        pause_s = SHORTEST_PAUSE_S
        while not self._stopping.is_set():
            began_s = time.monotonic()
            try:
                await asyncio.to_thread(self._pass)
                self.counted.set()
                pause_s = max(self._config.interval_s, PART_OF_TIME * (time.monotonic() - began_s))
            except EvalgateError as e:
                pause_s = min(max(2 * pause_s, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
                log.log(logging.INFO if isinstance(e, Retryable) else logging.WARNING, "the last rates hold: %s", e)
            except Exception:  # must not end for the life of the process because of one pass
                pause_s = LONGEST_PAUSE_S
                log.exception("rates cannot be computed; trying again in %.0f s", pause_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    def _pass(self) -> None:
        with connect(self._dsn) as db:
            self._keeper.keep(db)


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
