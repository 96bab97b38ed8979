"""The worker between journal and exporters: decode, process, hand over, confirm.

    journal ─batch─▶ decode ─▶ processors ─▶ every exporter ─▶ confirm
                       │                          │ Retryable: the same batch and token again, for ever
                       └ damaged record ──────────┴ Permanent: quarantine ─▶ confirm

Nothing is confirmed before every exporter has it, or quarantine does. One batch is under way at a time; the journal
keeps the order.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import numpy as np

from collector.decode import decode
from schema.errors import EvalgateError, Permanent, Retryable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
    from pathlib import Path

    from collector.decode.decoder import Decode
    from collector.journal import Batch, Record
    from schema.batch import SpanBatch
    from schema.component import Exporter, Processor

log = logging.getLogger(__name__)

FIRST_BACKOFF_S: Final = 0.5
LONGEST_BACKOFF_S: Final = 30.0
CANCEL_GRACE_S: Final = 5.0

T = TypeVar("T")


class Source(Protocol):
    """What the pipeline needs of a journal."""

    async def next_batch(self) -> Batch | None:
        """Return the next batch, or None when there will be none."""

    async def confirm(self, batch: Batch) -> None:
        """Record that a batch is delivered."""

    async def quarantine(self, records: Sequence[Record], reason: str) -> Path:
        """Keep records that cannot be delivered."""


@dataclass(slots=True)
class Progress:
    """What became of the batches so far."""

    batches: int = 0
    records: int = 0
    spans: int = 0
    logs: int = 0
    quarantined_records: int = 0
    retries: int = 0
    last_stored_unix_ns: int | None = None
    oldest_unix_ns: int | None = None
    """When the first request of the batch under way was received, the oldest that is not delivered; else None."""
    spans_by_tenant: dict[str, int] = field(default_factory=dict)
    """Stored."""
    quarantined_by_tenant: dict[str, int] = field(default_factory=dict)
    """Requests."""
    waiting_for: str | None = None
    """The fault that is being retried now; None when things flow."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A chain from the journal to the exporters. The same for spans and log records, which belong together."""

    source: Source
    processors: Mapping[str, Processor]
    exporters: Mapping[str, Exporter]
    on_stored: Callable[[SpanBatch], None] | None = None
    """Called when every exporter has a batch."""
    decode: Decode = decode
    jitter: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    now_unix_ns: Callable[[], int] = time.time_ns
    progress: Progress = field(default_factory=Progress)

    async def start_exporters(self) -> None:
        """Start every exporter; one that is not ready is tried again until it is. Raises what is not Retryable."""
        for name, exporter in self.exporters.items():
            await self._persist(f"exporter {name}", partial(_start_whole, exporter))

    async def run(self) -> None:
        """Deliver until the journal says that there is nothing more. The exporters must be started.

        Cancelled, it leaves the batch under way in the journal.
        """
        while await self._deliver_next():
            pass

    async def _deliver_next(self) -> bool:
        """Deliver one batch; return False where there is none. The batch is forgotten before the next is read."""
        batch = await self._persist("journal", self.source.next_batch)
        if batch is None:
            return False
        await self._deliver(batch)
        return True

    async def _deliver(self, batch: Batch) -> None:
        self.progress.oldest_unix_ns = batch.received_unix_ns
        spans, bad = await asyncio.to_thread(self._prepare, batch.records)
        if bad:
            await self._quarantine([r for r, _ in bad], "; ".join(sorted({why for _, why in bad})))
        if spans is not None:
            refused = await self._export(spans, batch)
            if refused:
                damaged = {r.sequence for r, _ in bad}
                good = [r for r in batch.records if r.sequence not in damaged]
                await self._quarantine(good, "; ".join(refused))
        del spans
        await self._persist("journal", lambda: self.source.confirm(batch))
        self.progress.oldest_unix_ns = None
        self.progress.batches += 1
        self.progress.records += len(batch.records)

    def _prepare(self, records: Sequence[Record]) -> tuple[SpanBatch | None, list[tuple[Record, str]]]:
        """Return the processed batch, and the records that cannot be read, each with the reason."""
        try:
            return self._process(records), []
        except Exception as e:  # noqa: BLE001 - whatever a decoder or a stranger's processor raises costs records, not the process
            log.warning("a batch of %d records cannot be read as a whole: %s", len(records), _say(e))
        good, bad = [], []
        for record in records:
            try:
                self._process([record])
            except Exception as e:  # noqa: BLE001 - as above
                bad.append((record, _say(e)))
            else:
                good.append(record)
        if not good:
            return None, bad
        try:
            return self._process(good), bad
        except Exception as e:  # noqa: BLE001 - each alone is fine, together they are not: keep them all
            return None, [*bad, *((r, _say(e)) for r in good)]

    def _process(self, records: Sequence[Record]) -> SpanBatch:
        batch = self.decode(records)
        for processor in self.processors.values():
            batch = processor(batch)
        return batch

    async def _export(self, spans: SpanBatch, batch: Batch) -> list[str]:
        """Hand the batch to every exporter; return why some will never take it."""
        refused = []
        for name, exporter in self.exporters.items():
            try:
                await self._persist(f"exporter {name}", partial(_export_whole, exporter, spans, batch.token))
            except Permanent as e:
                refused.append(f"exporter {name}: {e}")
        if not refused:
            self.progress.spans += len(spans)
            self.progress.logs += len(spans.logs)
            _count_by_tenant(spans, self.progress.spans_by_tenant)
            self.progress.last_stored_unix_ns = self.now_unix_ns()
            if self.on_stored is not None:
                self.on_stored(spans)
        return refused

    async def _quarantine(self, records: Sequence[Record], reason: str) -> None:
        await self._persist("journal", lambda: self.source.quarantine(records, reason))
        self.progress.quarantined_records += len(records)
        counts = self.progress.quarantined_by_tenant
        for record in records:
            counts[record.tenant] = counts.get(record.tenant, 0) + 1

    async def _persist(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Do something until it succeeds, waiting longer and longer after each Retryable.

        Other errors of ours are the caller's. What is not ours is a fault in the component: it is tried again too,
        because the batch is not to blame.

        Exponential with full jitter, so that many collectors do not come back at once. Source:
        https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        """
        ceiling_s = FIRST_BACKOFF_S
        while True:
            try:
                result = await attempt()
            except Retryable as e:
                self.progress.retries += 1
                self.progress.waiting_for = f"{what}: {e}"
                log.warning("%s: %s; trying again", what, e)
            except EvalgateError:
                raise
            except Exception as e:
                self.progress.retries += 1
                self.progress.waiting_for = f"{what}: {_say(e)}"
                log.exception("%s failed in a way that it should not; trying again", what)
            else:
                self.progress.waiting_for = None
                return result
            await self.sleep(ceiling_s * self.jitter())
            ceiling_s = min(2 * ceiling_s, LONGEST_BACKOFF_S)


def _count_by_tenant(batch: SpanBatch, counts: dict[str, int]) -> None:
    per_record = np.bincount(batch.origin, minlength=len(batch.origins.tenant))
    for tenant, spans in zip(batch.origins.tenant, per_record.tolist(), strict=True):
        counts[tenant] = counts.get(tenant, 0) + spans


async def _start_whole(exporter: Exporter) -> None:
    await _unhurried(exporter.start())


async def _export_whole(exporter: Exporter, spans: SpanBatch, token: str) -> None:
    await _unhurried(exporter.export(spans, token))


async def _unhurried(work: Coroutine[Any, Any, T]) -> T:
    """Await what may run in a thread; when cancelled, let it end first: closing a database under an insert harms it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=CANCEL_GRACE_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise


def _say(error: BaseException) -> str:
    return str(error) if isinstance(error, EvalgateError) else f"{type(error).__name__}: {str(error)[:300]}"
