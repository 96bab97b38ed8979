"""CVE-2026-29181: header lines without number.

Injected: 10 000 `baggage` and `traceparent` lines in one request over HTTP, as many metadata entries over gRPC, and one
 line of 10 MB.
Holds: 431 after the first 16 KiB or 100 lines; over gRPC the request ends with RESOURCE_EXHAUSTED; nothing is kept.
Figure: 10 000 header lines cost less than 16 MB of memory.
"""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from tests.decode.requests import field, in_request
from tests.faults.receiving import EXPORT, MIB, ReceiverProcess

GOOD = in_request(field(2, field(1, b"t" * 16) + field(2, b"s" * 8)))


@pytest.mark.quick
def test_ten_thousand_header_lines() -> None:
    many = tuple(f"baggage: key{i}=value{i}" for i in range(10_000))
    with ReceiverProcess() as receiver, receiver.peak() as peak:
        for headers in (
            many,
            ("traceparent: 00-" + "a" * 32 + "-" + "b" * 16 + "-01",) * 101,
            ("x: " + "y" * 10_000_000,),
        ):
            assert receiver.post(GOOD, *headers) == 431
        state = receiver.state
    assert state["records"] == 0
    assert state["limits"] == {"headers": 3}
    assert peak.growth_bytes < 16 * MIB


def test_ten_thousand_entries_of_metadata() -> None:
    with ReceiverProcess() as receiver, grpc.insecure_channel(receiver.endpoints["grpc"]) as channel:
        export: Any = channel.unary_unary(EXPORT)
        assert export(GOOD, timeout=20) == b""
        with receiver.peak() as peak:
            metadata = tuple((f"baggage{i}", "v") for i in range(10_000))
            assert export.future(GOOD, metadata=metadata, timeout=20).code() in (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                grpc.StatusCode.UNAVAILABLE,
            )
        assert export(GOOD, timeout=20) == b""
        assert receiver.state["records"] == 2
    assert peak.growth_bytes < 16 * MIB
