"""The stream of bench/tools/arrivals.py through our own code: requests, every processor, an embedded database.

Nothing here decides anything: spans are decoded and processed as a collector does it, stored, and what is flagged, with
which weight, is what the view `traces` says. The moment of receipt is that of the stream, not of the clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from bench.tools.arrivals import Sign
from collector.decode import decode
from collector.journal.record import Record
from exporters.clickhouse.rows import blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from bench.tools.arrivals import Stream
    from exporters.clickhouse.connect import Database
    from schema.batch import SpanBatch

BEGIN_UNIX_NS: Final = 1_790_000_000 * 10**9
"""2026-09-21 14:13:20 UTC."""
BATCH_SPANS: Final = 20_000
QUESTION: Final = "where is my order, it should have come on monday and the page says it is still being packed " * 4
ANSWER: Final = '[{"role":"assistant","parts":[{"type":"text","content":"It left our house today."}],"finish_reason":"'
ASKED: Final = '[{"role":"user","parts":[{"type":"text","content":"' + QUESTION + '"}]}]'


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the database says of each trace of a stream; 0 and false of those that it has not got."""

    spans: NDArray[np.int64]
    failing: NDArray[np.bool_]
    flagged: NDArray[np.bool_]
    weight: NDArray[np.float64]


def templates() -> dict[int, Span]:
    """Return a span for every sign; ids and times are still to be filled in."""
    made = {}
    for sign in (Sign.NOTHING, Sign.STATUS_ERROR, Sign.CONTENT):
        span = Span(name="chat gpt-4o", kind=Span.SPAN_KIND_CLIENT)
        reason = "content_filter" if sign is Sign.CONTENT else "stop"
        texts = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.input.messages": ASKED,
            "gen_ai.output.messages": f'{ANSWER}{reason}"}}]',
        }
        for key, text in texts.items():
            span.attributes.add(key=key).value.string_value = text
        span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 97
        reasons = span.attributes.add(key="gen_ai.response.finish_reasons").value.array_value
        reasons.values.add(string_value=reason)
        if sign is Sign.STATUS_ERROR:
            span.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message="deadline exceeded"))
        made[int(sign)] = span
    return made


def span_bytes() -> int:
    """Return the bytes of one span on the wire, ids and times included."""
    span = templates()[int(Sign.NOTHING)]
    span.trace_id, span.span_id, span.start_time_unix_nano = bytes(16), bytes(8), BEGIN_UNIX_NS
    span.end_time_unix_nano = BEGIN_UNIX_NS
    return len(span.SerializeToString())


def records(stream: Stream, first: int, last: int) -> Iterator[Record]:
    """Yield the requests of arrivals `first` to `last`, each arrival one of its own, in order."""
    made, chance = templates(), np.random.default_rng(first)
    for i in range(first, last):
        trace = stream.ids[stream.trace[i]].tobytes()
        received = BEGIN_UNIX_NS + int(stream.at_s[i] * 1e9)
        if stream.spans[i]:
            count = int(stream.spans[i])
            ids = [chance.bytes(8) for _ in range(count)]
            body = _spans([made[Sign.NOTHING]] * (count - 1) + [made[int(stream.sign[i])]], ids, trace, received)
            yield Record(i, "default", "traces", "protobuf", gzip=False, received_unix_ns=received, body=body)
        else:
            body = _thumbs_down(trace, received)
            yield Record(i, "default", "logs", "protobuf", gzip=False, received_unix_ns=received, body=body)


def _spans(spans: Sequence[Span], ids: Sequence[bytes], trace: bytes, received: int) -> bytes:
    request = ExportTraceServiceRequest()
    holder = request.resource_spans.add()
    holder.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope = holder.scope_spans.add()
    for template, span_id in zip(spans, ids, strict=True):
        span = scope.spans.add()
        span.CopyFrom(template)
        span.trace_id, span.span_id = trace, span_id
        span.start_time_unix_nano, span.end_time_unix_nano = received - 10**9, received
    return request.SerializeToString()


def _thumbs_down(trace: bytes, received: int) -> bytes:
    request = ExportLogsServiceRequest()
    holder = request.resource_logs.add()
    holder.resource.attributes.add(key="service.name").value.string_value = "shop"
    log = holder.scope_logs.add().log_records.add(
        event_name="gen_ai.evaluation.result", trace_id=trace, time_unix_nano=received
    )
    log.attributes.add(key="gen_ai.evaluation.name").value.string_value = "user_feedback"
    log.attributes.add(key="gen_ai.evaluation.score.label").value.string_value = "thumbs_down"
    return request.SerializeToString()


def store(
    db: Database,
    stream: Stream,
    process: Callable[[SpanBatch], SpanBatch],
    *,
    until_s: float = float("inf"),
    since_s: float = float("-inf"),
    step: Callable[[], None] = lambda: None,
) -> int:
    """Store what arrives between two moments; return the wire bytes of the largest batch that was in memory."""
    first, end = (int(np.searchsorted(stream.at_s, s)) for s in (since_s, until_s))
    largest = 0
    while first < end:
        filled = np.cumsum(np.maximum(stream.spans[first:end], 1))
        last = first + max(1, int(np.searchsorted(filled, BATCH_SPANS)))
        last = min(last, end)
        found = list(records(stream, first, last))
        largest = max(largest, sum(len(r.body) for r in found))
        batch: Any = process(decode(found))
        for block in blocks(batch):
            db.insert_arrow(block.table, block.rows, f"sampling/{first}/{block.table}/{block.day}")
        first = last
        step()
    return largest


def verdicts(db: Database, stream: Stream) -> Verdicts:
    """Ask the database about every trace."""
    n = len(stream.mode)
    row_of = {trace.tobytes().hex(): row for row, trace in enumerate(stream.ids)}
    found = Verdicts(np.zeros(n, np.int64), np.zeros(n, np.bool_), np.zeros(n, np.bool_), np.zeros(n))
    for r in db.rows("SELECT trace_id, span_count, failing, flagged, sample_weight FROM traces"):
        row = row_of[r["trace_id"]]
        found.spans[row], found.failing[row] = r["span_count"], r["failing"]
        found.flagged[row], found.weight[row] = r["flagged"], r["sample_weight"]
    return found
