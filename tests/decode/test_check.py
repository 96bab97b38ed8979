"""The kernel that validates, against the library: what it takes is taken, and it takes what real senders send."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import kernels
from collector.decode.check import FIELDS_OF, Checker
from collector.decode.validate import DEFAULT_LIMITS, Limits
from collector.decode.validator import Validator
from collector.decode.wire import MAX_FIELDS_OF_ONE
from tests.decode.hostile import TYPE_MESSAGE, TYPE_STRING, damaged, request, seeded
from tests.decode.oracle import assert_checked
from tests.decode.requests import field, in_request, requests
from tests.decode.test_kernels import LOG, ODD, SMALL
from tests.decode.test_span_batch import BODIES, record_of_file
from tests.fuzz.inputs import saved

if TYPE_CHECKING:
    from pathlib import Path

    from schema.component import Signal

SIGNALS = st.sampled_from(["traces", "logs"])
SPAN = field(2, field(1, b"t" * 16) + field(2, b"s" * 8))
PLAIN_PAIR = field(9, field(1, b"key") + field(2, field(1, b"value")))
MESSAGES: dict[Signal, Any] = {"traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest}


@pytest.mark.parametrize("path", [p for p in BODIES if p.suffix == ".pb"], ids=lambda p: p.name)
def test_a_real_body_is_taken_by_the_kernel(path: Path) -> None:
    one = record_of_file(path)
    assert assert_checked(one.body, one.signal) is not None


@given(requests("traces") | requests("logs"))
def test_a_made_request_is_counted_as_by_the_library(message: Any) -> None:
    assert_checked(message.SerializeToString(), "traces" if isinstance(message, ExportTraceServiceRequest) else "logs")


@given(SIGNALS, st.integers(0, 2**32), st.sampled_from([0.0, 0.1, 0.5]))
def test_what_it_takes_of_odd_wire_the_library_takes(signal: Signal, seed: int, odd: float) -> None:
    assert_checked(request(signal, seeded(seed), odd=odd), signal)


@given(st.sampled_from(SMALL[: len(SMALL) // 2]), st.integers(0, 2**32))
def test_what_it_takes_of_damaged_bodies_the_library_takes(path: Path, seed: int) -> None:
    good = record_of_file(path)
    assert_checked(damaged(good.body, seeded(seed)), good.signal)


@pytest.mark.parametrize("path", [SMALL[0], next(p for p in SMALL if ".logs." in p.name)], ids=lambda p: p.name)
def test_a_body_cut_anywhere_is_not_taken_unless_the_library_does(path: Path) -> None:
    whole = record_of_file(path)
    ends = range(0, len(whole.body), 1 + len(whole.body) // 1500)
    taken = [assert_checked(whole.body[:end], whole.signal) for end in ends]
    assert None in taken


@pytest.mark.parametrize("name", [*ODD, *LOG])
def test_what_it_takes_of_odd_fields_the_library_takes(name: str) -> None:
    body, signal = (ODD[name], "traces") if name in ODD else (in_request(field(2, LOG[name])), "logs")
    assert_checked(body, signal)  # type: ignore[arg-type]  # one of the two signals


def test_what_a_fuzzer_saved_is_taken_only_where_the_library_does() -> None:
    for signal, body in saved():
        assert_checked(body, signal)


@pytest.mark.parametrize("text", [b"a", b"abcdefg", b"abcdefgh", b"a" * 40, "é".encode(), "ab\u00e9".encode() * 9])
@pytest.mark.parametrize("last", [b"", b"\xff", b"\xc3", "é".encode()])
def test_text_is_judged_to_its_last_byte_and_no_further(text: bytes, last: bytes) -> None:
    """The name is the end of the body: there is no byte behind it."""
    body = in_request(field(2, field(1, b"t" * 16) + field(2, b"s" * 8) + field(5, text + last)))
    assert (assert_checked(body, "traces") == 1) == (last in {b"", "é".encode()})


@pytest.mark.parametrize("where", ["key", "value"])
def test_one_bad_byte_is_seen_wherever_it_stands_in_an_attribute(where: str) -> None:
    """Texts of every length up to three times what is read at once."""

    def body(text: bytes) -> bytes:
        key, value = (text, b"value") if where == "key" else (b"key", text)
        pair = field(9, field(1, key) + field(2, field(1, value)))
        return in_request(field(2, SPAN[2:] + pair + field(3, b"state")))

    for length in range(1, 100):
        assert Checker()(body(b"a" * length), "traces", DEFAULT_LIMITS) == 1
        for at in range(length):
            text = bytearray(b"a" * length)
            text[at] = 0xFF
            assert Checker()(body(bytes(text)), "traces", DEFAULT_LIMITS) is None
    assert_checked(body("aé".encode() * 20), "traces")


@pytest.mark.parametrize("ids", [b"", field(1, b"t" * 16), field(1, bytes(16)) + field(2, b"s" * 8)])
def test_spans_without_both_ids_are_left_to_the_library(ids: bytes) -> None:
    good = field(1, b"t" * 16) + field(2, b"s" * 8)
    assert assert_checked(in_request(SPAN + field(2, good)), "traces") == 2
    assert assert_checked(in_request(SPAN + field(2, ids)), "traces") is None
    assert assert_checked(in_request(SPAN + field(2, good + field(2, b"short"))), "traces") is None


@pytest.mark.parametrize(
    ("body", "at_most"),
    [
        (in_request(SPAN * 5), Limits(max_spans=5)),
        (in_request(SPAN) * 5, Limits(max_spans=5)),
        (in_request(field(2, SPAN[2:] + field(9, b"") * 3 + field(11, b"") + field(13, b""))), Limits(max_items=5)),
        (in_request(field(2, SPAN[2:] + PLAIN_PAIR * 5)), Limits(max_items=5)),
    ],
    ids=["spans", "resources", "items", "attributes"],
)
def test_limits_are_exact_and_beyond_them_the_library_is_asked(body: bytes, at_most: Limits) -> None:
    fewer = Limits(
        max_spans=at_most.max_spans - (at_most.max_spans < DEFAULT_LIMITS.max_spans),
        max_items=at_most.max_items - (at_most.max_items < DEFAULT_LIMITS.max_items),
    )
    assert Checker()(body, "traces", at_most) is not None
    assert Checker()(body, "traces", fewer) is None


def test_a_span_of_more_fields_than_anyone_sends_is_left_to_the_library() -> None:
    def of(n: int) -> bytes:
        plain, alone = divmod(n - 2, 4)  # a plain pair is four fields: itself, its key, its value, and the text in that
        return in_request(field(2, SPAN[2:] + PLAIN_PAIR * plain + field(9, b"") * alone))

    assert Checker()(of(MAX_FIELDS_OF_ONE), "traces", DEFAULT_LIMITS) == 1
    assert Checker()(of(MAX_FIELDS_OF_ONE + 1), "traces", DEFAULT_LIMITS) is None


@pytest.mark.parametrize("signal", ["traces", "logs"])
def test_every_text_and_message_of_the_schema_is_looked_into(signal: Signal) -> None:
    """Walks the schema beside the tables: what a newer schema adds is missed here, not where senders use it."""
    seen: dict[str, int] = {}
    todo = [(MESSAGES[signal].DESCRIPTOR, kernels.REQUEST)]
    while todo:
        descriptor, kind = todo.pop()
        if seen.setdefault(descriptor.full_name, kind) != kind:
            raise AssertionError(f"{descriptor.full_name} is of two kinds")
        table = dict(FIELDS_OF[signal].get(kind, {}))
        for one in descriptor.fields:
            action = table.pop(one.number, kernels.SKIPPED)
            if one.type == TYPE_STRING:
                assert action == kernels.TEXT, one.full_name
            elif one.type == TYPE_MESSAGE:
                assert action >= kernels.MESSAGE_OF, one.full_name
                if one.message_type.full_name not in seen:
                    todo.append((one.message_type, action - kernels.MESSAGE_OF))
            else:
                assert action in {kernels.SKIPPED, kernels.TRACE_ID, kernels.SPAN_ID}, one.full_name
        assert table == {}, descriptor.full_name
    assert sorted(seen.values()) == sorted(FIELDS_OF[signal])


def test_the_library_validates_while_the_kernel_is_loaded_and_it_afterwards() -> None:
    loaded, seen = threading.Event(), []

    def load() -> Any:
        loaded.wait(30)

        def check(body: bytes | memoryview, signal: Signal, limits: Limits) -> int | None:
            seen.append(len(body))
            return Checker()(body, signal, limits)

        return check

    validate, body = Validator(load), in_request(SPAN)
    thread = validate.warm_up()
    try:
        assert not validate.is_fast
        assert validate(body, "traces", encoding="protobuf", gzip=False).accepted == 1
        assert seen == []
    finally:
        loaded.set()
    thread.join(30)
    assert validate.is_fast
    assert validate(memoryview(bytearray(body)), "traces", encoding="protobuf", gzip=False).accepted == 1
    assert seen == [len(body)]
    assert validate.warm_up() is thread, "once is enough"


def test_the_library_validates_where_the_kernel_cannot_be_loaded(caplog: pytest.LogCaptureFixture) -> None:
    def load() -> Any:
        raise ModuleNotFoundError("No module named 'numba'")

    validate = Validator(load)
    validate.warm_up().join(30)
    assert validate(in_request(SPAN), "traces", encoding="protobuf", gzip=False).accepted == 1
    assert "No module named 'numba'" in caplog.text
