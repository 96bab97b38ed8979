"""Try a policy on stored traces, portion by portion, and add up what differs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from evalgate.database import sql
from evalgate.sample.batch import batch_of, columns_of
from evalgate.sample.compare import Comparison, Traces, Verdict
from evalgate.sample.judge import Judge, feedback_reasons, names, stored
from evalgate.sample.portions import MAX_SLICES, TooLarge, arrow, trace_ids
from schema.errors import EvalgateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from evalgate.database import TenantDatabase
    from evalgate.sample.portions import History, Portion
    from schema.batch import SpanBatch
    from schema.policy import Policy
    from schema.policy.rates import Raised


@dataclass(frozen=True, slots=True)
class Found:
    """What a back-test counted."""

    counted: Comparison
    whole_since: datetime | None
    """From when on every trace is there that was received; None: nothing is stored."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared; without a policy, what is stored."""

    policy: Policy | None
    raised: Raised


def backtest(
    database: TenantDatabase,
    past: History,
    now: Side,
    then: Side,
    *,
    bytes_per_span: float = 0.0,
    step: Callable[[], None] = lambda: None,
) -> Found:
    """Judge every trace of a history by both sides; `step` is called after each portion.

    `bytes_per_span` is what a span takes on disk, content or not.
    """
    counted = Comparison()
    whole_since = past.since if past.portions else None
    for portion in verdicts(database, past, now, then, bytes_per_span=bytes_per_span):
        counted.add(portion.traces, portion.now, portion.then)
        if portion.frozen_until is not None and whole_since is not None:
            whole_since = max(whole_since, portion.frozen_until)
        if portion.ends_portion:
            step()
    return Found(counted, whole_since)


@dataclass(frozen=True, slots=True)
class Judged:
    """What both sides say of the traces of a portion."""

    traces: Traces
    now: Verdict
    then: Verdict
    frozen_until: datetime | None
    """The end of the last day of which something is gone, as far as these traces tell; None: none is."""
    ends_portion: bool


def verdicts(
    database: TenantDatabase, past: History, now: Side, then: Side, *, bytes_per_span: float = 0.0
) -> Iterator[Judged]:
    """Yield what both sides say, portion by portion; no trace is in two of them."""
    policies = [side.policy for side in (now, then) if side.policy is not None]
    scored = sorted({name for policy in policies for name in policy.failure.evaluations})
    asked = {"since_s": max(0, int(past.since.timestamp())), "names": scored}
    said = database.rows(sql(__package__, "feedback"), asked)
    judges = [
        None if side.policy is None else Judge.of(side.policy, feedback_reasons(side.policy, said), side.raised)
        for side in (now, then)
    ]
    columns = columns_of(*policies)
    for portion in past.portions:
        waiting = [portion]
        while waiting:
            part = waiting.pop()
            try:
                read = _Read(database, past, part, columns)
            except TooLarge as e:
                if part.slices >= MAX_SLICES:
                    raise EvalgateError(f"one trace is too large to be read: {e}") from e
                waiting += part.halves()
                continue
            of_now, of_then = map(read.judged, judges)
            yield Judged(read.traces(bytes_per_span), of_now, of_then, read.frozen_until, ends_portion=not waiting)


class _Read:
    """The rows of one portion."""

    def __init__(self, database: TenantDatabase, past: History, portion: Portion, columns: str) -> None:
        def rows(name: str) -> pa.Table:
            text = sql(__package__, name).replace("/* portion */", portion.condition)
            text = text.replace("1 /* columns */", columns)
            found = arrow(database, text, portion.parameters, max_bytes=past.portion_bytes)
            return past.rows_of(portion, found)

        table = rows("traces")
        self._ids = trace_ids(table)
        order = np.argsort(self._ids)
        self._ids = self._ids[order]
        self._table = table.take(order)
        frozen, arrived = self._floats("frozen"), self._floats("arrived")
        # Retention's weight also stands for what samplers before us left out; of those that arrived it is less.
        of_arrived = frozen * np.where(arrived > 0, arrived, 1.0)
        self._frozen = np.where(frozen > 0, np.maximum(of_arrived, 1.0), 0.0)
        # What is held or was reviewed stays although nobody flagged it: chance did not choose it, it stands for none.
        self._is_whole = np.array([v is None for v in self._table.column("frozen").to_pylist()], np.bool_)
        self._weight = np.where(self._is_whole, 1.0, self._frozen)
        self.raw, self.revised = (self._of_traces(rows(name), database.tenant) for name in ("spans", "revised"))

    def _floats(self, name: str) -> NDArray[np.float64]:
        """Return a column of numbers, 0 where there is none."""
        return np.array([v or 0.0 for v in self._table.column(name).to_pylist()], np.float64)

    def _of_traces(self, table: pa.Table, tenant: str) -> SpanBatch:
        """Return the spans of the traces that are counted; one may have come since these were listed."""
        ids = trace_ids(table)
        at = np.minimum(np.searchsorted(self._ids, ids), max(len(self._ids) - 1, 0))
        known = np.asarray(self._ids[at] == ids) if len(self._ids) else np.zeros(len(ids), np.bool_)
        return batch_of(table if known.all() else table.filter(known), tenant)

    @property
    def frozen_until(self) -> datetime | None:
        """The end of the last day of which something is gone, as far as these traces tell; None: none is."""
        hours = self._floats("hour_s")[~self._is_whole]
        if not len(hours):
            return None
        day = datetime.fromtimestamp(float(hours.max()), UTC).replace(hour=0)
        return day + timedelta(days=1)

    def judged(self, judge: Judge | None) -> Verdict:
        """Return what a policy says of them, or what is stored."""
        if judge is None:
            return stored(self._table, self._frozen)
        return judge(self._ids, self._frozen, raw=self.raw, revised=self.revised)

    def traces(self, bytes_per_span: float) -> Traces:
        """Return the traces."""
        return Traces(
            ids=names([one.tobytes() for one in self._ids]),
            service=[v or "" for v in self._table.column("service").to_pylist()],
            feature=self._table.column("feature_name").to_pylist(),
            bytes=self._floats("spans") * bytes_per_span,
            weight=self._weight,
        )
