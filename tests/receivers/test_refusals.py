"""A receiver remembers its last refusals in the words that the sender got, and nothing of what was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.counts import last_refusals
from collector.receivers.refusals import KEPT, MAX_CHARS, Refusals

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.receivers.conftest import Running, Transport

CANARY = b"canary of somebody"


def test_a_refusal_is_told_as_the_sender_was(start: Callable[..., Running], transport: Transport) -> None:
    running = start()
    reply = running.send(transport, CANARY)
    assert reply.code
    (told,) = last_refusals(running.receiver)
    assert (told["tenant"], told["signal"], told["reason"]) == ("default", "traces", "bad_data")
    assert told["words"] == reply.message
    assert CANARY.decode() not in str(told)


def test_what_a_request_lost_in_part_is_told_too(
    start: Callable[..., Running], make_request: Callable[..., Any]
) -> None:
    running = start()
    request = make_request(2)
    request.resource_spans[0].scope_spans[0].spans[0].trace_id = bytes(16)
    reply = running.send("http-protobuf", request)
    assert reply.code == 0
    (told,) = last_refusals(running.receiver)
    assert (told["reason"], told["words"]) == ("invalid_id", reply.message)


def test_a_wrong_address_and_a_wrong_type_are_told(start: Callable[..., Running]) -> None:
    running = start()
    running.exchange("/v1/trace", b"{}", {"content-type": "application/json"})
    running.exchange("/v1/traces", b"{}", {"content-type": "text/plain"})
    first, second = last_refusals(running.receiver)
    assert (first["signal"], first["reason"]) == ("traces", "unsupported_media_type")
    assert (second["signal"], second["reason"]) == ("", "404")
    assert "POST /v1/traces" in second["words"]


def test_the_last_ones_are_kept_and_no_more() -> None:
    refusals = Refusals(clock_ns=iter(range(10_000)).__next__)
    for _ in range(KEPT + 5):
        refusals.add("traces", "bad_data", "x" * 10_000)
    latest = refusals.latest()
    assert [r.at_unix_ns for r in latest] == list(range(KEPT + 4, 4, -1))
    assert len(latest[0].words) == MAX_CHARS


def test_a_receiver_that_keeps_none_tells_none() -> None:
    nothing: Any = object()
    assert last_refusals(nothing) == []
