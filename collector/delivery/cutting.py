"""Cut records down to what of them a destination refused, so that a replay brings just that again."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from collector.decode.protobuf import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from collector.journal import Record
    from schema.batch import SpanBatch
    from schema.component import Rejected

Id = tuple[bytes, bytes, int]
"""Trace, span and time: what tells the members of a request apart."""


def cut_down(records: Sequence[Record], batch: SpanBatch, rejected: Rejected) -> list[Record]:
    """Return records that hold the rejected spans and log records and nothing else, in the order of `records`.

    `batch` is what the records were read as: row r of it comes of record `batch.origin[r]`. A rejected feedback entry
    keeps the whole record it was read from. Fields that this version does not know stay.
    """
    wanted: dict[int, list[Id]] = defaultdict(list)
    for row in rejected.spans:
        at = _id(batch.trace_id, batch.span_id, batch.start_unix_ns, row)
        wanted[int(batch.origin[row])].append(at)
    logs = batch.logs
    for row in rejected.logs:
        wanted[int(logs.origin[row])].append(_id(logs.trace_id, logs.span_id, logs.time_unix_ns, row))
    whole = {int(batch.feedback[row]["origin"]) for row in rejected.feedback}
    return [records[i] if i in whole else _only(records[i], wanted[i]) for i in sorted({*wanted, *whole})]


def _id(trace: NDArray[np.uint8], span: NDArray[np.uint8], time: NDArray[np.uint64], row: int) -> Id:
    return trace[row].tobytes(), span[row].tobytes(), int(time[row])


def _only(record: Record, wanted: Sequence[Id]) -> Record:
    """Return a record with the members of these ids, each as often as it is wanted."""
    message = parse(record)
    left = list(wanted)
    kept = 0
    for resource in message.resource_spans if record.signal == "traces" else message.resource_logs:
        for scope in resource.scope_spans if record.signal == "traces" else resource.scope_logs:
            members = scope.spans if record.signal == "traces" else scope.log_records
            keep = [m for m in members if _take(left, m, record.signal)]
            kept += len(keep)
            del members[:]
            members.extend(keep)
    if kept != len(wanted):  # a processor changed the ids: better too much than the wrong part
        return record
    return replace(record, encoding="protobuf", gzip=False, body=message.SerializeToString(), members=kept)


def _take(left: list[Id], member: Any, signal: str) -> bool:
    time = member.start_time_unix_nano if signal == "traces" else member.time_unix_nano
    trace, span = member.trace_id, member.span_id
    found = (trace if len(trace) == 16 else bytes(16), span if len(span) == 8 else bytes(8), time)
    if found not in left:
        return False
    left.remove(found)
    return True
