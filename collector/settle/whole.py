"""Whole traces as the database has them: the rows, each span's first row, and what was made of them so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from collector.settle.queries import REVISED, statement
from collector.settle.rebuild import ids, unix_ns
from schema.dialect import dialects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from exporters.clickhouse.connect import Database

Key = tuple[int, int, bytes, bytes]
"""received_at, sequence, trace id, span id: names one row of `spans`."""


@dataclass(frozen=True, slots=True)
class Revision:
    """What an earlier settlement wrote of one row."""

    repeated: bool
    values: dict[str, Any]
    """The columns that it changed."""


@dataclass(frozen=True, slots=True)
class Whole:
    """Some traces of one tenant, read at one moment."""

    tenant: str
    rows: pa.Table
    """Rows of `spans` by trace and span, of one span the first received first."""
    first: NDArray[np.bool_]
    """Which rows are the first of their span: one per span."""
    logs: pa.Table
    """Log records that tell of these spans, each once."""
    loose_logs: dict[bytes, int]
    """Loose log records by trace id, repeated ones too: the count that `trace_parts` has."""
    revisions: dict[Key, Revision]

    def keys(self) -> list[Key]:
        """Return the key of every row."""
        columns = (self.rows[name].to_pylist() for name in ("sequence", "trace_id", "span_id"))
        return list(zip(unix_ns(self.rows["received_at"]).tolist(), *columns, strict=True))


def read_whole(db: Database, tenant: str, traces: Sequence[str]) -> Whole:
    """Read every row of these traces (hex ids). Raises Retryable and Permanent as the database does."""
    which = {"tenant": tenant, "traces": list(traces)}
    rows = db.arrow(statement("spans"), which)
    names = sorted(dialects().tool_result_events)
    logs = db.arrow(statement("logs"), {**which, "names": names})
    revisions = db.arrow(statement("revisions"), which)
    trace_id, span_id = ids(rows["trace_id"], 16), ids(rows["span_id"], 8)
    both = np.concatenate([trace_id, span_id], axis=1)
    first = np.ones(len(both), np.bool_)
    first[1:] = (both[1:] != both[:-1]).any(axis=1)
    return Whole(tenant, rows, first, _once(logs), _loose(logs), _revisions(revisions))


def _loose(logs: pa.Table) -> dict[bytes, int]:
    counts: dict[bytes, int] = {}
    for trace, loose in zip(logs["trace_id"].to_pylist(), logs["loose"].to_pylist(), strict=True):
        counts[trace] = counts.get(trace, 0) + bool(loose)
    return counts


def _once(logs: pa.Table) -> pa.Table:
    """Leave out records that were delivered again: equal to one of another request.

    Equal records of one request are that many: two messages may say the same.
    """
    seen: set[tuple[Any, ...]] = set()
    in_request: dict[tuple[Any, ...], int] = {}
    keep = []
    columns = [logs[c].to_pylist() for c in ("trace_id", "span_id", "event_name", "body")]
    times, received = unix_ns(logs["time"]).tolist(), unix_ns(logs["received_at"]).tolist()
    attributes = logs["attributes"].to_pylist()
    for row, record in enumerate(zip(*columns, times, map(tuple, attributes), strict=True)):
        request = (*record, received[row])
        number = in_request[request] = in_request.get(request, 0) + 1
        if (*record, number) not in seen:
            seen.add((*record, number))
            keep.append(row)
    return logs.take(pa.array(keep, pa.int64()))


def _revisions(found: pa.Table) -> dict[Key, Revision]:
    received = unix_ns(found["received_at"]).tolist()
    keys = zip(received, *(found[c].to_pylist() for c in ("sequence", "trace_id", "span_id")), strict=True)
    columns = {name: found[name].to_pylist() for name in REVISED}
    changed, repeated = found["changed"].to_pylist(), found["repeated"].to_pylist()
    return {
        key: Revision(bool(repeated[row]), {name: columns[name][row] for name in changed[row] if name in columns})
        for row, key in enumerate(keys)
    }
