"""What is refused before the acknowledgement, and what is not."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import decode
from collector.decode.validate import Limits, Validated, validate
from collector.decode.wire import MAX_FIELDS_OF_ONE
from collector.journal.record import Record
from schema.errors import Reason, Refused
from tests.decode.requests import field, in_request, requests

SPAN = field(1, b"t" * 16) + field(2, b"s" * 8)


def check(body: bytes, signal: Any = "traces", encoding: Any = "protobuf", *, limits: Any = None) -> Validated:
    return validate(body, signal, encoding=encoding, gzip=False, limits=limits or Limits())


def refusal(body: bytes, signal: Any = "traces", encoding: Any = "protobuf", *, limits: Any = None) -> Refused:
    with pytest.raises(Refused) as caught:
        check(body, signal, encoding, limits=limits)
    assert caught.value.reason is Reason.BAD_DATA
    return caught.value


def record_of(valid: Validated, signal: Any = "traces") -> Record:
    return Record(0, "default", signal, valid.encoding, valid.gzip, 1, bytes(valid.body))


def small_request() -> bytes:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="chat")
    span.attributes.add(key="k").value.kvlist_value.values.add(key="n").value.double_value = 0.5
    return request.SerializeToString()


def nested(depth: int) -> bytes:
    """Return a request with one span that has an AnyValue `depth` arrays deep."""
    value = field(1, b"x")
    for _ in range(depth):
        value = field(5, field(1, value))
    return in_request(field(2, SPAN + field(9, field(1, b"k") + field(2, value))))


def test_a_body_cut_anywhere_is_refused_or_says_less_but_never_anything_else() -> None:
    body = small_request()
    assert check(body).accepted == 1
    for end in range(1, len(body)):
        assert "protobuf" in str(refusal(body[:end]))


def test_any_byte_changed_is_refused_or_decodes() -> None:
    body = small_request()
    outcomes: set[str] = set()
    for at in range(len(body)):
        for bit in range(8):
            changed = body[:at] + bytes((body[at] ^ (1 << bit),)) + body[at + 1 :]
            try:
                valid = check(changed)
            except Refused as e:
                outcomes.add(e.reason.value)
                continue
            outcomes.add("accepted")
            if valid.accepted:
                assert len(decode([record_of(valid)])) == valid.accepted
    assert outcomes == {"bad_data", "accepted"}


@given(st.binary(max_size=200), st.sampled_from(["traces", "logs"]), st.sampled_from(["protobuf", "json"]))
def test_random_bytes_are_refused_as_bad_data_or_decode(body: bytes, signal: Any, encoding: Any) -> None:
    try:
        valid = check(body, signal, encoding)
    except Refused:
        return
    if valid.accepted:
        decode([record_of(valid, signal)])


@given(requests("traces"))
def test_a_good_request_passes_as_it_came(request: Any) -> None:
    body = request.SerializeToString()
    spans = [s for r in request.resource_spans for c in r.scope_spans for s in c.spans]
    bad = [s for s in spans if not any(s.trace_id) or not any(s.span_id)]
    valid = check(body)
    assert (valid.accepted, valid.refused) == (len(spans) - len(bad), len(bad))
    if not bad:
        assert (valid.body, valid.encoding, valid.gzip, valid.message) == (body, "protobuf", False, "")


@given(requests("logs"))
def test_log_records_are_counted_and_their_ids_are_no_reason_to_refuse_them(request: Any) -> None:
    records = sum(len(c.log_records) for r in request.resource_logs for c in r.scope_logs)
    valid = check(request.SerializeToString(), "logs")
    assert (valid.accepted, valid.refused) == (records, 0)


def test_what_is_kept_of_a_json_request_is_protobuf_without_the_refused_spans() -> None:
    good, bad = {"traceId": "aa" * 16, "spanId": "bb" * 8, "name": "good"}, {"traceId": "aa", "spanId": "bb" * 8}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [bad, good, bad]}]}]}).encode()
    valid = check(body, encoding="json")
    assert (valid.accepted, valid.refused, valid.encoding) == (1, 2, "protobuf")
    assert decode([record_of(valid)]).name.to_pylist() == ["good"]


def test_what_is_kept_of_a_gzipped_request_with_refused_spans_is_plain() -> None:
    body = in_request(field(2, SPAN) + field(2, b""))
    valid = validate(gzip.compress(body), "traces", encoding="protobuf", gzip=True)
    assert (valid.body, valid.gzip, valid.accepted, valid.refused) == (in_request(field(2, SPAN)), False, 1, 1)


def test_bad_utf8_is_refused_without_quoting_it() -> None:
    message = str(refusal(in_request(field(2, SPAN + field(5, b"secret\xff")))))
    assert "bad UTF-8" in message
    assert "secret" not in message


@pytest.mark.parametrize("depth", [10_000, 100])
def test_values_nested_deeper_than_protobuf_reads_are_refused(depth: int) -> None:
    assert "MaxDepth" in str(refusal(nested(depth)))


def test_the_deepest_value_that_is_accepted_decodes() -> None:
    depth = next(d for d in range(100, 0, -1) if _accepts(nested(d)))
    assert depth >= 32
    assert len(decode([record_of(check(nested(depth)))])) == 1


def test_depth_counts_the_same_in_a_large_request_that_is_parsed_in_fragments() -> None:
    filler = in_request(field(2, SPAN + field(5, b"x" * 10_000)) * 100)
    for depth in range(1, 100):
        assert _accepts(nested(depth)) == _accepts(filler + nested(depth)), depth


def _accepts(body: bytes) -> bool:
    try:
        check(body)
    except Refused:
        return False
    return True


@pytest.mark.parametrize("signal", ["traces", "logs"])
def test_the_limit_of_spans_is_exact(signal: Any) -> None:
    limits = Limits(max_spans=1000)
    member = field(2, SPAN) if signal == "traces" else field(2, b"")
    for n_resources in (1, 10):
        body = in_request(member * (1000 // n_resources)) * n_resources
        assert check(body, signal, limits=limits).accepted == 1000
        more = refusal(body + in_request(member), signal, limits=limits)
        assert "the limit is 1000" in str(more)


@pytest.mark.parametrize("repeated", [field(1, b""), field(1, field(2, b""))], ids=["resources", "scopes"])
def test_resources_and_scopes_have_the_same_limit(repeated: bytes) -> None:
    assert check(repeated * 20_000).accepted == 0
    assert "the limit is 20000" in str(refusal(repeated * 20_001))


@pytest.mark.parametrize(
    "item",
    [field(9, b""), field(11, b""), field(13, b""), field(11, field(3, b""))],
    ids=["attributes", "events", "links", "event attributes"],
)
def test_attributes_events_and_links_have_a_limit_together(item: bytes) -> None:
    limits = Limits(max_items=1000)
    n = 500 if item == field(11, field(3, b"")) else 1000
    filler = field(5, b"x" * 3000)  # a small body cannot hold too many, and is not counted
    body = in_request(field(2, SPAN + filler + item * (n // 2)) * 2)
    assert check(body, limits=limits).accepted == 2
    assert "the limit is 1000" in str(refusal(body + in_request(field(2, SPAN + item)), limits=limits))


@pytest.mark.parametrize(
    "inner",
    [
        field(9, b""),
        field(9, field(2, field(5, field(1, b"") * 100))),
        field(9, field(2, field(6, field(1, b"") * 100))),
        field(11, field(3, field(2, field(5, field(1, b"") * 100)))),
    ],
    ids=["attributes", "array", "kvlist", "event array"],
)
def test_one_span_of_countless_fields_is_refused_before_it_is_parsed(inner: bytes) -> None:
    message = str(refusal(in_request(field(2, SPAN + inner * (3 * MAX_FIELDS_OF_ONE // len(inner))))))
    assert f"more than {MAX_FIELDS_OF_ONE} fields" in message


def test_one_large_span_is_accepted() -> None:
    attribute = field(9, field(1, b"gen_ai.input.messages") + field(2, field(1, b"x" * 10_000_000)))
    assert check(in_request(field(2, SPAN + attribute))).accepted == 1


def test_an_uncompressed_body_has_the_same_limit_as_an_inflated_one() -> None:
    limits = Limits(max_inflated_bytes=len(small_request()))
    assert check(small_request(), limits=limits).accepted == 1
    with pytest.raises(Refused) as caught:
        check(small_request() + b"\x0a\x00", limits=limits)
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_request_of_the_other_signal_is_never_journalled_as_spans() -> None:
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add().scope_logs.add().log_records.add(severity_text="INFO")
    valid = check(logs.SerializeToString())
    assert valid.accepted == 0


MEMORY = """
import gzip, resource, sys, zlib
from collector.decode.validate import Limits, validate
from schema.errors import Refused
from tests.decode.requests import field, in_request

