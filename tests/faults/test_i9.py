"""I9: times that no clock shows.

Injected: start and end 0, 2^64 - 1, the end before the start, 1970, after 2262, and milliseconds, microseconds or
seconds where nanoseconds belong; in spans, events and log records.
Holds: every row is stored, in the partition of its receipt; no duration is negative or wraps; what was changed is said
in `time_faults`.
Figure: rows, partitions they are in.
"""

from __future__ import annotations

import time
from itertools import product
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.faults.content import await_rows, post

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Launch

LATEST = 2**63 - 1


def test_every_time_is_stored_and_told(launch: Launch, record_property: Callable[[str, object], None]) -> None:
    collector = launch().start()
    now = time.time_ns()
    times = [0, 1, 10**9, LATEST, LATEST + 1, 2**64 - 1, now, now // 10**3, now // 10**6, now // 10**9]
    request, logs = ExportTraceServiceRequest(), ExportLogsServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    pairs = list(product(times, times))
    for number, (start, end) in enumerate(pairs, start=1):
        span = spans.add(trace_id=b"t" * 16, span_id=number.to_bytes(8, "big"))
        span.start_time_unix_nano, span.end_time_unix_nano = start, end
        span.events.add(time_unix_nano=start)
    records = logs.resource_logs.add().scope_logs.add().log_records
    for at in times:
        records.add(time_unix_nano=at)
    before_s = int(time.time())
    post(collector, "traces", request)
    post(collector, "logs", logs)
    await_rows(collector, spans=len(pairs), logs=len(times))
    rows = collector.rows(
        "SELECT reinterpretAsUInt64(reverse(span_id)) AS n, duration_ns, time_faults, _partition_id AS part, "
        "toUnixTimestamp(received_at) AS got, toUnixTimestamp64Nano(start_time) AS start, "
        "toUnixTimestamp64Nano(end_time) AS end FROM spans"
    )
    for row in rows:
        start, end = pairs[row["n"] - 1]
        faults = set(row["time_faults"])
        assert abs(row["got"] - before_s) < 60
        begin = start or row["got"] * 10**9
        assert ("start_missing" in faults) == (start == 0)
        assert ("end_missing" in faults) == (end == 0)
        assert ("start_clamped" in faults) == (start > LATEST)
        assert ("end_clamped" in faults) == (end > LATEST or (end == 0 and start > LATEST))
        if start and end:
            assert row["duration_ns"] == max(0, end - start)
            assert ("end_before_start" in faults) == (end < start)
            assert row["start"] == min(start, LATEST)
            assert row["end"] == min(end, LATEST)
        assert begin >= 0
    parts = {row["part"] for row in rows}
    assert len(parts) <= 2, "of the day, and of the next if it began meanwhile"
    record_property("figure", f"{len(rows)} spans and {len(times)} log records in {len(parts)} partition")
