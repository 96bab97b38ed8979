"""One lane: from one reader of the journal to one exporter, batch after batch.

    batch ─▶ [third attempt: read in a child first] ─▶ decode, processors ─▶ export ─▶ confirm
                    │ kills the child                    │ raises              │ refused for good
                    └──────────────▶ quarantine ◀────────┴─────────────────────┘

Nothing is confirmed before it is durable at the exporter or in quarantine. A lane that is not required is skipped over
what it is too far behind for, and what its destination refuses for good is counted, as it is stored elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from collector.decode import decode
from collector.delivery import halves
from collector.delivery.cutting import cut_down
from collector.delivery.plain import plain
from collector.delivery.progress import Progress
from collector.delivery.retry import Retry, say, unhurried
from schema.component import Probing, Rejected, RequestExporter
from schema.errors import EvalgateError, Permanent, Retryable
from schema.failpoints import failpoint
from schema.ledger import CRASHED, REJECTED, UNREADABLE, Entry, Ledger, State, entries_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from collector.decode.decoder import Decode
    from collector.delivery.halves import Bad
    from collector.delivery.suspect import Rehearsal
    from collector.journal import Batch, Record
    from schema.batch import SpanBatch
    from schema.component import Exporter, Processor

log = logging.getLogger(__name__)

SUSPECT_ATTEMPT: Final = 3
"""A batch that is handed out so often took the process down twice."""
READ_TIMEOUT_S: Final = 900.0
"""For reading a batch, which takes a second; kernels may have to be compiled first."""
LAST_ATTEMPT: Final = 10
"""No batch is handed out more often: what ends the process each time is kept, and the others go on."""


class Source(Protocol):
    """What a lane needs of the journal: one of its readers."""

    @property
    def is_behind(self) -> bool:
        """Whether the lane is further behind than it may be."""

    async def next_batch(self) -> Batch | None:
        """Return the next batch, or None when there will be none."""

    async def confirm(self, batch: Batch) -> None:
        """Record that a batch is delivered."""

    async def skip(self, batch: Batch) -> None:
        """Record that this lane goes without a batch."""

    async def absolve(self, batch: Batch) -> None:
        """Record that a batch was read well: its attempts so far do not count."""

    async def quarantine(self, records: Sequence[Record], reason: str, *, word: str | None = None) -> Path:
        """Keep records that cannot be delivered; `word` is the ledger's reason, None where it does not count them."""


class Forgetting(Protocol):
    """Drops what a person had erased: `collector.erase.records.Forget`."""

    def __call__(self, records: Sequence[Record], /) -> tuple[Sequence[Record], tuple[Entry, ...]]:
        """Return the records without it, and what the ledger says of what went."""


class Choosing(Protocol):
    """Leaves out what is not forwarded: `collector.processors.asymmetric_sampler.sampler.Sampler`."""

    def __call__(self, batch: SpanBatch, /) -> SpanBatch:
        """Return of a decoded batch what goes on; the rest is booked with it."""

    def save(self) -> None:
        """Make durable what was decided just now, before anything leaves. Raises OSError."""

    def moved(self) -> None:
        """Hear that the lane has delivered something."""

    def status(self) -> dict[str, Any]:
        """Return counts."""


class _ReadingHangs(EvalgateError):
    """A batch is read without end, in a thread that nobody can end."""


class _TooFarBehind(EvalgateError):
    """The lane may go on without the batch under way."""


