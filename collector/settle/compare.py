"""What the whole trace says differently from what is stored: rows of `span_revisions` and `settlements`."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from collector.settle.queries import REVISED
from collector.settle.rebuild import ids, unix_ns
from schema.anyvalue import to_text
from schema.span import CANONICAL, JSON_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from collector.settle.whole import Whole
    from schema.batch import SpanBatch

SUMS = ("input_tokens", "output_tokens", "cost_usd")
OF_TRACE = ("session_id", "user_id", "feature")
MISSING_PARENT = "missing_parent"
PARENT_IS_REMOTE = np.uint32(0x300)
"""SpanFlags of opentelemetry-proto trace.proto: the sender knows whether the parent is remote, and it is."""
HOUR_S = 3600
VERSION = pa.timestamp("ns", "UTC")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Differences:
    """What to write."""

    revisions: pa.Table
    settlements: pa.Table


def differences(whole: Whole, batch: SpanBatch, version_unix_ns: int) -> Differences:
    """Compare the processed batch of the whole traces with their rows.

    `batch` has one row per span, those of `whole.first`, in their order.
    """
    derived = _merged(whole, batch)
    changes: list[dict[str, Any]] = [{} for _ in range(whole.rows.num_rows)]
    places = np.flatnonzero(whole.first)
    for name, column in derived.items():
        before = _stored(whole, name)
        for i in _unequal(before, column, name):
            changes[places[i]][name] = column[i].as_py()
    return Differences(
        _revision_rows(whole, changes, version_unix_ns), _settlement_rows(whole, batch, derived, version_unix_ns)
    )


def _stored(whole: Whole, name: str) -> pa.Array:
    """Return a canonical column of each span's first row, as its INSERT had it."""
    column = whole.rows[name].combine_chunks().filter(pa.array(whole.first))
    return column.cast(CANONICAL.field(name).type)


def _merged(whole: Whole, batch: SpanBatch) -> dict[str, pa.Array]:
    """Return the columns as the whole trace has them; a failure that was found once stays."""
    derived = {n: batch.columns[n].cast(CANONICAL.field(n).type) for n in REVISED if n in batch.columns}
    if "failing" in derived:
        was = pc.fill_null(_stored(whole, "failing"), fill_value=False)
        derived["failing"] = pc.or_(was, pc.fill_null(derived["failing"], fill_value=False))
        pairs = zip(_lists(_stored(whole, "failure_reasons")), _lists(derived["failure_reasons"]), strict=True)
        derived["failure_reasons"] = pa.array([_union(a, b) for a, b in pairs], CANONICAL.field("failure_reasons").type)
    defects = _lists(derived["defects"]) if "defects" in derived else [[] for _ in range(len(batch))]
    for row in np.flatnonzero(missing_parents(batch)).tolist():
        defects[row] = _union(defects[row], [MISSING_PARENT])
    derived["defects"] = pa.array(defects, CANONICAL.field("defects").type)
    return derived


def missing_parents(batch: SpanBatch) -> NDArray[np.bool_]:
    """Return which spans name a parent that is not in the batch, unless it lives in another process.

    A remote parent may belong to a service that does not report here: the trace is whole without it.
    """
    known = {t.tobytes() + s.tobytes() for t, s in zip(batch.trace_id, batch.span_id, strict=True)}
    pairs = zip(batch.trace_id, batch.parent_span_id, strict=True)
    absent = np.fromiter((t.tobytes() + p.tobytes() not in known for t, p in pairs), np.bool_, len(batch))
    remote = (batch.flags & PARENT_IS_REMOTE) == PARENT_IS_REMOTE
    return np.asarray(absent & batch.parent_span_id.any(axis=1) & ~remote, np.bool_)


def _lists(column: pa.Array) -> list[list[str]]:
    return [list(v or ()) for v in column.to_pylist()]


def _union(a: Iterable[str], b: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*a, *b]))


def _unequal(before: pa.Array, after: pa.Array, name: str) -> list[int]:
    """Return the rows where a column says something else."""
    if pa.types.is_list(after.type):
        pairs = zip(_lists(before), _lists(after), strict=True)
        return [i for i, (a, b) in enumerate(pairs) if a != b]
    same = pc.fill_null(pc.equal(before, after), fill_value=False)
    both_null = pc.and_(pc.is_null(before), pc.is_null(after))
    rows = np.flatnonzero(~np.asarray(pc.or_(same, both_null).to_numpy(zero_copy_only=False), np.bool_)).tolist()
    if name not in JSON_COLUMNS:
        return rows
    return [i for i in rows if not _alike(before[i].as_py(), after[i].as_py())]


def _alike(before: str | None, after: str | None) -> bool:
    """Tell whether two JSON texts differ in nothing but the types that text attributes cannot carry (1 and "1")."""
    if before is None or after is None:
        return False
    try:
        return bool(_as_texts(orjson.loads(before)) == _as_texts(orjson.loads(after)))
    except orjson.JSONDecodeError:
        return False


def _as_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _as_texts(v) for k, v in value.items()}
    return [_as_texts(v) for v in value] if isinstance(value, list) else to_text(value)


