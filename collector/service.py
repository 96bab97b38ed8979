"""One collector in one process: it starts what the configuration names, in order, and stops it in the reverse.

    start:  journal ▸ exporters ▸ extensions ▸ receivers ▸ pipeline
    stop:   refuse ▸ (drain, within a deadline) ▸ pipeline ▸ receivers ▸ extensions ▸ exporters ▸ journal

Receivers come last, and refuse first: nothing is acknowledged that cannot be kept. While the journal drains they answer
that senders should try again; what is journalled at the end of the deadline is delivered by the next start.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from collector.counts import last_refusals, limit_hits, rates_in_use, redactions, sent_counts, tracestate_faults
from collector.decode import Decoder
from collector.decode.decoder import load_kernels
from collector.delivery import Lane, Lanes, plan
from collector.delivery.forwarding import Forwarding
from collector.delivery.suspect import Child, Recipe
from collector.erase.records import Forget
from collector.journal import Journal, JournalOptions
from collector.journal_options import journal_options
from collector.kernel_cache import filled
from collector.ledger.accounting import Accounting
from collector.memory_limit import memory_limit_bytes
from collector.processors import compiled
from collector.recent import recent_requests
from collector.shutdown import Admission, finish, release
from collector.signal_gate import SignalGate, TenantCounts
from exporters.clickhouse.dsn import default_dsn
from schema.component import Context
from schema.errors import EvalgateError
from schema.ledger import Ledger, no_tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from collector.config import Config, Configured
    from collector.delivery.look_ahead import LookAhead
    from collector.journal import Record
    from schema.batch import SpanBatch
    from schema.component import Exporter, Extension, PortSharing, Processor, Receiver, Signal
    from schema.identity import Scope
    from schema.serving import Listener, ListenerConfig

log = logging.getLogger(__name__)

REDACT: Final = "redact"
"""The processor that masks content."""
LEDGER_S: Final = 2.0
"""At the end, for counts that the ledger does not have yet; what takes longer is booked by the next start."""


class ServiceFailed(EvalgateError):
    """The service cannot go on; the message says why."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Processors, one after another."""

    processors: tuple[Processor, ...]

    def __call__(self, batch: SpanBatch) -> SpanBatch:
        """Return what they all make of the batch."""
        for processor in self.processors:
            batch = processor(batch)
        return batch


