"""Rows of the table `ledger`: what a batch stores, and entries that others book."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schema.ledger import FEEDBACK_SCOPE, MINUTE_NS, REJECTED, Entry, LedgerSignal, State, merged, word

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from schema.batch import SpanBatch
    from schema.component import Rejected

MINUTES_PER_DAY: Final = 1440


def ledger_rows(batch: SpanBatch, rejected: Rejected | None = None) -> pa.Table:
    """Return what the rows of a batch and the entries that came with it add to the ledger.

    Rows that ClickHouse will never take are quarantined, all others stored.
    """
    return entry_rows(merged((*ends(batch, rejected), *batch.booked)))


def ends(batch: SpanBatch, rejected: Rejected | None = None) -> Iterator[Entry]:
    """Yield what becomes of the spans, log records and feedback entries of a batch, per journal record.

    Rows of table `feedback` are not counted: what they were read from is.
    """
    minute = (batch.origins.received_unix_ns // np.uint64(MINUTE_NS)).tolist()
    aside = (
        _rows(rejected.spans if rejected else (), len(batch)),
        _rows(rejected.logs if rejected else (), len(batch.logs)),
    )
    for signal, origin, is_aside in _signals(batch, *aside):
        for state, reason, rows in (
            (State.STORED, "", origin[~is_aside]),
            (State.QUARANTINED, REJECTED, origin[is_aside]),
        ):
            for row, count in enumerate(np.bincount(rows, minlength=len(minute)).tolist() if len(rows) else ()):
                if count:
                    yield Entry(batch.origins.tenant[row], minute[row], signal, state, reason, count)


def _rows(chosen: Sequence[int], n: int) -> NDArray[np.bool_]:
    found = np.zeros(n, np.bool_)
    found[list(chosen)] = True
    return found


def _signals(
    batch: SpanBatch, spans_aside: NDArray[np.bool_], logs_aside: NDArray[np.bool_]
) -> Iterator[tuple[LedgerSignal, NDArray[np.int32], NDArray[np.bool_]]]:
    yield "traces", batch.origin, spans_aside
    logs = batch.logs.origin
    said = pc.equal(batch.scopes.name, FEEDBACK_SCOPE) if len(logs) else None
    if said is None or not pc.any(said).as_py():
        yield "logs", logs, logs_aside
        return
    is_feedback = pc.fill_null(said, False).to_numpy(zero_copy_only=False)[batch.logs.scope]  # noqa: FBT003 - pyarrow's
    yield "logs", logs[~is_feedback], logs_aside[~is_feedback]
    yield "feedback", logs[is_feedback], logs_aside[is_feedback]


def entry_rows(entries: Iterable[Entry]) -> pa.Table:
    """Return entries as rows, in their order."""
    entries = tuple(entries)
    return pa.table(
        {
            "tenant": pa.array([e.tenant for e in entries], pa.string()),
            "minute": pa.array([e.minute * 60 for e in entries], pa.int64()).view(pa.timestamp("s", "UTC")),
            "signal": pa.array([e.signal for e in entries], pa.string()),
            "state": pa.array([e.state.value for e in entries], pa.string()),
            "reason": pa.array([word(e.reason) for e in entries], pa.string()),
            "count": pa.array([e.count for e in entries], pa.int64()),
            "uncounted_requests": pa.array([e.uncounted_requests for e in entries], pa.int64()),
        }
    )


class Booked:
    """What was booked since the start, by tenant, signal, state and reason. One thread at a time adds."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str, str]] = Counter()
        self._requests: Counter[tuple[str, str, str, str]] = Counter()

    def add(self, rows: pa.Table) -> None:
        """Add rows of the table that are stored now."""
        for r in rows.to_pylist():
            key = (r["tenant"], r["signal"], r["state"], r["reason"])
            self._counts[key] += r["count"]
            self._requests[key] += r["uncounted_requests"]

    def document(self) -> dict[str, Any]:
        """Return nested dicts, by tenant, signal, state and reason."""
        found: dict[str, Any] = {}
        for key, count in self._counts.copy().items():
            at = found
            for part in key:
                at = at.setdefault(part, {})
            at |= {"count": count, "uncounted_requests": self._requests[key]}
        return found


def by_day(entries: Iterable[Entry]) -> list[tuple[int, tuple[Entry, ...]]]:
    """Return entries by day of receipt, a partition each; days ascend."""
    days: dict[int, list[Entry]] = defaultdict(list)
    for e in merged(entries):
        days[e.minute // MINUTES_PER_DAY].append(e)
    return [(day, tuple(days[day])) for day in sorted(days)]