ANY_RATIO = Limits(max_inflate_ratio=10_000)

def peak_kib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def attempt(body, encoding="protobuf"):
    attempt_packed(gzip.compress(body), len(body), encoding)

def attempt_packed(packed, size, encoding="protobuf"):
    before = peak_kib()
    try:
        validate(packed, "traces", encoding=encoding, gzip=True, limits=ANY_RATIO)
        print("accepted", size, peak_kib() - before)
    except Refused as e:
        print(e.reason.value, size, peak_kib() - before)

def bomb(mib):
    # Never whole in memory: the peak that counts is the one of inflating it.
    pack = zlib.compressobj(wbits=31)
    return b"".join(pack.compress(bytes(1 << 20)) for _ in range(mib)) + pack.flush()

SPAN = field(1, b"t" * 16) + field(2, b"s" * 8)
attempt(in_request(field(2, SPAN)))
exec(sys.argv[1])
"""


JSON_SPANS = """b'{"resourceSpans":[{"scopeSpans":[{"spans":[%s{}]}]}]}'"""


@pytest.mark.parametrize(
    ("body", "encoding", "allowed_bytes"),
    [
        ("in_request(field(2, b'') * 4_000_000)", "protobuf", 32 << 20),
        ("in_request(field(2, SPAN + field(9, b'') * 4_000_000))", "protobuf", 48 << 20),
        ("in_request(field(2, SPAN + field(9, b'') * 9_000) * 400)", "protobuf", 48 << 20),
        ("in_request(field(2, SPAN + field(9, field(2, field(5, field(1, b'') * 4_000_000)))))", "protobuf", 48 << 20),
        (JSON_SPANS % "' + b'{},' * 4_000_000 + b'", "json", 48 << 20),
        (JSON_SPANS % """' + b'{"kind":3},' * 900_000 + b'""", "json", 48 << 20),
        ("b'[' * 8_000_000", "json", 48 << 20),
    ],
    ids=["spans", "attributes", "spans of attributes", "values", "JSON objects", "JSON spans", "JSON brackets"],
)
def test_a_small_body_cannot_take_much_memory(body: str, encoding: str, allowed_bytes: int) -> None:
    """Bodies of 8 to 12 MB, of which the protobuf library alone would make up to 709 MB (measured)."""
    reason, size, growth_bytes = run_attack(f"attempt({body}, {encoding!r})")
    assert reason == "bad_data"
    assert size >= 7_000_000
    assert growth_bytes < allowed_bytes


def run_attack(code: str) -> tuple[str, int, int]:
    """Return the outcome, the size of the body and what the peak of memory grew by, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", MEMORY, code], capture_output=True, text=True, timeout=60, check=True)
    reason, size, growth_kib = done.stdout.splitlines()[-1].split()
    return reason, int(size), int(growth_kib) << 10


@pytest.mark.parametrize("layers", [1, 2])
def test_a_gzip_bomb_is_refused_in_the_memory_of_its_limit(layers: int) -> None:
    body = "gzip.compress(" * (layers - 1) + "bomb(300)" + ")" * (layers - 1)
    reason, _, growth_bytes = run_attack(f"attempt_packed({body}, 300 << 20)")
    assert reason == ("too_large" if layers == 1 else "bad_data")
    assert growth_bytes < 80 << 20
