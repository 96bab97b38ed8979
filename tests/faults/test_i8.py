"""I8: ids that are none, and traces that contradict themselves.

Injected: trace and span ids that are zero, short, long or missing, in protobuf and JSON; parents and links that are no
 ids; feedback about such.
Holds: spans with bad ids are refused by partial success with a count of each kind, the others of the request are kept.
Figure: 14 kinds of bad id by 3 readings; of 15 spans the good one is kept.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import decode
from collector.decode.validate import Validated, validate
from collector.decode.validator import load_check
from collector.journal.record import Record

TRACE, SPAN = b"t" * 16, b"s" * 8
BAD_TRACES = (b"", b"t", b"t" * 15, b"t" * 17, bytes(16), bytes(15), b"t" * 32)
BAD_SPANS = (b"", b"s", b"s" * 7, b"s" * 9, bytes(8), bytes(7), b"s" * 16)
BAD = [(trace, SPAN) for trace in BAD_TRACES] + [(TRACE, span) for span in BAD_SPANS]


def in_protobuf(ids: list[tuple[bytes, bytes]]) -> bytes:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for trace_id, span_id in ids:
        spans.add(trace_id=trace_id, span_id=span_id)
    whole: bytes = request.SerializeToString()
    return whole


def in_json(ids: list[tuple[bytes, bytes]]) -> bytes:
    spans = [{"traceId": t.hex(), "spanId": s.hex()} for t, s in ids]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()


def judged(body: bytes, how: str) -> Validated:
    check = load_check() if how == "kernel" else None
    return validate(body, "traces", encoding="json" if how == "json" else "protobuf", gzip=False, check=check)


@pytest.mark.quick
@pytest.mark.parametrize("how", ["kernel", "library", "json"])
def test_a_span_without_ids_is_refused_and_the_others_are_kept(how: str) -> None:
    encode = in_json if how == "json" else in_protobuf
    for bad in BAD:
        valid = judged(encode([bad]), how)
        assert (valid.accepted, valid.refused) == (0, 1), bad
        valid = judged(encode([bad, (TRACE, SPAN), bad]), how)
        assert (valid.accepted, valid.refused) == (1, 2), bad
    valid = judged(encode([*BAD, (TRACE, SPAN)]), how)
    assert (valid.accepted, valid.refused) == (1, len(BAD))
    assert f"{len(BAD_TRACES)} without a trace id" in valid.message
    assert f"{len(BAD_SPANS)} without a span id" in valid.message
    record = Record(0, "default", "traces", valid.encoding, valid.gzip, 1, bytes(valid.body))
    assert len(decode([record])) == 1


@pytest.mark.quick
def test_ids_of_links_and_of_parents_are_no_reason_to_refuse_a_span() -> None:
    """Such a span is good by itself; what it points at is nowhere."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=TRACE, span_id=SPAN, parent_span_id=b"xx")
    span.links.add(trace_id=b"t", span_id=b"")
    for how in ("kernel", "library"):
        assert judged(request.SerializeToString(), how).accepted == 1


@pytest.mark.quick
def test_feedback_names_whole_ids_or_none() -> None:
    from collector.receivers.feedback import to_logs_request  # noqa: PLC0415 - the one test of feedback
    from schema.errors import Refused  # noqa: PLC0415 - as above

    for bad in ("00" * 16, "ab", "zz" * 16, "ab" * 17, 5, True, ["ab"]):
        entry: Any = {"trace_id": bad, "value": 1}
        with pytest.raises(Refused, match="trace_id must be 32 hex digits"):
            to_logs_request(json.dumps(entry).encode(), now_unix_ns=1)