class Service:
    """A collector. `start`, then `wait`, then `stop`; `stop` is safe at any time."""

    def __init__(
        self,
        config: Config,
        *,
        on_stored: Callable[[SpanBatch], None] | None = None,
        port_sharing: PortSharing = "alone",
        leftovers: Sequence[Path] = (),
    ) -> None:
        """`leftovers` are journals of earlier starts: what waits in them is delivered first, if nobody owns them."""
        self._config = config
        self._on_stored = on_stored
        self._port_sharing = port_sharing
        self._leftovers = tuple(leftovers)
        self._tenants: dict[str, TenantCounts] = {}
        self._admission = Admission()
        self.data_dir = config.service.data_dir.absolute()
        self.state: Literal["starting", "running", "stopping", "stopped"] = "starting"
        self._started_s = time.monotonic()
        self._journal: Journal | None = None
        self._accounting: Accounting | None = None
        self._lanes: Lanes | None = None
        self._look_ahead: LookAhead | None = None
        self._delivery: asyncio.Task[None] | None = None
        self._exporters: dict[str, Exporter] = {}
        self._counted_exporters: tuple[Exporter, ...] = ()
        """The same, also when they are shut down."""
        self._processors: tuple[Processor, ...] = ()
        self._extensions: dict[str, Extension] = {}
        self._receivers: dict[str, Receiver] = {}
        self._counting: dict[str, Receiver] = {}
        """The same, also when they are shut down: what they counted still holds."""

    # -- start ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything, or nothing.

        Raises:
            ConfigError: something cannot start: an address is taken, a directory or database is in use.

        """
        try:
            await self._start()
        except BaseException:
            await self.stop(drain_s=0)
            raise
        self.state = "running"

    async def _start(self) -> None:
        config = self._config
        for name in config.unused:
            log.warning("%s is configured but no pipeline uses it", name)
        self._journal = await Journal.open(self._journal_options())
        self._accounting = Accounting(self._journal, plan.leading(config))
        dsn = self.dsn
        self._exporters = {i: self._make(c, dsn=dsn) for i, c in config.exporters.items()}
        self._counted_exporters = tuple(self._exporters.values())
        processors: dict[str, Processor] = {i: self._make(c) for i, c in self._ordered_processors().items()}
        self._processors = tuple(processors.values())
        decoder = Decoder(filled(load_kernels), also_load=compiled.load)
        self._lanes = await self._make_lanes(self._journal, self._accounting, processors, decoder)
        await self._lanes.start()
        self._accounting.start([e for e in self._exporters.values() if isinstance(e, Ledger)])
        chain = Chain(tuple(processors.values()))
        self._extensions = {i: self._make(c, dsn=dsn, process=chain) for i, c in config.extensions.items()}
        for extension in self._extensions.values():
            await extension.start()
        for receiver_id, configured in config.receivers.items():
            gate = SignalGate(self._journal, self._signals_of(receiver_id), self._tenants, self._admission)
            self._receivers[receiver_id] = self._counting[receiver_id] = self._make(configured, journal=gate)
        for receiver in self._receivers.values():
            await receiver.start()
        decoder.warm_up()  # last: it competes for the processor, and nothing waits for it
        self._delivery = asyncio.create_task(self._deliver(self._lanes, self._accounting), name="delivery")

    def _make(
        self,
        configured: Configured,
        *,
        journal: SignalGate | None = None,
        dsn: str | None = None,
        process: Processor | None = None,
    ) -> Any:
        context = Context(
            configured.id,
            self.data_dir,
            journal=journal,
            memory_limit_bytes=memory_limit_bytes(
                self._config.service.memory_limit_mib, workers=self._config.service.workers
            ),
            port_sharing=self._port_sharing,
            dsn=dsn,
            policy=self._config.policy,
            process=process,
            status=self.status,
            tally=self._accounting.tally if self._accounting else no_tally,
            recent=self._recent,
            listener=partial(_listener, name=configured.id, data_dir=self.data_dir),
            where=configured.where,
        )
        return configured.component(configured.settings, context)

    def _recent(self, within_s: float) -> Iterable[Record]:
        return recent_requests(self._journal, within_s) if self._journal else ()

    def _ordered_processors(self) -> dict[str, Configured]:
        """Return the processors in the order of the traces pipeline, which names at least those of the other."""
        pipelines = self._config.service.pipelines
        longest = pipelines.traces or pipelines.logs
        return {i: self._config.processors[i] for i in longest.processors} if longest else {}

    def _signals_of(self, receiver_id: str) -> frozenset[Signal]:
        return frozenset(s for s, p in self._config.service.pipelines.items() if receiver_id in p.receivers)

    async def _make_lanes(
        self, journal: Journal, accounting: Accounting, processors: Mapping[str, Processor], decoder: Decoder
    ) -> Lanes:
        """Return a lane for each exporter; the leading one tells who is told of what is stored."""
        config = self._config
        needed, leading = plan.required(config), plan.leading(config)
        recipes = tuple(
            Recipe.of(c.component, c.settings, i, self.data_dir) for i, c in self._ordered_processors().items()
        )
        lanes = {
            i: Lane(
                i,
                accounting.watched(journal.reader(i)) if i == leading else journal.reader(i),
                exporter,
                processors,
                required=i in needed,
                on_stored=self._on_stored if i == leading else None,
                decode=decoder,
                masks=any(c.component.name == REDACT for c in self._ordered_processors().values()),
                forget=Forget(self.data_dir),
                rehearsal=Child(recipes, getattr(exporter, "encode", None)),
            )
            for i, exporter in self._exporters.items()
        }
        if (forwarding := self._forwarding(journal)) is not None:
            again: dict[str, Processor] = {i: self._make(c) for i, c in self._ordered_processors().items()}
            self._look_ahead, lanes = await forwarding.over(journal, lanes, again)
        return Lanes(lanes, leading)

    def _forwarding(self, journal: Journal) -> Forwarding | None:
        """Return how this service forwards, None where it forwards everything."""
        sampler = plan.sampler(self._config)
        if sampler is None:
            return None
        name, settings = sampler
        most = plan.max_wait_bytes(settings, journal.options.max_bytes)
        policy = self._config.policy
        return Forwarding(name, settings, most, policy.version, policy.sample.trust)

    async def _deliver(self, lanes: Lanes, accounting: Accounting) -> None:
        await accounting.survey()
        for directory in self._leftovers:
            await accounting.adopt(directory)
        opened = [await self._open_leftover(directory) for directory in self._leftovers]
        lanes.leftovers = [journal for journal in opened if journal is not None]
        try:
            await self._run(lanes)
        finally:
            for journal in lanes.leftovers:
                await journal.close()

    async def _run(self, lanes: Lanes) -> None:
        """Run the lanes, and what decides for them; what ends one with an error ends the other."""
        if self._look_ahead is None:
            await lanes.run()
            return
        tasks = [asyncio.create_task(self._look_ahead.run(), name="look-ahead"), asyncio.create_task(lanes.run())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _open_leftover(self, directory: Path) -> Journal | None:
        """Open what another start, of another number of workers, left in its journal; nothing is added to it."""
        try:
            options = self._journal_options()
            readers = plan.exporter_readers(self._config, options.max_bytes)
            journal = await Journal.open(replace(options, directory=directory, readers=readers))
        except EvalgateError as e:
            log.warning("what an earlier start left in %s is not delivered now: %s", directory, e)
            return None
        if left := journal.status()["backlog_records"]:
            log.info("delivering %d requests that an earlier start left in %s", left, directory)
        journal.refuse()
        journal.drain()
        return journal

    def _journal_options(self) -> JournalOptions:
        options = journal_options(self._config.service.journal, self.data_dir)
        return replace(options, readers=plan.readers(self._config, options.max_bytes))

    # -- run -----------------------------------------------------------------------------------------------------

    async def wait(self, stop: asyncio.Event) -> None:
        """Return when `stop` is set.

        Raises:
            ServiceFailed: the disk or the delivery failed in a way that waiting does not mend.

        """
        if self._journal is None or self._delivery is None:
            raise RuntimeError("the service was not started")
        stopped, failed = asyncio.create_task(stop.wait()), asyncio.create_task(self._journal.failed.wait())
        try:
            await asyncio.wait({stopped, failed, self._delivery}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            failed.cancel()
        if self._delivery.done() and not self._delivery.cancelled() and (error := self._delivery.exception()):
            raise ServiceFailed(f"delivery ended: {error}") from error
        if self._journal.failed.is_set():
            raise ServiceFailed(
                f"the disk under {self._journal.options.directory} fails to sync; "
                "what was acknowledged is kept. Check the disk, then start again."
            )

    @property
    def dsn(self) -> str | None:
        """The database of the service, as `dsn_of`."""
        return dsn_of(self._config)

    def endpoints(self) -> dict[str, Any]:
        """Return where everything listens, by component id: a dict of protocols, or a URL."""
        found: dict[str, Any] = {}
        for name, component in (*self._receivers.items(), *self._extensions.items()):
            for attribute in ("endpoints", "url", "endpoint"):
                if value := getattr(component, attribute, None):
                    found[name] = value
                    break
        return found

    def status(self) -> dict[str, Any]:
        """Return the state of everything, in counts."""
        journal = self._journal.status() if self._journal else {}
        return {
            "state": self.state,
            "ready": self.state == "running" and not journal.get("failed"),
            "kernels_ready": compiled.are_ready(),
            "uptime_s": round(time.monotonic() - self._started_s, 3),
            "at_unix_ns": time.time_ns(),
            "journal": journal,
            "delivery": self._lanes.status() if self._lanes else {},
            "receivers": {i: sent_counts(r) for i, r in self._counting.items()},
            "refusals": {i: last_refusals(r) for i, r in self._counting.items()},
            "redactions": dict(sum((redactions(p) for p in self._processors), Counter())),
            "baseline_rates": [r for e in self._extensions.values() for r in rates_in_use(e)],
            "tracestate_faults": dict(sum((tracestate_faults(p) for p in self._processors), Counter())),
            "limits": {i: limit_hits(r) for i, r in self._counting.items()},
            "tenants": {tenant: asdict(counts) for tenant, counts in self._tenants.items()},
            **({"sampler": self._look_ahead.status()} if self._look_ahead else {}),
            "ledger": self._ledger_status(),
            "retention": self._retention_status(),
            "endpoints": self.endpoints(),
        }

    def _retention_status(self) -> dict[str, Any]:
        told = (getattr(e, "retention_status", None) for e in self._extensions.values())
        return next((status() for status in told if status is not None), {})

    def _ledger_status(self) -> dict[str, Any]:
        found = self._accounting.status() if self._accounting else {}
        for exporter in self._counted_exporters:
            if (booked := getattr(exporter, "booked", None)) is not None:
                return {**found, "booked": booked.document()}
        return found

    # -- stop ----------------------------------------------------------------------------------------------------

    @property
    def left_records(self) -> int:
        """Requests that are acknowledged and not delivered yet; after `stop`, what the next start delivers."""
        return int(self._journal.status()["backlog_records"]) if self._journal else 0

    @property
    def acknowledged_records(self) -> int:
        """Requests that this service acknowledged."""
        return sum(counts.requests for counts in self._tenants.values())

    async def stop(self, *, drain_s: float | None = None, hurry: asyncio.Event | None = None) -> None:
        """Refuse, deliver what is journalled within the deadline, release everything. Safe twice.

        Until the delivery ends, requests are answered that they should try again. `hurry` set: do not wait for the
        delivery any longer.
        """
        if self.state == "stopped":
            return
        has_run = self.state != "starting"
        self.state = "stopping"
        deadline_s = self._config.service.shutdown_timeout_s if drain_s is None else drain_s
        await self._admission.close()
        if self._journal is not None:
            self._journal.refuse()
            self._journal.drain()
        if self._delivery is not None:
            await finish(self._delivery, deadline_s, hurry)
            self._delivery = None
        receivers, self._receivers = self._receivers, {}
        for receiver_id, receiver in receivers.items():
            await release(f"receiver {receiver_id}", receiver)
        extensions, self._extensions = self._extensions, {}
        for extension_id, extension in reversed(extensions.items()):
            await release(f"extension {extension_id}", extension)
        if self._accounting is not None:
            await self._accounting.stop(min(deadline_s, LEDGER_S))
        exporters, self._exporters = self._exporters, {}
        for exporter_id, exporter in exporters.items():
            await release(f"exporter {exporter_id}", exporter)
        if self._journal is not None:
            await self._journal.close()
            if has_run and self.left_records:  # a start that failed has an error to tell, and changed nothing here
                log.warning("%d requests stay in the journal; the next start delivers them", self.left_records)
        self.state = "stopped"


def _listener(config: ListenerConfig, *, scopes: frozenset[Scope], doing: str, name: str, data_dir: Path) -> Listener:
    from collector.web import WebListener  # noqa: PLC0415 - a web server, which most services have no use for

    return WebListener(config, scopes=scopes, doing=doing, name=name, data_dir=data_dir)


def dsn_of(config: Config) -> str | None:
    """Return the database of a configuration: that of its first ClickHouse exporter, or None without one."""
    for configured in config.exporters.values():
        if configured.component.name == "clickhouse":
            return getattr(configured.settings, "dsn", None) or default_dsn(config.service.data_dir)
    return None
