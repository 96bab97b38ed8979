"""One pass of settlement over a database, and what bounds it."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from collector.settle.compare import SETTLEMENT, Differences, differences
from collector.settle.find import Found, Group, Progress, find, groups
from collector.settle.queries import statement
from collector.settle.rebuild import batch_of
from collector.settle.whole import read_whole
from schema.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from exporters.clickhouse.connect import Database
    from schema.batch import SpanBatch

log = logging.getLogger(__name__)

NOT_SETTLED: Final = "not_settled"
"""The defect of a trace that could not be read as a whole."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a pass may cost."""

    quiet_s: float = 5.0
    """A trace is read when nothing of it was stored for so long."""
    max_spans_per_trace: int = 10_000
    max_bytes_per_trace: int = 64 << 20
    """Of attributes. A trace beyond either limit keeps what its pieces said, with the defect `not_settled`."""
    max_traces_per_pass: int = 2000
    max_spans_per_read: int = 2000
    max_bytes_per_read: int = 16 << 20
    """Traces are read together up to these limits; a larger one alone."""
    twin_window_s: float = 600.0
    """How long before a trace others are looked for that name the same response."""


@dataclass(slots=True)
class Outcome:
    """What a pass did."""

    settled: int = 0
    revised: int = 0
    not_settled: int = 0
    more: bool = False
    """The limit of a pass was reached; there is more to do at once."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Traces that were read whole, and what that changes."""

    group: Group
    differences: Differences
    versions: frozenset[int]
    """What held for these traces when they were read; empty unless others settle too."""


@dataclass(slots=True)
class Settler:
    """Settles the traces of one database with the processors of the pipeline. One pass at a time."""

    db: Database
    process: Callable[[SpanBatch], SpanBatch]
    limits: Limits = field(default_factory=Limits)
    shared: bool | None = None
    """Others may settle this database too. Unset: if it is a server."""

    def settle(self) -> Outcome:
        """Run one pass: settle what is quiet, then remember up to when that is all.

        Raises:
            Retryable, Permanent: as the database does; what was written stays, the rest is found again.

        """
        progress = Progress.read(self.db, quiet_s=self.limits.quiet_s)
        found = find(self.db, progress, self.limits)
        done = Outcome(more=len(found.traces) >= self.limits.max_traces_per_pass)
        too_large = [f for f in found.traces if self._too_large(f)]
        self._give_up(too_large, progress, done)
        waiting: list[Settled] = []
        for group in groups(found, self.limits, without=too_large):
            waiting += self._read(group, progress, done)
            if sum(s.differences.revisions.num_rows for s in waiting) > self.limits.max_spans_per_read:
                self._write(waiting, progress, done)
                waiting = []
        self._write(waiting, progress, done)
        progress.write(self.db, until_ms=found.traces[-1].touched_ms if done.more else progress.until_ms)
        return done

    def _too_large(self, trace: Found) -> bool:
        return trace.rows > self.limits.max_spans_per_trace or trace.bytes > self.limits.max_bytes_per_trace

    def _read(self, group: Group, progress: Progress, done: Outcome) -> Iterator[Settled]:
        """Yield what the traces of a group are as a whole; together, or where that fails each alone."""
        versions = self._versions(group)
        whole = read_whole(self.db, group.tenant, group.traces)
        try:
            spans = whole.rows.filter(pa.array(whole.first))
            batch = self.process(batch_of(spans, whole.logs, whole.tenant))
            yield Settled(group, differences(whole, batch, progress.version_unix_ns), versions)
        except Exception as e:  # whatever a processor, ours or a stranger's, raises on what senders sent
            if len(group.found) > 1:
                log.warning("%d traces cannot be settled together: %r", len(group.found), e)
                for alone in group.alone():
                    yield from self._read(alone, progress, done)
            else:
                log.exception("trace %s cannot be settled", group.found[0].trace)
                self._give_up(group.found, progress, done)

    def _write(self, settled: Sequence[Settled], progress: Progress, done: Outcome) -> None:
        """Write revisions, then settlements: a trace counts as settled when all of it is there."""
        if not settled:
            return
        found = [s.differences for s in settled]
        try:
            self._insert("span_revisions", pa.concat_tables([f.revisions for f in found]))
            self._insert("settlements", pa.concat_tables([f.settlements for f in found]))
        except Permanent as e:
            if len(settled) > 1:
                for one in settled:
                    self._write([one], progress, done)
                return
            log.warning("what settles %d traces is not taken: %s", len(settled[0].group.found), e)
            self._give_up(settled[0].group.found, progress, done)
            return
        done.settled += sum(f.settlements.num_rows for f in found)
        done.revised += sum(f.revisions.num_rows for f in found)
        for one in settled:
            if self._versions(one.group) - one.versions - {progress.version_unix_ns}:
                self._again(one.group, done)

    def _versions(self, group: Group) -> frozenset[int]:
        """Return the versions of what holds for these traces, if somebody else may write them."""
        if self.db.embedded if self.shared is None else not self.shared:
            return frozenset()
        rows = self.db.rows(statement("versions"), {"tenant": group.tenant, "traces": group.traces})
        return frozenset(r["version_unix_ns"] for r in rows)

    def _again(self, group: Group, done: Outcome) -> None:
        """Settle traces again that somebody else settled meanwhile, so that what was read last holds.

        Of two that overlap, the one that writes last sees the other's version. Either may have read less.
        """
        progress = Progress.read(self.db, quiet_s=self.limits.quiet_s)
        self._write(list(self._read(group, progress, done)), progress, done)

    def _give_up(self, traces: Sequence[Found], progress: Progress, done: Outcome) -> None:
        """Say that the sums of these traces stay as their pieces have them, and that nobody has read them whole."""
        rows = [_as_stored(f, progress.version_unix_ns) for f in traces]
        self._insert("settlements", pa.Table.from_pylist(rows, SETTLEMENT))
        done.not_settled += len(rows)

    def _insert(self, table: str, rows: pa.Table) -> None:
        # Absolute statements, of which the latest holds: nothing has to be recognised as sent before.
        self.db.insert_arrow(table, rows, f"settle/{uuid.uuid4()}")


def _as_stored(trace: Found, version_unix_ns: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "tenant": trace.tenant,
        "trace_id": bytes.fromhex(trace.trace),
        "received_hour": trace.received_hour_s,
        "version": version_unix_ns,
        "rows": trace.rows,
        "span_count": trace.rows,
        "logs": trace.logs,
        "defects": sorted({*trace.defects, NOT_SETTLED}),
        "failing": False,
        "failure_reasons": [],
    }
    for name, value in trace.sums.items():
        row[name] = row[f"was_{name}"] = value
    return row