def _revision_rows(whole: Whole, changes: Sequence[dict[str, Any]], version_unix_ns: int) -> pa.Table:
    """Return the rows whose latest revision is not this one."""
    rows = []
    repeated = (~whole.first).tolist()
    for row, key in enumerate(whole.keys()):
        latest = whole.revisions.get(key)
        if (repeated[row], changes[row]) == ((latest.repeated, latest.values) if latest else (False, {})):
            continue
        received, sequence, trace, span = key
        rows.append(
            {
                "tenant": whole.tenant,
                "received_at": received,
                "trace_id": trace,
                "span_id": span,
                "sequence": sequence,
                "version": version_unix_ns,
                "repeated": repeated[row],
                "changed": list(changes[row]),
                **{n: [] for n in REVISED if pa.types.is_list(CANONICAL.field(n).type)},
                **changes[row],
            }
        )
    names = [
        ("tenant", pa.string()),
        ("received_at", VERSION),
        ("trace_id", pa.binary(16)),
        ("span_id", pa.binary(8)),
        ("sequence", pa.uint64()),
        ("version", VERSION),
        ("repeated", pa.bool_()),
        ("changed", pa.list_(pa.string())),
    ]
    return pa.Table.from_pylist(rows, pa.schema([*names, *(CANONICAL.field(n) for n in REVISED)]))


SETTLEMENT = pa.schema(
    [
        ("tenant", pa.string()),
        ("trace_id", pa.binary(16)),
        ("received_hour", pa.timestamp("s", "UTC")),
        ("version", VERSION),
        *((name, pa.uint64()) for name in ("rows", "logs", "span_count")),
        *((prefix + name, pa.uint64()) for name in ("error_count", "llm_calls") for prefix in ("", "was_")),
        *((prefix + name, pa.int64()) for name in SUMS[:2] for prefix in ("", "was_")),
        *((prefix + "cost_usd", pa.float64()) for prefix in ("", "was_")),
        *((name, pa.string()) for name in OF_TRACE),
        ("defects", pa.list_(pa.string())),
        ("failing", pa.bool_()),
        ("failure_reasons", pa.list_(pa.string())),
    ]
)


def _settlement_rows(whole: Whole, batch: SpanBatch, derived: Mapping[str, pa.Array], version_unix_ns: int) -> pa.Table:
    """Return one row per trace: its sums over the rows as stored and over the spans as they are now."""
    rows_of = _groups(ids(whole.rows["trace_id"], 16))
    spans_of = _groups(batch.trace_id)
    stored = {n: whole.rows[n].to_pylist() for n in ("counted", "error", "status_code", *SUMS)}
    now: dict[str, list[Any]] = {n: derived[n].to_pylist() for n in derived if n in NEEDED}
    status = whole.rows["status_code"].filter(pa.array(whole.first)).to_pylist()
    has_parent: list[bool] = np.any(batch.parent_span_id, axis=1).tolist()
    rank = list(zip(has_parent, _starts(whole), strict=True))
    received = unix_ns(whole.rows["received_at"])
    out = []
    for trace, rows in rows_of.items():
        spans = spans_of[trace]
        was = _figures(rows, stored, stored["status_code"])
        row: Row = {
            "tenant": whole.tenant,
            "trace_id": trace,
            "received_hour": int(received[rows].min()) // 10**9 // HOUR_S * HOUR_S,
            "version": version_unix_ns,
            "rows": len(rows),
            "logs": whole.loose_logs.get(trace, 0),
            "span_count": len(spans),
            **_figures(spans, now, status),
            **{f"was_{k}": v for k, v in was.items()},
            **{n: _of_trace(spans, now.get(n), rank) for n in OF_TRACE},
            "defects": sorted({d for i in spans for d in now["defects"][i]}),
            "failing": any(now["failing"][i] for i in spans) if "failing" in now else False,
            "failure_reasons": sorted({r for i in spans for r in now.get("failure_reasons", {i: ()})[i]}),
        }
        out.append(row)
    return pa.Table.from_pylist(out, SETTLEMENT)


NEEDED = frozenset({"counted", "error", *SUMS, *OF_TRACE, "defects", "failing", "failure_reasons"})


def _starts(whole: Whole) -> list[int]:
    """Return the start of every span."""
    starts = unix_ns(whole.rows["start_time"])[whole.first]
    return [int(s) for s in starts]


def _groups(trace_id: NDArray[np.uint8]) -> dict[bytes, list[int]]:
    groups: dict[bytes, list[int]] = defaultdict(list)
    for row, trace in enumerate(trace_id):
        groups[trace.tobytes()].append(row)
    return groups


def _figures(rows: Sequence[int], columns: Mapping[str, Sequence[Any]], status: Sequence[str]) -> Row:
    """Sum up as the view trace_parts_from_spans does."""
    counted = [i for i in rows if "counted" in columns and columns["counted"][i]]
    error = columns.get("error")
    failed = (error[i] if error is not None and error[i] is not None else status[i] == "error" for i in rows)
    return {
        "error_count": sum(map(bool, failed)),
        "llm_calls": len(counted),
        **{n: _sum([columns[n][i] for i in counted] if n in columns else []) for n in SUMS},
    }


def _sum(values: Iterable[Any]) -> Any:
    known = [v for v in values if v is not None]
    return sum(known) if known else None


def _of_trace(spans: Sequence[int], values: Sequence[Any] | None, rank: Sequence[tuple[bool, int]]) -> Any:
    """Return the root's value where it has one, else that of the earliest span that does."""
    known = [i for i in spans if values is not None and values[i] is not None]
    return None if values is None or not known else values[min(known, key=lambda i: (rank[i], i))]