@dataclass(frozen=True, slots=True)
class Lane:
    """The way of all batches to one exporter."""

    name: str
    """The exporter's id in the configuration."""
    source: Source
    exporter: Exporter | RequestExporter
    processors: Mapping[str, Processor] = field(default_factory=dict)
    required: bool = True
    """Whether the journal keeps what this lane has not delivered yet, whatever that takes."""
    on_stored: Callable[[SpanBatch], None] | None = None
    """Called when the exporter has a batch."""
    decode: Decode = decode
    masks: bool = False
    """Whether a processor masks content: then no exporter gets requests as they came."""
    forget: Forgetting | None = None
    """Drops from records what was erased; None where nothing ever is."""
    sampler: Choosing | None = None
    """Leaves out what is not forwarded, before the processors; None where all is."""
    rehearsal: Rehearsal | None = None
    """Reads records in a child process; None where there is no child."""
    read_timeout_s: float = READ_TIMEOUT_S
    jitter: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    now_unix_ns: Callable[[], int] = time.time_ns
    progress: Progress = field(default_factory=Progress)

    async def start_exporter(self) -> None:
        """Start the exporter; one that is not ready is tried again until it is. Raises what is not Retryable."""

        async def start() -> None:
            try:
                await unhurried(self.exporter.start())
            except Retryable:
                if not self.required and self.source.is_behind:
                    # The journal skips what is too far behind when it is asked; what it hands out then, it does again.
                    batch = await self.source.next_batch()
                    if batch is not None:
                        await self.source.absolve(batch)
                raise

        await self._retry.persist(f"exporter {self.name}", start)

    async def run(self) -> None:
        """Deliver until the journal says that there is nothing more. The exporter must be started.

        Cancelled, it leaves the batch under way in the journal.
        """
        while await self._deliver_next():
            pass

    @property
    def _retry(self) -> Retry:
        return Retry(self.progress, self.jitter, self.sleep)

    async def _in_journal(self, attempt: Callable[[], Awaitable[Any]]) -> Any:
        return await self._retry.persist("journal", attempt)

    async def _deliver_next(self) -> bool:
        """Deliver one batch; return False where there is none. The batch is forgotten before the next is read."""
        batch = await self._in_journal(self.source.next_batch)
        if batch is None:
            return False
        self.progress.oldest_unix_ns = batch.received_unix_ns
        try:
            await self._deliver(batch)
        except _TooFarBehind:
            self.progress.waiting_for, self.progress.breaker = None, "closed"
            await self._in_journal(lambda: self.source.skip(batch))
        else:
            failpoint("delivery.before_confirm")
            await self._in_journal(lambda: self.source.confirm(batch))
            self.progress.batches += 1
            self.progress.records += len(batch.records)
        self.progress.oldest_unix_ns = None
        if self.sampler is not None:
            self.sampler.moved()
        return True

    # -- one batch -----------------------------------------------------------------------------------------------

    async def _deliver(self, batch: Batch) -> None:
        booked: list[Entry] = []
        records = await self._without_suspects(batch, booked)
        if self.forget is not None:
            records, erased = await self._retry.persist(
                "the list of what was erased", partial(asyncio.to_thread, self.forget, records)
            )
            booked += erased
        if isinstance(self.exporter, RequestExporter) and not self.masks and self.sampler is None:
            await self._deliver_requests(self.exporter, records, batch)
            return
        failpoint("delivery.before_decode")
        spans, good, bad = await self._read_to_an_end(records, booked)
        if bad:
            booked += await self._set_aside([r for r, _ in bad], "; ".join(sorted({why for _, why in bad})), UNREADABLE)
        if self.sampler is not None:
            await self._in_journal(partial(self._save, self.sampler))
        failpoint("delivery.before_export")
        if spans is not None:
            await self._deliver_spans(self.exporter, spans, good, batch, booked)
        elif booked and isinstance(self.exporter, Ledger):
            await self._persist_export(batch, partial(self.exporter.book, booked, batch.token))

    async def _without_suspects(self, batch: Batch, booked: list[Entry]) -> Sequence[Record]:
        """Return the records of a batch that do not kill who reads them; only a suspect one is looked into."""
        if batch.attempt < SUSPECT_ATTEMPT or self.rehearsal is None:
            return batch.records
        self.progress.suspects += 1
        log.warning("a batch of %d records is handed out for the %dth time: it is read in a child process first",
                    len(batch.records), batch.attempt)  # fmt: skip
        last = (
            f"the process ended {batch.attempt - 1} times before the batch was delivered, though a child process reads "
            "it: some of it may be stored, and a replay would store that twice"
        )
        return await self._without_killers(
            self.rehearsal, batch.records, booked, otherwise=last if batch.attempt >= LAST_ATTEMPT else None
        )

    async def _without_killers(
        self, rehearsal: Rehearsal, records: Sequence[Record], booked: list[Entry], *, otherwise: str | None = None
    ) -> Sequence[Record]:
        """Set aside what a child process does not survive; `otherwise` is the reason against all where it does."""
        killers = await self._retry.persist("child process", partial(rehearsal.killers, records))
        if not killers and otherwise is not None:
            killers = [(i, otherwise) for i in range(len(records))]
        if not killers:
            return records
        culprits = [records[i] for i, _ in killers]
        booked += await self._set_aside(culprits, "; ".join(sorted({why for _, why in killers})), CRASHED)
        out = {i for i, _ in killers}
        return [r for i, r in enumerate(records) if i not in out]

    async def _read_to_an_end(
        self, records: Sequence[Record], booked: list[Entry]
    ) -> tuple[SpanBatch | None, Sequence[Record], list[Bad]]:
        """Prepare a batch; what hangs is found in a child process. The thread that hangs is left behind."""
        while True:
            try:
                return await self._prepared(records)
            except _ReadingHangs:
                log.error("%d records are not read within %.0f s", len(records), self.read_timeout_s)  # noqa: TRY400 - ours
                if self.rehearsal is not None:
                    records = await self._without_killers(self.rehearsal, records, booked)

    async def _prepared(self, records: Sequence[Record]) -> tuple[SpanBatch | None, Sequence[Record], list[Bad]]:
        """Return the processed batch, the records it was made of, and those that cannot be read."""

        async def attempt() -> tuple[SpanBatch | None, Sequence[Record], list[Bad]]:
            reading = asyncio.ensure_future(asyncio.to_thread(self._prepare, records))
            try:
                async with asyncio.timeout(self.read_timeout_s):  # wait_for may swallow being cancelled (Python 3.11)
                    return await asyncio.shield(reading)
            except TimeoutError:
                raise _ReadingHangs from None
            except MemoryError:
                raise Retryable(
                    "there is not enough memory to read a batch; lower service.journal.batch_bytes"
                ) from None

        return await self._retry.persist("decode", attempt)

    def _prepare(self, records: Sequence[Record]) -> tuple[SpanBatch | None, Sequence[Record], list[Bad]]:
        if not records:
            return None, records, []
        try:
            return self._process(records), records, []
        except MemoryError:
            raise
        except Exception as e:  # noqa: BLE001 - whatever a decoder or a stranger's processor raises costs records, not the process
            log.warning("a batch of %d records cannot be read as a whole: %s", len(records), say(e))
        bad = halves.unreadable(records, self._process)
        out = {r.sequence for r, _ in bad}
        good = [r for r in records if r.sequence not in out]
        if not good:
            return None, good, bad
        try:
            return self._process(good), good, bad
        except MemoryError:
            raise
        except Exception as e:  # noqa: BLE001 - each alone is fine, together they are not: keep them all
            return None, [], sorted([*bad, *((r, say(e)) for r in good)], key=lambda found: found[0].sequence)

    def _process(self, records: Sequence[Record]) -> SpanBatch:
        batch = self.decode(records)
        failpoint("delivery.after_decode")
        if self.sampler is not None:
            batch = self.sampler(batch)
        for processor in self.processors.values():
            batch = processor(batch)
        return batch

    # -- export --------------------------------------------------------------------------------------------------

    async def _persist_export(self, batch: Batch, attempt: Callable[[], Awaitable[Any]]) -> Any:
        """Try until the exporter has it. Once it is seen to be the exporter that fails, the batch is not suspect."""
        absolved = False

        async def one() -> Any:
            nonlocal absolved
            try:
                return await unhurried(_as_coroutine(attempt))
            except Retryable:
                if not self.required and self.source.is_behind:
                    raise _TooFarBehind from None
                if not absolved:
                    absolved = True
                    await self.source.absolve(batch)
                raise

        probe = self.exporter.probe if isinstance(self.exporter, Probing) else None
        return await self._retry.persist(f"exporter {self.name}", one, probe=probe)

    async def _deliver_spans(
        self,
        exporter: Exporter,
        spans: SpanBatch,
        records: Sequence[Record],
        batch: Batch,
        booked: Sequence[Entry],
    ) -> None:
        spans = replace(spans, booked=(*spans.booked, *booked)) if booked else spans
        if not len(spans) and not len(spans.logs) and self.sampler is not None and not isinstance(exporter, Ledger):
            self._stored(spans, None)  # nothing of it goes on
            return
        try:
            rejected = await self._persist_export(batch, partial(exporter.export, spans, batch.token))
        except Permanent as e:
            log.warning("exporter %s refuses a batch of %d records: %s", self.name, len(records), e)
            await self._deliver_parts(exporter, booked, records, batch)
            return
        failpoint("delivery.after_export")
        if rejected is not None:
            await self._set_aside(
                await asyncio.to_thread(cut_down, records, spans, rejected), rejected.reason, REJECTED
            )
        self._stored(spans, rejected)

    async def _deliver_parts(
        self, exporter: Exporter, booked: Sequence[Entry], records: Sequence[Record], batch: Batch
    ) -> None:
        """Store what can be stored of a batch that is refused as a whole, and set the rest aside."""

        async def store(low: int, high: int) -> None:
            spans = await asyncio.to_thread(self._process, records[low:high])
            rejected = await self._persist_export(
                batch, partial(exporter.export, spans, f"{batch.token}/{records[low].sequence}-{high - low}")
            )
            if rejected is not None:
                aside = await asyncio.to_thread(cut_down, records[low:high], spans, rejected)
                await self._set_aside(aside, rejected.reason, REJECTED)
            self._stored(spans, rejected)

        entries = (*booked, *await self._refused(await halves.refused(len(records), store), records))
        if entries and isinstance(exporter, Ledger):
            await self._persist_export(batch, partial(exporter.book, entries, f"{batch.token}/aside"))

    async def _deliver_requests(self, exporter: RequestExporter, records: Sequence[Record], batch: Batch) -> None:
        requests, bad = await asyncio.to_thread(plain, records)
        if bad:
            await self._set_aside([r for r, _ in bad], "; ".join(sorted({why for _, why in bad})), UNREADABLE)

        async def store(low: int, high: int) -> None:
            token = batch.token if high - low == len(requests) else f"{batch.token}/{low}-{high}"
            await self._persist_export(batch, partial(exporter.export_requests, requests[low:high], token))
            self.progress.last_stored_unix_ns = self.now_unix_ns()

        if not requests:
            return
        try:
            await store(0, len(requests))
        except Permanent as e:
            log.warning("exporter %s refuses %d requests: %s", self.name, len(requests), e)
            await self._refused(await halves.refused(len(requests), store), requests)

    async def _refused(self, found: list[tuple[int, str]], records: Sequence[Record]) -> tuple[Entry, ...]:
        if not found:
            return ()
        reason = "; ".join(sorted({why for _, why in found})[:10])
        return await self._set_aside([records[i] for i, _ in found], f"exporter {self.name}: {reason}", REJECTED)

    async def _set_aside(self, records: Sequence[Record], reason: str, word: str) -> tuple[Entry, ...]:
        """Keep what cannot be delivered, where this lane answers for it; return what the ledger says of it."""
        if not self.required:
            self.progress.rejected_records += len(records)
            log.warning("exporter %s goes without %d records: %s", self.name, len(records), reason)
            return ()
        counted = word if isinstance(self.exporter, Ledger) else None
        await self._in_journal(lambda: self.source.quarantine(records, reason, word=counted))
        self.progress.quarantined_records += len(records)
        counts = self.progress.quarantined_by_tenant
        for record in records:
            counts[record.tenant] = counts.get(record.tenant, 0) + 1
        return entries_of(records, State.QUARANTINED, word)

    async def _save(self, sampler: Choosing) -> None:
        try:
            await asyncio.to_thread(sampler.save)
        except OSError as e:
            raise Retryable(f"the decisions cannot be written: {e}") from e

    def _stored(self, spans: SpanBatch, rejected: Rejected | None) -> None:
        for entry in spans.booked:
            if entry.state is State.SAMPLED_OUT and entry.signal == "traces":
                self.progress.sampled_out_spans += entry.count
            elif entry.state is State.SAMPLED_OUT:
                self.progress.sampled_out_logs += entry.count
        self.progress.spans += len(spans) - (len(rejected.spans) if rejected else 0)
        self.progress.logs += len(spans.logs) - (len(rejected.logs) if rejected else 0)
        for tenant, n in _by_tenant(spans, rejected).items():
            self.progress.spans_by_tenant[tenant] = self.progress.spans_by_tenant.get(tenant, 0) + n
        self.progress.last_stored_unix_ns = self.now_unix_ns()
        if self.on_stored is not None:
            self.on_stored(spans)


def _by_tenant(batch: SpanBatch, rejected: Rejected | None) -> dict[str, int]:
    origin = np.delete(batch.origin, rejected.spans) if rejected and rejected.spans else batch.origin
    counts: dict[str, int] = defaultdict(int)
    per_record = np.bincount(origin, minlength=len(batch.origins.tenant)).tolist()
    for tenant, spans in zip(batch.origins.tenant, per_record, strict=True):
        counts[tenant] += spans
    return counts


async def _as_coroutine(attempt: Callable[[], Awaitable[Any]]) -> Any:
    return await attempt()
