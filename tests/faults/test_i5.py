"""I5: values nested in values.

Injected: AnyValues 31, 32, 33, 47, 48 and 10 000 deep, arrays and maps, in spans, resources and log records; JSON with
 100 000 brackets, and with values as deep as its limit allows.
Holds: what the protobuf library reads (47) is taken, kept and read again; deeper is 400; no RecursionError gets out.
Figure: 36 depths over both validators, 40 JSON bodies of 100 000 brackets; 48 arrays or 32 maps in a span are refused.
"""

from __future__ import annotations

import itertools
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from collector.decode import decode
from collector.decode.validate import Validated, validate
from collector.decode.validator import load_check
from collector.journal.record import Record
from schema.errors import Reason, Refused
from tests.decode.requests import field, in_request

if TYPE_CHECKING:
    from collector.decode.validate import Check
    from schema.component import Signal

DEPTHS = (31, 32, 33, 47, 48, 10_000)
DEEPEST = {"span": 47, "resource": 48, "log record": 47}
"""The library reads 100 messages in each other; an array is two, a resource stands one less deep than a span."""
SPAN = field(1, b"t" * 16) + field(2, b"s" * 8)


def nested(depth: int, kind: str) -> bytes:
    """Return an AnyValue in so many others."""
    value = field(1, b"x")
    for _ in range(depth):
        value = field(5, field(1, value)) if kind == "array" else field(6, field(1, field(1, b"k") + field(2, value)))
    return value


def body_with(attribute: bytes, where: str) -> bytes:
    if where == "span":
        return in_request(field(2, SPAN + field(9, attribute)))
    if where == "resource":
        return field(1, field(1, field(1, attribute)) + field(2, field(2, SPAN)))
    return in_request(field(2, field(6, attribute)))


@pytest.fixture(scope="module")
def kernel() -> Check:
    return load_check()


@pytest.mark.quick
@pytest.mark.parametrize("check", ["kernel", "library"])
@pytest.mark.parametrize("where", ["span", "resource", "log record"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_arrays_are_taken_as_deep_as_the_library_reads_them(depth: int, where: str, check: str, kernel: Check) -> None:
    signal: Signal = "logs" if where == "log record" else "traces"
    attribute = field(1, b"deep") + field(2, nested(depth, "array"))
    body = body_with(attribute, where)
    valid = verdict(body, signal, kernel if check == "kernel" else None)
    assert (valid is not None) == (depth <= DEEPEST[where])
    if valid is not None:
        assert len(decode([record_of(valid, signal)])) == (signal == "traces")


def verdict(body: bytes, signal: Signal, check: Check | None) -> Validated | None:
    try:
        return validate(body, signal, encoding="protobuf", gzip=False, check=check)
    except Refused as e:
        if e.reason is not Reason.BAD_DATA:
            raise
        return None


def record_of(valid: Validated, signal: Signal) -> Record:
    return Record(0, "default", signal, valid.encoding, valid.gzip, 1, bytes(valid.body))


@pytest.mark.quick
def test_the_first_depth_that_is_refused_is_48_in_a_span(kernel: Check) -> None:
    """As docs/otlp.md says."""

    def taken(depth: int, kind: str, check: Check | None) -> bool:
        attribute = field(1, b"deep") + field(2, nested(depth, kind))
        return verdict(body_with(attribute, "span"), "traces", check) is not None

    for check in (kernel, None):
        assert min(d for d in range(1, 60) if not taken(d, "array", check)) == DEEPEST["span"] + 1
        assert min(d for d in range(1, 60) if not taken(d, "kvlist", check)) == 32  # three messages each


@pytest.mark.quick
@pytest.mark.parametrize("depth", [31, 32, 33, 47])
def test_what_is_taken_is_read_again_as_what_it_was(depth: int) -> None:
    attribute = field(1, b"deep") + field(2, nested(depth, "array"))
    valid = verdict(body_with(attribute, "span"), "traces", None)
    assert valid is not None
    found: Any = decode([record_of(valid, "traces")]).attributes.of(0)["deep"]
    for _ in range(depth):
        (found,) = found
    assert found == "x"


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"arrayValue":{"values":[', b"[{", b'"\\""[['])
@pytest.mark.parametrize("closed", [True, False])
def test_json_of_a_hundred_thousand_brackets_is_bad_data(opening: bytes, closed: bool) -> None:  # noqa: FBT001
    closing = opening.translate(bytes.maketrans(b"[{", b"]}"), b':"\\avrueVlsy')[::-1] if closed else b""
    body = opening * 100_000 + closing * 100_000
    for signal, whole in itertools.product(("traces", "logs"), (body, b'{"resourceSpans":' + body)):
        with pytest.raises(Refused) as caught:
            validate(whole, signal, encoding="json", gzip=False)  # type: ignore[arg-type]  # a product loses literals
        assert caught.value.reason is Reason.BAD_DATA


def test_json_values_of_any_depth_are_taken_or_refused_and_never_recurse_too_deep() -> None:
    """Also where little of the stack is left."""

    def taken(depth: int) -> bool:
        value: dict[str, Any] = {"stringValue": "x"}
        for _ in range(depth):
            value = {"arrayValue": {"values": [value]}}
        span = {"traceId": "aa" * 16, "spanId": "bb" * 8, "attributes": [{"key": "k", "value": value}]}
        body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
        try:
            valid = validate(body, "traces", encoding="json", gzip=False)
        except Refused as e:
            if e.reason is not Reason.BAD_DATA:
                raise
            return False
        assert len(decode([record_of(valid, "traces")])) == 1
        return True

    outcomes = [taken(depth) for depth in range(60)]
    first = outcomes.index(False)
    assert first > 15  # 64 brackets, nine of them outside of the value, three for each array
    assert not any(outcomes[first:])
    left = sys.getrecursionlimit() - 120

    def below(frames: int) -> None:
        if frames:
            below(frames - 1)
        else:
            taken(first - 1)
            taken(first)

    below(left - 100)
