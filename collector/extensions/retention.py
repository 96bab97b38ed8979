"""The extension `retention`: removes what is due, once an hour (collector/retention)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import Field, model_validator

from collector.retention.expire import Retention, moment_of
from collector.retention.force import propose
from collector.retention.mutate import Stopped
from collector.retention.settings import Holding, Settings
from collector.retention.survey import late_failures
from exporters.clickhouse.connect import connect
from exporters.clickhouse.dsn import EmbeddedDsn, default_dsn, parse_dsn
from schema.component import ComponentConfig, Context, Extension, component
from schema.errors import ConfigError, EvalgateError
from schema.identity import check_tenant

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.retention.expire import Removed

log = logging.getLogger(__name__)

FLAGGED_DAYS: Final = 90
OTHER_DAYS: Final = 7
MAX_TENANTS: Final = 1000
FIRST_AFTER_S: Final = 60.0
"""From the start to the first pass: what waited for the database comes first, and says so of its days."""
LONGEST_PAUSE_S: Final = 300.0
"""Between tries after one that failed."""
START_S: Final = 2.0
"""How long a start waits for a database to say which settings are in force; a silent one is asked again later."""
END_S: Final = 2.5
"""How long an end waits for a pass; it looks every two seconds whether it must end."""
COUNT_S: Final = 60.0
"""How long a start waits to learn what shorter settings would remove."""
SEEN: Final = "retention.json"
"""In the data folder: the settings that were in force when last looked. Where they are those of the file, a start does
not wait for the database."""


class HoldingConfig(ComponentConfig):
    """extensions.retention.tenants.<name>: what is not said is as for all."""

    flagged_days: int | None = Field(default=None, ge=1, le=36_500)
    other_days: int | None = Field(default=None, ge=1, le=36_500)


class RetentionConfig(ComponentConfig):
    """For how many whole days after the day of its last receipt a trace is kept."""

    enabled: bool = True
    """Off: nothing is removed, and to switch it on again is to keep things for less long."""
    flagged_days: int = Field(default=FLAGGED_DAYS, ge=1, le=36_500)
    """Failing, in the baseline, annotated, or a case was made of it."""
    other_days: int = Field(default=OTHER_DAYS, ge=1, le=36_500)
    """All others, and log records that name no trace. A failure that is found within this time keeps its trace."""
    tenants: dict[str, HoldingConfig] = Field(default_factory=dict, max_length=MAX_TENANTS)
    interval_s: float = Field(default=3600.0, gt=0)
    """Between passes."""
    quiet_s: float = Field(default=600.0, ge=0)
    """A day of receipt into which rows came so lately is left for the next pass."""

    @model_validator(mode="after")
    def _longer_for_flagged(self) -> Self:
        for tenant in self.tenants:
            check_tenant(tenant)
        for whose, holding in (("", self.settings().default), *self.settings().tenants.items()):
            if holding.flagged_days < holding.other_days:
                of = f"tenants.{whose}: " if whose else ""
                raise ValueError(
                    f"{of}flagged_days is {holding.flagged_days} and other_days {holding.other_days}: what is flagged "
                    "is kept at least as long as the rest"
                )
        return self

    def settings(self) -> Settings:
        """Return the holding times; for ever where it is off."""
        if not self.enabled:
            return Settings()
        default = Holding(self.flagged_days, self.other_days)
        tenants = {
            name: Holding(
                default.flagged_days if t.flagged_days is None else t.flagged_days,
                default.other_days if t.other_days is None else t.other_days,
            )
            for name, t in self.tenants.items()
        }
        return Settings(default, tenants)


@dataclass(slots=True)
class Figures:
    """What it did since the start; written by its thread, read by others."""

    traces: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    failed_passes: int = 0
    last_pass_unix_ns: int = 0
    late_failures: int = 0
    problem: str = ""

    def document(self) -> dict[str, Any]:
        """Return them for the status."""
        return {
            "expired_traces": self.traces,
            "expired": dict(self.rows),
            "runs": self.runs,
            "failed_passes": self.failed_passes,
            "last_pass_unix_ns": self.last_pass_unix_ns,
            "late_failures": self.late_failures,
            "problem": self.problem,
        }


class RetentionExtension:
    """Owns the task. Several collectors may run it on one server: what one decided, any other finishes."""

    def __init__(
        self, config: RetentionConfig, dsn: str, data_dir: Path, where: Callable[..., str], *, moment: Any = None
    ) -> None:
        self._target = parse_dsn(dsn)
        self._config = config
        self._dsn = dsn
        self._seen = data_dir / SEEN
        self._where = where
        self._moment = moment or (lambda db: moment_of(db, quiet_s=config.quiet_s))
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._is_settled = False
        """Whether the settings of the file are in force."""
        self.figures = Figures()

    def retention_status(self) -> dict[str, Any]:
        """Return what it did, for the status of the service."""
        return self.figures.document()

    async def start(self) -> None:
        """Look whether the settings of the file may be put in force, then begin.

        Raises:
            ConfigError: they would remove what is kept. A database that does not answer is not waited for: then this is
                found out later, what is in force stays in force, and the log says so.

        """
        if self._task is not None:
            return
        self._stopping.clear()
        if self._must_ask():
            await self._ask()
        self._task = asyncio.create_task(self._run(), name="retention")

    def _must_ask(self) -> bool:
        if isinstance(self._target, EmbeddedDsn) and not self._target.path.is_dir():
            return False  # there is nothing to remove
        try:
            return bool(json.loads(self._seen.read_bytes()) != self._config.settings().document())
        except (OSError, ValueError):
            return True

    async def _ask(self) -> None:
        asked = asyncio.create_task(asyncio.to_thread(self._propose), name="retention-settings")
        done, _ = await asyncio.wait({asked}, timeout=START_S)
        if not done and self.figures.problem == _COUNTING:
            done, _ = await asyncio.wait({asked}, timeout=COUNT_S)
        asked.add_done_callback(_heard)
        if done and isinstance(error := asked.exception(), ConfigError) and self.figures.problem == str(error):
            raise error

    def _propose(self) -> None:
        """Put the settings of the file in force. Raises ConfigError where they would remove what is kept."""

        def counting() -> None:
            self.figures.problem = _COUNTING

        settings = self._config.settings()
        with connect(self._dsn) as db:
            try:
                propose(db, settings, actor(), lambda: self._moment(db).today, self._where, counting=counting)
            except ConfigError as e:
                self.figures.problem = str(e)
                raise
        self.figures.problem = ""
        self._is_settled = True
        with contextlib.suppress(OSError):  # only spares the next start a question
            self._seen.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._seen.write_text(json.dumps(settings.document()))

    async def shutdown(self) -> None:
        """End; a deletion under way goes on in the database, and the next start sees it through."""
        self._stopping.set()
        task, self._task = self._task, None
        if task is None:
            return
        done, _ = await asyncio.wait({task}, timeout=END_S)
        if not done:  # a silent database: its thread is left behind, and what it does may be done again
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        # Not all at once, where several collectors are started together.
        pause_s = min(self._config.interval_s, FIRST_AFTER_S) * (1 + random.random() / 4)  # noqa: S311 - no secret
        await self._take_note(pause_s / 20)
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            if self._stopping.is_set():
                return
            try:
                await asyncio.to_thread(self._pass)
                pause_s = self._config.interval_s
            except Stopped:
                return
            except Exception as e:  # whatever it is, spans must go on coming in, and the next pass may be well
                self.figures.failed_passes += 1
                self.figures.problem = str(e) or repr(e)
                pause_s = min(self._config.interval_s, LONGEST_PAUSE_S)
                if isinstance(e, EvalgateError):
                    log.warning("retention: %s", e)
                else:
                    log.exception("retention failed in a way that it should not; trying again in %.0f s", pause_s)

    async def _take_note(self, after_s: float) -> None:
        """Put the settings of a fresh database in force soon, so that a restart need not ask it."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), after_s)
        if not self._stopping.is_set() and not self._is_settled:
            with contextlib.suppress(EvalgateError):  # it may not be there yet; the first pass says what is wrong
                await asyncio.to_thread(self._propose)

    def _pass(self) -> None:
        if not self._is_settled:
            try:
                self._propose()
            except ConfigError as e:
                log.error("retention goes on with the settings in force, not with those of the file: %s", e)  # noqa: TRY400 - no trace needed
        if not self._config.enabled:
            return
        with connect(self._dsn) as db, db.shards() as holders:
            one = Retention(db, actor(), lambda: self._moment(db), holders, self._stopping.is_set)
            removed = one.run()
            self._tell(removed, db.url)
            self.figures.late_failures = late_failures(db, self._moment(db).today)
        self.figures.last_pass_unix_ns = time.time_ns()
        if self._is_settled:
            self.figures.problem = ""

    def _tell(self, removed: Removed, url: str) -> None:
        self.figures.traces += removed.traces
        self.figures.rows.update(removed.rows)
        self.figures.runs += removed.runs
        if removed.runs:
            what = ", ".join(f"{n} {signal}" for signal, n in sorted(removed.rows.items())) or "nothing that counts"
            log.info("retention removed %d traces (%s) from %s", removed.traces, what, url)


_COUNTING: Final = "counting what shorter holding times would remove"


def actor() -> str:
    """Return who decides: this collector."""
    return f"collector {os.getpid()} on {socket.gethostname()}"


def _heard(task: asyncio.Task[None]) -> None:
    """Take note of an error that nobody waits for any more; the first pass meets it again."""
    if not task.cancelled():
        task.exception()


@component("extension", "retention", RetentionConfig)
def retention(config: RetentionConfig, context: Context) -> Extension:
    """Make the extension; nothing is opened yet."""
    return RetentionExtension(config, context.dsn or default_dsn(context.data_dir), context.data_dir, context.where)
