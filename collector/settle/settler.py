"""One pass of settlement over a database, and what bounds it."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from collector.settle.compare import SETTLEMENT, differences
from collector.settle.find import Found, Progress, find, groups
from collector.settle.rebuild import batch_of
from collector.settle.whole import read_whole
from schema.errors import EvalgateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from collector.settle.find import Group
    from collector.settle.whole import Whole
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


@dataclass(slots=True)
class Settler:
    """Settles the traces of one database with the processors of the pipeline. One pass at a time."""

    db: Database
    process: Callable[[SpanBatch], SpanBatch]
    limits: Limits = field(default_factory=Limits)

    def settle(self) -> Outcome:
        """Run one pass: settle what is quiet, then remember up to when that is all.

        Raises:
            Retryable, Permanent: as the database does; what was written stays, the rest is found again.

        """
        progress = Progress.read(self.db, quiet_s=self.limits.quiet_s)
        found = find(self.db, progress, self.limits)
        outcome = Outcome(more=len(found.traces) >= self.limits.max_traces_per_pass)
        too_large = [f for f in found.traces if self._too_large(f)]
        if too_large:
            self._give_up(too_large, progress.version_unix_ns)
            outcome.not_settled += len(too_large)
        for group in groups(found, self.limits, without=too_large):
            self._settle(group, progress.version_unix_ns, outcome)
        progress.write(self.db, until_ms=found.traces[-1].touched_ms if outcome.more else progress.until_ms)
        return outcome

    def _too_large(self, trace: Found) -> bool:
        return trace.rows > self.limits.max_spans_per_trace or trace.bytes > self.limits.max_bytes_per_trace

    def _settle(self, group: Group, version_unix_ns: int, outcome: Outcome) -> None:
        whole = read_whole(self.db, group.tenant, group.traces)
        try:
            self._write(whole, self._processed(whole), version_unix_ns, outcome)
        except EvalgateError:
            raise
        except Exception as e:
            if len(group.found) > 1:
                log.warning("%d traces cannot be settled together: %r", len(group.found), e)
                for alone in group.alone():
                    self._settle(alone, version_unix_ns, outcome)
                return
            log.exception("trace %s cannot be settled; it stays as its pieces were understood", group.found[0].trace)
            self._give_up(group.found, version_unix_ns)
            outcome.not_settled += 1

    def _processed(self, whole: Whole) -> SpanBatch:
        spans = whole.rows.filter(pa.array(whole.first))
        return self.process(batch_of(spans, whole.logs, whole.tenant))

    def _write(self, whole: Whole, batch: SpanBatch, version_unix_ns: int, outcome: Outcome) -> None:
        """Write revisions, then settlements: a trace counts as settled when all of it is there."""
        found = differences(whole, batch, version_unix_ns)
        # Absolute statements, of which the latest holds: a token of its own is enough.
        token = f"settle/{uuid.uuid4()}"
        self.db.insert_arrow("span_revisions", found.revisions, token)
        self.db.insert_arrow("settlements", found.settlements, token)
        outcome.settled += found.settlements.num_rows
        outcome.revised += found.revisions.num_rows

    def _give_up(self, traces: Sequence[Found], version_unix_ns: int) -> None:
        """Say that the sums of these traces stay as their pieces have them, and that nobody has read them whole."""
        rows = [_as_stored(f, version_unix_ns) for f in traces]
        self.db.insert_arrow("settlements", pa.Table.from_pylist(rows, SETTLEMENT), f"settle/{uuid.uuid4()}")


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
