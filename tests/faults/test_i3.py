"""I3: millions of empty spans.

Injected: 4 million spans of two bytes each, 8 MB, 7.8 kB as gzip: plain, as gzip, over gRPC; the same as JSON.
Holds: refused for good by a count before anything is decoded (as gzip by the ratio before that), in bounded memory.
Figure: 8 kB on the wire cost 18 MB of memory, 8 MB 30; decoded by the protobuf library they cost 709 MB.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.decode.requests import field, in_request
from tests.faults.receiving import EXPORT, MIB, ReceiverProcess

if TYPE_CHECKING:
    from collections.abc import Callable

SPANS = in_request(field(2, b"") * 4_000_000)
JSON = b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b"{}," * 4_000_000 + b"{}]}]}]}"
NO_RATIO = {"protocols": {"http": {"max_inflate_ratio": 100_000}}}
ALLOWED_BYTES = 32 * MIB


def by_grpc(receiver: ReceiverProcess, body: bytes) -> Any:
    """Return the code of one request, sent as gzip."""
    with grpc.insecure_channel(
        receiver.endpoints["grpc"],
        compression=grpc.Compression.Gzip,
        options=[("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)],
    ) as channel:
        export: Any = channel.unary_unary(EXPORT)
        return export.future(body, timeout=30).code()


@pytest.mark.parametrize(
    ("settings", "body", "headers", "status", "limit"),
    [
        pytest.param(
            NO_RATIO, gzip.compress(SPANS, mtime=0), ("content-encoding: gzip",), 400, "spans", marks=pytest.mark.quick
        ),
        ({}, gzip.compress(SPANS, mtime=0), ("content-encoding: gzip",), 413, "inflate_ratio"),
        ({}, SPANS, (), 400, "spans"),
    ],
    ids=["gzip", "gzip by its ratio", "plain"],
)
def test_empty_spans_over_http(  # noqa: PLR0917 - a row of the table
    settings: dict[str, Any],
    body: bytes,
    headers: tuple[str, ...],
    status: int,
    limit: str,
    record_property: Callable[[str, object], None],
) -> None:
    with ReceiverProcess(settings) as receiver:
        with receiver.peak() as peak:
            assert receiver.post(body, *headers) == status
        assert receiver.state["limits"] == {limit: 1}
        assert receiver.state["records"] == 0
    record_property("figure", f"{len(body)} bytes sent, {peak.growth_bytes / MIB:.0f} MB of memory")
    assert peak.growth_bytes <= ALLOWED_BYTES


def test_empty_spans_over_grpc(record_property: Callable[[str, object], None]) -> None:
    with ReceiverProcess() as receiver:
        by_grpc(receiver, in_request(b""))  # threads and buffers of gRPC itself
        with receiver.peak() as peak:
            assert by_grpc(receiver, SPANS) is grpc.StatusCode.INVALID_ARGUMENT
        assert receiver.state["limits"] == {"spans": 1}
    record_property("figure", f"gRPC with gzip: {peak.growth_bytes / MIB:.0f} MB of memory")
    # gRPC inflates into slices and hands over one copy: twice the 8 MB.
    assert peak.growth_bytes <= ALLOWED_BYTES + len(SPANS)


def test_empty_objects_of_json(record_property: Callable[[str, object], None]) -> None:
    with ReceiverProcess(NO_RATIO) as receiver:
        with receiver.peak() as peak:
            assert receiver.post(gzip.compress(JSON), "content-encoding: gzip", kind="json") == 400
        assert receiver.state["limits"] == {"json_objects": 1}
    record_property("figure", f"JSON of {len(JSON) >> 20} MB as gzip: {peak.growth_bytes / MIB:.0f} MB of memory")
    # The text and its brackets are each in memory once.
    assert peak.growth_bytes <= ALLOWED_BYTES + 2 * len(JSON)


def test_a_hundred_of_them_at_once_cost_no_more_than_a_few(record_property: Callable[[str, object], None]) -> None:
    import threading  # noqa: PLC0415 - the one test with many senders

    packed = gzip.compress(SPANS)
    statuses: list[int] = []
    with ReceiverProcess(NO_RATIO) as receiver:
        senders = [
            threading.Thread(target=lambda: statuses.append(receiver.post(packed, "content-encoding: gzip")))
            for _ in range(100)
        ]
        with receiver.peak() as peak:
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
    record_property("figure", f"100 at once: {peak.growth_bytes / MIB:.0f} MB of memory")
    assert set(statuses) <= {400, 503}
    assert len(statuses) == 100
    assert peak.growth_bytes <= 3 * ALLOWED_BYTES
